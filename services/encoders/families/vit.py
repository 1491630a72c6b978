"""Encoders of images alone: any vision model of transformers (ViT, DINOv2, ConvNeXt, MobileNetV2, CLIP's
vision tower, ...)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.graphs.graph import Pooling
from vitrine.services.encoders.torch_encoder import TransformersEncoder

if TYPE_CHECKING:
    import torch

_MEANS = ("vit_mae", "beit", "data2vec-vision")
"""Kinds of model that train their patches, not the class token before them."""
_SUMMARIES = ("cls_token_value", "summary")
"""What CvT and RADIO call the token that sums up the picture."""


class VisionEncoder(TransformersEncoder):
    """An Encoder on a vision model. ``pooling`` says which of its outputs is the embedding: see
    ``choose_pooling``."""

    def __init__(self, spec: EncoderSpec, model: Any, pooling: Pooling, *, device: str) -> None:
        super().__init__(spec, model, device=device)
        self.pooling = pooling

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        skip = tokens_before_patches(self.model)
        return pooled(self.model(pixel_values=batch), self.pooling, skip=skip)


def choose_pooling(model: Any, output: Any, missing_weights: set[str]) -> Pooling:
    """Return what of a model's output is the embedding, as users of its family take it.

    ``projected`` where the model has a projection, ``summary`` where it has a token for the purpose,
    ``pooler`` where it pools with weights that were learned, else ``cls`` where it has such a token, else
    ``mean``. MAE, BEiT and data2vec train their patches, so their mean is taken.

    A checkpoint without the pooler's weights still gives a pooler output, from random ones, and one that was
    saved again may carry them, with a bias of zero: neither must become an embedding.
    """
    if getattr(output, "image_embeds", None) is not None:
        return "projected"
    if any(getattr(output, name, None) is not None for name in _SUMMARIES):
        return "summary"
    if model.config.model_type in _MEANS:
        pooled_by_norm = getattr(getattr(model, "pooler", None), "layernorm", None)
        return (
            "pooler" if pooled_by_norm is not None and _learned(pooled_by_norm, missing_weights) else "mean"
        )
    if getattr(output, "pooler_output", None) is not None:
        dense = getattr(getattr(model, "pooler", None), "dense", None)
        untrained = any("pooler" in name for name in missing_weights)
        if not untrained and (dense is None or _learned(dense, missing_weights)):
            return "pooler"
    has_token = any(name.endswith(("cls_token", "class_embedding")) for name, _ in model.named_parameters())
    return "cls" if has_token and output.last_hidden_state.ndim == 3 else "mean"


def stated_pooling(model: Any, pooling: Pooling) -> Pooling:
    """Return what to call a pooling in the spec: graphs that are built from the same weights call it so too.

    What transformers calls a pooler is one only in part of its models; in others it is the class token, the
    mean or an attention head.
    """
    if str(model.config.model_type).startswith("siglip"):
        return "head" if getattr(model.config, "vision_use_head", True) else "mean"
    if pooling != "pooler" or hasattr(getattr(model, "pooler", None), "dense"):
        return pooling
    if model.config.model_type in _MEANS:
        return "mean"
    tokens = ("cls_token", "class_embedding")
    return "cls" if any(name.endswith(tokens) for name, _ in model.named_parameters()) else "mean"


def _learned(layer: Any, missing_weights: set[str]) -> bool:
    """Return whether a pooler's layer was trained: training moves a bias away from zero."""
    bias = getattr(layer, "bias", None)
    return not any("pooler" in name for name in missing_weights) and bias is not None and bool(bias.any())


def pooled(output: Any, pooling: Pooling, *, skip: int = 0) -> torch.Tensor:
    """Return (n, dim) from a model's output: hidden states are tokens (n, tokens, dim) or a map (n, dim,
    height, width). ``skip``: the tokens before the patches, which a mean leaves out."""
    features: torch.Tensor
    if pooling == "projected":
        features = output.image_embeds
    elif pooling == "summary":
        name = next(name for name in _SUMMARIES if getattr(output, name, None) is not None)
        features = getattr(output, name).flatten(1)
    elif pooling == "pooler":
        features = output.pooler_output.flatten(1)
    elif pooling == "cls":
        features = output.last_hidden_state[:, 0]
    else:
        states = output.last_hidden_state
        features = states[:, skip:].mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))
    return features


def tokens_before_patches(model: Any) -> int:
    """Return how many tokens a mean over the patches leaves out."""
    return 1 if model.config.model_type in _MEANS else 0
