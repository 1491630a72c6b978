"""What ``config.json`` of a metric-learned encoder says. Read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.folders.json_file import read_json
from vitrine.services.encoders.precision import Precision
from vitrine.services.errors import ModelUnavailable

KIND, FORMAT = "metric-encoder", 1
CONFIG, SPLIT, EMBEDDER, TRUNK = "config.json", "split.json", "embedder.safetensors", "trunk"
Mode = Literal["frozen", "last-blocks", "whole"]


@dataclass(frozen=True)
class TrunkReference:
    """The trunk that training began with. ``stored``: its trained weights lie in ``trunk/``; else it is found
    by its name."""

    model: str
    revision: str
    stored: bool = False


@dataclass(frozen=True)
class MetricConfig:
    """Everything but the weights.

    ``embedder``: the constructor's arguments of Embedder. ``precision`` is the trunk's; auto where it was
    trained on a category's stored embeddings: then whatever fills that category. ``classes`` are those
    trained on. ``metrics``: by encoder (``candidate``, ``trunk``), the figures of the test images.
    ``fingerprint``: of the training data. ``trained_at``: RFC 3339 in UTC. ``training``: the options of the
    run, for people.
    """

    name: str
    mode: Mode
    trunk: TrunkReference
    precision: Literal["auto"] | Precision
    preprocessing: Preprocessing
    embedder: Mapping[str, Any]
    classes: tuple[str, ...]
    fingerprint: str
    trained_at: str
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return int(self.embedder["layers"][-1])

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of what the trunk looks at."""
        edge = self.preprocessing.resize
        return self.preprocessing.crop or (edge if isinstance(edge, tuple) else (edge, edge))


def folder_kind(folder: Path) -> str | None:
    """Return the kind of encoder of ours that a folder holds, such as ``metric-encoder``; None for any other
    folder."""
    kind = read_json(folder / CONFIG).get("vitrine")
    return kind if isinstance(kind, str) else None


def write_config(folder: Path, config: MetricConfig) -> None:
    """Write ``config.json`` in one step; write it last, since a folder without it is not an encoder."""
    tree = {"vitrine": KIND, "format": FORMAT, **asdict(config)}
    fresh = folder / f".{CONFIG}.tmp"
    fresh.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(folder / CONFIG)


def read_config(folder: Path) -> MetricConfig:
    """Return what config.json says. ``ModelUnavailable`` where the folder holds no metric-learned encoder
    that this version reads."""
    try:
        tree = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if (tree.pop("vitrine"), tree.pop("format")) != (KIND, FORMAT):
            raise ValueError("another kind or format")
        tree["trunk"] = TrunkReference(**tree["trunk"])
        tree["preprocessing"] = Preprocessing.from_json(tree["preprocessing"])
        tree["classes"] = tuple(tree["classes"])
        return MetricConfig(**tree)
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"{folder} holds no metric-learned encoder that this version reads."
        ) from error


def read_split(folder: Path) -> dict[str, Any]:
    """Return ``{"protocol": "by-image" | "by-class" | "given", "train": [sha256 ...], "validation": [...],
    "test": [...], "classes": {sha256: class}}``. ``ModelUnavailable`` where the folder has none."""
    try:
        tree: dict[str, Any] = json.loads((folder / SPLIT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"{folder} does not say which images were held out ({SPLIT}): train it again."
        ) from error
    return tree
