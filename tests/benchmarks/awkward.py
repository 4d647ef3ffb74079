"""What becomes of hostile files: a table by kind, `python -m tests.benchmarks.awkward [FOLDER]`.

By default it reads the awkward set beside the checkout: every file, hidden ones too, by the source that
`semsearch ingest FOLDER` would use.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from semsearch import sources
from semsearch.sources import Broken, Options
from semsearch.sources.walk import File, walk

AWKWARD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "awkward"


@dataclass
class Outcome:
    """What became of the files of one kind. `seconds` is the time each took, the wait for its parser included."""

    files: set[str] = field(default_factory=set)
    documents: int = 0
    whole: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)


def outcomes(folder: Path) -> dict[str, Outcome]:
    """Reads the folder; one Outcome a file name's suffix. Every file of it is in `files`, whatever became of it."""
    result: defaultdict[str, Outcome] = defaultdict(Outcome)
    options = Options(hidden=True)
    for found in walk(folder, options):
        if isinstance(found, File):
            path = "/".join(found.parts)
            result[_suffix(path)].files.add(path)
    begun = time.perf_counter()
    for item in sources.open(folder, options):
        path = _path(item, folder)
        outcome = result[_suffix(path)]
        if isinstance(item, Broken):
            outcome.reasons[_grouped(item.reason)] += 1
        else:
            outcome.documents += 1
        outcome.whole.add(path)
        now = time.perf_counter()
        outcome.seconds[path] += now - begun
        begun = now
    return dict(sorted(result.items()))


def _path(item: object, folder: Path) -> str:
    if isinstance(item, Broken):
        return re.sub(r":(\d+|\[\d+\])$", "", str(Path(item.where).relative_to(folder)))
    return str(item.metadata.get("path", item.id))  # type: ignore[attr-defined]


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()


def _grouped(reason: str) -> str:
    """The reason without what differs from file to file."""
    return re.sub(
        r"(is not JSON|holds a number out of range|\(its fields):.*", r"\1 ...", re.sub(r"[\d,]{2,}", "N", reason)
    )


def main() -> None:
    """Prints the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else AWKWARD
    table = Table("kind", "files", "documents", "broken", "seconds", "slowest", "reasons", show_lines=True)
    found = outcomes(folder)
    for suffix, outcome in found.items():
        table.add_row(*_row(suffix, outcome))
    table.add_row("all", *(str(sum(numbers)) for numbers in zip(*map(_numbers, found.values()), strict=True)))
    Console(width=150).print(table)
    used = (resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print("peak memory: {} MB in this process, {} MB in its parser".format(*used))


def _numbers(outcome: Outcome) -> tuple[int, int, int]:
    return len(outcome.files), outcome.documents, outcome.reasons.total()


def _row(suffix: str, outcome: Outcome) -> list[str]:
    slowest = max(outcome.seconds.values(), default=0.0)
    reasons = "\n".join(f"{count} {reason}" for reason, count in outcome.reasons.most_common())
    numbers = map(str, _numbers(outcome))
    return [suffix, *numbers, f"{sum(outcome.seconds.values()):.2f}", f"{slowest:.3f}", reasons]


if __name__ == "__main__":
    main()
