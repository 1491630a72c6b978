"""Every setting of Vitrine, in one class, read from flags, the environment and ``.env``. Precedence:
command-line flag, environment, ``.env`` in the working directory, default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from vitrine.services.errors import BadRequest
from vitrine.services.files import expanded
from vitrine.services.validation import first_mistake, mistakes

OLDER_NAMES = {
    "QDRANT_URL": "QDRANT_HOST",
    "MINIO_ENDPOINT": "MINIO_HOST",
    "MINIO_BUCKET": "MINIO_BUCKET_NAME",
}
"""What older systems call some of the variables. They are read as well, after ours, wherever either is
set."""


class OlderNames(BaseSettings):
    """The variables of older systems that take the place of ours where ours are not set."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    qdrant_host: str | None = None
    qdrant_port: int = Field(6333, ge=1, le=65535)
    """Of ``QDRANT_HOST``, where that is no URL and has no port."""
    minio_host: str | None = None
    minio_bucket_name: str | None = None

    def as_ours(self) -> dict[str, str]:
        """Return the values of the older names by Vitrine's names; a bare host of Qdrant becomes a URL."""
        host = self.qdrant_host
        if host and "://" not in host:
            host = f"http://{host}" if ":" in host else f"http://{host}:{self.qdrant_port}"
        found = {
            "QDRANT_URL": host,
            "MINIO_ENDPOINT": self.minio_host,
            "MINIO_BUCKET": self.minio_bucket_name,
        }
        return {name: value for name, value in found.items() if value}


class Settings(BaseSettings):
    """Every setting, by its environment variable (``.env.example`` explains each).

    ``QDRANT_URL`` unset: the embedded engine under ``VITRINE_DATA``. ``MINIO_ENDPOINT`` unset: a folder
    there.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    data: Path = Field(Path("vitrine-data"), validation_alias="VITRINE_DATA")
    """Folder of the embedded engine, the local objects and the caches."""
    models: Path = Field(Path("models"), validation_alias="VITRINE_MODELS")
    """Folder that holds model folders by their name; looked into before any hub."""
    encoder: str = Field("clip", validation_alias="VITRINE_ENCODER")
    """Encoder of new categories: a preset (clip, vit, demo) or ``name=model[@revision]``."""
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto", validation_alias="VITRINE_PRECISION"
    )
    runtime: Literal["auto", "openvino", "torch"] = Field("auto", validation_alias="VITRINE_RUNTIME")
    """What encoders run in: OpenVINO on a CPU, torch on a GPU."""
    device: str = Field("auto", validation_alias="VITRINE_DEVICE")
    """auto, cpu, cuda or cuda:N."""
    threads: int = Field(0, ge=0, validation_alias="VITRINE_THREADS")
    """Threads of the decoding pool, and streams of an encoder on OpenVINO; 0: one a core."""
    offline: bool = Field(False, validation_alias="VITRINE_OFFLINE")
    """Never ask a model hub."""

    qdrant_url: str | None = Field(None, validation_alias="QDRANT_URL")
    """Of a server, or of several nodes of one cluster, separated by commas: the next is asked where one does
    not answer."""
    qdrant_api_key: SecretStr | None = Field(None, validation_alias="QDRANT_API_KEY")
    qdrant_prefer_grpc: bool = Field(True, validation_alias="QDRANT_PREFER_GRPC")
    qdrant_grpc_port: int | None = Field(None, ge=1, le=65535, validation_alias="QDRANT_GRPC_PORT")
    """Where the server answers gRPC. None: 6334 for a server whose REST is on 6333, and REST alone for any
    other."""
    qdrant_shards: int = Field(1, ge=1, validation_alias="QDRANT_SHARDS")
    qdrant_replicas: int = Field(1, ge=1, validation_alias="QDRANT_REPLICAS")
    min_free_mb: int = Field(512, ge=0, validation_alias="VITRINE_MIN_FREE_MB")
    """Writes to the embedded engine and the local folder are refused below this much free space: a full disk
    kills the engine."""

    outage_seconds: float = Field(120.0, ge=0, validation_alias="VITRINE_OUTAGE_SECONDS")
    """How long an indexing run waits for a store that does not answer; 0: it ends at once."""

    minio_endpoint: str | None = Field(None, validation_alias="MINIO_ENDPOINT")
    minio_access_key: str | None = Field(None, validation_alias="MINIO_ACCESS_KEY")
    minio_secret_key: SecretStr | None = Field(None, validation_alias="MINIO_SECRET_KEY")
    minio_bucket: str = Field("vitrine", validation_alias="MINIO_BUCKET")
    minio_prefix: str = Field("", validation_alias="MINIO_PREFIX")
    minio_secure: bool = Field(False, validation_alias="MINIO_SECURE")
    minio_region: str | None = Field(None, validation_alias="MINIO_REGION")

    host: str = Field("127.0.0.1", validation_alias="VITRINE_HOST")
    port: int = Field(8000, ge=0, le=65535, validation_alias="VITRINE_PORT")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias="VITRINE_API_KEYS")
    """Comma-separated ``scope:key`` with scope read or write; write includes read."""
    max_upload_mb: int = Field(64, ge=1, validation_alias="VITRINE_MAX_UPLOAD_MB")
    """Largest request body."""
    max_image_mb: int = Field(256, ge=1, validation_alias="VITRINE_MAX_IMAGE_MB")
    """Largest single image file."""
    max_megapixels: int = Field(50, ge=1, validation_alias="VITRINE_MAX_MEGAPIXELS")
    """Pixel cap of all formats but JPEG."""
    max_jpeg_megapixels: int = Field(250, ge=1, validation_alias="VITRINE_MAX_JPEG_MEGAPIXELS")
    decode_budget_mb: int = Field(1024, ge=64, validation_alias="VITRINE_DECODE_BUDGET_MB")
    """Memory that all running decodes may take together; a decode waits for its share."""

    @field_validator("data", "models")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return expanded(value)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings, the older names last: ours win, also from ``.env`` over the
        environment."""
        file = dotenv_settings.env_file if isinstance(dotenv_settings, DotEnvSettingsSource) else None
        older = OlderNames(_env_file=file)
        ours = InitSettingsSource(settings_cls, init_kwargs=dict(older.as_ours()))
        return init_settings, env_settings, dotenv_settings, file_secret_settings, ours


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings: those ``given`` by field name (None: not given), then environment, ``.env`` and
    defaults. ``BadRequest`` names the first that is wrong."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise BadRequest(
            f"The setting {first_mistake(error)}.", setting=mistakes(error)[0]["field"]
        ) from None
