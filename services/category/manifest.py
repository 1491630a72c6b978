"""What is kept of a category: its manifest, one JSON object in the object store.

A manifest binds a category to the revisions and preprocessing of its encoders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from vitrine.services.domain import CollectionSchema, EncoderSpec, IndexKind, Preprocessing, VectorSpec
from vitrine.services.errors import BadRequest, UnknownVector, remedy
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.keys import MANIFESTS

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a category can be called."""


@dataclass(frozen=True)
class Category:
    """One image collection of the user, as its manifest has it. The first encoder is what queries use by
    default."""

    name: str
    description: str
    encoders: tuple[EncoderSpec, ...]
    indexes: Mapping[str, IndexKind]
    created_at: str
    updated_at: str
    images: int = 0
    """As counted at the end of the last indexing run; ``VectorStore.count`` knows the present."""
    deleting: bool = False
    """It is not in service: its deletion has begun, or its creation has not ended."""
    keep_images: bool = False
    """While ``deleting``: the pictures stay in the object store."""
    promoted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Named vectors by the name they are asked by: the one in service first, then those it replaced, latest
    first."""
    default: str | None = None
    """What queries without ``using`` compare: a named vector or a name of ``promoted``; None: the first
    encoder."""
    replaced: Mapping[str, str | None] = field(default_factory=dict)
    """By name of ``promoted`` that became the default: what ``default`` was before."""

    def encoder(self, using: str | None = None) -> EncoderSpec:
        """The encoder behind ``using``, a named vector or a promoted name (None: the default);
        ``UnknownVector``."""
        if using is None:
            using = self.default or self.encoders[0].name
        wanted = self.promoted[using][0] if using in self.promoted else using
        for spec in self.encoders:
            if spec.name == wanted:
                return spec
        known = ", ".join([*self.promoted, *(spec.name for spec in self.encoders)])
        raise UnknownVector(
            f"Category {self.name!r} has no vector named {using!r}; it has: {known}.", using=using
        )

    @property
    def active_encoders(self) -> tuple[EncoderSpec, ...]:
        """The encoders that new images are embedded by: all but those that a promotion replaced."""
        retired = {name for versions in self.promoted.values() for name in versions[1:]}
        return tuple(spec for spec in self.encoders if spec.name not in retired)

    @property
    def schema(self) -> CollectionSchema:
        vectors = tuple(VectorSpec(spec.name, spec.dim) for spec in self.encoders)
        return CollectionSchema(self.name, vectors, dict(self.indexes))


def check_name(name: str) -> None:
    """Raise ``BadRequest`` unless ``name`` can be a category's."""
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be a category: use 1 to 63 of a-z, 0-9, - and _, beginning with a letter "
            "or digit.",
            name=name,
        )


def spec_to_json(spec: EncoderSpec) -> dict[str, Any]:
    """JSON object of an encoder's spec; ``spec_from_json`` reads it back equal."""
    return asdict(spec)


def spec_from_json(tree: Mapping[str, Any]) -> EncoderSpec:
    """An encoder's spec from ``spec_to_json``'s object, after a trip through JSON too."""
    pixels = dict(tree["preprocessing"])
    for name in ("resize", "crop", "mean", "std"):
        pixels[name] = tuple(pixels[name]) if isinstance(pixels[name], list) else pixels[name]
    rest = {key: value for key, value in tree.items() if key not in ("preprocessing", "modalities")}
    return EncoderSpec(preprocessing=Preprocessing(**pixels), modalities=tuple(tree["modalities"]), **rest)


def manifest_json(category: Category) -> bytes:
    """The bytes of a manifest; ``read_manifest`` reads them back equal."""
    tree = asdict(category)
    return orjson.dumps({"format": 1, **tree}, option=orjson.OPT_INDENT_2)


def read_manifest(name: str, data: bytes) -> Category:
    """The category of a manifest. ``StoreDamaged`` if it is none, or another category's."""
    with readable(name, manifest_key(name), remedy(name)):
        tree = orjson.loads(data)
        if tree.pop("format") != 1:
            raise BadRequest(f"The manifest of {name!r} was written by a newer Vitrine: update this one.")
        encoders = tuple(spec_from_json(spec) for spec in tree.pop("encoders"))
        promoted = {alias: tuple(names) for alias, names in tree.pop("promoted", {}).items()}
        category = Category(encoders=encoders, promoted=promoted, **tree)
        if category.name != name or not (encoders or category.deleting):
            raise ValueError("it is another category's")
        return category


def manifest_key(name: str) -> str:
    """Where the manifest of a category lies."""
    return f"{MANIFESTS}{name}.json"


def now() -> str:
    """RFC 3339, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
