"""Settings: read once from the environment by a door, then handed down as one frozen object.

Which database is used is decided here too: `SEMSEARCH_DATABASE_URL`, else libpq's own `PG*` variables, else the
embedded server (`conninfo` returns None).
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal

import platformdirs
from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from semsearch.errors import InvalidInput

# The libpq variables that name a server or a database. PGUSER, PGPASSWORD or PGSSLMODE alone name neither: many
# people export them for good, and they must not turn the embedded server off.
LIBPQ_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")

ENCODE = "in a password the characters @ : / ? # % must be percent-encoded"


def default_home() -> Path:
    """The user's data folder; for root a folder of the system, because the server then runs as another user."""
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/semsearch")
    return platformdirs.user_data_path("semsearch", appauthor=False)


class Settings(BaseSettings):
    """Everything the environment decides. Raises InvalidInput, which never repeats a secret."""

    model_config = SettingsConfigDict(
        env_prefix="SEMSEARCH_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_by_name=True,
    )

    database_url: SecretStr | None = Field(
        None,
        description="The database: `postgresql://user:password@host/database`, or libpq's `host=... dbname=...`; "
        "unset: libpq's `PGHOST`, `PGHOSTADDR`, `PGPORT`, `PGDATABASE`, `PGSERVICE`; none set: the embedded server.",
    )
    home: Path = Field(
        default_factory=default_home,
        description="The folder of the embedded server, on a local disk. "
        "Unset: the user's data folder, for root `/var/lib/semsearch`.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where local models run.")
    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("SEMSEARCH_OPENAI_API_KEY", "OPENAI_API_KEY"),
        description="The key for `openai:` models; `OPENAI_API_KEY` is read too.",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("SEMSEARCH_OPENAI_BASE_URL", "OPENAI_BASE_URL"),
        description="Another server that speaks OpenAI's protocol; `OPENAI_BASE_URL` is read too.",
    )

    query_cache_size: int = Field(
        10_000, ge=1, description="How many embeddings of queries are kept in the database; the oldest go."
    )
    query_cache_days: int = Field(
        30,
        ge=1,
        le=36_500,
        description="For how many days an embedding of a query is kept after it was last asked for.",
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidInput(_sentence(error)) from None

    @field_validator("database_url")
    @classmethod
    def _usable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse(value.get_secret_value())
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return Path(os.path.abspath(value.expanduser()))  # noqa: PTH100 - resolve() would follow links away from home


def conninfo(settings: Settings) -> str | None:
    """The libpq connection string of the database that was asked for; None means the embedded server.

    It may hold a password: show `display(conninfo)` to people. Empty when the `PG*` variables say it all.
    """
    if settings.database_url is not None:
        return parse(settings.database_url.get_secret_value())
    if any(os.environ.get(name) for name in LIBPQ_VARIABLES):
        return ""
    return None


def display(conninfo: str) -> str:
    """A connection string without its secrets: `user=anna host=db dbname=texts`."""
    # libpq marks what must not be shown: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PQCONNDEFAULTS
    secret = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.dispchar == b"*"}
    shown = {name: value for name, value in conninfo_to_dict(conninfo).items() if name not in secret}
    return make_conninfo("", **shown) or "the database of the PG* variables"


def parse(address: str) -> str:
    """A libpq connection string from whatever form of it a user pasted. Raises InvalidInput without echoing it."""
    scheme, separator, rest = address.strip().partition("://")
    if separator and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        if scheme.partition("+")[0] not in ("postgres", "postgresql"):
            raise InvalidInput(f"SEMSEARCH_DATABASE_URL starts with {scheme}:// but must start with postgresql://.")
        address = f"postgresql://{rest}"
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(address.strip()).items()}
    except ProgrammingError as error:
        raise InvalidInput(_libpq_problem(str(error))) from None
    _check(parts)
    return make_conninfo("", **parts)


def _check(parts: dict[str, str]) -> None:
    # An unencoded / or @ in a password moves its rest into another part, and libpq's own message would then print it.
    if any(not port.isdigit() or not 0 < int(port) < 65536 for port in filter(None, parts.get("port", "").split(","))):
        raise InvalidInput(f"SEMSEARCH_DATABASE_URL: the port is not a number from 1 to 65535 ({ENCODE}).")
    if "@" in parts.get("host", "")[1:] or "@" in parts.get("dbname", ""):
        raise InvalidInput(f"SEMSEARCH_DATABASE_URL: there is more than one @ in it ({ENCODE}).")


def _libpq_problem(message: str) -> str:
    # libpq's messages may repeat any part of the string, so none of their text is passed on.
    unknown = re.search(r'invalid (?:URI query parameter|connection option):? "(\w+)"', message)
    if unknown:
        known = [option.keyword.decode() for option in pq.Conninfo.get_defaults()]
        near = difflib.get_close_matches(unknown[1], known, n=1)
        meant = f": did you mean {near[0]!r}?" if near else "."
        return f"SEMSEARCH_DATABASE_URL has a connection option that PostgreSQL does not know{meant}"
    if "percent-encoded" in message:
        return f"SEMSEARCH_DATABASE_URL: a % is not followed by two hexadecimal digits ({ENCODE})."
    return (
        "SEMSEARCH_DATABASE_URL is neither like postgresql://user:password@host:5432/database "
        f"nor like host=... dbname=... ({ENCODE})."
    )


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    name = str(first["loc"][0]).upper()
    variable = name if name.startswith(("SEMSEARCH_", "OPENAI_")) else f"SEMSEARCH_{name}"
    return f"{variable}: {first['msg']}."
