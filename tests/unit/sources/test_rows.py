"""Rows: JSONL, JSON, CSV, TSV and Parquet, field by field."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semsearch import InvalidInput, sources
from semsearch.records import Document
from semsearch.sources import Broken, Options, jsonl
from semsearch.sources.rows import document
from semsearch.sources.source import Unreadable

Read = Callable[..., tuple[list[Document], list[Broken]]]


@pytest.fixture
def read_lines(tmp_path: Path, read: Read) -> Read:
    """Read the lines given as a JSONL file: (documents, broken)."""

    def read_lines(*lines: str | bytes, **options: object) -> tuple[list[Document], list[Broken]]:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
        return read(path, **options)

    return read_lines


def row(fields: Mapping[str, Any], **options: Any) -> Document:
    return document(fields, Options(**options))


def test_the_fields_of_a_row() -> None:
    found = row({"id": "a1", "text": "hello", "title": "T", "year": 2020, "tags": ["x"]})
    assert found == Document("a1", "hello", {"year": 2020, "tags": ["x"]}, "T")


@pytest.mark.parametrize(("fields", "id"), [({"_id": 7}, "7"), ({"id": None, "_id": "b"}, "b"), ({"id": 1.5}, "1.5")])
def test_the_id_is_the_field_id_or_underscore_id(fields: dict[str, Any], id: str) -> None:
    assert row({**fields, "text": "x"}).id == id


def test_without_an_id_the_same_row_has_the_same_id_and_another_row_another() -> None:
    first = row({"text": "x", "a": 1})
    assert first.id == row({"a": 1, "text": "x"}).id
    assert first.id != row({"text": "x", "a": 2}).id
    assert len(first.id) == 32


@pytest.mark.parametrize("value", [None, "", "  ", True, [1], {"a": 1}])
def test_an_id_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(Unreadable, match="no usable id"):
        row({"key": value, "text": "x"}, id_field="key")


@pytest.mark.parametrize(
    ("fields", "text"),
    [({"text": "t", "content": "c", "body": "b"}, "t"), ({"body": "b", "content": "c"}, "c"), ({"body": "b"}, "b")],
)
def test_the_text_is_text_or_content_or_body_in_that_order(fields: dict[str, str], text: str) -> None:
    assert row({"id": 1, **fields}).text == text


def test_several_text_fields_are_joined_by_a_blank_line() -> None:
    found = row(
        {"id": 1, "title": "T", "abstract": "A", "none": None}, text_fields=("title", "abstract", "none", "gone")
    )
    assert found.text == "T\n\nA"
    assert found.title is None
    assert found.metadata == {}


def test_a_long_title_is_cut() -> None:
    assert row({"id": 1, "text": "x", "title": "T" * 1001}).title == "T" * 1000


def test_title_field_and_metadata_fields() -> None:
    fields = {"id": 1, "text": "x", "name": "N", "title": "kept", "a": 1, "metadata": {"b": 2, "c": 3}}
    found = row(fields, title_field="name", metadata_fields=("b", "a", "gone"))
    assert (found.title, found.metadata) == ("N", {"b": 2, "a": 1})


def test_an_object_called_metadata_is_spread_and_a_field_of_the_row_wins() -> None:
    found = row({"id": 1, "text": "x", "year": 1, "metadata": {"year": 2, "id": "inner", "lang": "en"}})
    assert found.metadata == {"year": 1, "id": "inner", "lang": "en"}
    assert row({"id": 1, "text": "x", "metadata": "plain"}).metadata == {"metadata": "plain"}


@pytest.mark.parametrize("value", [True, ["x"], {"a": "b"}])
def test_a_text_that_is_none_is_refused_with_the_id(value: object) -> None:
    with pytest.raises(Unreadable, match="no usable text") as caught:
        row({"id": "a1", "text": value})
    assert caught.value.id == "a1"


def test_a_number_is_a_text_and_null_an_empty_one() -> None:
    assert row({"id": 1, "text": 12}).text == "12"
    assert row({"id": 1, "text": None}).text == ""


def test_no_text_field_names_those_there_are_and_the_flag(read_lines: Read) -> None:
    with pytest.raises(InvalidInput, match=r"'doi', 'abstract'\); name one with --text-field"):
        read_lines('{"doi": "1", "abstract": "x"}')


def test_many_and_long_field_names_are_cut_short_in_the_message() -> None:
    with pytest.raises(Unreadable) as caught:
        row({"x" * 1_000_000: 1, **{f"f{at}": 1 for at in range(50)}})
    assert "and 31 more" in caught.value.reason
    assert len(caught.value.reason) < 500
    with pytest.raises(Unreadable, match="its fields: none"):
        row({})


def test_an_id_field_that_is_not_there(read_lines: Read) -> None:
    with pytest.raises(InvalidInput, match=r"'doi' \(its fields: 'text'\); name one with --id-field"):
        read_lines('{"text": "x"}', id_field="doi")


def test_broken_lines_are_reported_with_their_number_and_skipped(read_lines: Read) -> None:
    documents, broken = read_lines(
        '{"id": 1, "text": "one"}',
        "{broken",
        "",
        "[1]",
        '{"id": 5}',
        b'{"id": 6, "text": "\xe9"}',
        '{"id": 7, "text": "seven"}',
    )
    assert [item.id for item in documents] == ["1", "7"]
    assert [(item.where.rpartition(":")[2], item.reason, item.id) for item in broken] == [
        ("2", "is not JSON: expecting property name enclosed in double quotes at character 2", None),
        ("4", "is JSON, but not an object", None),
        ("5", broken[2].reason, "5"),
        ("6", "is not JSON: its bytes are not UTF-8", None),
    ]
    assert "--text-field" in broken[2].reason


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 100_000, "levels deep"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", "levels deep"),
        ('{"a": ' + "9" * 5_000 + "}", "too many digits"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": 1e999}', "out of range"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": [' + "[]," * 1_000_001 + "1]}", "1,000,000"),
        ('{"a": "\t"}', "control character"),
        ('{"text": "x"} {"text": "y"}', "extra data"),
    ],
)
def test_hostile_json_is_broken_and_the_next_line_read(read_lines: Read, hostile: str, reason: str) -> None:
    documents, (item,) = read_lines(hostile, '{"id": 2, "text": "fine"}')
    assert reason in item.reason
    assert [document.id for document in documents] == ["2"]


def test_a_lone_surrogate_does_not_stop_anything(read_lines: Read) -> None:
    documents, broken = read_lines(r'{"text": "a\ud800b", "k\udfff": "\u0000"}')
    assert documents[0].text == "a\ud800b"
    assert broken == []


def test_a_line_beyond_the_limit_is_broken_and_the_next_is_read(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 45_000_000 + b'"}\n{"id": 2, "text": "fine"}\n' + b"y" * 20_000_001)
    documents, broken = read(path)
    assert [document.id for document in documents] == ["2"]
    assert [(item.where, item.reason) for item in broken] == [
        (f"{path}:1", "is a line of more than 20 MB"),
        (f"{path}:3", "is a line of more than 20 MB"),
    ]


def test_a_file_that_is_not_what_its_name_says_is_given_up(read_lines: Read) -> None:
    documents, broken = read_lines('{"id": 1, "text": "x"}', *["prose"] * 5_000)
    assert len(documents) == 1
    assert len(broken) == 1_001
    assert "1,000 broken rows on end" in broken[-1].reason
    assert broken[-1].id is None


def test_a_binary_jsonl_is_one_broken_file(tmp_path: Path, read: Read) -> None:
    (tmp_path / "rows.jsonl").write_bytes(bytes(range(256)) * 1_000)
    _, (item,) = read(tmp_path / "rows.jsonl")
    assert (item.reason, item.id) == ("is binary, not text", None)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_understood(read_lines: Read, tmp_path: Path, read: Read, codec: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes('{"id": 1, "text": "größe"}\r\n{"id": 2, "text": "x"}'.encode(codec))
    documents, broken = read(tmp_path / "rows.jsonl")
    assert [document.text for document in documents] == ["größe", "x"]
    assert broken == []


def test_gzip_is_read_and_a_bomb_is_not(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": 1, "text": "x"}\n'))
    assert [document.id for document in read(path)[0]] == ["1"]
    with gzip.open(path, "wb") as file:
        file.write(b'{"id": 1, "text": "x"}\n')
        for _ in range(100):
            file.write(b" " * 999_999 + b"\n")
    documents, (item,) = read(path)
    assert len(documents) == 1
    assert "gzip bomb" in item.reason


_SCALARS = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.recursive(_SCALARS | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
)
def test_all_that_json_can_say_is_read_back(value: Any) -> None:
    assert jsonl.parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=300))
def test_no_bytes_make_the_json_parser_raise_anything_but_unreadable(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        jsonl.parse(data)


def test_a_json_file_is_an_array_of_objects_or_one_object(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"id": 1, "text": "x"}, 5, {"id": 2, "text": "y"}]')
    documents, broken = read(path)
    assert [document.id for document in documents] == ["1", "2"]
    assert [(item.where, item.reason) for item in broken] == [(f"{path}:[1]", "is JSON, but not an object")]
    path.write_text('{"text": "x"}')
    assert [document.id for document in read(path)[0]] == ["a.json"]
    path.write_bytes('{"_id": "own", "text": "größe"}'.encode("utf-16"))
    assert [(document.id, document.text) for document in read(path)[0]] == [("own", "größe")]
    path.write_text("[]")
    assert read(path) == ([], [])


@pytest.mark.parametrize("content", ["5", "[1, 2, 3]", "", "{", "\x00\x01\x02\x03\x04\x05 not json at all"])
def test_a_json_file_that_is_neither_is_broken(tmp_path: Path, read: Read, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    documents, (item,) = read(tmp_path / "a.json")
    assert documents == []
    assert "JSON" in item.reason


def test_a_json_object_without_text_is_refused_by_name_and_reported_in_a_folder(folder: Path, read: Read) -> None:
    (folder / "package.json").write_text('{"name": "x"}')
    with pytest.raises(InvalidInput, match="--text-field"):
        read(folder / "package.json")
    _, (item,) = read(folder)
    assert item.id == "docs/package.json"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_with_any_usual_delimiter(tmp_path: Path, read: Read, delimiter: str) -> None:
    lines = (("id", "text", "year", ""), ("a", f'"x{delimiter} ""y""\nz"', "", "1"), ("b", "plain", "01", "2"))
    (tmp_path / "a.csv").write_text("\n".join(delimiter.join(line) for line in lines))
    documents, broken = read(tmp_path / "a.csv")
    assert documents == [
        Document("a", f'x{delimiter} "y"\nz', {}),
        Document("b", "plain", {"year": "01"}),
    ]
    assert broken == []


def test_one_column_of_prose_is_one_column(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.csv").write_text("text\nhello, world\nplain\n\n")
    assert [document.text for document in read(tmp_path / "a.csv")[0]] == ["hello, world", "plain"]


@pytest.mark.parametrize("codec", ["utf-8-sig", "cp1252", "utf-16"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, read: Read, codec: str) -> None:
    (tmp_path / "a.csv").write_bytes("id;text\r\n1;naïve\r\n2;größe\r\n".encode(codec))
    assert [document.text for document in read(tmp_path / "a.csv")[0]] == ["naïve", "größe"]


def test_a_csv_row_of_more_values_than_fields_is_broken(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,x\n2,y,z\n3\n4,w,,\n5,v\n6,u\n")
    documents, broken = read(path)
    assert [document.id for document in documents] == ["1", "4", "5", "6"]
    assert [item.where for item in broken] == [f"{path}:3", f"{path}:4"]
    assert broken[0].reason == "has 3 values where the first row names 2 fields"
    assert "has no text field" in broken[1].reason


def test_a_csv_that_names_a_column_twice_is_broken(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.csv").write_text("id,text,text\n1,x,y\n")
    _, (item,) = read(tmp_path / "a.csv")
    assert (item.reason, item.id) == ("names the column 'text' twice in its first row", None)


def test_csv_fields_and_rows_have_limits(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.csv"
    long = "x" * 300_000  # more than the csv module allows by default
    endless = "y" * 21_000_000
    path.write_text(f'id,text\n1,{long}\n2,{endless}\n3,z\n4,"' + f"{long}\n" * 80)
    documents, broken = read(path)
    assert [(document.id, len(document.text)) for document in documents] == [("1", 300_000), ("3", 1)]
    assert broken[0].reason == "is a line of more than 20 MB"
    assert "is a row of more than 20 MB" in [item.reason for item in broken]


def test_a_tsv_whose_quotes_do_not_pair_has_none(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"Unbalanced\n2\tplain\n')
    assert [document.text for document in read(tmp_path / "a.tsv")[0]] == ['"Unbalanced', "plain"]
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"a ""b"""\n')
    assert [document.text for document in read(tmp_path / "a.tsv")[0]] == ['a "b"']


def test_an_empty_csv_has_no_documents(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.csv").write_text("")
    assert read(tmp_path / "a.csv") == ([], [])
    assert sources.open(tmp_path / "a.csv").total is None


def parquet_file(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


def test_parquet_values_become_what_json_knows(tmp_path: Path, read: Read) -> None:
    import pyarrow

    columns = {
        "id": [1],
        "text": ["x"],
        "day": [datetime.date(2024, 1, 2)],
        "at": pyarrow.array([1_700_000_000_123_456_789], pyarrow.timestamp("ns", "UTC")),
        "price": [decimal.Decimal("1.50")],
        "count": [decimal.Decimal("3")],
        "nan": [float("nan")],
        "blob": [b"\x00"],
        "nested": [{"a": [datetime.time(1, 2)]}],
        "took": [datetime.timedelta(seconds=90)],
        "share": [0.5],
        "none": pyarrow.array([None], pyarrow.string()),
        "__index_level_0__": [5],
    }
    parquet_file(tmp_path / "a.parquet", columns)
    (found,), _ = read(tmp_path / "a.parquet")
    assert found.metadata == {
        "day": "2024-01-02",
        "at": "2023-11-14T22:13:20.123456+00:00",
        "price": 1.5,
        "count": 3,
        "nested": {"a": ["01:02:00"]},
        "took": 90.0,
        "share": 0.5,
    }
    json.dumps(found.metadata, allow_nan=False)


def test_parquet_is_read_in_batches_and_counted(tmp_path: Path, read: Read) -> None:
    parquet_file(tmp_path / "a.parquet", {"id": list(range(2_500)), "text": ["x"] * 2_500})
    assert sources.open(tmp_path / "a.parquet").total == 2_500
    documents, _ = read(tmp_path / "a.parquet")
    assert [document.id for document in documents] == [str(number) for number in range(2_500)]


def test_a_broken_parquet_file_is_broken(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 but no more")
    _, (item,) = read(path)
    assert "cannot be read as Parquet" in item.reason
    assert item.id is None
    assert sources.open(path).total is None
    parquet_file(path, {"id": list(range(100_000)), "text": [str(number) for number in range(100_000)]})
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 5_000] = bytes(5_000)
    path.write_bytes(content)
    assert "cannot be read as Parquet after row" in read(path)[1][-1].reason


_MEASURE = """
import resource, sys
from semsearch import sources
source = sources.open(sys.argv[1])
items = iter(source)
next(items)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 1 + sum(1 for _ in items)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("suffix", "number_of_rows"), [("jsonl.gz", 100_000), ("csv", 60_000)])
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, suffix: str, number_of_rows: int) -> None:
    """A row takes about 600 bytes as objects: held at once, these would be 36 MB and more.

    A million rows of JSONL, measured once: 31 MB at the first row, 31 MB at the last.
    """
    path = tmp_path / f"rows.{suffix}"
    text = "a sentence of some words that makes the row about as long as short rows are or so"
    if suffix == "csv":
        rows = "".join(f"{number},{text}{number},2020\n" for number in range(number_of_rows))
        path.write_text("id,text,year\n" + rows)
    else:
        rows = "".join(json.dumps({"id": number, "text": f"{text}{number}"}) + "\n" for number in range(number_of_rows))
        path.write_bytes(gzip.compress(rows.encode(), 1))
    output = subprocess.run([sys.executable, "-c", _MEASURE, path], capture_output=True, text=True, check=True).stdout
    count, grown_kilobytes = map(int, output.split())
    assert count == number_of_rows
    assert grown_kilobytes < 20_000


@pytest.mark.data
def test_scifact_is_read_whole(shared_data: Path) -> None:
    items = list(sources.open(shared_data / "scifact" / "corpus.jsonl.gz"))
    assert len(items) == 5_183
    assert all(isinstance(item, Document) and item.title for item in items)


@pytest.mark.data
def test_the_json_test_suite_is_judged_as_its_names_say(shared_data: Path) -> None:
    """Exceptions, all stricter than RFC 8259: a key twice, and numbers jsonb or Python would refuse."""
    for path in sorted((shared_data / "awkward" / "json" / "test_parsing").iterdir()):
        try:
            jsonl.parse(path.read_bytes())
            accepted = True
        except Unreadable as error:
            accepted = "twice" in error.reason or path.name.startswith("i_")
        assert accepted == (path.name[0] in "yi"), path.name
