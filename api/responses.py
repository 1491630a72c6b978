"""Domain values as the API's JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from vitrine.services.domain import AllBut, EncoderSpec, Hit
from vitrine.services.encoders.reference import STORED
from vitrine.services.object_store.keys import ENCODERS

_KEY: Final = "object_key"
_HIDDEN: Final = b'"object_key"'
SHOWN: Final = AllBut((_KEY,))
"""What clients see of a payload: all but the field that says where the server keeps the file. Of hits that
were read with these fields alone, payloads are copied into the answer as they are stored."""


def hit_json(category: str, hit: Hit) -> dict[str, Any]:
    """Return a hit as ``HitOut``."""
    return _hit_json(_images_path(category), hit)


def shown_payload(hit: Hit) -> bytes | dict[str, Any]:
    """Return what clients see of the payload: as JSON text where there is nothing to hide in it.

    >>> shown_payload(Hit("1", payload_json=b'{"class":"hat"}'))
    b'{"class":"hat"}'
    >>> shown_payload(Hit("1", payload_json=b'{"class":"hat","object_key":"shop/1.jpg"}'))
    {'class': 'hat'}
    """
    if _HIDDEN not in hit.payload_json:
        return hit.payload_json
    return {field: value for field, value in hit.payload.items() if field != _KEY}


def shown_similarity(hit: Hit) -> float | None:
    """Return the similarity, rounded to what float32 knows."""
    return None if hit.similarity is None else round(float(hit.similarity), 6)


def hits_json(category: str, hits: Iterable[Hit]) -> list[dict[str, Any]]:
    """Return hits as ``HitOut``."""
    images = _images_path(category)
    return [_hit_json(images, hit) for hit in hits]


def image_urls(category: str, id: str) -> dict[str, str]:
    """Return the ``Urls`` of an image."""
    return _urls(_images_path(category), id)


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


def _hit_json(images: str, hit: Hit) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": hit.id,
        "similarity": shown_similarity(hit),
        "payload": shown_payload(hit),
        "urls": _urls(images, hit.id),
    }
    return {**tree, "vectors": dict(hit.vectors)} if hit.vectors else tree


def _images_path(category: str) -> str:
    return f"/v1/categories/{quote(category, safe='')}/images"


def _urls(images: str, id: str) -> dict[str, str]:
    path = f"{images}/{id}"  # ids are UUIDs
    return {"self": path, "file": f"{path}/file", "thumbnail": f"{path}/thumbnail"}
