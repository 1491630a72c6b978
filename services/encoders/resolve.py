"""Where the weights of an encoder lie, and which revision they are.

Looked into in this order: the folder itself, the models folder, the hub's cache on this machine, the hub; an
encoder that was promoted lies in the object store alone. Whatever is found is a folder in the end, so that
loading never asks the network.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vitrine.services.encoders.pretrained import check_folder
from vitrine.services.encoders.reference import COLOUR_MODEL, DEMO_MODEL, STORED, EncoderReference
from vitrine.services.errors import ModelUnavailable

LOCAL_REVISION = "sha256:"
"""Prefix of the revision of a folder: a digest over its contents. Other revisions are the hub's commits."""

_HUB_TIMEOUT_S = 5.0
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_CONFIGS = (
    "config.json",
    "encoder.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.model")


@dataclass(frozen=True)
class ResolvedModel:
    """A folder on this machine, and the revision of what it holds."""

    path: Path
    revision: str


def resolve_model(
    reference: EncoderReference,
    *,
    models_folder: Path,
    offline: bool,
    folders: bool = True,
    fetch: Callable[[str], Path] | None = None,
) -> ResolvedModel:
    """Find the weights of ``reference``; downloads them unless ``offline``.

    ``folders=False`` skips local folders and looks for the very commit. ``fetch`` brings the folder of a
    ``store:`` model. Raises ModelUnavailable, which names the folder to fill.
    """
    if reference.model.startswith(STORED):
        if fetch is None:
            raise ModelUnavailable(
                f"The encoder {reference.model} lies in the object store, which is not open here."
            )
        folder = fetch(reference.model)
        return ResolvedModel(folder, folder_revision(folder))
    if folders:
        for folder in _candidates(reference.model, models_folder):
            if _has_weights(folder):
                return ResolvedModel(folder, folder_revision(folder))
    wanted = reference.revision or ""
    if (
        _HUB_NAME.fullmatch(reference.model)
        and reference.model != DEMO_MODEL
        and not wanted.startswith(LOCAL_REVISION)
    ):
        found = _from_cache(reference) or (None if offline else _from_hub(reference, models_folder))
        if found is not None:
            return found
    if folders and (
        lame := next(
            (folder for folder in _candidates(reference.model, models_folder) if folder.is_dir()), None
        )
    ):
        raise ModelUnavailable(_incomplete(lame))
    raise ModelUnavailable(
        _missing(reference, models_folder, "offline mode is on" if offline else "no such hub model")
    )


def folder_revision(folder: Path) -> str:
    """``sha256:`` and a digest over the files that make the encoder: names and contents of its configs,
    weights and tokenizer."""
    digest = hashlib.sha256()
    for file in sorted(relevant_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        status = file.stat()
        content = _file_digest(file.resolve(), status.st_size, status.st_mtime_ns)
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return LOCAL_REVISION + digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, modified_ns: int) -> str:
    """Digest of one file; size and time are part of the key, so that a changed file is read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def relevant_files(folder: Path) -> Iterator[Path]:
    """The files that make an encoder: configs, weights and tokenizer, at any depth, hidden ones left out."""
    for pattern in (*_CONFIGS, *_WEIGHTS):
        for file in folder.rglob(pattern):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
                yield file


def named_folder(model: str, models_folder: Path) -> Path | None:
    """The folder of this machine that a reference names by its path; None for all that other machines know by
    the same name.

    Those are built-in, stored and hub models, and folders in the models folder if it is set by a path that
    means the same everywhere on this machine.
    """
    folder = Path(model).expanduser()
    if model in (COLOUR_MODEL, DEMO_MODEL) or model.startswith(STORED) or not _has_weights(folder):
        return None
    if models_folder.is_absolute() and folder.resolve().parent == models_folder.resolve():
        return None
    return folder


def _candidates(model: str, models_folder: Path) -> Iterator[Path]:
    if model == DEMO_MODEL:
        yield Path(__file__).resolve().parents[2] / "data" / "demo-clip"
    yield Path(model).expanduser()
    if not Path(model).is_absolute():
        yield models_folder / _last_part(model)
        yield models_folder / model.replace("/", "--")


def _last_part(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]


def _has_weights(folder: Path) -> bool:
    return (
        folder.is_dir()
        and any((folder / name).is_file() for name in ("config.json", "encoder.json"))
        and any(folder.rglob("*.safetensors"))
    )


def _incomplete(folder: Path) -> str:
    """A sentence on a folder that is named and holds no encoder."""
    try:
        check_folder(folder)
    except ModelUnavailable as error:
        return error.message
    return f"{folder} has no config.json: it does not say what model its weights are of."


def _from_cache(reference: EncoderReference) -> ResolvedModel | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(reference.model, revision=reference.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError):
        return None
    # a snapshot may hold some files only; its folder is called by the commit
    return ResolvedModel(path, path.name) if _has_weights(path) else None


def _from_hub(reference: EncoderReference, models_folder: Path) -> ResolvedModel:
    from huggingface_hub import HfApi, snapshot_download

    try:
        # one short question first: a download retries for minutes where no hub can be reached
        commit = HfApi().model_info(reference.model, revision=reference.revision, timeout=_HUB_TIMEOUT_S).sha
        path = Path(
            snapshot_download(reference.model, revision=commit, allow_patterns=[*_CONFIGS, *_WEIGHTS])
        )
    except (
        Exception
    ) as error:  # the hub client raises a dozen kinds: of HTTP, of the network, of the file system
        raise ModelUnavailable(
            _missing(reference, models_folder, f"the hub says: {_first_line(error)}")
        ) from error
    if not _has_weights(path):
        raise ModelUnavailable(
            f"{reference.model} at {path.name} has no safetensors weights; pickled weights are not loaded."
        )
    return ResolvedModel(path, path.name)


def _missing(reference: EncoderReference, models_folder: Path, why: str) -> str:
    at = f" at revision {reference.revision}" if reference.revision else ""
    return (
        f"The weights of {reference.model}{at} are not on this machine ({why}). Put its config.json, "
        "*.safetensors, preprocessor and tokenizer files into "
        f"{models_folder / _last_part(reference.model)}, or set VITRINE_MODELS to the folder above it."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
