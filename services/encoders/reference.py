"""How a person names an encoder: a preset, ``name=model[@revision]``, a folder or a hub name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vitrine.services.errors import BadRequest

COLOUR_MODEL = "vitrine/colour"
"""The encoder of colours alone: no weights, for trying things out and for tests."""
DEMO_MODEL = "vitrine/demo-clip"
"""The small CLIP model that comes with the project."""
STORED = "store:"
"""Begins the model of an encoder that lies in the object store: see services/encoders/families/stored.py."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:-]*")


@dataclass(frozen=True)
class EncoderReference:
    """``name`` becomes the named vector; ``revision`` None means the latest.

    ``model`` is a hub name, a folder, a built-in, or ``store:_encoders/<category>/<name>/<version>``.
    """

    name: str
    model: str
    revision: str | None = None


PRESETS = {
    "clip": EncoderReference(
        "clip", "openai/clip-vit-base-patch32", "c237dc49a33fc61debc9276459120b7eac67e7ef"
    ),
    "vit": EncoderReference(
        "vit", "google/vit-base-patch16-224-in21k", "b4569560a39a0f1af58e3ddaf17facf20ab919b0"
    ),
    "demo": EncoderReference("demo", DEMO_MODEL),
    "colour": EncoderReference("colour", COLOUR_MODEL),
}
"""Short names. Hub models are pinned to a commit that has safetensors weights: the main branch of the CLIP
repository has only a pickle, the pinned commit is its conversion."""


def parse_reference(text: str) -> EncoderReference:
    """Read ``clip``, ``mine=org/model@commit``, ``org/model`` or ``./folder``.

    Without a name, the last part of the model gives it ("./My.Model" is "my-model"). Raises BadRequest.
    """
    text = text.strip()
    if text in PRESETS:
        return PRESETS[text]
    name, equals, model = text.partition("=")
    if not equals:
        name, model = "", text
    model, revision = _split_revision(model.strip())
    if not model:
        raise BadRequest(
            f"{text!r} names no encoder. Give {', '.join(PRESETS)}, name=model[@revision], a folder or "
            "a hub name."
        )
    name = name.strip() if equals else name_of(model)
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} is not an encoder name: use a-z, 0-9, - and _, at most 64, starting with a "
            "letter or digit."
        )
    return EncoderReference(name, model, revision)


def name_of(model: str) -> str:
    """Return a name from the last part of a folder or hub name, or from a stored encoder's own."""
    if model.startswith(STORED):
        model = model.rpartition("/")[0]  # the last part is a version
    last = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if last in (".", ".."):
        last = Path(model).resolve().name
    return re.sub(r"[^a-z0-9_]+", "-", last.lower()).strip("-_")[:64] or "encoder"


def _split_revision(model: str) -> tuple[str, str | None]:
    before, at, revision = model.rpartition("@")
    if at and before and _REVISION.fullmatch(revision) and not Path(model).is_dir():
        return before, revision
    return model, None
