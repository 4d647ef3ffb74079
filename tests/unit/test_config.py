from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from semsearch import config
from semsearch.config import Settings
from semsearch.errors import InvalidInput

EXPECTED = {"host": "db", "port": "5433", "user": "anna", "password": "secret", "dbname": "texts"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SEMSEARCH_", "OPENAI_", "PG")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "pasted",
    [
        "postgres://anna:secret@db:5433/texts",
        "postgresql://anna:secret@db:5433/texts",
        "postgresql+psycopg://anna:secret@db:5433/texts",
        "postgresql+psycopg2://anna:secret@db:5433/texts",
        "postgresql+asyncpg://anna:secret@db:5433/texts",
        " postgresql://db:5433/texts?user=anna&password=secret\n",
        "host=db port=5433 user=anna password=secret dbname=texts",
    ],
)
def test_every_form_that_people_paste_means_the_same_database(pasted: str) -> None:
    settings = Settings(database_url=pasted)
    assert conninfo_to_dict(config.conninfo(settings) or "") == EXPECTED


# NUL cannot be in any connection string.
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_an_encoded_password_arrives_as_it_was_and_is_never_displayed(password: str) -> None:
    conninfo = config.parse(f"postgresql://anna:{quote(password, safe='')}@db/texts")
    assert conninfo_to_dict(conninfo)["password"] == password
    assert config.display(conninfo) == "user=anna dbname=texts host=db"


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8", min_codepoint=33), min_size=4))
def test_no_error_repeats_a_password_pasted_as_it_is(password: str) -> None:
    # The marker stands at both ends, so that any cut through the password leaves one of them in what is left.
    for address in (f"postgresql://anna:Qx{password}xQ@db/texts", f"anna:Qx{password}xQ@db/texts"):
        try:
            config.parse(address)
        except InvalidInput as error:
            assert "Qx" not in str(error)
            assert "xQ" not in str(error)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://anna:secret@db/texts", "starts with mysql:// but must start with postgresql://"),
        ("anna:secret@db/texts", "neither like postgresql://"),
        ("postgresql://anna:secret@db:sixty/texts", "the port is not a number from 1 to 65535"),
        ("postgresql://anna:secret@db:70000/texts", "the port is not a number from 1 to 65535"),
        ("postgresql://anna:sec/ret@db/texts", "must be percent-encoded"),
        ("postgresql://anna:sec@ret@db/texts", "more than one @"),
        ("postgresql://anna:12/secret@db/texts", "more than one @"),
        ("postgresql://anna:secret%zz@db/texts", "a % is not followed by two hexadecimal digits"),
        ("postgresql://anna:secret@db/texts?sslmod=require", "did you mean 'sslmode'?"),
        ("hosst=db password=secret", "did you mean 'host'?"),
        ("host=db secret", "neither like postgresql://"),
    ],
)
def test_a_wrong_address_is_explained_in_one_sentence_without_its_password(address: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings(database_url=address)
    assert said in str(caught.value)
    assert "SEMSEARCH_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_hosts_with_their_ports_are_fine() -> None:
    assert conninfo_to_dict(config.parse("postgresql://a:5432,b:5433/texts"))["port"] == "5432,5433"


def test_nothing_set_means_the_embedded_server() -> None:
    assert config.conninfo(Settings()) is None


@pytest.mark.parametrize("name", config.LIBPQ_VARIABLES)
def test_a_libpq_variable_that_names_a_server_or_database_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "somewhere")
    assert config.conninfo(Settings()) == ""


@pytest.mark.parametrize("name", ["PGUSER", "PGPASSWORD", "PGSSLMODE"])
def test_a_libpq_variable_that_names_neither_leaves_the_embedded_server(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "anna")
    assert config.conninfo(Settings()) is None


def test_our_own_variable_goes_before_libpqs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", "postgresql://db/texts")
    assert config.conninfo(Settings()) == "dbname=texts host=db"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DATABASE_URL", "")
    monkeypatch.setenv("PGHOST", "")
    assert config.conninfo(Settings()) is None


@pytest.mark.parametrize("prefix", ["SEMSEARCH_OPENAI", "OPENAI"])
def test_the_key_is_read_under_both_names_and_never_printed(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{prefix}_API_KEY", "sk-secret")
    monkeypatch.setenv(f"{prefix}_BASE_URL", "http://127.0.0.1:9/v1")
    settings = Settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-secret"
    assert settings.openai_base_url == "http://127.0.0.1:9/v1"
    assert "sk-secret" not in repr(settings)


def test_a_database_url_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Settings(database_url="postgresql://anna:secret@db/texts"))


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMSEARCH_DEVICE", "gpu")
    with pytest.raises(InvalidInput, match=r"^SEMSEARCH_DEVICE: Input should be 'auto'"):
        Settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().device = "cpu"


def test_home_is_absolute_and_knows_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEMSEARCH_HOME", "~/texts/../here")
    assert Settings().home == tmp_path / "here"


@pytest.mark.parametrize(
    ("user", "home"), [(0, Path("/var/lib/semsearch")), (1000, platformdirs.user_data_path("semsearch"))]
)
def test_the_default_home_suits_who_runs_the_server(user: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert Settings().home == home


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
