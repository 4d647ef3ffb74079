"""Sources say where documents come from: one file a kind, all with the face of `Source`.

for item in sources.open("handbook/", sources.Options(exclude=("drafts/",))):
    if isinstance(item, sources.Broken):
        print(item.where, item.reason)
    else:
        print(item.id, len(item.text))
"""

from __future__ import annotations

import os
from pathlib import Path

from semsearch.sources.source import Broken, Kind, Options, Source

__all__ = ["Broken", "Kind", "Options", "Source", "open", "standard_library"]


def open(path: str | Path, options: Options | None = None) -> Source:
    """The documents of a file, of a folder and all below it, or of standard input for "-".

    Raises NotFound for a path that does not exist and InvalidInput for a single file that cannot be a source: of an
    unsupported kind, unreadable, or no regular file. Inside a folder such files are reported as Broken instead. A
    first row without the fields that the options name raises InvalidInput while iterating.

    Ids: the file's name; the folder's name and the path below it; for rows, their id field, whichever file they are
    in. Files that go wrong never stop the others.
    """
    options = options or Options()
    if os.fspath(path) == "-":
        from semsearch.sources.stdin import StandardInput

        return StandardInput(options)
    from semsearch.sources.files import open_path

    return open_path(Path(path), options)


def standard_library() -> Source:
    """The docstrings of the running interpreter's standard library: every public module, class, function, method."""
    from semsearch.sources.docstrings import StandardLibrary

    return StandardLibrary()
