"""What a worker is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL, REMOTE = 1, 4  # pipelines: a local model has all cores or the GPU already, a provider is mostly waited for
LOCAL_PROVIDER = "sentence-transformers"


@dataclass(frozen=True)
class Options:
    """`collections`: work for these only. `concurrency`: pipelines for each provider, by default as it suits it.

    `once`: one claim for each collection. `until_idle`: end when nothing waits. `grace`: seconds to finish in what the
    model has when told to stop. `metrics_port`: serve Prometheus' metrics there, on the loopback address only.
    """

    collections: tuple[str, ...] = ()
    concurrency: int | None = None
    once: bool = False
    until_idle: bool = False
    grace: float = 30.0
    metrics_port: int | None = None

    def pipelines(self, provider: str) -> int:
        """How many run for a provider's collections; those without a model are nobody's, and take no time."""
        if self.concurrency is not None or self.once:
            return self.concurrency or 1
        return LOCAL if provider in (LOCAL_PROVIDER, "") else REMOTE
