"""Shows how far long work is: a bar on a terminal, a line every ten seconds where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from semsearch.cli import failures, output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from semsearch.ingest import Progress

    OnProgress = Callable[[Progress], None]

LINE_INTERVAL = 10.0  # seconds
WORDS = {"ingest": ("ingesting", "documents"), "index": ("building the index", "chunks")}


@contextmanager
def shown() -> Iterator[OnProgress]:
    """A function to hand over as `on_progress`; Ctrl-C inside says that the work can be taken up again."""
    console = output.console(stderr=True)
    try:
        if console.is_terminal:
            with _bars(console) as bars:
                yield _Bar(bars)
        else:
            yield _Lines()
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(failures.RESUMABLE) from interrupt


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
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[count]}"),
        progress.TextColumn("{task.fields[rate]}", style="cyan"),
        progress.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        expand=True,
    )


class _Bar:
    """One bar a stage; the first stage begins as a spinner while the model is loaded."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.stage: str | None = None
        self.began = time.monotonic()
        self.task: TaskID = bars.add_task("preparing", total=None, count="", rate="")

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self.stage:
            self._begin(progress.stage)
        self.bars.update(
            self.task,
            completed=progress.done,
            total=progress.total,
            count=_count(progress),
            rate=_rate(progress.done, time.monotonic() - self.began),
        )

    def _begin(self, stage: str) -> None:
        self.bars.remove_task(self.task)
        self.stage, self.began = stage, time.monotonic()
        self.task = self.bars.add_task(WORDS[stage][0], total=None, count="", rate="")


class _Lines:
    """A line on standard error now and then, for logs and for who waits at a pipe."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.began = self.printed = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self.stage:
            self.stage, self.began = progress.stage, now
        if now - self.printed >= LINE_INTERVAL:
            self.printed = now
            click.echo(line(progress, now - self.began), err=True)


def line(progress: Progress, seconds: float) -> str:
    """Stage, count, rate and the time that is left at this rate."""
    verb, noun = WORDS[progress.stage]
    parts = [f"{verb}: {_count(progress)} {noun}", _rate(progress.done, seconds)]
    if progress.total and progress.done:
        parts.append(f"{(progress.total - progress.done) * seconds / progress.done:,.0f} s left")
    return ", ".join(part for part in parts if part)


def _count(progress: Progress) -> str:
    return f"{progress.done:,}" if progress.total is None else f"{progress.done:,}/{progress.total:,}"


def _rate(done: int, seconds: float) -> str:
    return f"{done / seconds:,.0f}/s" if done and seconds >= 1 else ""
