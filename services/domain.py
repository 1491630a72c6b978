"""The small frozen types that all parts use.

A category is an image collection of the user: a Qdrant collection with one point an image. A filter is a
``Filter`` of ours, which is translated once at each engine's edge. Similarities are cosine similarities in
-1..1, higher is closer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

if TYPE_CHECKING:  # numpy takes a tenth of a second: here only types need it
    import numpy as np
    from numpy.typing import NDArray

    from vitrine.services.filters.conditions import Filter

Embedding: TypeAlias = "NDArray[np.float32]"
"""(dim,), L2-normalised."""
Embeddings: TypeAlias = "NDArray[np.float32]"
"""(n, dim), each row L2-normalised; row i belongs to input i."""
Payload = dict[str, Any]
"""JSON values by field; the fields are listed in docs/architecture.md."""
Modality = Literal["image", "text"]
IndexKind = Literal["keyword", "integer", "float", "bool", "datetime"]
Quantization = Literal["int8", "turbo4"]
"""Smaller copies of the vectors that searches look through first: 8 bits a component, or 4 (TurboQuant)."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image is prepared for an encoder; part of the encoder's identity.

    ``resize``: shortest edge in pixels, or (height, width) when the aspect is not kept. ``crop``: centre crop
    (height, width), or None. Pixels in 0..1 are normalised as (x - mean) / std per channel.
    ``interpolation``: a Pillow name such as "bicubic". ``channels``: the order in which the model reads them.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    channels: Literal["rgb", "bgr"] = "rgb"

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing whose fields are in a JSON object, with lists for tuples."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()
        }
        return cls(**fields)

    @property
    def target(self) -> int:
        """The longest side in pixels that the encoder looks at: decoders need not deliver much more."""
        sizes = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        return max(*sizes, *(self.crop or (0,)), 1)


@dataclass(frozen=True)
class EncoderSpec:
    """The identity of an encoder. Two encoders with equal ``fingerprint`` give the same embeddings.

    ``name`` is also the named vector it fills and the ``using`` of a query. ``model`` is a hub name or a
    folder. ``revision`` is the hub commit, or ``sha256:...`` over a local folder. ``pooling``: what of the
    network's output is the embedding (services/encoders/graphs/graph.py); None where nobody said, as in
    manifests of 0.5 and earlier.
    """

    name: str
    model: str
    revision: str
    dim: int
    modalities: tuple[Modality, ...]
    preprocessing: Preprocessing
    pooling: str | None = None

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What must not change once a category has images. The path of the model may, since its revision is
        a hash of its content."""
        return (self.revision, self.dim, self.modalities, self.preprocessing)


@dataclass(frozen=True)
class VectorSpec:
    """One named vector of a collection: cosine similarity, ``dim`` components."""

    name: str
    dim: int


@dataclass(frozen=True)
class CollectionSchema:
    """The named vectors of a collection, its payload indexes by field path, and whether the search index
    holds quantised copies of the vectors; the vectors themselves are kept, and decide the order of hits."""

    name: str
    vectors: tuple[VectorSpec, ...]
    indexes: Mapping[str, IndexKind] = field(default_factory=dict)
    quantization: Quantization | None = None

    def dim(self, using: str) -> int | None:
        """Return the dimension of the named vector; None if there is none of this name."""
        return next((v.dim for v in self.vectors if v.name == using), None)


@dataclass(frozen=True)
class CollectionInfo:
    """The present state of a collection. ``indexed``: vectors in the HNSW graph; the others are searched
    exactly. ``status``: "damaged" where a read has found that something is not as it was written, "red"
    where a server says that a collection is not whole."""

    schema: CollectionSchema
    points: int
    indexed: int
    status: Literal["green", "indexing", "red", "damaged"]


@dataclass(frozen=True)
class Point:
    """One image: its id (a UUID), its vectors by name (some may be missing), and its payload."""

    id: str
    vectors: Mapping[str, Embedding]
    payload: Payload


@dataclass(frozen=True)
class Hit:
    """One image of an answer. ``similarity`` is None where nothing was compared (listing, order, random); for
    ``Fuse`` it is the RRF score. ``payload_json``: what is stored of the image, as JSON text, ready to be
    copied into an answer; ``payload`` is the same as a dictionary. ``vectors``: those that were asked for."""

    id: str
    similarity: float | None = None
    payload_json: bytes = b"{}"
    vectors: Mapping[str, Embedding] = field(default_factory=dict)

    @cached_property
    def payload(self) -> Payload:
        """What is stored of the image. Read from ``payload_json`` when it is first looked at."""
        payload: Payload = orjson.loads(self.payload_json)
        return payload


@dataclass(frozen=True)
class Facet:
    """A value of a keyword, integer or bool field, and how many points have it."""

    value: str | int | bool
    count: int


@dataclass(frozen=True)
class Bin:
    """Images with ``lower <= value < upper``; the last bin of a histogram includes its upper edge."""

    lower: float
    upper: float
    count: int


# Queries
# -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Near:
    """Nearest to a vector."""

    vector: Embedding


@dataclass(frozen=True)
class NearPoint:
    """Nearest to the vector of a point, which is among the hits unless it is excluded."""

    id: str


@dataclass(frozen=True)
class Recommend:
    """Nearest to 2 mean(positive) - mean(negative) (to mean(positive) without negatives), Qdrant's
    AVERAGE_VECTOR strategy."""

    positive: Embeddings
    negative: Embeddings | None = None


@dataclass(frozen=True)
class OrderBy:
    """Ordered by an indexed number or datetime, then by id. Points without the field are left out; a point
    with several values stands at the least of them, or at the greatest when ``descending``."""

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Random:
    """A random sample."""


@dataclass(frozen=True)
class Fuse:
    """Reciprocal rank fusion of several named vectors: score = sum of 1 / (k + rank), with ranks from 0
    (Cormack et al., 2009)."""

    vectors: Mapping[str, Embedding]
    k: int = 60


@dataclass(frozen=True)
class AllBut:
    """All fields of a payload but these, which are fields of the payload itself and no paths into them."""

    fields: tuple[str, ...]


Fields: TypeAlias = bool | tuple[str, ...] | AllBut
"""What is returned of a payload: all of it, nothing, the fields at these paths, or all but some."""


@dataclass(frozen=True)
class Query:
    """One query to a collection.

    ``using`` names the vector for Near, NearPoint and Recommend. ``min_similarity`` keeps hits at or above
    it, as far as similarities are known (``vitrine.services.vector_store.similarity``). ``exclude``: ids that
    are left out, such as the query image. ``offset`` and ``limit`` cut a slice of the answer, in which each
    point occurs once.
    """

    ask: Near | NearPoint | Recommend | OrderBy | Random | Fuse
    using: str = ""
    filter: Filter | None = None
    limit: int = 10
    offset: int = 0
    min_similarity: float | None = None
    exclude: tuple[str, ...] = ()
    with_payload: Fields = True
    with_vectors: tuple[str, ...] = ()
    exact: bool = False


@dataclass(frozen=True)
class Page:
    """One page of a listing. ``cursor`` asks for the next page; None at the end."""

    hits: tuple[Hit, ...]
    cursor: str | None
