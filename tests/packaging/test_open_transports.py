"""Nothing outside an adapter asks who a transport is: no class, no name, no list of kinds."""

import ast
from collections.abc import Iterator

from climate_ref_prefect.transports.registry import kinds, usable_transports
from tests.packaging.checkout import ROOT, tracked

BASES = {"BatchTransport", "HereTransport"}


def questions(source: str) -> Iterator[str]:
    """Yield what compares something with the name of a kind, or asks whether it is of a class of transports."""
    classes = BASES | {one.__name__ for one in usable_transports().values()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare | ast.Tuple | ast.List | ast.Set | ast.MatchValue):
            named = {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)} & {*kinds()}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}:
            named = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & classes
        else:
            continue
        if named:
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_nobody_asks() -> None:
    modules = [name for name in tracked("flows", "transports", "store", "diagnostics") if name.endswith(".py")]
    assert [f"{name}:{one}" for name in modules for one in questions((ROOT / name).read_text())] == []


def test_who_asks_is_found() -> None:
    found = [
        "if transport.name == 'slurm': pass",
        "KINDS = ('inline', 'local')",
        "if name not in {'pbs'}: pass",
        "isinstance(transport, LocalTransport)",
        "issubclass(kind, SlurmTransport | PbsTransport)",
        "isinstance(transport, BatchTransport)",
    ]
    assert [source for source in found if not list(questions(source))] == []
    passed = ["transport: str = 'local'", "isinstance(value, Transport)", "kind: Literal['pbs'] = 'pbs'"]
    assert [source for source in passed if list(questions(source))] == []
