"""`python -m semsearch`: the same as the `semsearch` command."""

from __future__ import annotations

import sys

from semsearch.cli import main

if __name__ == "__main__":
    sys.exit(main())
