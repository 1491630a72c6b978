"""Save and load checkpoints of a training run: safetensors and JSON, replaced in one step.

    <folder>/state.safetensors   weights, the optimizer's tensors, and the rest as JSON in the header
    <folder>/best.safetensors    the weights of the best epoch so far

One file, so that a kill between two files cannot pair the weights of one epoch with the counters of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrine.services.errors import BadRequest
from vitrine.services.extras import from_extra
from vitrine.services.files import make_folder

with from_extra("train"):
    import torch

STATE, BEST = "state.safetensors", "best.safetensors"
Tensors = Mapping[str, torch.Tensor]


def save_state(
    folder: Path,
    weights: Tensors,
    optimizer: torch.optim.Optimizer,
    tree: Mapping[str, Any],
    *,
    best: Tensors | None = None,
) -> None:
    """Write weights, the optimizer's state and ``tree`` (JSON values: epoch, options, history); ``best`` too,
    where given."""
    make_folder(folder)
    if best is not None:
        _save(folder / BEST, best, {})
    state = optimizer.state_dict()
    tensors = {f"weights.{name}": tensor for name, tensor in weights.items()}
    plain: dict[str, dict[str, Any]] = {}
    for place, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{place}.{name}"] = value
            else:
                plain.setdefault(str(place), {})[name] = value
    _save(folder / STATE, tensors, {**tree, "optimizer": {"groups": state["param_groups"], "plain": plain}})


def load_state(
    folder: Path, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return weights and tree as they were saved, and give the optimizer its state. ``BadRequest`` where
    there is no checkpoint or it does not fit."""
    tensors, tree = _load(folder / STATE)
    saved = tree.pop("optimizer")
    state: dict[int, dict[str, Any]] = {int(place): dict(values) for place, values in saved["plain"].items()}
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "weights":
            weights[rest] = tensor
        else:
            place, _, field = rest.partition(".")
            state.setdefault(int(place), {})[field] = tensor
    try:
        optimizer.load_state_dict({"state": state, "param_groups": saved["groups"]})
    except (ValueError, KeyError) as error:
        raise BadRequest(
            f"The checkpoint in {folder} is of another model: train without --resume, or remove it."
        ) from error
    return weights, tree


def read_tree(folder: Path) -> dict[str, Any] | None:
    """Return the tree of a checkpoint without its tensors; None where there is no checkpoint."""
    return _load(folder / STATE)[1] if (folder / STATE).is_file() else None


def load_best(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the best epoch."""
    return _load(folder / BEST)[0]


def clear(folder: Path) -> None:
    """Remove a run's checkpoints."""
    for name in (STATE, BEST):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _save(path: Path, tensors: Tensors, tree: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    fresh = path.with_suffix(".tmp")
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(flat, fresh, {"format": "pt", "tree": json.dumps(tree)})
    fresh.replace(path)


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            tree: dict[str, Any] = json.loads((file.metadata() or {}).get("tree", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise BadRequest(f"There is no usable checkpoint {path}: train without --resume.") from error
    return tensors, tree
