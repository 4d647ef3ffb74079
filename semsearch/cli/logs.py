"""How a process that runs on its own tells what it does: a line on standard error for each event, text or JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

QUIET = ("sqlalchemy", "alembic", "httpx2", "httpcore2", "openai", "uvicorn", "mcp")  # only what is wrong with them

LogFormat = Literal["text", "json"]


class TextFormatter(logging.Formatter):
    """`2026-03-01 12:00:00 INFO stored collection=handbook documents=256`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return " ".join(
            [super().formatMessage(record), *(f"{name}={_plain(value)}" for name, value in _fields(record))]
        )


class JsonFormatter(logging.Formatter):
    """One object a line: `ts` in UTC, `level`, `event`, and the fields of the event."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": f"{self.formatTime(record, self.default_time_format)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **dict(_fields(record)),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


@contextmanager
def written(kind: LogFormat) -> Iterator[None]:
    """Write the events of this process for as long as it lasts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    root = logging.getLogger()
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, QUIET))}
    for logger in levels:
        logger.setLevel(logging.INFO if logger is root else logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)


def tell(event: str, **fields: object) -> None:
    """An event of the program itself."""
    logging.getLogger("semsearch").info(event, extra={"fields": fields})


def _fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    return list(getattr(record, "fields", {}).items())


def _plain(value: object) -> str:
    """A value as it is, quoted where it would not read as one word."""
    text = str(value)
    return text if text and not set(text) & set(' "=\n') else json.dumps(text, ensure_ascii=False)
