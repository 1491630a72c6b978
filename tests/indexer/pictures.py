"""Small pictures that differ, and a runtime without an engine process."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.settings import Settings

CATEGORY = "things"


def picture(seed: int, format: str = "PNG", size: tuple[int, int] = (24, 20)) -> bytes:
    """A file whose blocks of colour depend on the seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks, "RGB").resize(size, Image.Resampling.NEAREST).save(buffer, format)
    return buffer.getvalue()


def file_of(image: Image.Image, format: str = "PNG", quality: int = 90) -> bytes:
    """The bytes of a picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality)
    return buffer.getvalue()


def record(seed: int, **said: object) -> ImageRecord:
    """What a source says of the picture of this seed."""
    data = picture(seed)
    return replace(ImageRecord("test", f"{seed}.png", lambda: data), **said)  # type: ignore[arg-type]


def id_of(seed: int) -> str:
    """The id that the picture of this seed gets."""
    return point_id(content_hash(picture(seed)))


def add_pictures(runtime: Runtime, seeds: range) -> None:
    """Index the pictures of these seeds."""
    assert index_images([record(seed) for seed in seeds], runtime, CATEGORY).error is None


def make_runtime(folder: Path, *encoders: ColourEncoder) -> Runtime:
    """A runtime over the oracle store, with an empty category."""
    settings = Settings(data=folder, min_free_mb=0, threads=2, offline=True, outage_seconds=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings)
    specs = [pool.register(encoder).spec for encoder in encoders or (ColourEncoder(),)]
    runtime = assemble(
        settings, OracleVectorStore(), LocalObjectStore(folder / "objects", min_free_mb=0), pool
    )
    runtime.catalog.create(CATEGORY, specs)
    return runtime


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Files below a folder, by relative path."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def payloads(runtime: Runtime) -> dict[str, dict[str, object]]:
    """Every payload of the category by file name."""
    hits = runtime.vectors.scroll(CATEGORY, limit=10_000).hits
    return {str(hit.payload["filename"]): hit.payload for hit in hits}
