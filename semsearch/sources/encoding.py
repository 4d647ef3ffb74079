"""Turns bytes into text: byte order mark, then UTF-8, then the likeliest legacy encoding."""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from semsearch.sources.source import Unreadable

SAMPLE = 65_536

_MARKS = (  # UTF-32 before UTF-16, whose little-endian mark it begins with
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PADDING = bytes(16)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x08\x1b"))
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)


def decode(data: bytes, encoding: str | None = None) -> str:
    """The text of `data`, with line ends as newlines. Single wrong bytes in UTF-8 become U+FFFD.

    Unreadable where it is binary, in no encoding we know, or not in `encoding`.
    """
    if is_binary(data[:SAMPLE]) and encoding is None:
        raise Unreadable("is binary, not text")
    name = encoding or mark(data) or _utf8_or_likeliest(data)
    damaged = encoding is None and name == "utf-8"
    try:
        text = data.decode(name, errors="replace" if damaged else "strict")
    except (UnicodeError, LookupError) as error:
        raise Unreadable(f"is not {name} text ({_position(error)}); name its encoding") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_html(data: bytes, encoding: str | None = None) -> str:
    """As `decode`, but believes `<meta charset>` where the bytes are not UTF-8. It is looked for in the first 1,024
    bytes, as https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding says.
    """
    if encoding is None and not mark(data) and not _is_utf8(data):
        declared = _META_CHARSET.search(data[:1024])
        encoding = _as_browsers_read(declared[1].decode("ascii")) if declared else None
        if encoding is not None:
            return data.decode(encoding, errors="replace")
    return decode(data, encoding)


def detect(stream: BinaryIO) -> str:
    """The encoding of all of a seekable stream, which is left at its start. Unreadable where it is binary."""
    head = stream.read(SAMPLE)
    if is_binary(head):
        raise Unreadable("is binary, not text")
    name = mark(head) or _scan(stream, head)
    stream.seek(0)
    return name


def is_binary(head: bytes) -> bool:
    """Whether bytes without a byte order mark hold what text never does: padding, or many control characters."""
    if mark(head) or not head:
        return False
    if _PADDING in head:
        return True
    control = len(head) - len(head.translate(None, _CONTROL))
    # Random bytes hold 10 % of these, EBCDIC text 2 %; a stray NUL in a log is no reason to refuse it.
    return control > 0.05 * len(head)


def mark(data: bytes) -> str | None:
    """The encoding that a byte order mark says."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf8_or_likeliest(data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return likeliest(data[max(0, error.start - SAMPLE // 2) : error.start + SAMPLE // 2])
    return "utf-8"


def _scan(stream: BinaryIO, head: bytes) -> str:
    """UTF-8 where the whole stream is; else the likeliest encoding of the piece that is not."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    piece = head
    while True:
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError:
            return likeliest(piece)
        if not piece:
            return "utf-8"
        piece = stream.read(SAMPLE)


def likeliest(sample: bytes) -> str:
    """The likeliest encoding of a piece that is not all UTF-8.

    Few accented letters among plain ones are taken for cp1252, what Western systems wrote: from so little
    charset-normalizer cannot tell it from cp1250, and reads "café crème à la carte" as "... ŕ la carte".
    """
    if _is_damaged_utf8(sample):
        return "utf-8"
    accented = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    if (accented <= 8 or accented < 0.05 * len(sample)) and _decodes(sample, "cp1252"):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        raise Unreadable("is in no encoding that could be recognised; name its encoding")
    return "cp1252" if "cp1252" in best.could_be_from_charset else best.encoding


def _is_damaged_utf8(sample: bytes) -> bool:
    """Whether most of what is not ASCII is good UTF-8: no other encoding looks like that by chance."""
    text = sample.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    right = sum(character > "\x7f" for character in text) - wrong
    return right > 4 * wrong


def _decodes(sample: bytes, name: str) -> bool:
    try:
        sample.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def _as_browsers_read(label: str) -> str | None:
    """The Python codec for an HTML encoding label; browsers read latin-1 and ASCII as cp1252 and distrust UTF-16.

    https://encoding.spec.whatwg.org/#names-and-labels
    """
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    if name.startswith(("utf-16", "utf-32", "utf-8", "utf-7")):
        return None
    return "cp1252" if name in ("iso8859-1", "ascii") else name


def _position(error: Exception) -> str:
    return f"at byte {error.start:,}" if isinstance(error, UnicodeDecodeError) else "unknown encoding"
