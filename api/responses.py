"""Domain values as the API's JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from vitrine.services.domain import EncoderSpec, Hit
from vitrine.services.encoders.reference import STORED
from vitrine.services.object_store.keys import ENCODERS

_INTERNAL = frozenset({"object_key"})
"""Payload fields that say where the server keeps things."""


def hit_json(category: str, hit: Hit) -> dict[str, Any]:
    """Return a hit as ``HitOut``."""
    tree: dict[str, Any] = {
        "id": hit.id,
        "similarity": shown_similarity(hit),
        "payload": {field: value for field, value in hit.payload.items() if field not in _INTERNAL},
        "urls": image_urls(category, hit.id),
    }
    if hit.vectors:
        tree["vectors"] = {name: vector.tolist() for name, vector in hit.vectors.items()}
    return tree


def shown_similarity(hit: Hit) -> float | None:
    """Return the similarity, rounded to what float32 knows."""
    return None if hit.similarity is None else round(float(hit.similarity), 6)


def hits_json(category: str, hits: Iterable[Hit]) -> list[dict[str, Any]]:
    return [hit_json(category, hit) for hit in hits]


def image_urls(category: str, id: str) -> dict[str, str]:
    """Return the ``Urls`` of an image."""
    path = f"/v1/categories/{quote(category, safe='')}/images/{quote(id, safe='')}"
    return {"self": path, "file": f"{path}/file", "thumbnail": f"{path}/thumbnail"}


def encoder_json(spec: EncoderSpec, *, modalities: bool = True) -> dict[str, Any]:
    """Return an ``EncoderOut``, or the part of it that search answers have."""
    tree: dict[str, Any] = {
        "name": spec.name,
        "model": shown_model(spec.model),
        "revision": spec.revision,
        "dim": spec.dim,
    }
    return {**tree, "modalities": list(spec.modalities)} if modalities else tree


def shown_model(model: str) -> str:
    """Return what clients see of a model: a hub name as it is; of a folder only the last part, as the rest is
    the server's business; of an encoder trained for a category the category, its name and version.

    >>> shown_model("openai/clip-vit-base-patch32"), shown_model("/srv/models/mine/")
    ('openai/clip-vit-base-patch32', 'mine')
    >>> shown_model("store:_encoders/shop/look/1")
    'shop/look/1'
    """
    if model.startswith(STORED):
        return model.removeprefix(STORED).removeprefix(ENCODERS)
    is_folder = model.count("/") > 1 or model.startswith(("/", ".", "~")) or "\\" in model
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2] if is_folder else model
