"""What runs beside the answers in the same process, with connections of its own: a worker, or what SQL asks of one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import semsearch
from semsearch import worker
from semsearch.answering import Answerer
from semsearch.config import Settings
from semsearch.errors import DatabaseUnavailable
from semsearch.store.complaints import is_away
from semsearch.worker.outage import Outage

log = logging.getLogger("semsearch.web")


@contextmanager
def answering(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Answer CALL semsearch.embed for the time of a block."""
    with semsearch.connect(settings=settings) as database, Answerer(database, stop):
        yield


class InlineWorker:
    """A worker in a thread. `failure` says what has ended it before its time."""

    def __init__(self, settings: Settings, grace: float, stop: threading.Event) -> None:
        self._settings, self._grace, self._stop = settings, grace, stop
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._live, name="semsearch inline worker", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        outage = Outage()
        while not self._stop.is_set():
            try:
                self._work()
                return
            except DatabaseUnavailable as error:
                if not is_away(error):
                    self._fail(error)
                    return
                self._stop.wait(outage.met(error))
            except Exception as error:
                self._fail(error)
                return

    def _work(self) -> None:
        with semsearch.connect(settings=self._settings) as database:
            worker.run(database, worker.Options(grace=self._grace), self._stop)

    def _fail(self, error: Exception) -> None:
        """The answers go on without it; /readyz tells whoever watches."""
        self.failure = error
        log.error("worker_failed", extra={"fields": {"reason": str(error)}}, exc_info=error)

    def close(self) -> None:
        """Call it when `stop` is set: what the model has is stored first."""
        self._thread.join(self._grace + 5)
