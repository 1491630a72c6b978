"""Write the folder of a metric-learned encoder, which services/encoders/families/metric.py loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrine.services.encoders.families.metric_config import (
    EMBEDDER,
    SPLIT,
    TRUNK,
    MetricConfig,
    write_config,
)
from vitrine.services.errors import AlreadyExists
from vitrine.services.files import make_folder
from vitrine.training.metric.embedder import Embedder


def save_metric_encoder(
    folder: Path,
    config: MetricConfig,
    embedder: Embedder,
    *,
    trunk: Any = None,
    processor: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
) -> None:
    """Write an encoder's folder; ``config.json`` comes last, so that half a folder is not an encoder.

    ``trunk``: the float32 transformers model, where training changed it, and ``processor`` the contents of
    its preprocessor_config.json. ``split``: see ``read_split``. ``AlreadyExists`` where the folder has an
    encoder already.
    """
    from safetensors.torch import save_file

    if (folder / "config.json").exists():
        raise AlreadyExists(f"{folder} holds an encoder already: name another folder, or remove it first.")
    make_folder(folder)
    if config.trunk.stored:
        _save_trunk(folder / TRUNK, trunk, processor or {})
    save_file(_weights(embedder), folder / EMBEDDER, {"format": "pt"})
    if split is not None:
        (folder / SPLIT).write_text(json.dumps(split) + "\n", encoding="utf-8")
    write_config(folder, config)


def _save_trunk(folder: Path, model: Any, processor: Mapping[str, Any]) -> None:
    from vitrine.services.encoders.families.transformers import quiet

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with quiet():
        model.save_pretrained(folder, state_dict=_weights(model))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def _weights(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
