"""HTML, PDF and docx: what becomes of them, and what hostile ones do."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from semsearch.records import Document
from semsearch.sources import Broken, docx, html, pdf
from semsearch.sources.source import Unreadable

Read = Callable[..., tuple[list[Document], list[Broken]]]

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_OFFICE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"


def docx_file(body: str, *, before: str = "", members: dict[str, bytes] | None = None) -> bytes:
    """A docx whose document part is exactly what is given."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{_OFFICE}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" Type="{_RELATION}" '
            'Target="word/document.xml"/></Relationships>',
        )
        archive.writestr("word/document.xml", f"{before}<w:document {_WORD}><w:body>{body}</w:body></w:document>")
        for name, data in (members or {}).items():
            archive.writestr(name, data)
    return content.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf_file(content: bytes) -> bytes:
    """A PDF of one page that draws what is given."""
    stream = zlib.compress(content)
    return b"".join(
        [
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
            b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n",
            b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]",
            b"/Resources<</Font<</F1 4 0 R>>>>/Contents 5 0 R>>endobj\n",
            b"4 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n",
            b"5 0 obj<</Filter/FlateDecode/Length ",
            str(len(stream)).encode(),
            b">>stream\n",
            stream,
            b"\nendstream endobj\n6 0 obj<</Title(The title)>>endobj\ntrailer<</Root 1 0 R/Info 6 0 R>>\n%%EOF",
        ]
    )


def test_html_becomes_markdown() -> None:
    page = """<!doctype html><html><head><title> The
      title </title><style>p {}</style><script>alert(1)</script></head><body>
      <h1>Big <b>one</b></h1><p>A paragraph
      of <a href="x">two</a> lines<br>and a third &amp; more.</p>
      <ul><li>one<li><p>two</p><ul><li>inner</li></ul></ul>
      <h2>Code</h2><pre>  if x:
    y()</pre><template><p>unseen</p></template><noscript>unseen</noscript>
      <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td></td><td>2</td></tr></table>text after</body></html>"""
    found = html.parse(page.encode())
    assert found.title == "The title"
    assert found.format == "markdown"
    assert found.text == (
        "# Big one\n\nA paragraph of two lines\nand a third & more.\n\n- one\n- two\n- inner\n\n## Code\n\n"
        "```\n  if x:\n    y()\n```\n\na | b\n1 | 2\n\ntext after"
    )


@pytest.mark.parametrize("page", [b"", b"\xff\xfe", b"<p>", b"<title></title>", b"<frameset><frame></frameset>"])
def test_html_without_text_is_empty(page: bytes) -> None:
    assert html.parse(page) == ("", None, "markdown")


def test_a_fence_inside_preformatted_text_does_not_end_it() -> None:
    assert html.parse(b"<pre>```\nx\n```</pre>").text == "````\n```\nx\n```\n````"


def test_html_nested_deeper_than_python_may_recurse_is_read() -> None:
    assert html.parse(b"<div>" * 5_000 + b"deep").text == "deep"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<meta charset=shift_jis><p>日本語".encode("shift_jis"), "日本語"),
        ("<meta charset=utf-8><p>größe".encode("cp1252"), "größe"),
        ("<meta charset=latin-1><p>“quoted”".encode("cp1252"), "“quoted”"),
        ("<meta charset=klingon><p>größe".encode("cp1252"), "größe"),
        ("<meta charset=cp1251><p>größe".encode(), "größe"),
        ("<p>größe".encode("utf-16"), "größe"),
    ],
)
def test_html_is_read_in_the_encoding_it_declares_if_that_can_be(page: bytes, text: str) -> None:
    assert html.parse(page).text == text


def test_docx_becomes_markdown() -> None:
    from docx import Document as Word

    word = Word()
    word.core_properties.title = "The title"
    word.add_heading("Big", 0)
    word.add_heading("Smaller", 2)
    word.add_paragraph("A paragraph\tof words")
    word.add_paragraph("a point", style="List Bullet")
    table = word.add_table(2, 2)
    table.cell(0, 0).text, table.cell(0, 1).text, table.cell(1, 1).text = "a", "b\nc", "d"
    word.add_paragraph("the end")
    content = io.BytesIO()
    word.save(content)
    found = docx.parse(content.getvalue())
    assert found.title == "The title"
    assert found.text == "# Big\n\n## Smaller\n\nA paragraph\tof words\n\n- a point\n\na | b c\n\nd\n\nthe end"


def test_docx_text_in_controls_boxes_and_changes_is_read_once() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    compatible = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"
    body = (
        f"<w:sdt><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
        f"<w:p><w:ins>{run.format('inserted')}</w:ins><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        f"<w:r><mc:AlternateContent {compatible}><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
        "</mc:AlternateContent></w:r></w:p>"
    )
    assert docx.parse(docx_file(body)).text == "in a control\n\ninserted\n\nin the box"


def test_docx_without_properties_has_no_title() -> None:
    assert docx.parse(docx_file(paragraph("text"))) == ("text", None, "markdown")


def test_entities_of_a_docx_are_not_resolved(tmp_path: Path, read: Read) -> None:
    (tmp_path / "canary").write_text("CANARY")
    before = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{(tmp_path / "canary").as_uri()}">]>'
    assert docx.parse(docx_file(paragraph("a&e;b"), before=before)).text.replace("CANARY", "!") == "a"


def test_a_billion_laughs_are_broken(tmp_path: Path, read: Read) -> None:
    laughs = "".join(f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9))
    before = f'<!DOCTYPE x [<!ENTITY a "lol">{laughs}]>'
    (tmp_path / "a.docx").write_bytes(docx_file(paragraph("&j;"), before=before))
    documents, broken = read(tmp_path / "a.docx")
    assert broken or len(documents[0].text) < 100


def test_a_docx_that_unpacks_out_of_proportion_is_not_unpacked() -> None:
    with pytest.raises(Unreadable, match="zip bomb"):
        docx.check_archive(docx_file("", members={"big": bytes(50_000_000)}))
    with pytest.raises(Unreadable, match="zip bomb"):
        docx.check_archive(docx_file("", members={str(at): b"" for at in range(10_001)}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"PK\x03\x04 rubbish", "broken"), (b"\xd0\xcf\x11\xe0 wrapped", "encrypted"), (b"", "broken")],
)
def test_what_is_no_docx_is_broken(tmp_path: Path, read: Read, content: bytes, reason: str) -> None:
    (tmp_path / "a.docx").write_bytes(content)
    documents, (item,) = read(tmp_path / "a.docx")
    assert documents == []
    assert reason in item.reason
    assert item.id == "a.docx"


def test_pdf_text_and_title(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_file(b"BT /F1 12 Tf 50 700 Td (Hello from a page) Tj ET"))
    (document,), _ = read(tmp_path / "a.pdf")
    assert document == Document("a.pdf", "Hello from a page", {"path": "a.pdf"}, "The title")


def test_a_pdf_without_text_says_so() -> None:
    with pytest.raises(Unreadable, match="OCR"):
        pdf.parse(pdf_file(b""))


def test_a_broken_pdf_is_broken() -> None:
    with pytest.raises(Unreadable, match="broken PDF"):
        pdf.parse(b"%PDF-1.7 rubbish")


def test_a_pdf_with_a_page_that_is_not_there_is_broken_not_cut() -> None:
    content = pdf_file(b"BT /F1 12 Tf 50 700 Td (Hello from a page) Tj ET")
    with pytest.raises(Unreadable, match="page 2"):
        pdf.parse(content.replace(b"/Kids[3 0 R]/Count 1", b"/Kids[3 0 R 9 0 R]/Count 2"))


def test_a_pdf_of_too_much_text_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_TEXT", 10)
    with pytest.raises(Unreadable, match="of text"):
        pdf.parse(pdf_file(b"BT /F1 12 Tf 50 700 Td (Hello from a page) Tj ET"))


@pytest.mark.data
def test_real_files_that_need_care(shared_data: Path, read: Read) -> None:
    tika = shared_data / "awkward" / "tika"
    assert "password" in read(tika / "pdf" / "testPDF_no_extract_no_accessibility_owner_user.pdf")[1][0].reason
    assert "OCR" in read(tika / "pdf" / "testOCR.pdf")[1][0].reason
    assert read(tika / "docx" / "footnotes.docx")[0][0].text == "Eto ochen prostoy text so snoskoy\n\nsnoska"
    assert "encrypted" in read(tika / "docx" / "testWORD_protected_passtika.docx")[1][0].reason
    # Hyphens at line ends are joined: PDFium marks them with U+0002.
    assert "\x02" not in read(tika / "pdf" / "testJournalParser.pdf")[0][0].text
