"""The embedded server's configuration, computed from this machine's memory and cores."""

from __future__ import annotations

import math
import os
from pathlib import Path

MIB = 1 << 20
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def configuration(socket: Path, *, durable: bool = True) -> str:
    """The text of semsearch.conf. `durable=False` gives up safety against power loss: for tests only."""
    settings = _private(socket) | _memory(memory()) | _parallel(cores()) | _writing() | _logging()
    if not durable:
        settings |= {"fsync": "off", "full_page_writes": "off", "max_wal_size": "1GB"}
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def memory() -> int:
    """Bytes this process may use: the machine's, or the container's where that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _read(CONTROL_GROUPS / name)
        if limit.isdigit():
            limits.append(int(limit))
    return min(limits)


def cores() -> int:
    """Cores this process may use, a container's share rounded up."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(CONTROL_GROUPS / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        available = min(available, math.ceil(int(quota) / int(period)))
    return max(available, 1)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _private(socket: Path) -> dict[str, str]:
    return {
        "listen_addresses": "''",
        "unix_socket_directories": _quote('"' + str(socket).replace('"', '""') + '"'),
        "unix_socket_permissions": "0700",
        "cluster_name": "'semsearch'",
        # Not "$user": the user is called semsearch, and what people create would end in our schema.
        "search_path": "public",
    }


def _memory(total: int) -> dict[str, str]:
    # A quarter of the memory for shared_buffers and 70 % believed to be cached: PostgreSQL's documentation, 19.4.1.
    # Shared memory is touched as it fills, so a machine with several embedded servers does not pay for all of it.
    # An HNSW scan silently stops at work_mem x hnsw.scan_mem_multiplier: 4 MB, the default, costs recall.
    # A parallel index build takes maintenance_work_mem in one piece of dynamic shared memory: in a container with
    # little /dev/shm that piece has to be a file.
    return {
        "shared_buffers": _megabytes(total / 4, 16, 16384),
        "effective_cache_size": _megabytes(total * 0.7, 64, 1 << 20),
        "work_mem": _megabytes(total / 256, 4, 64),
        "maintenance_work_mem": _megabytes(total / 16, 32, 1024),
        "huge_pages": "try",
        "dynamic_shared_memory_type": "posix" if _shared_memory() >= total / 4 else "mmap",
    }


def _parallel(count: int) -> dict[str, str]:
    return {
        "max_worker_processes": str(count + 8),
        "max_parallel_workers": str(count),
        "max_parallel_workers_per_gather": str(count // 2),
        "max_parallel_maintenance_workers": str(count - 1),
        "random_page_cost": "1.1",
        "jit": "off",
    }


def _writing() -> dict[str, str]:
    # Nothing replicates from an embedded server, and with minimal WAL an index build writes none:
    # 0 MB instead of 123 MB for HNSW over 40,000 x 384.
    return {
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_compression": "off",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
    }


def _logging() -> dict[str, str]:
    # Statements and DETAIL lines would put users' texts into the log.
    return {
        "logging_collector": "on",
        "log_directory": "'log'",
        "log_filename": "'postgresql-%a.log'",
        "log_file_mode": "0600",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_timezone": "'UTC'",
        "timezone": "'UTC'",
        "lc_messages": "'C'",
    }


def _megabytes(size: float, least: int, most: int) -> str:
    return f"{min(max(int(size / MIB), least), most)}MB"


def _shared_memory() -> int:
    try:
        status = os.statvfs("/dev/shm")  # noqa: S108 - PostgreSQL's own place, asked for its size only
    except OSError:
        return 0
    return status.f_frsize * status.f_blocks


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
