"""Documents as resources: `semsearch://handbook/passwords.md`."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from semsearch.errors import NotFound
from semsearch.mcp.door import Door

SCHEME = "semsearch"
TEMPLATE = f"{SCHEME}://{{collection}}/{{+document_id}}"
LENGTH = 200_000  # characters of a document; the tool `get` reads what is longer


def read(door: Door, address: str) -> str:
    """The text of the document at that address. Raises NotFound, InvalidInput."""
    collection, document_id = _parts(address)
    text = door.collection(collection).get(document_id, tenant=door.tenant(None)).text
    if len(text) <= LENGTH:
        return text
    return text[:LENGTH] + f"\n\n[cut after {LENGTH:,} of {len(text):,} characters: the tool `get` reads on]"


def _parts(address: str) -> tuple[str, str]:
    try:
        found = urlsplit(address)
    except ValueError:
        found = None
    if found is None or found.scheme != SCHEME or not found.netloc or len(found.path) < 2:
        raise NotFound(f"there is no resource {address!r:.200}: they are {SCHEME}://collection/document_id.")
    rest = address[len(f"{SCHEME}://") + len(found.netloc) + 1 :]  # ids may hold ? and #
    return found.netloc, unquote(rest)
