"""What an encoder is: a frozen spec and a function from images (and texts) to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import EncoderMismatch

if TYPE_CHECKING:
    from PIL import Image


class Encoder(Protocol):
    """Turns RGB images into embeddings.

    ``encode_images`` takes n PIL images in mode RGB of any size and gives float32 (n, dim), L2-normalised,
    row i for image i; (0, dim) for none. Not thread-safe: one thread owns a model (see
    services/encoders/batching.py).
    """

    @property
    def spec(self) -> EncoderSpec: ...

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings: ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder whose texts share the images' space. ``encode_texts`` gives float32 (n, dim),
    L2-normalised."""

    def encode_texts(self, texts: Sequence[str]) -> Embeddings: ...


@dataclass(frozen=True)
class Begun:
    """Inputs that an encoder has begun with, for the thread that owns the model.

    ``ended`` says whether all are done, as far as was waited for; ``advance`` waits until some more are and
    raises nothing; ``rows`` waits for all and returns (n, dim), or raises what went wrong.
    """

    ended: Callable[[], bool]
    advance: Callable[[], object]
    rows: Callable[[], Embeddings]


def done(rows: Embeddings) -> Begun:
    """Return inputs that were done at once."""
    return Begun(lambda: True, lambda: None, lambda: rows)


def check_encoder(expected: EncoderSpec, found: EncoderSpec) -> None:
    """Raise ``EncoderMismatch`` unless ``found`` gives the embeddings that a category's vector of that name
    holds. Poolings are compared where both state theirs."""
    differs = [
        f
        for f in ("revision", "dim", "modalities", "preprocessing")
        if getattr(expected, f) != getattr(found, f)
    ]
    if expected.pooling and found.pooling and expected.pooling != found.pooling:
        differs.append("pooling")
    if not differs:
        return
    raise EncoderMismatch(
        f"The category holds vectors of {expected.name} at revision {expected.revision}, but the "
        f"encoder found is at revision {found.revision} (other {' and '.join(differs)}). Bring the "
        "former weights back, or add this one under another name.",
        using=expected.name,
        expected=expected.revision,
        found=found.revision,
    )
