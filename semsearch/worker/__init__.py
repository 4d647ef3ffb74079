"""The worker: embeds what waits in every collection, for as long as it is let.

from semsearch import worker

with semsearch.connect() as db:
    worker.run(db, worker.Options(until_idle=True))
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from semsearch.worker.options import Options as Options
from semsearch.worker.outage import Outage as Outage

if TYPE_CHECKING:
    from semsearch.database import Database


def run(
    database: Database, options: Options, stop: threading.Event | None = None, outage: Outage | None = None
) -> None:
    """Work until `stop` is set, or as long as the options say; returns when what was begun is stored or given back.

    Raises NotFound for a collection that was named and is not there, SchemaMismatch when the schema is upgraded
    meanwhile, DatabaseUnavailable when there is no database to begin with, or the heartbeat ends. A database that is
    only gone is waited for. `outage` is what a run before has met, for this one to say when it is over.
    """
    from semsearch.worker.supervisor import Supervisor

    Supervisor(database, options, stop or threading.Event(), outage or Outage()).run()
