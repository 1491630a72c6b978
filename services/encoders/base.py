"""What an encoder is: a frozen spec and a function from images (and texts) to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

from services.domain import Embeddings, EncoderSpec


class Encoder(Protocol):
    """Turns RGB images into embeddings.

    ``encode_images`` takes n PIL images in mode RGB of any size and gives float32 (n, dim), L2-normalised, row i for image i;
    (0, dim) for none. Not thread-safe: one thread owns a model (see services/encoders/batching.py).
    """

    @property
    def spec(self) -> EncoderSpec: ...

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings: ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder whose texts share the images' space. ``encode_texts`` gives float32 (n, dim), L2-normalised."""

    def encode_texts(self, texts: Sequence[str]) -> Embeddings: ...
