"""Find where in a folder a model's config and weights lie.

transformers    config.json, and model.safetensors or its parts
open_clip       open_clip_config.json and open_clip_model.safetensors, without a model of transformers
sentence-transformers    modules.json, and the model in a folder below, such as 0_CLIPModel/
timm            config.json that names an architecture, and model.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.services.encoders.folders.contents import check_config, check_modules, check_weights
from vitrine.services.encoders.folders.json_file import read_json
from vitrine.services.encoders.folders.no_model import why_no_model
from vitrine.services.errors import ModelUnavailable

CONFIG = "config.json"
OPEN_CLIP_CONFIG = "open_clip_config.json"
MODULES = "modules.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"
_OPEN_CLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", WEIGHTS)


@dataclass(frozen=True)
class ModelFolder:
    """A model in a folder.

    ``path``: where config and weights lie, the named folder or one below it. ``config``: what its config.json
    says, or its open_clip_config.json in open_clip's layout. ``weights``: the safetensors files that hold the
    model, in the order of their names; empty for kinds of Vitrine's own that keep them deeper.
    """

    path: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]


def find_layout(folder: Path) -> ModelFolder | None:
    """Return the model in ``folder``; None where there is none with safetensors weights. Only names of files
    are looked at, and the config is read."""
    if is_open_clip(folder):
        weights = _first(folder, _OPEN_CLIP_WEIGHTS) or tuple(sorted(folder.glob("*.safetensors")))[:1]
        return ModelFolder(folder, read_json(folder / OPEN_CLIP_CONFIG), weights) if weights else None
    if (inner := _inner_module(folder)) is not None:
        return ModelFolder(inner, read_json(inner / CONFIG), _weights(inner))
    if not (folder / CONFIG).is_file() or not any(folder.rglob("*.safetensors")):
        return None
    return ModelFolder(folder, read_json(folder / CONFIG), _weights(folder))


def read_layout(folder: Path) -> ModelFolder:
    """Return the model in ``folder``, whose config and weights look as an encoder's should.

    Raises ModelUnavailable, with a sentence on what lies there and what to do, where there is no model that
    can be read: no weights, only pickled ones or those of another runtime, pointers instead of files, cut
    files, quantised weights, an adapter, a part of a model, or a model that makes no vectors of pictures.
    """
    found = find_layout(folder)
    if found is None:
        raise ModelUnavailable(why_no_model(folder))
    check_weights(found.path, found.weights)
    if not isinstance(found.config.get("vitrine"), str):
        check_config(found.path, found.config, open_clip=is_open_clip(found.path))
    if found.path != folder:
        check_modules(folder)
    return found


def is_open_clip(folder: Path) -> bool:
    """Return whether the folder's model is in open_clip's layout: transformers has the first choice where
    there are both."""
    if not (folder / OPEN_CLIP_CONFIG).is_file():
        return False
    return not ((folder / CONFIG).is_file() and any((folder / name).is_file() for name in (WEIGHTS, INDEX)))


def is_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is one of timm."""
    return "architecture" in config and ("pretrained_cfg" in config or "input_size" in config)


def _inner_module(folder: Path) -> Path | None:
    """Return the folder of the model of sentence-transformers' layout, None where it is another layout."""
    if not (folder / MODULES).is_file() or any(folder.glob("*.safetensors")):
        return None
    return next((path for path in sorted(folder.glob("0_*")) if _is_model(path)), None)


def _is_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and any(folder.glob("*.safetensors"))


def _first(folder: Path, names: tuple[str, ...]) -> tuple[Path, ...]:
    return next(((folder / name,) for name in names if (folder / name).is_file()), ())


def _weights(folder: Path) -> tuple[Path, ...]:
    """Return the files of the model: the parts that an index names, else model.safetensors, else all."""
    parts = read_json(folder / INDEX).get("weight_map")
    if not (folder / WEIGHTS).is_file() and isinstance(parts, Mapping):
        names = sorted({Path(str(name)).name for name in parts.values()})  # never out of the folder
        return tuple(folder / name for name in names)
    return _first(folder, (WEIGHTS,)) or tuple(sorted(folder.glob("*.safetensors")))
