"""The manifest of a category: one JSON object in the object store.

It binds the category to the revisions and preprocessing of its encoders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from vitrine.services.domain import (
    CollectionSchema,
    EncoderSpec,
    IndexKind,
    Preprocessing,
    Quantization,
    VectorSpec,
)
from vitrine.services.errors import BadRequest, UnknownVector, remedy
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.keys import MANIFESTS
from vitrine.services.sealed import sealed, unsealed

FORMAT = 3
"""The format of manifests."""
_UNSEALED = 2
"""The format of versions 0.5 to 0.8, whose manifests have no checksum."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a category can be called."""


@dataclass(frozen=True)
class Category:
    """One image collection of the user, as its manifest describes it. Queries use the first encoder unless
    they name another."""

    name: str
    description: str
    encoders: tuple[EncoderSpec, ...]
    indexes: Mapping[str, IndexKind]
    created_at: str
    updated_at: str
    images: int = 0
    """As counted at the end of the last indexing run; ``VectorStore.count`` counts the present ones."""
    deleting: bool = False
    """Not in service: its deletion has begun, or its creation has not ended."""
    keep_images: bool = False
    """While ``deleting``: the pictures stay in the object store."""
    promoted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Named vectors by the name that queries use: the one in service first, then those it replaced, latest
    first."""
    default: str | None = None
    """The named vector, or name of ``promoted``, of queries without ``using``; None: the first encoder."""
    replaced: Mapping[str, str | None] = field(default_factory=dict)
    """For each name of ``promoted`` that became the default: what ``default`` was before."""
    quantization: Quantization | None = None
    """Whether the search index holds quantised copies of the vectors, and which."""

    def encoder(self, using: str | None = None) -> EncoderSpec:
        """Return the encoder of ``using``, a named vector or a promoted name (None: the default).
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

    def encoder_at(self, using: str, revision: str, dim: int | None = None) -> EncoderSpec | None:
        """Return the encoder that something was made on, as the artifact remembers it; None if the category
        has it no longer."""
        for spec in self.encoders:
            if (spec.name, spec.revision) == (using, revision) and dim in (None, spec.dim):
                return spec
        return None

    @property
    def active_encoders(self) -> tuple[EncoderSpec, ...]:
        """The encoders of new images: all but those that a promotion replaced."""
        retired = {name for versions in self.promoted.values() for name in versions[1:]}
        return tuple(spec for spec in self.encoders if spec.name not in retired)

    @property
    def schema(self) -> CollectionSchema:
        vectors = tuple(VectorSpec(spec.name, spec.dim) for spec in self.encoders)
        return CollectionSchema(self.name, vectors, dict(self.indexes), self.quantization)


def check_name(name: str) -> None:
    """Raise ``BadRequest`` unless ``name`` can be the name of a category."""
    if not NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot name a category: use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or "
            "digit.",
            name=name,
        )


def spec_to_json(spec: EncoderSpec) -> dict[str, Any]:
    """Return an encoder's spec as a JSON object; ``spec_from_json`` reads it back."""
    return asdict(spec)


def spec_from_json(tree: Mapping[str, Any]) -> EncoderSpec:
    """Return the encoder's spec of such a JSON object."""
    pixels = Preprocessing.from_json(tree["preprocessing"])
    rest = {key: value for key, value in tree.items() if key not in ("preprocessing", "modalities")}
    return EncoderSpec(preprocessing=pixels, modalities=tuple(tree["modalities"]), **rest)


def manifest_json(category: Category) -> bytes:
    """Return a manifest as bytes; ``read_manifest`` reads them back."""
    return orjson.dumps(sealed({"format": FORMAT, **asdict(category)}), option=orjson.OPT_INDENT_2)


def read_manifest(name: str, data: bytes) -> Category:
    """Return the category that a manifest describes.

    ``StoreDamaged`` if it is not a manifest, or another category's; ``OtherFormat`` if another version of
    Vitrine wrote it.
    """
    advice = (
        f"`vitrine check {name} --repair` puts its copy in its place. Where there is none: {remedy(name)}"
    )
    with readable(name, manifest_key(name), advice):
        tree = orjson.loads(data)
        tree = unsealed(tree, optional=tree["format"] <= _UNSEALED)
        found, again = tree.pop("format"), remedy(name, "Index it again")
        check_format(found, FORMAT, f"Category {name!r}", again, oldest=_UNSEALED, category=name)
        encoders = tuple(spec_from_json(spec) for spec in tree.pop("encoders"))
        promoted = {alias: tuple(names) for alias, names in tree.pop("promoted").items()}
        category = Category(encoders=encoders, promoted=promoted, **tree)
        if category.name != name or not (encoders or category.deleting):
            raise ValueError("it is another category's")
        return category


def manifest_key(name: str) -> str:
    """Return the key of a category's manifest in the object store."""
    return f"{MANIFESTS}{name}.json"


def now() -> str:
    """Return the present time in UTC, as RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
