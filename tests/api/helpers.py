"""Pictures of known colours, and a client on an API whose stores live in memory and in a temporary folder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from PIL import Image, ImageDraw
from pydantic import SecretStr

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.api.app import create_app
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.settings import Settings

BASE = "http://127.0.0.1:8000"
COLOURS = {
    "red": (220, 30, 30),
    "orange": (245, 140, 20),
    "green": (40, 160, 60),
    "blue": (40, 80, 210),
    "black": (0, 0, 0),
}
READ, WRITE = "r3ad-key", "wr1te-key"


def picture(
    colour: tuple[int, int, int] = (220, 30, 30), size: tuple[int, int] = (40, 30), kind: str = "PNG"
) -> bytes:
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).rectangle((2, 2, 6, 6), fill=tuple(255 - part for part in colour))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def settings_in(
    folder: Path, *, keys: tuple[str, ...] = (), encoder: str = "colour", **others: Any
) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        data=folder,
        encoder=encoder,
        offline=True,
        min_free_mb=0,
        api_keys=tuple(SecretStr(key) for key in keys),
        **others,
    )


@contextmanager
def runtime_in(settings: Settings) -> Iterator[Runtime]:
    pool = EncoderPool(settings)
    pool.register(ColourEncoder())
    try:
        yield assemble(
            settings, OracleVectorStore(), LocalObjectStore(settings.data / "objects", min_free_mb=0), pool
        )
    finally:
        pool.close()


@contextmanager
def client_on(runtime: Runtime, *, host: str = BASE) -> Iterator[TestClient]:
    with TestClient(
        create_app(runtime.settings, runtime=runtime), base_url=host, raise_server_exceptions=False
    ) as client:
        yield client


def upload(client: TestClient, category: str, *files: tuple[str, bytes], **fields: Any) -> Any:
    parts = [("files", (name, data)) for name, data in files]
    return client.post(f"/v1/categories/{category}/images", files=parts, data=fields)


def fill(client: TestClient, category: str = "colours") -> dict[str, str]:
    """A category with one picture of each colour; their ids by colour."""
    assert client.post("/v1/categories", json={"name": category}).status_code == 201
    ids = {}
    for number, (name, colour) in enumerate(COLOURS.items()):
        warm = "warm" if name in ("red", "orange") else "cool"
        fields = {"tags": [name, "flat"], "class": warm, "metadata": f'{{"year": {1990 + number}}}'}
        answer = upload(client, category, (f"{name}.png", picture(colour)), **fields)
        assert answer.status_code == 201, answer.text
        ids[name] = answer.json()["items"][0]["id"]
    return ids
