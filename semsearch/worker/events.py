"""One line for each thing that happens: a name and fields, which the door's log format writes as text or JSON.

No field holds a document's text, a key or a password.
"""

from __future__ import annotations

import logging

log = logging.getLogger("semsearch.worker")


def tell(event: str, **fields: object) -> None:
    log.info(event, extra={"fields": fields})


def warn(event: str, **fields: object) -> None:
    log.warning(event, extra={"fields": fields})


def unforeseen(error: BaseException, **fields: object) -> None:
    """With the traceback: this is for whoever mends it."""
    log.error("unforeseen", extra={"fields": fields}, exc_info=error)
