from __future__ import annotations

from pathlib import Path

import pytest

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import binaries, settings

GIB = 1 << 30


def values(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


@pytest.fixture
def control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "CONTROL_GROUPS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        # A quarter, 70 %, 1/256 (4 to 64 MB), 1/16 (32 MB to 1 GB).
        (24 * GIB, {"shared_buffers": "6144MB", "effective_cache_size": "17203MB", "work_mem": "64MB"}),
        (8 * GIB, {"shared_buffers": "2048MB", "work_mem": "32MB", "maintenance_work_mem": "512MB"}),
        (GIB // 2, {"shared_buffers": "128MB", "work_mem": "4MB", "maintenance_work_mem": "32MB"}),
        (1024 * GIB, {"shared_buffers": "16384MB", "work_mem": "64MB", "maintenance_work_mem": "1024MB"}),
    ],
)
def test_memory_is_shared_out(total: int, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "memory", lambda: total)
    assert expected.items() <= values(settings.configuration(Path("/s"))).items()


@pytest.mark.parametrize(("count", "gather", "maintenance"), [(1, "0", "0"), (2, "1", "1"), (16, "8", "15")])
def test_one_core_stays_free_of_maintenance(
    count: int, gather: str, maintenance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "cores", lambda: count)
    found = values(settings.configuration(Path("/s")))
    assert found["max_parallel_workers_per_gather"] == gather
    assert found["max_parallel_maintenance_workers"] == maintenance


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_containers_memory_limit_counts(name: str, control_groups: Path) -> None:
    (control_groups / name).parent.mkdir(exist_ok=True)
    (control_groups / name).write_text(f"{64 << 20}\n")
    assert settings.memory() == 64 << 20


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit_means_the_machines_memory(limit: str, control_groups: Path) -> None:
    unlimited = settings.memory()
    (control_groups / "memory.max").write_text(limit)
    assert settings.memory() == unlimited


@pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 1), ("150000 100000", 2)])
def test_a_containers_share_of_the_cores_counts(
    quota: str, cores: int, control_groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert settings.cores() == 8
    (control_groups / "cpu.max").write_text(quota)
    assert settings.cores() == cores


@pytest.mark.parametrize(("shared", "kind"), [(64 << 20, "mmap"), (12 * GIB, "posix")])
def test_parallel_builds_do_not_need_more_shared_memory_than_there_is(
    shared: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "memory", lambda: 24 * GIB)
    monkeypatch.setattr(settings, "_shared_memory", lambda: shared)
    assert values(settings.configuration(Path("/s")))["dynamic_shared_memory_type"] == kind


def test_the_path_of_the_socket_is_quoted_for_a_list_in_a_string() -> None:
    # A list of paths, each in double quotes (inner ones doubled), the whole in single quotes.
    text = settings.configuration(Path('/it\'s "odd" \\'))
    assert values(text)["unix_socket_directories"] == '\'"/it\'\'s ""odd"" \\\\"\''


def test_only_tests_give_up_safety() -> None:
    assert "fsync" not in values(settings.configuration(Path("/s")))
    assert values(settings.configuration(Path("/s"), durable=False))["fsync"] == "off"


def test_where_the_wheel_is_missing_a_server_of_ones_own_is_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DatabaseUnavailable, match="set SEMSEARCH_DATABASE_URL to a server of your own"):
        binaries.find()
