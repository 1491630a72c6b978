"""The small frozen types that every part speaks in.

A category is a user's image collection; one Qdrant collection stands behind it, one image is one point. A
filter is ``qdrant_client.models.Filter``: Qdrant's own words, taken by the server as they are and translated
once for the embedded engine. Similarities are cosine similarities in -1..1, higher is closer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing qdrant_client costs over a second: only type checkers need it here
    from qdrant_client.models import Filter

Embedding = NDArray[np.float32]
"""(dim,), L2-normalised."""
Embeddings = NDArray[np.float32]
"""(n, dim), each row L2-normalised; row i belongs to input i."""
Payload = dict[str, Any]
"""JSON values by field; the fields are listed in docs/architecture.md."""
Modality = Literal["image", "text"]
IndexKind = Literal["keyword", "integer", "float", "bool", "datetime"]


@dataclass(frozen=True)
class Preprocessing:
    """How pixels reach an encoder; part of its identity.

    ``resize``: shortest edge in pixels, or (height, width) when the aspect is not kept. ``crop``: centre crop
    (height, width), or None. Pixels in 0..1 are normalised as (x - mean) / std per RGB channel.
    ``interpolation``: a Pillow name such as "bicubic".
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"

    @property
    def target(self) -> int:
        """Longest side of the pixels that are looked at: decoders need not deliver much more."""
        sizes = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        return max(*sizes, *(self.crop or (0,)), 1)


@dataclass(frozen=True)
class EncoderSpec:
    """The frozen identity of an encoder. Two encoders with equal ``fingerprint`` give the same embeddings.

    ``name`` is also the named vector it fills and the ``using`` of a query. ``model`` is a hub name or a
    folder. ``revision`` is the hub commit, or ``sha256:...`` over a local folder.
    """

    name: str
    model: str
    revision: str
    dim: int
    modalities: tuple[Modality, ...]
    preprocessing: Preprocessing

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What must not change once a category is filled. The model's path may: its content is the
        revision."""
        return (self.revision, self.dim, self.modalities, self.preprocessing)


@dataclass(frozen=True)
class VectorSpec:
    """One named vector of a collection: cosine similarity, ``dim`` components."""

    name: str
    dim: int


@dataclass(frozen=True)
class CollectionSchema:
    """What a collection holds: its named vectors, and its payload indexes by field path."""

    name: str
    vectors: tuple[VectorSpec, ...]
    indexes: Mapping[str, IndexKind] = field(default_factory=dict)

    def dim(self, using: str) -> int | None:
        """Dimension of the named vector, or None if there is no such."""
        return next((v.dim for v in self.vectors if v.name == using), None)


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as it is. ``indexed`` counts vectors under HNSW; the rest are searched exactly."""

    schema: CollectionSchema
    points: int
    indexed: int
    status: Literal["green", "indexing", "red"]


@dataclass(frozen=True)
class Point:
    """One image: a UUID string, its vectors by name (some may be missing), its payload."""

    id: str
    vectors: Mapping[str, Embedding]
    payload: Payload


@dataclass(frozen=True)
class Hit:
    """One answer. ``similarity`` is None where nothing was compared (listing, order, random); under Fuse it
    is the RRF score."""

    id: str
    similarity: float | None = None
    payload: Payload = field(default_factory=dict)
    vectors: Mapping[str, Embedding] = field(default_factory=dict)


@dataclass(frozen=True)
class Facet:
    """A value of a keyword, integer or bool field and how many points carry it."""

    value: str | int | bool
    count: int


# What is asked
# -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """Nearest to a vector."""

    vector: Embedding


@dataclass(frozen=True)
class Recommend:
    """Nearest to 2 mean(positive) - mean(negative) (to mean(positive) without negatives), Qdrant's
    AVERAGE_VECTOR strategy."""

    positive: Embeddings
    negative: Embeddings | None = None


@dataclass(frozen=True)
class OrderBy:
    """By an indexed number or datetime, and by id where it is equal. Points without the field are left out;
    one with several values stands at the least of them, or at the greatest when ``descending``."""

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Random:
    """A random sample."""


@dataclass(frozen=True)
class Fuse:
    """Reciprocal rank fusion of several named vectors: score = sum of 1 / (k + rank), rank from 0 (Cormack et
    al., 2009)."""

    vectors: Mapping[str, Embedding]
    k: int = 60


@dataclass(frozen=True)
class Query:
    """One question to a collection.

    ``using`` names the vector for Near and Recommend. ``min_similarity`` keeps hits at or above it, as far as
    similarities are known (``vitrine.services.vector_store.similarity``). ``exclude`` leaves these ids out
    (the query image itself). ``with_payload`` may list the field paths to return. ``offset`` and ``limit``
    cut a slice of one answer, in which each point stands once.
    """

    ask: Near | Recommend | OrderBy | Random | Fuse
    using: str = ""
    filter: Filter | None = None
    limit: int = 10
    offset: int = 0
    min_similarity: float | None = None
    exclude: tuple[str, ...] = ()
    with_payload: bool | tuple[str, ...] = True
    with_vectors: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Page:
    """One page of a listing. ``cursor`` asks for the next page; None at the end."""

    hits: tuple[Hit, ...]
    cursor: str | None
