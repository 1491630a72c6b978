"""Load a model of transformers as an encoder: images and texts if it has both towers, else images alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from vitrine.services.domain import EncoderSpec, Modality, Preprocessing
from vitrine.services.encoders.families.clip import ClipEncoder, DualImageEncoder
from vitrine.services.encoders.families.vit import (
    VisionEncoder,
    choose_pooling,
    pooled,
    stated_pooling,
)
from vitrine.services.encoders.folders.layout import read_layout
from vitrine.services.encoders.graphs.graph import Pooling
from vitrine.services.encoders.precision import choose_device
from vitrine.services.encoders.preprocess import fit, normalise, read_preprocessing
from vitrine.services.encoders.pretrained import load_model, load_tokenizer
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.encoders.torch_encoder import TransformersEncoder, is_convolutional
from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    from vitrine.services.encoders.load import EncoderLoader

QUICK_GELU = 1.702
_LOGGING = threading.Lock()
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")


def load_transformers(
    reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader
) -> TransformersEncoder:
    """Load the encoder of a folder in float32. Raises ModelUnavailable, and what transformers raises."""
    folder = read_layout(found.folder).path
    device = choose_device(loader.device)
    preprocessing = loader.preprocessing or read_preprocessing(folder)
    with quiet():
        model, missing = load_model(folder)
    if loader.fuse:
        fuse_quick_gelu(model)
    model = model.to(device).eval()
    if is_convolutional(model):  # MobileNetV2 on a CPU: twice as fast
        model = model.to(memory_format=torch.channels_last)
    probe = _probe(preprocessing, device)

    def spec(dim: int, pooling: Pooling, modalities: tuple[Modality, ...] = ("image",)) -> EncoderSpec:
        name, where = reference.name, reference.model
        stated = stated_pooling(model, pooling)
        return EncoderSpec(name, where, found.revision, dim, modalities, preprocessing, stated)

    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        _refuse_missing(folder, {name for name in missing if "pooler" not in name})
        output = _forward(model, probe)
        pooling = choose_pooling(model, output, missing)
        return VisionEncoder(spec(pooled(output, pooling).shape[-1], pooling), model, pooling, device=device)
    if loader.images_only:
        missing = _without_texts(model, missing)
    _refuse_missing(folder, missing)
    output = _forward(model.get_image_features, probe)
    dim = int(getattr(output, "pooler_output", output).shape[-1])
    if loader.images_only:
        return DualImageEncoder(spec(dim, "projected"), model, device=device)
    if not any(file for pattern in _VOCABULARIES for file in folder.glob(pattern)):
        raise ModelUnavailable(
            f"{folder} has no tokenizer files: texts would be read with an empty vocabulary."
        )
    both: tuple[Modality, ...] = ("image", "text")
    return ClipEncoder(spec(dim, "projected", both), model, load_tokenizer(folder), device=device)


def fuse_quick_gelu(model: Any) -> int:
    """Replace CLIP's ``x * sigmoid(1.702 x)`` by torch's one-pass SiLU, with the factor moved into the layers
    around it.

    With y = 1.702 x it is ``y * sigmoid(y) / 1.702``: fc1 takes the factor and fc2 its inverse. CLIP's own
    form goes over the widest activations three times, 15 % of a bfloat16 ViT-B/32 on a CPU. Do it in float32,
    before the weights are rounded to a smaller format. Returns how many layers were rewritten; other models
    are left as they are.
    """
    count = 0
    for part in model.modules():
        if type(getattr(part, "activation_fn", None)).__name__ != "QuickGELUActivation" or not _is_mlp(part):
            continue
        with torch.no_grad():
            part.fc1.weight.mul_(QUICK_GELU)
            part.fc1.bias.mul_(QUICK_GELU)
            part.fc2.weight.div_(QUICK_GELU)
        part.activation_fn = torch.nn.SiLU()
        count += 1
    return count


def _is_mlp(part: Any) -> bool:
    return all(isinstance(getattr(part, name, None), torch.nn.Linear) for name in ("fc1", "fc2"))


def _without_texts(model: Any, missing: set[str]) -> set[str]:
    """Remove the texts' side of a dual model; returns which of the other side's weights are missing."""
    sides = [name for name in ("text_model", "text_projection") if getattr(model, name, None) is not None]
    for name in sides:
        setattr(model, name, None)
    return {name for name in missing if not name.startswith(tuple(sides))}


def _refuse_missing(folder: Path, missing: set[str]) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelUnavailable(
            f"{folder} lacks {len(missing)} of its weights ({names}, ...): its embeddings would be random."
        )


def _probe(preprocessing: Preprocessing, device: str) -> torch.Tensor:
    """Return one black image as a batch: it shows the dimension, and that the size fits the model."""
    pixels = fit(Image.fromarray(np.zeros((8, 8, 3), np.uint8)), preprocessing)
    return normalise([pixels], preprocessing, device=device, dtype=torch.float32)


def _forward(function: Any, batch: torch.Tensor) -> Any:
    with torch.inference_mode():
        return function(pixel_values=batch)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, which reports on unused classifier weights and draws progress bars. What matters
    is raised as an error."""
    from transformers.utils import logging

    with _LOGGING:
        before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(before)
            if bars:
                logging.enable_progress_bar()
