"""Folders: what is found, what is left alone, and how it is called."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from semsearch import InvalidInput, NotFound, sources
from semsearch.records import Document
from semsearch.sources import Broken, Options, kinds
from semsearch.sources.walk import matches

Read = Callable[..., tuple[list[Document], list[Broken]]]


def test_files_are_found_at_any_depth_in_a_stable_order(folder: Path, read: Read) -> None:
    (folder / "a" / "deep").mkdir(parents=True)
    for name in ("z.txt", "b.txt", "a/deep/x.txt", "a/m.txt"):
        (folder / name).write_text(name)
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/b.txt", "docs/z.txt", "docs/a/m.txt", "docs/a/deep/x.txt"]
    assert documents[3].metadata == {"path": "a/deep/x.txt"}
    assert broken == []


def test_hidden_files_and_folders_are_ignored_unless_asked_for(folder: Path, read: Read) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config.txt").write_text("hidden")
    (folder / ".env").write_text("hidden")
    (folder / "seen.txt").write_text("seen")
    assert [document.id for document in read(folder)[0]] == ["docs/seen.txt"]
    assert len(read(folder, hidden=True)[0]) == 3


def test_a_hidden_folder_asked_for_by_name_is_read(tmp_path: Path, read: Read) -> None:
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes" / "a.txt").write_text("a")
    assert [document.id for document in read(tmp_path / ".notes")[0]] == [".notes/a.txt"]


@pytest.mark.parametrize(
    ("globs", "path", "expected"),
    [
        ("*.md", "guide/x.md", True),
        ("*.md", "guide/x.rst", False),
        ("guide/*.md", "guide/x.md", True),
        ("guide/*.md", "guide/a/x.md", False),
        ("guide/**/*.md", "guide/a/b/x.md", True),
        ("guide/**/*.md", "guide/x.md", True),
        ("guide/**", "guide/a/b", True),
        ("**/x.md", "x.md", True),
        ("./guide/x.md", "guide/x.md", True),
        ("drafts/", "a/drafts", True),
        ("[ab].txt", "b.txt", True),
        ("[!ab].txt", "b.txt", False),
        ("[!ab].txt", "c.txt", True),
        ("?.txt", "ab.txt", False),
        ("a.c", "abc", False),
        ("[[].txt", "[.txt", True),
    ],
)
def test_globs(globs: str, path: str, expected: bool) -> None:
    assert matches([globs], tuple(path.split("/"))) is expected


def test_a_glob_that_makes_no_sense_is_refused(folder: Path, read: Read) -> None:
    (folder / "a.txt").write_text("a")
    with pytest.raises(InvalidInput, match=r"\[z-a\]"):
        read(folder, include=("[z-a]",))


def test_include_and_exclude_choose_files_and_prune_folders(folder: Path, read: Read) -> None:
    (folder / "drafts").mkdir()
    for name in ("a.md", "b.rst", "drafts/c.md", "skip.md"):
        (folder / name).write_text("text")
    documents, _ = read(folder, include=("*.md",), exclude=("drafts/", "skip.*"))
    assert [document.id for document in documents] == ["docs/a.md"]


def test_links_out_of_the_folder_are_reported_and_not_followed(tmp_path: Path, folder: Path, read: Read) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "other").mkdir()
    (folder / "file.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "tree").symlink_to(tmp_path / "other")
    (folder / "nowhere").symlink_to(folder / "gone")
    documents, broken = read(folder)
    assert documents == []
    assert [item.id for item in broken] == ["docs/file.txt", "docs/nowhere", "docs/tree"]
    assert "links are not followed" in broken[0].reason


def test_links_in_circles_end(folder: Path, read: Read) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    assert [item.id for item in read(folder)[1]] == ["docs/loop", "docs/self"]


def test_a_link_to_a_file_in_the_folder_does_not_read_it_twice(folder: Path, read: Read) -> None:
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").symlink_to(folder / "a.txt")
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/a.txt"]
    assert broken == []


def test_a_path_that_is_named_may_be_a_link(tmp_path: Path, folder: Path, read: Read) -> None:
    (folder / "a.txt").write_text("a")
    (tmp_path / "latest").symlink_to(folder)
    (tmp_path / "one.txt").symlink_to(folder / "a.txt")
    assert [document.id for document in read(tmp_path / "latest")[0]] == ["latest/a.txt"]
    assert [document.id for document in read(tmp_path / "one.txt")[0]] == ["one.txt"]


def test_pipes_sockets_and_devices_are_reported_and_never_opened(folder: Path, read: Read) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))  # the absolute path may be longer than a socket's may be
        _, broken = read(folder)
    assert [(item.id, item.reason) for item in broken] == [
        ("docs/pipe", "is not a regular file"),
        ("docs/socket", "is not a regular file"),
    ]


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_asked_for_by_name_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="'-'"):
        sources.open(path)


def test_a_pipe_asked_for_by_name_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="regular file"):
        sources.open(tmp_path / "pipe")


def test_a_file_swapped_for_a_pipe_does_not_block(tmp_path: Path) -> None:
    from semsearch.sources.opening import open_regular
    from semsearch.sources.source import Unreadable

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="regular file"):
        open_regular(tmp_path / "pipe")


def test_what_cannot_be_opened_is_reported(folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes do not bind root, whom CI may be, so the refusal is the system's own, raised for one name."""
    (folder / "a.txt").write_text("a")
    (folder / "locked").mkdir()
    (folder / "locked.txt").write_text("b")
    really_open = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).startswith("locked"):
            raise PermissionError(13, "Permission denied")
        return really_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/a.txt"]
    assert [(item.where, item.reason, item.id) for item in broken] == [
        (str(folder / "locked.txt"), "cannot be read: permission denied", "docs/locked.txt"),
        (str(folder / "locked"), "cannot be read: permission denied", None),
    ]


def test_an_unreadable_folder_has_no_id_since_nobody_knows_what_is_in_it(folder: Path) -> None:
    source = sources.open(folder)
    folder.rmdir()
    (item,) = source
    assert isinstance(item, sources.Broken)
    assert item.id is None


def test_a_tree_deeper_than_a_path_may_be_long_is_read(folder: Path, read: Read) -> None:
    """40 folders of 150 letters: 6,000 characters, where Linux allows 4,096 in one path."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 150, dir_fd=here)
        inner = os.open("d" * 150, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    number = os.open("a.txt", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(number, b"deep")
    os.close(number)
    os.close(here)
    documents, broken = read(folder)
    assert [document.text for document in documents] == ["deep"]
    assert broken == []


def test_names_that_are_not_utf8_or_not_printable_become_stable_ids(folder: Path, read: Read) -> None:
    for name in (b"caf\xe9.txt", b"new\nline.txt", "größe 文.txt".encode()):
        with open(os.fsencode(folder) + b"/" + name, "w") as file:
            file.write("text")
    documents, broken = read(folder)
    assert {document.id for document in documents} == {
        "docs/caf\\xe9.txt",
        "docs/new\\nline.txt",
        "docs/größe 文.txt",
    }
    assert broken == []
    for document in documents:
        document.id.encode("utf-8")


def test_unsupported_kinds_are_reported_inside_a_folder(folder: Path, read: Read) -> None:
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "feed.xml").write_text("<?xml version='1.0'?><a/>")
    (folder / "a.txt").write_text("a")
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/a.txt"]
    assert [(item.id, item.reason) for item in broken] == [
        ("docs/feed.xml", "is of an unsupported kind (.xml)"),
        ("docs/logo.png", "is of an unsupported kind (a PNG image)"),
    ]


def test_a_missing_extra_is_reported_once_a_kind(folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    for name in ("a.pdf", "b.pdf", "c.docx", "d.txt", "e.parquet"):
        (folder / name).write_bytes(b"whatever")
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/d.txt"]
    reasons = sorted(item.reason for item in broken)
    assert reasons == [
        "holds 1 docx file, not read: docx needs an extra package; run: pip install 'semsearch[files]'",
        "holds 1 parquet file, not read: parquet needs an extra package; run: pip install 'semsearch[parquet]'",
        "holds 2 pdf files, not read: pdf needs an extra package; run: pip install 'semsearch[files]'",
    ]
    assert all(item.id is None for item in broken)


def test_total_is_the_number_of_files_unless_some_hold_rows(folder: Path) -> None:
    (folder / "a.txt").write_text("a")
    (folder / "feed.xml").write_text("<a/>")
    assert sources.open(folder).total == 2
    (folder / "rows.jsonl").write_text("{}")
    assert sources.open(folder).total is None


def test_the_name_is_the_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert sources.open("docs").name == sources.open("./docs/").name == f"file:{folder}"
    (folder / "a.txt").write_text("a")
    assert sources.open("docs/a.txt").name == f"file:{folder}/a.txt"


def test_ids_do_not_depend_on_where_one_stands(folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.txt").write_text("a")
    monkeypatch.chdir(folder)
    documents, _ = read(".")
    assert [document.id for document in documents] == ["docs/a.txt"]


def test_one_broken_file_does_not_stop_the_others(folder: Path, read: Read) -> None:
    (folder / "a.json").write_text("{broken")
    (folder / "b.csv").write_text("x,y\n1,2\n")
    (folder / "c.txt").write_text("c")
    documents, broken = read(folder)
    assert [document.id for document in documents] == ["docs/c.txt"]
    assert [(item.where, item.id) for item in broken] == [(str(folder / "a.json"), None), (str(folder / "b.csv"), None)]
    assert "--text-field" in broken[1].reason


def test_a_path_that_does_not_exist() -> None:
    with pytest.raises(NotFound, match="does not exist"):
        sources.open("no/such/file.txt")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300])
def test_a_path_that_cannot_be_one(path: str) -> None:
    with pytest.raises((InvalidInput, NotFound)):
        sources.open(path)


@pytest.mark.data
def test_peps_carry_their_headers(shared_data: Path) -> None:
    source = sources.open(shared_data / "bulk" / "peps", Options(include=("*.rst",)))
    documents = {item.id: item for item in source if isinstance(item, Document)}
    assert len(documents) == source.total == 736
    pep8 = documents["peps/pep-0008.rst"]
    assert pep8.title == "Style Guide for Python Code"
    assert pep8.format == "rst"
    assert pep8.metadata["pep"] == 8
    assert pep8.metadata["status"] == "Active"
    assert pep8.metadata["author"].endswith("Alyssa Coghlan <ncoghlan@gmail.com>")
    assert all(isinstance(document.metadata["pep"], int) for document in documents.values())
