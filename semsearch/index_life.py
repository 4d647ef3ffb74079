"""The life of a collection's ANN indexes: advised, built, measured, tuned, built anew."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from typing import Any

from semsearch.errors import Conflict, InvalidInput, NotFound
from semsearch.fields import describe
from semsearch.opened import Opened
from semsearch.records import Hits
from semsearch.request import MAX_TOP_K, Target
from semsearch.road import OnProgress
from semsearch.store import (
    calibration,
    index_advice,
    index_build,
    index_rebuild,
    index_statements,
    index_tuning,
    indexes,
    server_memory,
    spaces,
    tenant_indexes,
)
from semsearch.store import recall as recalls
from semsearch.store.calibration import Calibration
from semsearch.store.complaints import translated
from semsearch.store.ground_truth import Query
from semsearch.store.index_advice import Advice, Data
from semsearch.store.index_statements import Options as IndexOptions
from semsearch.store.indexes import Index
from semsearch.store.recall import Recall
from semsearch.store.transactions import again_when_lost


class IndexLife(Opened):
    """What can be done with the indexes of a collection."""

    @translated
    def indexes(self) -> list[Index]:
        """The ANN indexes, also invalid ones that an interrupted build left."""
        with self._pools.writing.connect() as connection:
            found = indexes.every(connection, self._space)
            if not found:
                spaces.check_exists(connection, self._space)
            return found

    @translated
    def advise_index(self) -> Advice:
        """Which index the chunks deserve, with what it will take on this server; nothing is built."""
        space = self._space
        with self._pools.writing.connect() as connection:
            data = Data(spaces.count(connection, space), space.dimensions, space.distance, space.vector_type)
            return index_advice.advise(data, server_memory.look(connection))

    @translated
    def create_index(self, kind: str | None = None, *, on_progress: OnProgress | None = None, **options: Any) -> None:
        """Build the ANN index now, and measure it. Without this it is built after a load that makes it worthwhile.

        Options are `m`, `ef_construction`, `lists`, `quantization`, `dimensions` (`store.index_statements.Options`),
        else those that the collection was created with. Raises InvalidInput, Conflict when there is one.
        """
        wished = index_statements.wished(self._space)
        given: dict[str, Any] = {"kind": kind or wished.kind, **options}
        wanted = replace(wished, **_known(given))
        index_build.build(self._pools.address, self._pools.writing, self._space, wanted, self._tell(on_progress))
        self._calibrate(on_progress)

    @translated
    def rebuild_index(
        self, kind: str | None = None, *, on_progress: OnProgress | None = None, **options: Any
    ) -> list[str]:
        """Build the ANN indexes anew, while searches go on using the old ones; returns the names of the new.

        With options as for `create_index` that of the whole collection is replaced by one that has them, those not
        given being the defaults, and tenants' own stay as they are. Raises NotFound without an index, InvalidInput,
        Conflict.
        """
        if "tenant" in options:
            raise InvalidInput("options are for the index of the whole collection: drop a tenant's and create it anew.")
        wanted = IndexOptions(**_known({"kind": kind or "hnsw", **options})) if kind or options else None
        pools = self._pools
        names = index_rebuild.rebuild(pools.address, pools.writing, self._space, wanted, self._tell(on_progress))
        self._calibrate(on_progress)
        return names

    @translated
    def drop_index(self) -> list[str]:
        """Drop the ANN index; searches are exact from then on. Raises NotFound without one."""
        dropped = index_build.drop(self._pools.writing, self._pools.address, self._space)
        with self._pools.writing.begin() as connection:
            calibration.write(connection, self._space, None)
        self._searcher.forget()
        return dropped

    @translated
    def calibration(self) -> Calibration | None:
        """How the index is asked, and what searches cost; None where it was not measured."""
        with self._pools.writing.connect() as connection:
            return calibration.read(connection, self._space)

    @translated
    def tune(self, recall: float = 0.95, *, on_progress: OnProgress | None = None) -> Calibration:
        """Have searches reach this recall@10 from now on; returns how, and what it costs.

        Raises InvalidInput when the index cannot reach it, NotFound without one.
        """
        tell = self._tell(on_progress, "measure")
        tuned = index_tuning.tune(self._pools.searching, self._pools.writing, self._space, recall, tell)
        self._searcher.forget()
        return tuned

    @translated
    def measure_recall(self, *, queries: int = 100, top_k: int = 10, on_progress: OnProgress | None = None) -> Recall:
        """Recall of searches as they are, on users' latest queries (with filters, too), else on embeddings of chunks.

        It is kept for `recall_history`.
        """
        for name, value, most in (("queries", queries, 1000), ("top_k", top_k, MAX_TOP_K)):
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidInput(f"{name} is a whole number from 1 to {most}; got {describe(value)}.")
        tell = self._tell(on_progress, "measure")
        pool = self._pools.searching
        measure = partial(recalls.measure, pool, self._space, self._search_again)
        measured = again_when_lost(pool, lambda: measure(queries=queries, top_k=top_k, on_query=tell))
        with self._pools.writing.begin() as connection:
            recalls.keep(connection, self._space, measured)
        return measured

    def _search_again(self, query: Query, top_k: int) -> Hits:
        asked = Target(None, query.embedding, None)
        return self._searcher.search(asked, sampled=False, filter=query.filter, tenant=query.tenant, top_k=top_k)

    @translated
    def recall_history(self, limit: int = 20) -> list[Recall]:
        """What `measure_recall` found, the latest first."""
        if type(limit) is not int or limit < 1:
            raise InvalidInput(f"limit is a whole number from 1; got {describe(limit)}.")
        with self._pools.writing.connect() as connection:
            return recalls.history(connection, self._space, limit)

    def _calibrate(self, on_progress: OnProgress | None) -> None:
        with suppress(NotFound):  # only tenants have an index, or it was dropped at once
            tell = self._tell(on_progress, "measure")
            index_tuning.calibrate(self._pools.searching, self._pools.writing, self._space, tell)
        self._searcher.forget()

    @translated
    def untendable(self) -> str | None:
        """Why this role cannot build and analyse what has grown, with the way out; None when it can."""
        with self._pools.writing.connect() as connection:
            owner = indexes.other_owner(connection, self._space)
        if owner is None:
            return None
        return (
            f"its chunks belong to role {owner}, and only the owner can build an index or analyse them: run "
            f"`semsearch index create {self.name}` or a worker as that role, or GRANT {owner} to this one"
        )

    @translated
    def tend(self, chunks: int, *, build: bool = True, on_progress: OnProgress | None = None) -> bool:
        """After a load of so many chunks: the index once there is enough to need it, else fresh statistics if it was
        a large one; after either the indexes of tenants that have grown large.

        Returns whether the index was built.
        """
        with self._pools.writing.connect() as connection:
            due = build and chunks > 0 and indexes.due(connection, self._space)
            rows = indexes.rows(connection, self._space)
            large = chunks >= max(1000, rows // 10)  # as autovacuum sees it
            stale = build and large and calibration.stale(calibration.read(connection, self._space), rows + chunks)
        if due:
            with suppress(Conflict):  # another process has finished a load, too, and is just building it
                pools, options = self._pools, index_statements.wished(self._space)
                index_build.build(pools.address, pools.writing, self._space, options, self._tell(on_progress))
                self._calibrate(on_progress)
                self._index_tenants(on_progress)
                return True
        elif large:
            with self._pools.writing.begin() as connection:
                indexes.analyze_roughly(connection, self._space)
            if stale:
                self._calibrate(on_progress)
            if build:
                self._index_tenants(on_progress)
        return False

    def _index_tenants(self, on_progress: OnProgress | None) -> None:
        pools, space = self._pools, self._space
        with pools.writing.connect() as connection:
            wanted = tenant_indexes.wanted(connection, space)
        with suppress(Conflict):  # another process is just building one
            for options in wanted:
                index_build.build(pools.address, pools.writing, space, options, self._tell(on_progress))
                self._searcher.forget()


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """The options of an index. Raises InvalidInput for one that does not exist, or is without effect."""
    known = {field.name for field in fields(IndexOptions)}
    if unknown := sorted(options.keys() - known):
        raise InvalidInput(f"an index has no option {unknown[0]!r}: use one of {', '.join(sorted(known))}.")
    kind = options["kind"]
    for other, names in index_statements.PARAMETERS.items():
        if idle := [name for name in names if kind != other and options.get(name) is not None]:
            raise InvalidInput(f"{idle[0]} is for kind {other}, and this index is {kind}: leave it out.")
    return options
