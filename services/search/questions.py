"""What a search can ask for: the images like a text, a picture, an image of the category, a vector, examples,
or like one image by several vectors at once.

A question says which encoder answers it, which things it needs the vectors of (``things``), and, once these
are known, near what the engine is to look (``ask``). ``vitrine.services.search.query_vectors`` finds the
vectors, of many questions together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vitrine.services.category.manifest import Category
from vitrine.services.domain import Embedding, EncoderSpec, Fuse, Near, NearPoint, Recommend
from vitrine.services.errors import BadRequest, BadVector


@dataclass(frozen=True)
class Text:
    """Words, to be encoded."""

    text: str


@dataclass(frozen=True)
class Picture:
    """The bytes of an image file, to be encoded."""

    data: bytes


@dataclass(frozen=True)
class Sent:
    """A picture that was sent before (``vitrine.services.search.sent_pictures``), to be encoded."""

    sha256: str


@dataclass(frozen=True)
class Stored:
    """An image of the category, whose vectors are stored."""

    id: str


Thing: TypeAlias = Text | Picture | Sent | Stored
Example: TypeAlias = "str | bytes | Text | Sent"
"""An id of the category, the bytes of an image file, words, or a picture that was sent before."""
Wanted: TypeAlias = tuple[str, Thing]
"""A named vector, and the thing whose vector of that name is wanted."""
Vectors: TypeAlias = Mapping[Wanted, "Embedding"]
Ask: TypeAlias = Near | NearPoint | Recommend | Fuse
"""What the engine is asked."""


class Question(ABC):
    """One of the ways to ask that follow."""

    def encoder(self, cat: Category, using: str | None) -> EncoderSpec:
        """Return the encoder whose vectors are compared. ``UnknownVector``."""
        return cat.encoder(using)

    def things(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        """Return what the question needs the vectors of. ``BadRequest`` if it cannot be asked."""
        return []

    def needed(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        """Return those of the ``things`` whose vectors the engine of the category cannot look up itself."""
        return self.things(cat, spec)

    @abstractmethod
    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Ask:
        """Return what the engine is asked, from the vectors of the question's ``things``, or of those that
        are ``needed``."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """The images that it asks by; they are no answer."""
        return ()


class LikeOne(Question):
    """A question that looks near the vector of one thing."""

    @property
    @abstractmethod
    def thing(self) -> Thing: ...

    def things(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        return [(spec.name, self.thing)]

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Near | NearPoint:
        return Near(vectors[spec.name, self.thing])


@dataclass(frozen=True)
class ByText(LikeOne):
    """The images like a text. ``UnsupportedQuery`` if the encoder reads none, ``BadRequest`` if it is
    empty."""

    text: str

    def encoder(self, cat: Category, using: str | None) -> EncoderSpec:
        """Return the default encoder, or else the first that reads text: promoting an encoder of images alone
        must not end text search."""
        return _reads_text(cat, using)

    @property
    def thing(self) -> Text:
        return Text(self.text)


@dataclass(frozen=True)
class ByImage(LikeOne):
    """The images like a picture, given as the bytes of an image file. ``ImageRefused`` if it cannot be read
    as one."""

    data: bytes

    @property
    def thing(self) -> Picture:
        return Picture(self.data)


@dataclass(frozen=True)
class ById(LikeOne):
    """The images like an image of the category, without that image. Needs no encoder. ``NotFound``."""

    id: str

    @property
    def thing(self) -> Stored:
        return Stored(self.id)

    def needed(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        return []

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Near | NearPoint:
        return super().ask(spec, vectors) if vectors else NearPoint(self.id)

    @property
    def left_out(self) -> tuple[str, ...]:
        return (self.id,)


@dataclass(frozen=True, eq=False)
class ByVector(Question):
    """The images like a vector of the encoder's dimension, which is normalised here. ``BadVector`` if it is
    zero or not finite."""

    vector: Sequence[float] | Embedding

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Near:
        return Near(unit(self.vector))


@dataclass(frozen=True)
class ByExamples(Question):
    """The images like the positive and unlike the negative examples; each is an id of the category, the bytes
    of an image file, a text, or a picture that was sent before. ``NotFound``, ``ImageRefused``,
    ``UnsupportedQuery``, ``BadRequest`` without a positive one.

    Looks near 2 mean(positive) - mean(negative), Qdrant's AVERAGE_VECTOR.
    """

    positive: tuple[Example, ...]
    negative: tuple[Example, ...] = ()

    def encoder(self, cat: Category, using: str | None) -> EncoderSpec:
        with_text = any(isinstance(example, Text) for example in (*self.positive, *self.negative))
        return _reads_text(cat, using) if with_text else cat.encoder(using)

    def things(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        if not self.positive:
            raise BadRequest("Give at least one positive example.")
        return [(spec.name, _thing(example)) for example in (*self.positive, *self.negative)]

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Recommend:
        import numpy as np

        wanted = [vectors[spec.name, _thing(example)] for example in self.positive]
        unwanted = [vectors[spec.name, _thing(example)] for example in self.negative]
        return Recommend(np.stack(wanted), np.stack(unwanted) if unwanted else None)

    @property
    def left_out(self) -> tuple[str, ...]:
        return tuple(each for each in (*self.positive, *self.negative) if isinstance(each, str))


@dataclass(frozen=True)
class ByFusion(Question):
    """The images like an image of the category by several named vectors at once, by reciprocal rank fusion.
    A hit's ``similarity`` is its fusion score. ``NotFound``, ``BadRequest`` for fewer than two vectors."""

    id: str
    using: tuple[str, ...]

    def encoder(self, cat: Category, using: str | None) -> EncoderSpec:
        return cat.encoder(self.using[0] if self.using else using)

    def things(self, cat: Category, spec: EncoderSpec) -> list[Wanted]:
        names = dict.fromkeys(cat.encoder(name).name for name in self.using)
        if len(names) < 2:
            raise BadRequest("Fusion takes at least two named vectors.")
        return [(name, Stored(self.id)) for name in names]

    def ask(self, spec: EncoderSpec, vectors: Vectors) -> Fuse:
        return Fuse({name: vector for (name, _), vector in vectors.items()})

    @property
    def left_out(self) -> tuple[str, ...]:
        return (self.id,)


def unit(vector: Sequence[float] | Embedding) -> Embedding:
    """Return the vector divided by its L2 norm, float32. ``BadVector`` if it is not flat, not finite, or
    zero."""
    import numpy as np

    wide = np.asarray(vector, dtype=np.float64)
    largest = np.abs(wide).max() if wide.ndim == 1 and wide.size else 0.0
    if not np.isfinite(largest) or largest == 0:
        raise BadVector("The vector must be a flat list of finite numbers, not all zero.")
    wide = wide / largest  # squares of large numbers overflow
    scaled: Embedding = (wide / np.linalg.norm(wide)).astype(np.float32)
    return scaled


def _thing(example: Example) -> Thing:
    if isinstance(example, str):
        return Stored(example)
    return Picture(example) if isinstance(example, bytes) else example


def _reads_text(cat: Category, using: str | None) -> EncoderSpec:
    """Return the encoder of this name; without one the default, or else the first that reads text."""
    if using is not None:
        return cat.encoder(using)
    default = cat.encoder()
    return next((spec for spec in (default, *cat.encoders) if "text" in spec.modalities), default)
