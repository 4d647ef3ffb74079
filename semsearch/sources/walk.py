"""Walks a folder: sorted, without following links, touching nothing but folders and regular files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from semsearch.errors import InvalidInput
from semsearch.sources.opening import why
from semsearch.sources.source import Options


class File(NamedTuple):
    """A regular file, as it was listed. `directory` is its open folder, until the next one is asked for."""

    parts: tuple[str, ...]
    directory: int


class Refused(NamedTuple):
    """Something below the folder that is not read, and why; of a whole folder, nobody knows what is in it."""

    parts: tuple[str, ...]
    reason: str
    is_folder: bool = False


def walk(root: Path, options: Options) -> Iterator[File | Refused]:
    """Everything below `root` that the options let through: the files of a folder by name, then its folders by name.

    Each folder is opened part by part without following links, so that a folder swapped for a link while we walk
    leads nowhere, and no more than one is open at a time, however deep the tree.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            directory = _open_below(root, parts)
        except OSError as error:
            yield Refused(parts, why(error), is_folder=True)
            continue
        folders: list[tuple[str, ...]] = []
        try:
            entries = _entries(directory, options)
            folders = [(*parts, entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
            yield from _listed(root, parts, directory, entries, options)
        except OSError as error:  # some network file systems fail on listing, not on opening
            yield Refused(parts, why(error), is_folder=True)
        finally:
            os.close(directory)
        waiting.extend(reversed([folder for folder in folders if not matches(options.exclude, folder)]))


def _open_below(root: Path, parts: tuple[str, ...]) -> int:
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        outer = directory
        try:
            directory = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)
        finally:
            os.close(outer)
    return directory


def _entries(directory: int, options: Options) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as listing:
        return sorted(
            (entry for entry in listing if options.hidden or not entry.name.startswith(".")),
            key=lambda entry: entry.name,
        )


def _listed(
    root: Path, parts: tuple[str, ...], directory: int, entries: Iterable[os.DirEntry[str]], options: Options
) -> Iterator[File | Refused]:
    for entry in entries:
        path = (*parts, entry.name)
        if entry.is_dir(follow_symlinks=False) or not _is_wanted(path, options):
            continue
        if entry.is_file(follow_symlinks=False):
            yield File(path, directory)
        elif not entry.is_symlink():
            yield Refused(path, "is not a regular file")
        elif not _leads_to_a_file_inside(root, path):
            yield Refused(path, "is a symbolic link out of the folder or to another folder; links are not followed")


def _leads_to_a_file_inside(root: Path, path: tuple[str, ...]) -> bool:
    """Such a link is passed over in silence: its file is read under its own name."""
    try:
        target = root.joinpath(*path).resolve()
        return target.is_relative_to(root.resolve()) and target.is_file()
    except (OSError, RuntimeError):  # a loop of links
        return False


def _is_wanted(path: tuple[str, ...], options: Options) -> bool:
    included = not options.include or matches(options.include, path)
    return included and not matches(options.exclude, path)


def matches(globs: Iterable[str], path: tuple[str, ...]) -> bool:
    """Whether one of the globs matches the path, given in parts below the folder."""
    whole = "/".join(path)
    return any(_pattern(glob).fullmatch(whole if "/" in glob.rstrip("/") else path[-1]) for glob in globs)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", glob.removeprefix("./").strip("/"))
    try:
        return re.compile("".join(map(_regular_expression, pieces)), re.DOTALL)
    except re.error as error:
        raise InvalidInput(f"glob {glob!r} cannot be understood: {error}.") from None


def _regular_expression(piece: str) -> str:
    wildcard = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece)
    if wildcard is None and piece.startswith("[") and piece.endswith("]"):
        inside = piece[1:-1].replace("\\", "\\\\").replace("[", "\\[")
        return f"[^/{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(piece) if wildcard is None else wildcard
