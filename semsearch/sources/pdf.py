"""PDF as text, page after page."""

from __future__ import annotations

import re

from semsearch.sources.source import MAX_TEXT, Parsed, Unreadable

# PDFium writes U+0002 or U+FFFE for the hyphen of a word that it joined over a line's end.
_JOINED = re.compile("[\x02\ufffe](\r?\n)?")


def parse(data: bytes, encoding: str | None = None) -> Parsed:
    """The text that is drawn on the pages, a blank line between them, and the title the file gives itself.

    `encoding` is not used: a PDF says its own. Unreadable where the file needs a password, or holds only pictures.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise Unreadable(_why(error)) from None
    pages: list[str] = []
    length = 0
    for page in range(len(document)):
        pages.append(_page(document, page))
        length += len(pages[-1])
        if length > MAX_TEXT:
            raise Unreadable(f"holds more than {MAX_TEXT // 1_000_000} MB of text")
    text = "\n\n".join(page for page in pages if page)
    if not text:
        raise Unreadable("holds no text, only pictures: run it through OCR first")
    return Parsed(text, document.get_metadata_value("Title").strip() or None, "text")


def _page(document: object, number: int) -> str:
    import pypdfium2

    try:
        page = document[number]  # type: ignore[index]
        text = page.get_textpage().get_text_bounded()
    except pypdfium2.PdfiumError:
        raise Unreadable(f"is a broken PDF: page {number + 1} cannot be read") from None
    page.close()
    return str(_JOINED.sub("", text)).replace("\r\n", "\n").strip()


def _why(error: Exception) -> str:
    if "password" in str(error).lower():
        return "is encrypted; remove its password first"
    return "is a broken PDF, or not a PDF"
