"""Rules that every file of the checkout keeps."""

import ast
import builtins
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.checkout import FOLDERS, ROOT, tracked

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40

# Written so that this file does not match itself.
ADDRESSES = re.compile(
    r"pypi\.org|python[h]osted|registry\.npmjs|deb\.debian\.org"  # registries
    r"|--(?:extra-)?index-url|--find-[l]inks|file:///(?:opt|srv|mnt)\b"  # ways to name another one
    r"|/(?:root|work|farm)/"  # paths of one machine
)


def lines() -> Iterator[tuple[str, int, str]]:
    for name in tracked():
        path = ROOT / name
        content = b"" if path.is_symlink() else path.read_bytes()
        if b"\0" not in content:
            for number, line in enumerate(content.decode().splitlines(), start=1):
                yield name, number, line


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    assert [f"{name}:{number}: {line}" for name, number, line in lines() if ADDRESSES.search(line)] == []


def test_modules_are_short() -> None:
    modules = [name for name in tracked(*FOLDERS) if name.endswith(".py") and "/migrations/" not in name]
    assert modules != []
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in modules}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield each function of the package, with its place."""
    for name in tracked(*FOLDERS):
        if name.endswith(".py"):
            for node in ast.walk(ast.parse((ROOT / name).read_bytes())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{name}:{node.lineno} {node.name}", node


def test_functions_are_short() -> None:
    """Docstrings apart; schema migrations are lists of statements."""
    lengths = {place: length_of(node) for place, node in functions() if "/migrations/" not in place}
    assert len(lengths) > 1000
    assert {place: length for place, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = ast.get_docstring(function) is not None and isinstance(first, ast.Expr)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_everything_is_annotated() -> None:
    assert {place: missing for place, node in functions() if (missing := unannotated(node))} == {}


def unannotated(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the parameters without a type, and `return` where that has none."""
    given = function.args
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
    missing = [each.arg for each in parameters if each.annotation is None and each.arg not in ("self", "cls")]
    return missing if function.returns else [*missing, "return"]


def test_text_files_are_utf8_whatever_the_locale() -> None:
    """Code that opens a file or a pipe as text names the encoding, because otherwise the locale would define it."""
    modules = [name for name in tracked(*FOLDERS) if name.endswith(".py")]
    assert [f"{name}:{line}" for name in modules for line in texts_without_encoding((ROOT / name).read_bytes())] == []


def test_what_opens_a_text_without_its_encoding_is_found() -> None:
    found = [
        "open(path)",
        "path.open('w')",
        "path.read_text(errors='replace')",
        "path.write_text(text)",
        "os.fdopen(3, mode='w')",
        "tempfile.NamedTemporaryFile('w')",
        "subprocess.run(command, text=True)",
        "io.TextIOWrapper(raw)",
    ]
    passed = [
        "path.open('rb')",
        "path.open('w', encoding='utf-8')",
        "tempfile.TemporaryFile()",
        "subprocess.run(command)",
        "os.open(path, os.O_RDONLY)",
        "gate.open()",
    ]
    assert [line for line in found if not texts_without_encoding(line.encode())] == []
    assert [line for line in passed if texts_without_encoding(line.encode())] == []


def texts_without_encoding(source: bytes) -> list[int]:
    """Return the lines of the calls that open something as text without `encoding`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if is_text(call) and "encoding" not in {word.arg for word in call.keywords}]


def is_text(call: ast.Call) -> bool:
    name = ast.unparse(call.func).rpartition(".")[2]
    if name in {"read_text", "write_text", "TextIOWrapper", "FileHandler"}:
        return True
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name in {"run", "Popen", "check_output"}:
        return {words.get("text"), words.get("universal_newlines")} != {None}
    modes = [ast.literal_eval(each) for each in [*call.args, *(w.value for w in call.keywords)] if is_mode(each)]
    if name in {"NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"}:
        return any("b" not in mode for mode in modes)
    if name == "open" and isinstance(call.func, ast.Attribute):
        return any("b" not in mode for mode in modes)  # without a mode it may be anything's that can be opened
    return name in {"open", "fdopen"} and not any("b" in mode for mode in modes)


def is_mode(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(re.fullmatch("[rwaxbt+]+", node.value))
    )


def test_kinds_of_failures_are_told_apart_by_the_table_alone() -> None:
    """`FAILURE_RULES` says what a kind means; the worker alone knows which exception is which kind."""
    allowed = {"execution/failure_kinds.py", "execution/worker/failure_mapping.py"}
    modules = [name for name in tracked(*FOLDERS) if name.endswith(".py") and not name.startswith("testing/")]
    found = [f"{name}:{line}" for name in modules for line in tells_kinds_apart((ROOT / name).read_bytes())]
    assert {place for place in found if place.rpartition(":")[0] not in allowed} == set()


def test_what_tells_kinds_of_failures_apart_is_found() -> None:
    for line in ("kind is FailureKind.X", "FailureKind.X == kind", "kind in {FailureKind.X}", "X = [FailureKind.X]"):
        assert tells_kinds_apart(line.encode()) == [1], line
    for line in (
        "FailureKind.X in FAILURE_RULES[kind].may_hide",
        "fail(FailureKind.X)",
        "x = FailureKind.X if y else z",
    ):
        assert tells_kinds_apart(line.encode()) == [], line
    assert tells_kinds_apart(b"match kind:\n    case FailureKind.X: pass") == [2]


def tells_kinds_apart(source: bytes) -> list[int]:
    """Return the lines that compare with a kind of failure, or list several, and do not ask the table."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            asks = all(ast.unparse(each).startswith("FailureKind.") for each in node.elts) and bool(node.elts)
        elif isinstance(node, ast.Compare | ast.MatchValue):
            asks = "FailureKind." in (text := ast.unparse(node)) and "FAILURE_RULES" not in text
        else:
            continue
        if asks:
            found.add(node.lineno)
    return sorted(found)


def test_errors_that_docstrings_name_exist() -> None:
    trees = {name: ast.parse((ROOT / name).read_bytes()) for name in tracked(*FOLDERS) if name.endswith(".py")}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    known = {node.name for node in nodes if isinstance(node, ast.ClassDef)} | set(dir(builtins))
    known |= {each.name for node in nodes if isinstance(node, ast.ImportFrom) for each in node.names}
    found = [f"{name}: {error}" for name, tree in trees.items() for error in raised(tree) if error not in known]
    assert found == []


def raised(tree: ast.Module) -> Iterator[str]:
    """Yield the names in the sections `Raises` of docstrings; those of other packages have dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            _, _, section = (ast.get_docstring(node) or "").partition("\nRaises\n------\n")
            for line in section.split("\n\n")[0].splitlines():
                if re.fullmatch(r"[A-Za-z_][\w., ]*", line):
                    yield from (name.strip() for name in line.split(",") if "." not in name)


def test_folders_are_at_the_top_level_and_linked_into_the_package() -> None:
    for folder in FOLDERS:
        link = ROOT / "src" / "climate_ref_prefect" / folder
        assert not (ROOT / folder).is_symlink()
        assert link.readlink() == Path("..", "..", folder)


def test_floors_import_only_what_lies_below() -> None:
    lint = Path(sysconfig.get_path("scripts"), "lint-imports")
    ended = subprocess.run([lint, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
