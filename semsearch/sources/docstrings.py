"""The standard library's docstrings as a source: real text that every machine has."""

from __future__ import annotations

import ast
import inspect
import platform
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from semsearch.records import Document

_SKIPPED = frozenset({"test", "tests", "idlelib", "lib2to3", "turtledemo", "pydoc_data", "site-packages", "encodings"})
"""Tests, applications and tables; encodings is one sentence a hundred times."""

_SHOWN_ELSEWHERE = frozenset({"nt", "posix", "ntpath"})
"""What os and os.path are made of."""

_NOT_IMPORTED = frozenset({"readline"})
"""Importing it changes how the terminal answers."""

_SHOWN_AS = {"posixpath": "os.path", "genericpath": "os.path", "builtins": ""}
_SINCE = re.compile(r"(?:New|Added|versionadded::?)\s+(?:in\s+)?(?:Python\s+)?(?:version\s+)?(\d+\.\d+)", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | Function


class StandardLibrary:
    """A document for every public module, class, function and method that has a docstring.

    Python files are parsed, not imported. What they take from modules written in C (`from _csv import reader`), and
    public modules that are themselves written in C, is imported: those belong to the interpreter. The order and the
    texts depend on nothing but the interpreter.
    """

    def __init__(self) -> None:
        self.name = f"stdlib:{platform.python_version()}"

    @property
    def total(self) -> int:
        """The number of documents; finds them all, in two to four seconds."""
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    @cached_property
    def _documents(self) -> tuple[Document, ...]:
        found: dict[str, Document] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # modules on their way out say so when imported
            for document in _all():
                found.setdefault(document.id, document)
        return tuple(found[id] for id in sorted(found))


def _all() -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in _python_files(root):
        module = _module_name(path.relative_to(root))
        yield from _written_in_python(root, module, path)
    for name in sorted({*sys.stdlib_module_names, "builtins"} - _SKIPPED - _SHOWN_ELSEWHERE):
        if not name.startswith("_") and (imported := _written_in_c(name)):
            yield from _members(_SHOWN_AS.get(name, name), name, imported, dir(imported))
            yield from _document(name, name, "module", "", inspect.getdoc(imported))


def _python_files(root: Path) -> Iterator[Path]:
    """Those of public modules. posixpath comes before genericpath, so that its docstring is os.path's."""
    for path in sorted(root.rglob("*.py"), reverse=True):
        parts = path.relative_to(root).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(
            name in _SKIPPED | _SHOWN_ELSEWHERE or name.startswith("_") or not name.isidentifier() for name in names
        ):
            yield path


def _module_name(path: Path) -> str:
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    return _SHOWN_AS.get(name, name)


def _written_in_python(root: Path, module: str, path: Path) -> Iterator[Document]:
    tree = ast.parse(path.read_bytes())
    yield from _document(module, module, "module", "", ast.get_docstring(tree))
    exported = _exported(tree)
    for node in _top_level(tree.body):
        if not isinstance(node, ast.ImportFrom):
            yield from _defined(module, node, exported)
        elif not node.level and node.module:
            names = [alias.name for alias in node.names if alias.name == "*" or alias.name in exported]
            yield from _taken(root, module, node.module, names)


def _exported(tree: ast.Module) -> frozenset[str]:
    """The names in a module's `__all__`, where it is written as a plain list."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(
                item.value
                for item in ast.walk(node.value)
                if isinstance(item, ast.Constant) and isinstance(item.value, str)
            )
    return frozenset()


def _taken(root: Path, module: str, private: str, names: list[str]) -> Iterator[Document]:
    """What a public module exports that it took from a module of C or a private one, shown as its own."""
    if imported := _written_in_c(private):
        yield from _members(module, module, imported, dir(imported) if names == ["*"] else names)
        return
    path = root.joinpath(*private.split(".")).with_suffix(".py")
    if path.stem.startswith("_") and path.is_file():
        for node in _top_level(ast.parse(path.read_bytes()).body):
            if not isinstance(node, ast.ImportFrom) and (names == ["*"] or node.name in names):
                yield from _defined(module, node, frozenset())


def _top_level(body: list[ast.stmt]) -> Iterator[Definition | ast.ImportFrom]:
    """Definitions and imports of a module, also those under its `if` and `try`."""
    for node in body:
        if isinstance(node, Definition | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            handlers = [statement for handler in getattr(node, "handlers", ()) for statement in handler.body]
            yield from _top_level([*node.body, *handlers, *node.orelse])


def _defined(module: str, node: Definition, exported: frozenset[str]) -> Iterator[Document]:
    """A class and its methods, or a function. A class without a docstring is still shown where `__all__` names it."""
    name = f"{module}.{node.name}"
    if node.name.startswith("_"):
        return
    if not isinstance(node, ast.ClassDef):
        yield from _document(module, name, "function", _signature(node), ast.get_docstring(node))
        return
    docstring = ast.get_docstring(node) or ("" if node.name in exported else None)
    yield from _document(module, name, "class", _class_signature(node), docstring)
    for method in _methods(node):
        yield from _document(module, f"{name}.{method.name}", "method", _signature(method), ast.get_docstring(method))


def _methods(node: ast.ClassDef) -> list[Function]:
    return [inner for inner in node.body if isinstance(inner, Function) and not inner.name.startswith("_")]


def _class_signature(node: ast.ClassDef) -> str:
    made_by = (inner for inner in node.body if isinstance(inner, ast.FunctionDef) and inner.name == "__init__")
    return next((_signature(inner) for inner in made_by), "")


def _signature(node: Function) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({_without_self(ast.unparse(node.args))}){returns}"


def _without_self(arguments: str) -> str:
    return re.sub(r"^(self|cls)(, |$)", "", arguments)


def _written_in_c(name: str) -> ModuleType | None:
    """The module if it is part of the interpreter and not a Python file; imported, for it has no source to parse."""
    if "." in name or name not in sys.stdlib_module_names or name in _NOT_IMPORTED:
        return None
    try:
        spec = find_spec(name)
        if spec is None or not (spec.origin == "built-in" or isinstance(spec.loader, ExtensionFileLoader)):
            return None
        return import_module(name)
    except (ImportError, ValueError):  # built without the library it needs, as tkinter often is
        return None


def _members(prefix: str, module: str, imported: ModuleType, names: list[str]) -> Iterator[Document]:
    for name in names:
        member = getattr(imported, name, None)
        if name.startswith("_") or not (isinstance(member, type) or inspect.isbuiltin(member)):
            continue
        title = f"{prefix}.{name}" if prefix else name
        yield from _from_c(module, title, "class" if isinstance(member, type) else "function", member)
        if isinstance(member, type):
            for inner, value in sorted(vars(member).items()):
                if not inner.startswith("_"):
                    yield from _from_c(module, f"{title}.{inner}", "method", value)


def _from_c(module: str, title: str, kind: str, member: Any) -> Iterator[Document]:
    documented = getattr(member, "__func__", member)  # class methods of C hold a plain function
    if isinstance(getattr(documented, "__doc__", None), str) and (callable(documented) or kind == "method"):
        yield from _document(module, title, kind, _c_signature(documented), inspect.cleandoc(documented.__doc__))


def _c_signature(member: Any) -> str:
    """As the module's author wrote it, without the marks of Argument Clinic. inspect.signature() would evaluate it."""
    written = getattr(member, "__text_signature__", None) or ""
    return re.sub(r"\$\w+(, /(?=[,)]))?(, )?", "", written).replace(", /", "")


def _document(module: str, title: str, kind: str, signature: str, docstring: str | None) -> Iterator[Document]:
    if docstring is None:
        return
    since = _SINCE.search(docstring)
    metadata = {"module": module, "kind": kind} | ({"since": since[1]} if since else {})
    text = f"{title}{signature}\n\n{docstring.strip()}".strip()
    yield Document(id=title, text=text, metadata=metadata, title=title)
