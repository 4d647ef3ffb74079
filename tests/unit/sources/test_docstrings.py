"""The standard library's docstrings as documents."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from semsearch import sources
from semsearch.records import Document
from semsearch.sources import Source


@pytest.fixture(scope="module")
def source() -> Source:
    return sources.standard_library()


@pytest.fixture(scope="module")
def library(source: Source) -> dict[str, Document]:
    return {item.id: item for item in source if isinstance(item, Document)}


def test_there_are_several_thousand_each_once(source: Source, library: dict[str, Document]) -> None:
    assert source.total == len(library) > 5_000
    assert source.name == f"stdlib:{sys.version.split()[0]}"
    kinds = Counter(document.metadata["kind"] for document in library.values())
    assert set(kinds) == {"module", "class", "function", "method"}
    assert all(document.title == document.id and document.text for document in library.values())


@pytest.mark.parametrize(
    ("id", "kind", "module", "beginning"),
    [
        ("json.loads", "function", "json", "json.loads(s, *, cls=None"),
        ("csv.DictReader", "class", "csv", "csv.DictReader(f, fieldnames=None"),
        ("csv.reader", "function", "csv", "csv.reader"),
        ("str.split", "method", "builtins", "str.split(sep=None, maxsplit=-1)\n\nReturn a list"),
        ("len", "function", "builtins", "len(obj)\n\nReturn the number of items"),
        ("math.sqrt", "function", "math", "math.sqrt(x)\n\nReturn the square root of x."),
        ("os.path.join", "function", "os.path", "os.path.join(a, *p)"),
        ("os.path.exists", "function", "os.path", "os.path.exists(path)"),
        ("os.listdir", "function", "os", "os.listdir(path=None)"),
        ("itertools", "module", "itertools", "itertools\n\n"),
        ("dict.fromkeys", "method", "builtins", "dict.fromkeys("),
    ],
)
def test_what_people_look_for_is_there(
    library: dict[str, Document], id: str, kind: str, module: str, beginning: str
) -> None:
    document = library[id]
    assert (document.metadata["kind"], document.metadata["module"]) == (kind, module)
    assert document.text.startswith(beginning)


def test_since_is_known_where_the_docstring_says_so(library: dict[str, Document]) -> None:
    known = [document for document in library.values() if "since" in document.metadata]
    assert known
    assert all(document.metadata["since"] in document.text for document in known)


def test_private_names_and_tests_are_left_out(library: dict[str, Document]) -> None:
    assert not [id for id in library if any(part.startswith("_") for part in id.split("."))]
    assert not [id for id in library if id.split(".")[0] in ("test", "idlelib", "posix", "ntpath")]


_DIGEST = """
import hashlib, sys
from semsearch import sources
items = [(item.id, item.text, sorted(item.metadata.items())) for item in sources.standard_library()]
print(hashlib.sha256(repr(items).encode()).hexdigest(), "antigravity" in sys.modules, "turtle" in sys.modules)
"""


def test_it_is_the_same_in_every_process_and_imports_no_python_module() -> None:
    """In processes of their own: pytest replaces some functions of sys, and their docstrings go with them."""
    command = [sys.executable, "-c", _DIGEST]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    )
    assert first == second
    assert first.split()[1:] == ["False", "False"]
