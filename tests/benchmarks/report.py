"""Prints a benchmark's figures as a table for people and as a line of JSON, which is also kept in results/."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from semsearch import Database
from semsearch.store.connection import Address
from tests.benchmarks.rounds import Ratio

RESULTS = Path(__file__).parent / "results"
Figure = float | str | Ratio | dict[str, Any]
PACKAGES = ("semsearch", "psycopg", "pgvector", "numpy", "torch", "sentence-transformers")


@dataclass
class Report:
    """The figures of one benchmark. `title` says on what they were measured."""

    name: str
    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.time)
    facts: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        what: str,
        value: Figure,
        unit: str = "",
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """A figure (or several of one thing, by name), judged where it has a target."""
        number = value.median if isinstance(value, Ratio) else value
        target, holds = "", ""
        if isinstance(number, float | int) and (at_least is not None or at_most is not None):
            target = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
            good = number >= at_least if at_least is not None else number <= (at_most or 0)
            holds = "yes" if good else "NO"
            if not good:
                self.missed.append(what)
        self.rows.append((what, f"{_shown(value)} {unit}".rstrip(), target, holds))
        self.figures[f"{what}, {unit}" if unit else what] = value._asdict() if isinstance(value, Ratio) else value

    def ask(self, db: Database) -> None:
        """Remember the versions of the server; call it while it runs."""
        with Address(db.settings) as address, address.connect(autocommit=True) as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
        assert row
        self.facts |= {"postgresql": row[0], "pgvector server": row[1]}

    def finish(self) -> int:
        """Print, keep, and return the exit code: 1 when a target was missed."""
        table = Table(title=self.title, title_justify="left", show_edge=False)
        for column in ("what", "measured", "target", "held"):
            table.add_column(column, justify="left" if column == "what" else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        Console(width=None if os.isatty(1) else 120, highlight=False).print(table)
        line = json.dumps(
            {
                "benchmark": self.name,
                "title": self.title,
                "figures": self.figures,
                "missed": self.missed,
                "seconds": round(time.time() - self.begun, 1),
                "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "versions": versions() | self.facts,
                "machine": machine(),
            }
        )
        print(line, flush=True)
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{self.name}.jsonl").open("a") as file:
            file.write(line + "\n")
        return bool(self.missed)


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things: load above the cores spoils them."""
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def _shown(value: Figure) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, str | Ratio):
        return str(value)
    digits = 0 if isinstance(value, int) or abs(value) >= 100 else 4 if abs(value) < 1 else 2
    return f"{value:,.{digits}f}"
