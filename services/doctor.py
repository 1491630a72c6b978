"""What is configured on this machine, and whether it works: the checks of `vitrine doctor`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal

from pydantic import SecretStr

from vitrine.services.category.catalog import Catalog
from vitrine.services.encoders.compiled.choose import WITHOUT_TORCH, choose_runtime, has_torch
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.precision import choose_device, choose_precision, cpu_flags
from vitrine.services.encoders.reference import PRESETS, EncoderReference, parse_reference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.errors import ModelUnavailable, StoreLocked, VitrineError
from vitrine.services.read_only import is_read_only
from vitrine.services.runtime import (
    check_data_folder,
    check_data_format,
    has_data,
    open_objects,
    open_vectors,
)
from vitrine.services.settings import OLDER_NAMES, VARIABLES, Settings, from_environment, from_file

_PACKAGES = (
    "vitrine",
    "qdrant-client",
    "qdrant-edge-py",
    "openvino",
    "tokenizers",
    "pillow",
    "fastapi",
    "minio",
)
_OF_EXTRAS = {"torch": "train", "transformers": "train", "scikit-learn": "cluster", "pyarrow": "parquet"}
"""Packages that are there only with an extra, and its name."""
_COMMAND = "vitrine doctor"


@dataclass(frozen=True)
class Check:
    """One thing that was tried. A ``failed`` one means that something is broken; a warning does not."""

    name: str
    state: Literal["ok", "warning", "failed"]
    message: str


@dataclass(frozen=True)
class Diagnosis:
    """The results of all checks. ``settings``: see ``setting_rows``. ``models``: where weights lie, by
    encoder. ``versions`` by package."""

    checks: tuple[Check, ...]
    settings: list[dict[str, str]]
    models: dict[str, str]
    versions: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(check.state != "failed" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        models = [{"name": name, "weights": weights} for name, weights in self.models.items()]
        checks = [asdict(check) for check in self.checks]
        return {"ok": self.healthy, "checks": checks} | {
            "settings": self.settings,
            "models": models,
            "versions": self.versions,
        }


def diagnose(settings: Settings, flags: Collection[str] = ()) -> Diagnosis:
    """Look at the settings, the stores, the categories and the encoders, and change nothing.

    ``flags``: names of the settings that were given on the command line.
    """
    return Diagnosis(
        tuple(run_checks(settings)), setting_rows(settings, flags), find_models(settings), find_versions()
    )


def setting_rows(settings: Settings, flags: Collection[str]) -> list[dict[str, str]]:
    """Return each setting with its value, secrets masked, and where it came from: flag, environment, .env or
    default.

    Where an older system's name gave the value, that name is in brackets.
    """
    read = {"environment": from_environment(), ".env": from_file()}
    rows = []
    for name, variable in VARIABLES.items():
        old = OLDER_NAMES.get(variable)
        places = [("flag", name in flags), *((place, variable in found) for place, found in read.items())]
        places += [(f"{place} ({old})", old in found) for place, found in read.items()]
        source = next((place for place, given in places if given), "default")
        rows.append(
            {"name": name, "variable": variable, "value": _shown(getattr(settings, name)), "source": source}
        )
    return rows


def run_checks(settings: Settings) -> Iterator[Check]:
    """Yield the outcome of every check that changes nothing of the user's."""
    yield _check_space(settings)
    folder = _check_folder(settings)
    yield folder
    if folder.state == "ok" or settings.qdrant_url:
        yield _check_vectors(settings)
        yield from _check_server(settings)
    if folder.state == "ok" or settings.minio_endpoint:
        yield _check_objects(settings)
    if folder.state == "ok" or (settings.qdrant_url and settings.minio_endpoint):
        yield from _check_categories(settings)
    yield _check_default_encoder(settings)
    yield _check_precision(settings)
    if choose_runtime(settings.runtime, settings.device) == "torch" and not has_torch():
        yield Check("runtime", "failed", WITHOUT_TORCH)


def find_model(reference: EncoderReference, settings: Settings) -> ResolvedModel | None:
    """Return where an encoder lies on this machine and its revision, without asking a hub; None where it is
    not here."""
    try:
        return replace(EncoderLoader.of(settings), offline=True).find(reference)
    except ModelUnavailable:
        return None


def _check_space(settings: Settings) -> Check:
    read_only = is_read_only(settings)
    folder = Path(gettempdir()) if read_only else settings.data.absolute()
    present = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(present).free // 2**20
    state: Literal["ok", "failed"] = "ok" if free >= settings.min_free_mb else "failed"
    kept = (
        f"{free:,} MiB free for {folder if read_only else settings.data}; "
        f"{settings.min_free_mb} MiB are kept free (VITRINE_MIN_FREE_MB)"
    )
    return Check("disk space", state, kept)


def _check_folder(settings: Settings) -> Check:
    """Check the data folder; where it is missing, it is not made to find out."""
    name = "data folder"
    if not has_data(settings):
        return Check(name, "warning", f"{settings.data} is not there yet: the first category makes it")
    try:
        check_data_folder(settings)
        check_data_format(settings, write=False)
    except VitrineError as error:
        return Check(name, "failed", error.message)
    if is_read_only(settings):
        why = "VITRINE_READ_ONLY is set" if settings.read_only else "this user may not write there"
        return Check(name, "ok", f"{settings.data} is read, and nothing in it can be changed: {why}")
    return Check(name, "ok", f"{settings.data} can be written")


def _check_vectors(settings: Settings) -> Check:
    where = _shown(settings.qdrant_url) if settings.qdrant_url else f"embedded in {settings.data / 'vectors'}"
    try:
        store = open_vectors(settings, _COMMAND)
        try:
            count = len(store.collections())
        finally:
            store.close()
    except StoreLocked as error:
        return Check("vectors", "warning", f"{where}: {error.message}")
    except VitrineError as error:
        return Check("vectors", "failed", f"{where}: {error.message} ({error.code})")
    return Check(
        "vectors",
        "ok",
        f"Qdrant {where}, {count} {'category' if count == 1 else 'categories'}"
        if not settings.qdrant_url
        else f"Qdrant server {where}, {count} collection{'s' * (count != 1)}",
    )


def _check_server(settings: Settings) -> Iterator[Check]:
    """Check whether what ``QDRANT_URL`` names is one server, or one cluster, that fits; nothing for the
    embedded engine."""
    if not settings.qdrant_url:
        return
    from vitrine.services.vector_store.server.check import examine
    from vitrine.services.vector_store.server.client import nodes as nodes_of

    try:
        nodes = nodes_of(
            settings.qdrant_url, grpc_port=settings.qdrant_grpc_port, prefer_grpc=settings.qdrant_prefer_grpc
        )
    except VitrineError:
        return  # the check before has said so
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    for finding in examine(nodes, api_key=key, replicas=settings.qdrant_replicas):
        yield Check("qdrant", finding.state, finding.message)


def _check_objects(settings: Settings) -> Check:
    where = (
        f"{settings.minio_endpoint}/{settings.minio_bucket}"
        if settings.minio_endpoint
        else f"{settings.data / 'objects'}"
    )
    try:
        open_objects(settings).check()
    except VitrineError as error:
        return Check("objects", "failed", f"{where}: {error.message} ({error.code})")
    written = bool(settings.minio_endpoint) or not is_read_only(settings)
    return Check("objects", "ok", f"{where} can be read{' and written' if written else ''}")


def _check_categories(settings: Settings) -> Iterator[Check]:
    """Check for categories that are damaged or half deleted, and what is left of others; nothing where a
    store does not answer."""
    from vitrine.services.runtime import open_objects, open_vectors

    try:
        vectors = open_vectors(settings, _COMMAND, start=False)  # the check before has tried the engine
        try:
            found = Catalog(open_objects(settings), vectors).remains()
        finally:
            vectors.close()
    except VitrineError:
        return  # the checks of the stores have said so
    for one in found:
        yield Check(
            "category",
            "failed" if one.state == "damaged" else "warning",
            f"{one.name} ({one.state}): {one.message}",
        )


def _check_default_encoder(settings: Settings) -> Check:
    name = "default encoder"
    try:
        reference = parse_reference(settings.encoder)
    except VitrineError as error:
        return Check(name, "failed", f"VITRINE_ENCODER: {error.message}")
    found = find_model(reference, settings)
    if found is not None:
        if found.path is None:
            return Check(name, "ok", f"{reference.name} is built in")
        at = f"{found.revision[:19]} in {found.path}"
        return Check(name, "ok", f"{reference.name}: {reference.model} at {at}")
    source = (
        "VITRINE_OFFLINE forbids asking a hub"
        if settings.offline
        else "they will be asked of the hub when first needed"
    )
    return Check(
        name,
        "warning",
        f"{reference.name}: the weights of {reference.model} are not on this machine; {source}",
    )


def _check_precision(settings: Settings) -> Check:
    # OpenVINO computes on the processor, and torch takes seconds to ask for a GPU
    device = "cpu" if settings.runtime == "openvino" else choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    able = sorted(cpu_flags() & {"amx_bf16", "avx512_bf16"})
    if settings.precision != "auto":
        why = "VITRINE_PRECISION asks for it"
    elif device != "cpu":
        why = "what the GPU multiplies best"
    else:
        why = (
            f"the processor multiplies bfloat16 ({', '.join(able)})"
            if able
            else "the processor has no bfloat16 arithmetic"
        )
    return Check("precision", "ok", f"{precision} on {device}: {why}")


def find_models(settings: Settings) -> dict[str, str]:
    """Return where each preset's weights lie, and the folders in the models folder."""
    found = {}
    for name, reference in PRESETS.items():
        model = find_model(reference, settings)
        found[name] = str(model.path or "built in") if model else "not on this machine"
    folders = sorted(settings.models.glob("*/config.json")) if settings.models.is_dir() else []
    return found | {folder.parent.name: str(folder.parent) for folder in folders}


def find_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter; of one that is not installed, which
    extra it comes with."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_OF_EXTRAS):
        extra = _OF_EXTRAS.get(package)
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = f"not installed (vitrine[{extra}])" if extra else "missing"
    return versions


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        return f"{len(value)} keys" if value else "none"
    if value is None:
        return "not set"
    return re.sub(r"//[^/@]*@", "//********@", str(value)) if not isinstance(value, Path) else str(value)
