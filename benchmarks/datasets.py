"""Where the benchmarks find real pictures and weights: folders below ``VITRINE_DATASETS`` and
``VITRINE_MODELS``.

docs/operations.md says what each holds.
"""

from __future__ import annotations

import os
from pathlib import Path

SOURCES = {
    "clothing": "https://github.com/alexeygrigorev/clothing-dataset-small",
    "emoji": "https://github.com/EmojiTwo/emojitwo",
    "near-duplicates": "https://github.com/idealo/imagededup, folder tests/data",
    "mobilenet-v2-1.0-224": "https://huggingface.co/google/mobilenet_v2_1.0_224",
}


def dataset(name: str) -> Path:
    """Return the folder of a data set. ``SystemExit`` says where to get it if it is not there."""
    return _folder("VITRINE_DATASETS", "datasets", name)


def mobilenet() -> Path:
    """Return the folder of MobileNetV2's weights, as transformers writes it. ``SystemExit`` as of
    ``dataset``."""
    return _folder("VITRINE_MODELS", "models", "mobilenet-v2-1.0-224")


def _folder(variable: str, default: str, name: str) -> Path:
    path = Path(os.environ.get(variable, default)) / name
    if not path.is_dir():
        raise SystemExit(
            f"There is no folder {path}: get {name} from {SOURCES[name]}, and set {variable} to the folder "
            "that holds it (docs/operations.md)."
        )
    return path
