"""Contract tests call every method of every part of a port, on the double and on the real adapter."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import NamedTuple, get_args, get_type_hints

import pytest

from fund_platform.port import FundPlatform
from order_center.port import OrderCenter
from settlement_store.port import SettlementStore
from tests.contract.adapters import ADAPTERS, not_in_memory

# By the name of the fixture that gives a test its adapter.
PORTS: dict[str, type] = {"store": SettlementStore, "fund_platform": FundPlatform, "order_center": OrderCenter}
MODULES = {path.stem: ast.parse(path.read_text()) for path in Path(__file__).parent.glob("*.py")}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Definition(NamedTuple):
    """The definition of a name in a module of the suite."""

    module: str
    node: ast.AST


def public_members_of(cls: type) -> dict[str, object]:
    return {name: member for name, member in vars(cls).items() if not name.startswith("_")}


def calls_of_port(fixture: str, port: type) -> set[str]:
    """Return the calls of a port as they end in the source: `part.method`, or `fixture.method` if it has no parts."""
    calls = set()
    for name, member in public_members_of(port).items():
        if isinstance(member, property):
            told = get_type_hints(member.fget)["return"]
            [part] = {*get_args(told)} - {NoneType} or {told}  # an adapter may lack some parts
            calls |= {f"{name}.{method}" for method in public_members_of(part)}
        else:
            calls.add(f"{fixture}.{name}")
    return calls


def definitions_of(module: str) -> dict[str, Definition]:
    """Return the definitions of a module's names, including names imported from other modules of the suite."""
    found = {}
    for node in MODULES[module].body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = Definition(module, node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = Definition(module, node)
            case ast.ImportFrom(module=str(source), names=aliases) if source.startswith("tests.contract."):
                others = definitions_of(source.rpartition(".")[2])
                found |= {alias.name: others[alias.name] for alias in aliases}
    return found


def calls_in(definition: Definition, seen: set[ast.AST]) -> Iterator[str]:
    """Yield the ends of the attributes that a definition uses, directly or through other definitions of the suite.

    A function returns a part that an adapter may lack (`proof_of(fund_platform).fetch_credits`).
    """
    if definition.node in seen:
        return
    seen.add(definition.node)
    known = definitions_of(definition.module)
    for node in ast.walk(definition.node):
        match node:
            case ast.Attribute(attr=method, value=ast.Attribute(attr=owner) | ast.Name(id=owner)):
                yield f"{owner}.{method}"
            case ast.Attribute(attr=method, value=ast.Call(func=ast.Name(id=getter))) if getter.endswith("_of"):
                yield f"{getter.removesuffix('_of')}.{method}"
            case ast.Name(id=name) if name in known:
                yield from calls_in(known[name], seen)


def adapters_of(test: Function) -> set[str]:
    """Return the adapters that a test runs on; none if no fixture gives it an adapter."""
    if not {argument.arg for argument in test.args.args} & PORTS.keys():
        return set()
    used = {node.id for decorator in test.decorator_list for node in ast.walk(decorator) if isinstance(node, ast.Name)}
    return {"postgres"} if not_in_memory.__name__ in used else set(ADAPTERS)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("fixture", PORTS)
def test_each_method_of_a_port_is_called_by_a_contract_test_of_the_adapter(fixture: str, adapter: str) -> None:
    called: set[str] = set()
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function) and node.name.startswith("test_") and adapter in adapters_of(node):
                called.update(calls_in(Definition(module, node), set()))
    promised = calls_of_port(fixture, PORTS[fixture])
    assert promised, "the port has no methods"
    assert sorted(promised - called) == []
