"""Every setting of Vitrine, in one class, read from flags, the environment and ``.env``. Precedence:
command-line flag, environment, ``.env`` in the working directory, default.

Each command reads the settings first, so nothing is imported here that takes long: ``.env`` is read by its
library where there is one, and values that are not plain are checked by pydantic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_origin, get_type_hints

from vitrine.services.errors import BadRequest
from vitrine.services.files import expanded
from vitrine.services.fitting import UNSURE, fitted

if TYPE_CHECKING:
    from pydantic import SecretStr

T = TypeVar("T")
ENV_FILE: Final = ".env"
OLDER_NAMES = {
    "QDRANT_URL": "QDRANT_HOST",
    "MINIO_ENDPOINT": "MINIO_HOST",
    "MINIO_BUCKET": "MINIO_BUCKET_NAME",
}
"""What older systems call some of the variables. They are read as well, after ours, wherever either is
set."""
_OLDER_PORT: Final = "QDRANT_PORT"
"""Of ``QDRANT_HOST``, where that is no URL and has no port."""


def _setting(default: T, variable: str, **limits: Any) -> T:
    """Return a dataclass field that is read from the variable. ``limits`` are pydantic's: ge, le ..."""
    return field(default=default, metadata={"variable": variable, "limits": limits})


@dataclass(frozen=True, init=False)
class Settings:
    """Every setting, by its environment variable (``.env.example`` explains each).

    ``QDRANT_URL`` unset: the embedded engine under ``VITRINE_DATA``. ``MINIO_ENDPOINT`` unset: a folder
    there.
    """

    data: Path = _setting(Path("vitrine-data"), "VITRINE_DATA")  # noqa: RUF009
    """Folder of the embedded engine, the local objects and the caches."""
    read_only: bool = _setting(False, "VITRINE_READ_ONLY")
    """Change nothing in the data folder, also where that is possible."""
    models: Path = _setting(Path("models"), "VITRINE_MODELS")  # noqa: RUF009
    """Folder that holds model folders by their name; looked into before any hub."""
    encoder: str = _setting("clip", "VITRINE_ENCODER")
    """Encoder of new categories: a preset (clip, vit, demo) or ``name=model[@revision]``."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = _setting("auto", "VITRINE_PRECISION")
    runtime: Literal["auto", "openvino", "torch"] = _setting("auto", "VITRINE_RUNTIME")
    """What encoders run in: OpenVINO on a CPU, torch on a GPU."""
    device: str = _setting("auto", "VITRINE_DEVICE")
    """auto, cpu, cuda or cuda:N."""
    threads: int = _setting(0, "VITRINE_THREADS", ge=0)
    """Threads of the decoding pool, and streams of an encoder on OpenVINO; 0: one a core."""
    offline: bool = _setting(False, "VITRINE_OFFLINE")
    """Never ask a model hub."""

    qdrant_url: str | None = _setting(None, "QDRANT_URL")
    """Of a server, or of several nodes of one cluster, separated by commas: the next is asked where one does
    not answer."""
    qdrant_api_key: SecretStr | None = _setting(None, "QDRANT_API_KEY")  # noqa: RUF009
    qdrant_prefer_grpc: bool = _setting(True, "QDRANT_PREFER_GRPC")
    qdrant_grpc_port: int | None = _setting(None, "QDRANT_GRPC_PORT", ge=1, le=65535)
    """Where the server answers gRPC. None: 6334 for a server whose REST is on 6333, and REST alone for any
    other."""
    qdrant_shards: int = _setting(1, "QDRANT_SHARDS", ge=1)
    qdrant_replicas: int = _setting(1, "QDRANT_REPLICAS", ge=1)
    min_free_mb: int = _setting(512, "VITRINE_MIN_FREE_MB", ge=0)
    """Writes to the embedded engine and the local folder are refused below this much free space: a full disk
    kills the engine."""

    outage_seconds: float = _setting(120.0, "VITRINE_OUTAGE_SECONDS", ge=0)
    """How long an indexing run waits for a store that does not answer; 0: it ends at once."""

    minio_endpoint: str | None = _setting(None, "MINIO_ENDPOINT")
    minio_access_key: str | None = _setting(None, "MINIO_ACCESS_KEY")
    minio_secret_key: SecretStr | None = _setting(None, "MINIO_SECRET_KEY")  # noqa: RUF009
    minio_bucket: str = _setting("vitrine", "MINIO_BUCKET")
    minio_prefix: str = _setting("", "MINIO_PREFIX")
    minio_secure: bool = _setting(False, "MINIO_SECURE")
    minio_region: str | None = _setting(None, "MINIO_REGION")

    host: str = _setting("127.0.0.1", "VITRINE_HOST")
    port: int = _setting(8000, "VITRINE_PORT", ge=0, le=65535)
    api_keys: tuple[SecretStr, ...] = _setting((), "VITRINE_API_KEYS")
    """Comma-separated ``scope:key`` with scope read or write; write includes read."""
    max_upload_mb: int = _setting(64, "VITRINE_MAX_UPLOAD_MB", ge=1)
    """Largest request body."""
    max_image_mb: int = _setting(256, "VITRINE_MAX_IMAGE_MB", ge=1)
    """Largest single image file."""
    max_megapixels: int = _setting(50, "VITRINE_MAX_MEGAPIXELS", ge=1)
    """Pixel cap of all formats but JPEG."""
    max_jpeg_megapixels: int = _setting(250, "VITRINE_MAX_JPEG_MEGAPIXELS", ge=1)
    decode_budget_mb: int = _setting(1024, "VITRINE_DECODE_BUDGET_MB", ge=64)
    """Memory that all running decodes may take together; a decode waits for its share."""
    roots: tuple[Path, ...] = _setting((), "VITRINE_ROOTS")
    """Comma-separated folders that jobs asked for over HTTP may read, each by the last part of its path."""
    backups: str = _setting("", "VITRINE_BACKUPS")
    """Where backups lie unless a command says so: a folder, or objects:PREFIX. Jobs asked for over HTTP write
    there alone."""

    urls_over_http: bool = _setting(False, "VITRINE_URLS_OVER_HTTP")
    """Whether whoever may write by the API may have the server download pictures."""
    url_hosts: tuple[str, ...] = _setting((), "VITRINE_URL_HOSTS")
    """Comma-separated: only these hosts are asked; none: any. ``*.example.com`` are all below it."""
    url_networks: tuple[str, ...] = _setting((), "VITRINE_URL_NETWORKS")
    """Comma-separated: addresses and networks that are asked though they are not public."""
    url_deny: tuple[str, ...] = _setting((), "VITRINE_URL_DENY")
    """Comma-separated: hosts, addresses and networks that are never asked."""
    url_ports: tuple[str, ...] = _setting(("80", "443"), "VITRINE_URL_PORTS")
    url_mb: int = _setting(32, "VITRINE_URL_MB", ge=1)
    """Largest file that is downloaded."""
    url_seconds: float = _setting(60.0, "VITRINE_URL_SECONDS", gt=0)
    """How long one download may take, with all redirects and tries."""
    url_tries: int = _setting(3, "VITRINE_URL_TRIES", ge=1, le=10)
    url_agent: str = _setting("Vitrine", "VITRINE_URL_AGENT")
    """What servers are told asks them; some want an address in it."""
    url_parallel: int = _setting(16, "VITRINE_URL_PARALLEL", ge=1, le=256)
    """Downloads at once."""
    url_per_host: int = _setting(4, "VITRINE_URL_PER_HOST", ge=1)
    """Downloads at once from one host."""

    def __init__(self, *, _env_file: str | os.PathLike[str] | None = ENV_FILE, **given: Any) -> None:
        """Read the settings: those ``given`` by field name, then the environment, the file and the defaults.
        ``BadRequest`` names the first that is wrong."""
        read = {**from_file(_env_file), **from_environment()}
        values = {**older_values(read), **read}
        values |= {VARIABLES[name]: value for name, value in given.items() if name in VARIABLES}
        for name, value in _checked(values).items():
            if name == "roots":
                value = tuple(map(expanded, value))
            object.__setattr__(self, name, expanded(value) if isinstance(value, Path) else value)

    def changed(self, **values: Any) -> Settings:
        """Return these settings, with other values of some fields."""
        return Settings(_env_file=None, **({name: getattr(self, name) for name in VARIABLES} | values))


VARIABLES: Final[Mapping[str, str]] = {one.name: one.metadata["variable"] for one in fields(Settings)}
"""The environment variable of each setting, by field name."""
_LIMITS: Final = {one.name: one.metadata["limits"] for one in fields(Settings)}


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings: those ``given`` by field name (None: not given), then environment, ``.env`` and
    defaults. ``BadRequest`` names the first that is wrong."""
    return Settings(**{name: value for name, value in given.items() if value is not None})


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give another process these settings, all but the API keys."""
    found = {}
    for name, variable in VARIABLES.items():
        value = getattr(settings, name)
        if isinstance(value, tuple) and name != "api_keys":
            value = ",".join(str(part.absolute() if isinstance(part, Path) else part) for part in value)
        elif isinstance(value, Path):
            value = value.absolute()
        elif hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if value is not None and name != "api_keys":
            found[variable] = str(value)
    return found


# Where they come from
# ------------------------------------------------------------------------------------------------------------


def from_environment() -> dict[str, Any]:
    """Return the variables of the environment that are not empty, their names in capitals: any case will
    do."""
    return {name.upper(): value for name, value in os.environ.items() if value}


def from_file(path: str | os.PathLike[str] | None = ENV_FILE) -> dict[str, Any]:
    """Return the variables of a ``.env`` file that are not empty, their names in capitals; none where there
    is no file."""
    file = None if path is None else Path(path).expanduser()
    if file is None or not (file.is_file() or file.is_fifo()):
        return {}
    from dotenv import dotenv_values

    return {name.upper(): value for name, value in dotenv_values(file, encoding="utf-8").items() if value}


def older_values(read: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables of older systems say, by our names; a bare host of Qdrant becomes a URL."""
    port = _older_port(read.get(_OLDER_PORT, "6333"))
    found = {ours: read[older] for ours, older in OLDER_NAMES.items() if older in read}
    host = found.get("QDRANT_URL", "")
    if host and "://" not in host:
        found["QDRANT_URL"] = f"http://{host}" if ":" in host else f"http://{host}:{port}"
    return found


def _older_port(text: str) -> int:
    limits = {"ge": 1, "le": 65535}
    port = fitted(int, text, limits)
    found: int = _by_pydantic({_OLDER_PORT: (int, limits, text)})[_OLDER_PORT] if port is UNSURE else port
    return found


# Whether they are right
# ------------------------------------------------------------------------------------------------------------


class _Secret:
    """Stands for pydantic's SecretStr as long as no secret is set."""


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each field, from what is ``given`` by variable."""
    kinds = get_type_hints(Settings, localns={"SecretStr": _Secret})
    raw = {name: given.get(variable, getattr(Settings, name)) for name, variable in VARIABLES.items()}
    for name, value in raw.items():
        if get_origin(kinds[name]) is tuple and isinstance(value, str):
            raw[name] = tuple(part.strip() for part in value.split(",") if part.strip())
    found = {name: fitted(kinds[name], value, _LIMITS[name]) for name, value in raw.items()}
    unsure = {name: raw[name] for name, value in found.items() if value is UNSURE}
    if unsure:
        from pydantic import SecretStr

        kinds = get_type_hints(Settings, localns={"SecretStr": SecretStr})
        asked = {VARIABLES[name]: (kinds[name], _LIMITS[name], value) for name, value in unsure.items()}
        sure = _by_pydantic(asked)
        found |= {name: sure[VARIABLES[name]] for name in unsure}
    return found


def _by_pydantic(asked: Mapping[str, tuple[Any, Mapping[str, Any], Any]]) -> dict[str, Any]:
    """Return the values by variable, each of which comes with its type and limits, as pydantic converts
    them. ``BadRequest`` names the first that is wrong."""
    from pydantic import BaseModel, Field, ValidationError, create_model

    from vitrine.services.validation import first_mistake, mistakes

    members: dict[str, Any] = {name: (kind, Field(**limits)) for name, (kind, limits, _) in asked.items()}
    model: type[BaseModel] = create_model("Settings", **members)
    try:
        return dict(model.model_validate({name: value for name, (_, _, value) in asked.items()}))
    except ValidationError as error:
        raise BadRequest(
            f"The setting {first_mistake(error)}.", setting=mistakes(error)[0]["field"]
        ) from None
