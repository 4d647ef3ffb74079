"""Keeps answers to a size that an assistant can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANSWER = 40_000  # characters of all texts of an answer together
TEXT = 8_000  # of one of them
METADATA = 20_000  # of all metadata of an answer, as JSON
HEADING = 500


@dataclass
class Room:
    """The room that an answer of so many texts has for each; `cut` once something did not fit."""

    texts: int
    hits: int
    cut: bool = False

    def text(self, text: str) -> str:
        """As much of it as fits."""
        return self._kept(text, min(TEXT, ANSWER // max(self.texts, 1)))

    def heading(self, heading: str) -> str:
        return self._kept(heading, HEADING)

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Those that fit, each whole."""
        left, kept = METADATA // max(self.hits, 1), {}
        for name, value in metadata.items():
            size = len(json.dumps({name: value}, ensure_ascii=False, default=str))
            if size <= left:
                left, kept[name] = left - size, value
        self.cut = self.cut or len(kept) < len(metadata)
        return kept

    def _kept(self, text: str, most: int) -> str:
        self.cut = self.cut or len(text) > most
        return text[:most]
