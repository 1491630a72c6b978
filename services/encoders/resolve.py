"""Find the weights of an encoder, and which revision they are.

The places are searched in this order: the folder itself, the models folder, the hub's cache on this machine,
the hub. The result is always a folder, so loading never asks the network.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitrine.services.encoders.folders.layout import (
    CONFIG,
    MODULES,
    OPEN_CLIP_CONFIG,
    find_layout,
    is_open_clip,
)
from vitrine.services.encoders.folders.no_model import why_no_model
from vitrine.services.encoders.reference import STORED, EncoderReference
from vitrine.services.errors import ModelUnavailable

LOCAL_REVISION = "sha256:"
"""Prefix of the revision of a folder: a digest over its contents. Other revisions are the hub's commits."""

_HUB_TIMEOUT_S = 5.0
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_CONFIGS = (
    "config.json",
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
    """A model on this machine: its folder, None if it needs none, and the revision of its contents."""

    path: Path | None
    revision: str

    @property
    def folder(self) -> Path:
        """The folder of a model that has one."""
        assert self.path is not None
        return self.path


def resolve_model(
    reference: EncoderReference, *, models_folder: Path, offline: bool, folders: bool = True
) -> ResolvedModel:
    """Find the weights of ``reference``; downloads them unless ``offline``.

    ``folders=False`` skips local folders and looks for exactly that commit. Raises ModelUnavailable, which
    names the folder to fill.
    """
    if reference.model.startswith(STORED):
        raise ModelUnavailable(
            f"The encoder {reference.model} lies in the object store, which is not open here."
        )
    candidates = list(_candidates(reference.model, models_folder)) if folders else []
    for folder in candidates:
        if has_weights(folder):
            return resolve_folder(folder)
    if (named := _named(reference.model)) in candidates and named.exists():
        raise ModelUnavailable(why_no_model(named))  # who names a folder does not mean one of the hub
    of_a_folder = (reference.revision or "").startswith(LOCAL_REVISION)
    if _HUB_NAME.fullmatch(reference.model) and not of_a_folder:
        try:
            found = _from_cache(reference) or (None if offline else _from_hub(reference, models_folder))
        except ModelUnavailable as error:
            raise ModelUnavailable(_incomplete(candidates) or error.message) from error
        if found is not None:
            return found
    if incomplete := _incomplete(candidates):
        raise ModelUnavailable(incomplete)
    why = "offline mode is on" if offline else "no such hub model"
    raise ModelUnavailable(_missing(reference, models_folder, why))


def resolve_folder(folder: Path) -> ResolvedModel:
    """Return the model of a folder that holds an encoder, with the digest of its contents as revision. Its
    path is where config and weights lie."""
    found = find_layout(folder)
    path = folder if found is None else found.path
    return ResolvedModel(path, folder_revision(path))


def folder_revision(folder: Path) -> str:
    """Return ``sha256:`` and a digest over the names and contents of the encoder's configs, weights and
    tokenizer files."""
    digest = hashlib.sha256()
    for file in sorted(relevant_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        status = file.stat()
        content = _file_digest(file.resolve(), status.st_size, status.st_mtime_ns)
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return LOCAL_REVISION + digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, modified_ns: int) -> str:
    """Return the digest of one file; size and time are part of the key, so a changed file is read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def relevant_files(folder: Path) -> Iterator[Path]:
    """Yield the config, weight and tokenizer files of an encoder, at any depth, without hidden ones. In
    open_clip's layout its own config takes the place of config.json."""
    own = is_open_clip(folder)
    for pattern in (*_CONFIGS, *_WEIGHTS):
        pattern = OPEN_CLIP_CONFIG if own and pattern == CONFIG else pattern
        for file in folder.rglob(pattern):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
                yield file


def _candidates(model: str, models_folder: Path) -> Iterator[Path]:
    yield _named(model)
    if not Path(model).is_absolute():
        yield models_folder / _last_part(model)
        yield models_folder / model.replace("/", "--")


def _named(model: str) -> Path:
    return Path(model).expanduser()


def _last_part(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2]


def has_weights(folder: Path) -> bool:
    """Return whether the folder has a model's config and safetensors weights, in any layout that is known."""
    return find_layout(folder) is not None


def _incomplete(candidates: Sequence[Path]) -> str | None:
    """Return a sentence on the first folder that is there: why it is not an encoder. None where none is."""
    return next((why_no_model(folder) for folder in candidates if folder.exists()), None)


def _from_cache(reference: EncoderReference) -> ResolvedModel | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(reference.model, revision=reference.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError):
        return None
    # a snapshot may hold some files only; its folder is called by the commit
    found = find_layout(path)
    return ResolvedModel(found.path, path.name) if found else None


def _from_hub(reference: EncoderReference, models_folder: Path) -> ResolvedModel:
    from huggingface_hub import HfApi, snapshot_download

    try:
        # one short question first: a download retries for minutes where no hub can be reached
        commit = HfApi().model_info(reference.model, revision=reference.revision, timeout=_HUB_TIMEOUT_S).sha
        path = Path(
            snapshot_download(
                reference.model,
                revision=commit,
                allow_patterns=[*_CONFIGS, OPEN_CLIP_CONFIG, MODULES, *_WEIGHTS],
            )
        )
    except Exception as error:  # the hub client raises a dozen kinds: HTTP, network, file system
        raise ModelUnavailable(
            _missing(reference, models_folder, f"the hub says: {_first_line(error)}")
        ) from error
    found = find_layout(path)
    if found is None:
        raise ModelUnavailable(
            f"{reference.model} at {path.name} has no safetensors weights; pickled weights are not loaded."
        )
    return ResolvedModel(found.path, path.name)


def _missing(reference: EncoderReference, models_folder: Path, why: str) -> str:
    if reference.model.startswith(("/", "~")):
        return (
            f"There is no folder {reference.model} on this machine: name one that holds a config.json, "
            "*.safetensors, preprocessor and tokenizer files."
        )
    at = f" at revision {reference.revision}" if reference.revision else ""
    return (
        f"The weights of {reference.model}{at} are not on this machine ({why}). Put its config.json, "
        "*.safetensors, preprocessor and tokenizer files into "
        f"{models_folder / _last_part(reference.model)}, or set VITRINE_MODELS to the folder above it."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
