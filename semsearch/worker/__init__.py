"""The worker: embeds what waits in every collection, for as long as it is let.

from semsearch import worker

with semsearch.connect() as db:
    worker.run(db, worker.Options(until_idle=True))
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from semsearch.worker.options import Options as Options

if TYPE_CHECKING:
    from semsearch.database import Database


def run(database: Database, options: Options, stop: threading.Event | None = None) -> None:
    """Work until `stop` is set, or as long as the options say; returns when what was begun is stored or given back.

    Raises NotFound for a collection that was named and is not there, SchemaMismatch when the schema is upgraded
    meanwhile, DatabaseUnavailable when the heartbeat ends. A database that is only gone is waited for.
    """
    from semsearch.worker.supervisor import Supervisor

    Supervisor(database, options, stop or threading.Event()).run()
