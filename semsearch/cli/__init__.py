"""The command line: one command a file, each a thin layer over `semsearch.connect()`.

`main()` is the whole program. `commands.py` finds a command's file when it is asked for, `complaints.py` turns what
goes wrong into one line and an exit code; nothing heavier than click is imported before a command runs.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (`sys.argv` without arguments) and return its exit code."""
    from semsearch.cli import commands, complaints

    complaints.keep_streams_writable()
    return complaints.run(lambda: commands.semsearch.main(arguments, prog_name="semsearch", standalone_mode=False))
