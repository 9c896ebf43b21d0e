"""Nothing outside an adapter depends on the kind of a transport: no class, no name, no list of kinds."""

import ast
from collections.abc import Iterator
from functools import cache

from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.registry import kinds, usable_transports
from tests.packaging.checkout import FOLDERS, ROOT, tracked

TYPE_CHECKS = {"isinstance", "issubclass"}
LOOKING_FOR_MEMBERS = {"hasattr", "getattr"}


@cache
def classes() -> set[str]:
    """Return the names of the transports that are installed, and of all classes on which they build."""
    lines = (one.__mro__ for one in usable_transports().values())
    built_on = {one for line in lines for one in line if issubclass(one, TransportModel)}
    return {one.__name__ for one in built_on - {TransportModel}}


def questions(source: str) -> Iterator[str]:
    """Yield what compares something with the name of a kind, or asks whether it is of a class of transports."""
    for node in ast.walk(ast.parse(source)):
        if asks_for_kind(node) or asks_for_class(node) or asks_for_member(node):
            yield f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


def asks_for_kind(node: ast.AST) -> bool:
    if isinstance(node, ast.Dict):
        parts: list[ast.AST] = [key for key in node.keys if key is not None]
    elif isinstance(node, ast.Compare | ast.Tuple | ast.List | ast.Set | ast.MatchValue):
        parts = [node]
    else:
        return False
    texts = {part.value for given in parts for part in ast.walk(given) if isinstance(part, ast.Constant)}
    return not texts.isdisjoint(kinds())


def asks_for_class(node: ast.AST) -> bool:
    """Tell questions to the type: as a call, as a pattern of `match`, and as `type(transport) is ...`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in TYPE_CHECKS:
        named = names_in(*node.args[1:])
    elif isinstance(node, ast.MatchClass):
        named = names_in(node.cls)
    elif isinstance(node, ast.Compare | ast.Dict):
        named = names_in(node)
    else:
        return False
    return not named.isdisjoint(classes())


def asks_for_member(node: ast.AST) -> bool:
    """Tell questions whether a transport happens to have a method or field: its traits say what it can."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in LOOKING_FOR_MEMBERS):
        return False
    return any("transport" in name.lower() for name in names_in(node.args[0]))


def names_in(*given: ast.AST) -> set[str]:
    """Return the last part of every name in these, so that `module.Class` is found as `Class` is."""
    parts = [part for one in given for part in ast.walk(one)]
    return {part.id for part in parts if isinstance(part, ast.Name)} | {
        part.attr for part in parts if isinstance(part, ast.Attribute)
    }


def test_no_module_asks_for_the_kind_of_a_transport() -> None:
    modules = [name for name in tracked(*FOLDERS, "deployments") if name.endswith(".py")]
    assert [f"{name}:{one}" for name in modules for one in questions((ROOT / name).read_text())] == []


def test_code_that_asks_for_the_kind_of_a_transport_is_found() -> None:
    found = [
        "if transport.name == 'slurm': pass",
        "KINDS = ('inline', 'local')",
        "if name not in {'pbs'}: pass",
        "WAITS = {'slurm': 90, 'local': 0}",
        "match name:\n    case 'pbs': pass",
        "isinstance(transport, LocalTransport)",
        "issubclass(kind, SlurmTransport | PbsTransport)",
        "isinstance(transport, BatchTransport)",
        "isinstance(transport, batch_transport.BatchTransport)",
        "isinstance(transport, SubprocessTransport)",
        "if type(transport) is LocalTransport: pass",
        "match transport:\n    case InlineTransport(): pass",
        "hasattr(transport, 'rules')",
        "getattr(self._transport, 'sizing', None)",
    ]
    assert [source for source in found if not list(questions(source))] == []
    passed = [
        "transport: str = 'local'",
        "isinstance(value, Transport)",
        "kind: Literal['pbs'] = 'pbs'",
        "transport = LocalTransport()",
        "getattr(settings, name)",
    ]
    assert [source for source in passed if list(questions(source))] == []
