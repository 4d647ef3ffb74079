"""The page's own files: served under a name that changes with what is in them, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from semsearch.errors import NotFound

TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


@cache
def every() -> dict[str, bytes]:
    """The files by name."""
    folder = resources.files("semsearch.web.page") / "assets"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in TYPES}


@cache
def digest() -> str:
    """Of all files together: the modules name one another, so they change together."""
    whole = hashlib.sha256()
    for name, content in sorted(every().items()):
        whole.update(name.encode() + b"\0" + content)
    return whole.hexdigest()[:16]


def url(name: str) -> str:
    """Where a file is."""
    assert name in every(), name
    return f"/page/assets/{digest()}/{name}"


def read(version: str, name: str) -> tuple[bytes, str]:
    """A file and its type. Raises NotFound, also for the version of another release."""
    if version != digest() or name not in every():
        raise NotFound("the page has no such file: load the page again.")
    return every()[name], TYPES[name.rpartition(".")[2]]
