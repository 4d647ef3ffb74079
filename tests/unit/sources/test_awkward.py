"""The awkward set: nothing crashes, nothing hangs, and every file is accounted for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

_READ = """
import re, sys
from pathlib import Path
from tests.benchmarks.awkward import outcomes

found = outcomes(Path(sys.argv[1]))
print(sum(len(outcome.files) for outcome in found.values()))
print(sum(outcome.documents for outcome in found.values()))
print(max(max(outcome.seconds.values(), default=0) for outcome in found.values()))
# Not ru_maxrss: that also counts what the parent of this process had in memory before exec.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
print(sorted(path for outcome in found.values() for path in outcome.files - outcome.whole))
print(sorted(path for outcome in found.values() for path in outcome.whole - outcome.files))
"""


@pytest.mark.data
def test_every_awkward_file_becomes_documents_or_is_reported(shared_data: Path) -> None:
    folder = shared_data / "awkward"
    command = [sys.executable, "-c", _READ, str(folder)]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files, documents, slowest, megabytes = map(float, lines[:4])
    assert files == sum(path.is_file() for path in folder.rglob("*"))
    assert documents > 150
    assert slowest < 60
    assert megabytes < 200
    # y_structure_whitespace_array and its like are arrays without an element: no document, nothing broken.
    assert all("array" in path for path in eval(lines[4]))
    assert eval(lines[5]) == []
