"""Processes forked from one that has imported everything: they start in milliseconds, and a kill meets their work."""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# One process serves the whole test run, so one list serves all tests.
FORKS.set_forkserver_preload(
    [
        "openai",
        "semsearch.cli.worker",
        "semsearch.database",
        "semsearch.embedders.openai",
        "tests.integration.hands",
        "tests.faults.chaos_provider",
        "tests.faults.chaos_watch",
        "tests.faults.chaos_workers",
        "tests.faults.warm",
    ]
)
