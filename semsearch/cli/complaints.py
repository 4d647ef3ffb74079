"""What a failure becomes: one line on standard error and an exit code, no traceback."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from semsearch.errors import (
    Conflict,
    DatabaseUnavailable,
    DeadlineExceeded,
    InvalidInput,
    ModelUnavailable,
    NotFound,
    Overloaded,
    SemsearchError,
)

EXIT_CODES: tuple[tuple[type[SemsearchError], int], ...] = (
    (InvalidInput, 2),
    (NotFound, 3),
    (Conflict, 4),
    (DatabaseUnavailable, 5),
    (DeadlineExceeded, 5),
    (ModelUnavailable, 5),
    (Overloaded, 5),
)
BAD_INPUT = 2
UNAVAILABLE = 5
OTHER = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
RESUMABLE = "interrupted; what was put is kept, run the same command to go on"


def run(command: Callable[[], Any]) -> int:
    """Run a click command that leaves its exceptions to us; its exit code."""
    try:
        code = command()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _discard_output()
        return OTHER
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as abort:
        return _interrupted(abort.__cause__)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return BAD_INPUT
    except click.ClickException as error:
        return _fail(_usage_message(error), BAD_INPUT)
    except SemsearchError as error:
        return _fail(str(error), exit_code(error), error)
    except Exception as error:
        hint = "This is a bug, or something nobody foresaw: SEMSEARCH_DEBUG=1 shows where."
        return _fail(f"{type(error).__name__}: {error}. {hint}", OTHER, error)


def exit_code(error: SemsearchError) -> int:
    """The exit code of an error of ours."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), OTHER)


def keep_streams_writable() -> None:
    """A character the terminal's encoding lacks is shown as `?` rather than ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str, code: int, error: BaseException | None = None) -> int:
    if error is not None and os.environ.get("SEMSEARCH_DEBUG"):
        traceback.print_exception(error)
    label = "error:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        label = click.style(label, fg="red", bold=True)
    click.echo(f"{label} {_one_line(message)}", err=True)
    return code


def _interrupted(cause: BaseException | None) -> int:
    """Ctrl-C; or an end of input where a question was asked, which is a no."""
    if isinstance(cause, KeyboardInterrupt):
        click.echo(str(cause) or "interrupted", err=True)
        return INTERRUPTED
    click.echo("nothing was done", err=True)
    return OTHER


def _usage_message(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None or context.parent is None:
        return message
    return f"{message if message[-1] in '.?' else message + '.'} See `{context.command_path} --help`."


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _discard_output() -> None:
    """Nobody reads our output any more (`| head`): the interpreter's own last flush must not complain about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
