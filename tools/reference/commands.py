"""The page on the commands, from the command line's own help."""

import inspect
from collections.abc import Iterator

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from starters.cli import build_app
from tools.reference.markdown import page, table

_INTRODUCTION = """
Every command has `--help`. A command with `--json` prints one JSON object on stdout and nothing else. [Exit
codes](codes.md#exit-codes) are the same for all of them. Commands read [settings](settings.md) from the environment.
"""


def commands_page() -> str:
    """Return the page."""
    group = get_command(build_app())
    if not isinstance(group, TyperGroup):
        raise TypeError("The command line has no commands.")
    commands = list(commands_of(group, "settle"))
    overview = table(
        ["command", "does"],
        ([f"[`{name}`](#{name.replace(' ', '-')})", _paragraphs(command)[0]] for name, command in commands),
    )
    return page("Commands", _INTRODUCTION, overview, *(_section(name, command) for name, command in commands))


def commands_of(group: TyperGroup, *before: str) -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command of a group and of the groups in it, with its full name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands_of(command, *before, name)
        elif isinstance(command, TyperCommand):
            yield " ".join((*before, name)), command


def _section(name: str, command: TyperCommand) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    options = [parameter for parameter in command.params if isinstance(parameter, TyperOption)]
    usage = " ".join([name, *map(_value_name, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [[f"`{_value_name(argument)}`", argument.help or ""] for argument in arguments]
    rows += [[f"`{_option_name(option)}`", option.help or ""] for option in options]
    tables = [table(["parameter", "means"], rows)] if rows else []
    return "\n\n".join([f"## {name}", *_paragraphs(command), f"```text\n{usage}\n```", *tables])


def _option_name(option: TyperOption) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {_value_name(option)}"


def _value_name(parameter: TyperArgument | TyperOption) -> str:
    return parameter.metavar or str(parameter.name).upper()


def _paragraphs(command: TyperCommand) -> list[str]:
    return [" ".join(text.split()) for text in inspect.cleandoc(command.help or "").split("\n\n")]
