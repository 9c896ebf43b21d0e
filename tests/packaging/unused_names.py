"""Finds names of the package that nothing in it uses, with mypy's knowledge of what each expression is."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mypy import build
from mypy.modulefinder import BuildSource
from mypy.nodes import (
    Decorator,
    Expression,
    MemberExpr,
    MypyFile,
    NameExpr,
    OverloadedFuncDef,
    RefExpr,
    SymbolNode,
    TypeInfo,
    Var,
)
from mypy.options import Options
from mypy.traverser import NameAndMemberCollector
from mypy.types import (
    CallableType,
    Instance,
    LiteralType,
    NoneType,
    TupleType,
    Type,
    TypeType,
    TypeVarType,
    UnionType,
    get_proper_type,
)

_PLAIN_DECORATORS: Final = {"property", "staticmethod", "classmethod", "contextmanager", "cached_property", "override"}
"""Other decorators may register what they decorate: a command, a flow, a validator."""
_PLAIN_BASES: Final = {"BaseModel", "BaseSettings", "ABC", "Generic", "Protocol", "NamedTuple", "Exception", "object"}
"""Methods of other classes of libraries are called by these."""
_PACKAGE: Final = "climate_ref_prefect"


class Unused(NamedTuple):
    """A name that nothing uses."""

    name: str
    """In full."""
    is_field: bool
    """Whether it is an attribute that is set, and no method."""


def unused_names(modules: Sequence[tuple[str, Path]], root: Path) -> list[Unused]:
    """
    Return what modules define and none of them uses.

    What is only assigned, or used by tests alone, counts as unused. Where mypy does not know what an expression is, an
    attribute of that name counts as used in every class; so does each name that stands in a string.

    Parameters
    ----------
    modules
        Names and files of modules; libraries are not looked at.
    root
        Where their imports are found.
    """
    trees, types = _checked(modules, root)
    uses = _Uses(types)
    for tree, (_, path) in zip(trees, modules, strict=True):
        uses.add(tree, path)
    infos = [info for tree in trees for info in _classes(tree)]
    uses.bare |= {name for info in infos if info.is_protocol for name in info.names if _is_used(info, name, uses)}
    found = [name for tree in trees for name in _unused_of_module(tree, uses)]
    found += [name for info in infos for name in _unused_of_class(info, uses)]
    return sorted(found)


def _checked(modules: Sequence[tuple[str, Path]], root: Path) -> tuple[list[MypyFile], dict[Expression, Type]]:
    options = Options()
    options.export_types = options.preserve_asts = True
    options.follow_imports = "skip"
    options.ignore_missing_imports = True
    options.incremental = False
    options.namespace_packages = options.explicit_package_bases = True
    options.mypy_path = [str(root)]
    result = build.build([BuildSource(str(path), name, None) for name, path in modules], options)
    return [result.files[name] for name, _ in modules], result.types


class _Uses:
    """What code uses: full names where mypy knows them, otherwise the bare names of attributes and in strings."""

    def __init__(self, types: dict[Expression, Type]) -> None:
        self.full: set[str] = set()
        self.bare: set[str] = set()
        self._types = types

    def add(self, tree: MypyFile, path: Path) -> None:
        """Take note of what a module uses."""
        parsed = ast.parse(path.read_bytes())
        for names in (_names_in_annotations, _names_in_strings, _names_hidden_from_types):
            self.bare |= set(names(parsed))
        assigned = {_place(node) for node in ast.walk(parsed) if isinstance(getattr(node, "ctx", None), ast.Store)}
        collector = NameAndMemberCollector()
        tree.accept(collector)
        expressions: list[NameExpr | MemberExpr] = [*collector.name_exprs, *collector.member_exprs]
        for expression in expressions:
            place = expression.line, expression.column, expression.end_line, expression.end_column
            if place not in assigned:
                self._add(expression)

    def _add(self, expression: NameExpr | MemberExpr) -> None:
        if expression.fullname:
            self.full.add(expression.fullname)
        if isinstance(expression, NameExpr) or _is_of_module(expression):
            return
        for owner in _owners(self._types.get(expression.expr)):
            holders = [base for base in owner.mro if expression.name in base.names] if owner else []
            self.full |= {f"{base.fullname}.{expression.name}" for base in holders}
            if not holders:
                self.bare.add(expression.name)


def _place(node: ast.AST) -> tuple[object, ...]:
    return tuple(getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _is_of_module(expression: MemberExpr) -> bool:
    return isinstance(expression.expr, RefExpr) and isinstance(expression.expr.node, MypyFile)


def _owners(receiver: Type | None) -> Iterator[TypeInfo | None]:
    """Yield the classes that an attribute may belong to; None where that is not known."""
    known = None if receiver is None else get_proper_type(receiver)
    match known:
        case Instance():
            yield known.type
        case UnionType():
            for item in known.items:
                yield from _owners(item)
        case TypeType():
            yield from _owners(known.item)
        case TypeVarType():
            yield from _owners(known.upper_bound)
        case TupleType():
            yield known.partial_fallback.type
        case LiteralType():
            yield known.fallback.type
        case CallableType() if known.is_type_obj():
            yield known.type_object()
        case NoneType():
            return
        case _:
            yield None


def _names_in_annotations(tree: ast.Module) -> Iterator[str]:
    annotations = [node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign)]
    annotations += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for annotation in filter(None, annotations):
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"\w+", node.value)  # a forward reference, or words of a help text
            elif isinstance(node, ast.Name | ast.Attribute):
                yield node.id if isinstance(node, ast.Name) else node.attr


def _names_hidden_from_types(tree: ast.Module) -> Iterator[str]:
    """Yield the names in blocks of `if TYPE_CHECKING` and of what they leave to run time, which mypy does not see."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


def _names_in_strings(tree: ast.Module) -> Iterator[str]:
    """Yield what `getattr` and tables of names may use, and what is asked of `super()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "super()":
            yield node.attr


def _classes(tree: MypyFile) -> Iterator[TypeInfo]:
    for symbol in tree.names.values():
        if isinstance(symbol.node, TypeInfo) and symbol.node.module_name == tree.fullname:
            yield symbol.node


def _unused_of_module(tree: MypyFile, uses: _Uses) -> Iterator[Unused]:
    for name, symbol in tree.names.items():
        full = f"{tree.fullname}.{name}"
        node = symbol.node
        if node is None or node.fullname != full or isinstance(node, MypyFile):
            continue  # imported, or a module of the package
        if not _is_special(name) and not _is_registered(node) and full not in uses.full and name not in uses.bare:
            yield Unused(full, is_field=False)


def _unused_of_class(info: TypeInfo, uses: _Uses) -> Iterator[Unused]:
    if info.is_enum or _calls_back(info):
        return
    fields = info.tuple_type is not None  # of a named tuple, beside which mypy has names of its own
    for name, symbol in info.names.items():
        if fields and (name.startswith("_") or name.endswith("-redefinition")):
            continue
        if _is_special(name) or symbol.plugin_generated or _is_registered(symbol.node):
            continue
        if not _is_used(info, name, uses):
            yield Unused(f"{info.fullname}.{name}", is_field=isinstance(symbol.node, Var))


def _is_used(info: TypeInfo, name: str, uses: _Uses) -> bool:
    return name in uses.bare or any(f"{base.fullname}.{name}" in uses.full for base in info.mro)


def _calls_back(info: TypeInfo) -> bool:
    """Whether a class is one of a library's, which may call its methods."""
    own = {base.name for base in info.mro if base.module_name.startswith(_PACKAGE)}
    bases = {
        getattr(getattr(expression, "base", expression), "name", "")
        for base in info.mro
        if base.module_name.startswith(_PACKAGE)
        for expression in base.defn.base_type_exprs
    }
    return bool(bases - own - _PLAIN_BASES)


def _is_special(name: str) -> bool:
    dunder = name.startswith("__") and name.endswith("__")
    return dunder or name in ("_", "model_config") or name.startswith(("_repr_", "_NT"))


def _is_registered(node: SymbolNode | None) -> bool:
    if isinstance(node, OverloadedFuncDef):  # a property with a setter
        node = node.items[0] if node.items else None
    if not isinstance(node, Decorator):
        return False
    names = {getattr(getattr(each, "callee", each), "name", "") for each in node.original_decorators}
    return bool(names - _PLAIN_DECORATORS)
