"""Shows how far long work is: a bar on a terminal, a line every ten seconds where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import complaints, output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from semsearch.road import Progress

    OnProgress = Callable[[Progress], None]

LINE_INTERVAL = 10.0  # seconds
BAR_WIDTH = 24  # columns: with count and rate it fits into 80, and leaves room for the terminal's ^C
WORDS = {
    "ingest": ("ingesting", "documents"),
    "index": ("building the index", "chunks"),
    "estimate": ("counting", "documents"),
    "verify": ("comparing", "documents"),
    "measure": ("measuring", "queries"),
    "words": ("loading", "words"),
}


@contextmanager
def shown(*, bar: bool = True) -> Iterator[OnProgress]:
    """A function to hand over as `on_progress`; Ctrl-C inside says that the work can be taken up again."""
    console = output.console(stderr=True)
    try:
        if bar and console.is_terminal:
            with _bars(console) as bars:
                yield _Bar(bars)
        else:
            yield _Lines()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(complaints.RESUMABLE) from interrupt


@contextmanager
def waiting(for_what: str) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere, for what has no measure."""
    console = output.console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(for_what):
        yield


def _bars(console: Any) -> Bars:
    from rich import progress

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=BAR_WIDTH),
        progress.TextColumn("{task.fields[count]}"),
        progress.TextColumn("{task.fields[rate]}", style="cyan"),
        progress.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


class _Bar:
    """One bar a stage; the first stage begins as a spinner while the model is loaded."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.stage: str | None = None
        self.clock = Clock()
        self.task: TaskID = bars.add_task("preparing", total=None, count="", rate="")

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self.stage:
            self._begin(progress)
        self.bars.update(
            self.task,
            completed=progress.done,
            total=progress.total,
            count=_count(progress),
            rate=_rate(self.clock.rate(progress)),
        )

    def _begin(self, progress: Progress) -> None:
        self.bars.remove_task(self.task)
        self.stage, self.clock = progress.stage, Clock(progress.done)
        self.task = self.bars.add_task(WORDS[progress.stage][0], total=None, count="", rate="")


class _Lines:
    """A line on standard error now and then, for logs and for who waits at a pipe."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.clock = Clock()
        self.printed = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self.stage:
            self.stage, self.clock = progress.stage, Clock(progress.done)
        now = time.monotonic()
        if now - self.printed >= LINE_INTERVAL:
            self.printed = now
            click.echo(line(progress, self.clock.rate(progress)), err=True)


class Clock:
    """The rate of a stage since it was first heard of: what was done by then may have taken any time."""

    def __init__(self, done: int = 0) -> None:
        self.done, self.began = done, time.monotonic()

    def rate(self, progress: Progress) -> float | None:
        """Documents or chunks a second; None in the first second, when nobody can tell."""
        seconds = time.monotonic() - self.began
        return (progress.done - self.done) / seconds if seconds >= 1 else None


def line(progress: Progress, rate: float | None) -> str:
    """Stage, count, rate and the time that is left at this rate."""
    verb, noun = WORDS[progress.stage]
    parts = [f"{verb}: {_count(progress)} {noun}", _rate(rate)]
    if progress.total and rate:
        parts.append(f"{(progress.total - progress.done) / rate:,.0f} s left")
    return ", ".join(part for part in parts if part)


def _count(progress: Progress) -> str:
    return f"{progress.done:,}" if progress.total is None else f"{progress.done:,}/{progress.total:,}"


def _rate(rate: float | None) -> str:
    return f"{output.rate(rate)}/s" if rate else ""
