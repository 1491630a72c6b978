"""Trained encoders without weights: folders that load as encoders of colours, each with a projection of its
own."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.indexer.pictures import CATEGORY
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.domain import Embeddings
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.families.built_in import built_in_families
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.registry import EncoderFamily
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.settings import Settings
from vitrine.services.vector_store.base import VectorStore

DIM = 32


class TrainedColours(ColourEncoder):
    """Colours turned by the seed that the folder's ``config.json`` names."""

    encoded = 0

    def __init__(self, reference: EncoderReference, found: ResolvedModel) -> None:
        super().__init__(reference.name, DIM)
        self._spec = replace(
            self._spec, model=reference.model, revision=found.revision, modalities=("image",)
        )
        seed = json.loads((found.path / "config.json").read_text())["seed"]
        turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((DIM, DIM)))
        self._turn = turn.astype(np.float32)

    def encode_pixels(self, pixels: list[Pixels]) -> Embeddings:  # type: ignore[override]
        if threading.current_thread().name.startswith("encoder-"):  # the pool's, not the proof's when loading
            TrainedColours.encoded += len(pixels)
        return super().encode_pixels(pixels) @ self._turn


class TrainedFamily(EncoderFamily):
    """Loads every folder as ``TrainedColours``."""

    def takes(self, config: Mapping[str, Any]) -> bool:
        return True

    def load(self, reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader) -> Encoder:
        return TrainedColours(reference, found)


def trained_folder(folder: Path, seed: int = 1) -> Path:
    """An encoder's folder; another seed is another encoder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"seed": seed}))
    (folder / "embedder.safetensors").write_bytes(bytes([seed % 256]) * 64)
    (folder / "split.json").write_text(
        json.dumps({"protocol": "given", "train": [], "validation": [], "test": [], "classes": {}})
    )
    (folder / "report.md").write_text("# Report\n")
    return folder


def trained_runtime(data: Path, vectors: VectorStore | None = None) -> Runtime:
    """A runtime that loads such folders, with the empty category of ``make_runtime`` if the store is new."""
    settings = Settings(data=data, min_free_mb=0, threads=2, offline=True, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    objects = LocalObjectStore(data / "objects", min_free_mb=0)
    pool = EncoderPool(settings, (TrainedFamily(), *built_in_families()), objects)
    runtime = assemble(settings, vectors or OracleVectorStore(), objects, pool)
    if CATEGORY not in [category.name for category in runtime.catalog.list()]:
        runtime.catalog.create(CATEGORY, [pool.register(ColourEncoder()).spec])
    return runtime


def expected_row(encoder: Encoder, data: bytes) -> Embeddings:
    """(dim,) the embedding of one file."""
    with Image.open(io.BytesIO(data)) as image:
        return encoder.encode_images([image.convert("RGB")])[0]
