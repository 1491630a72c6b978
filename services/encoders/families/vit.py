"""Encoders of images alone: any vision model of transformers (ViT, DINOv2, ConvNeXt, MobileNetV2, CLIP's
vision tower, ...)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.torch_encoder import TransformersEncoder

if TYPE_CHECKING:
    import torch

Pooling = Literal["projected", "pooler", "cls", "mean"]


class VisionEncoder(TransformersEncoder):
    """An Encoder on a vision model. ``pooling`` says which of its outputs is the embedding: see
    ``choose_pooling``."""

    def __init__(self, spec: EncoderSpec, model: Any, pooling: Pooling, *, device: str) -> None:
        super().__init__(spec, model, device=device)
        self.pooling = pooling

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return pooled(self.model(pixel_values=batch), self.pooling)


def choose_pooling(model: Any, output: Any, missing_weights: set[str]) -> Pooling:
    """Return ``projected`` where the model has a projection, ``pooler`` where it pools with weights that were
    loaded, else ``cls`` where it has such a token, else ``mean``.

    A checkpoint without the pooler's weights still gives a pooler output, from random ones: that must not
    become an embedding.
    """
    if getattr(output, "image_embeds", None) is not None:
        return "projected"
    untrained = any("pooler" in name for name in missing_weights)
    if getattr(output, "pooler_output", None) is not None and not untrained:
        return "pooler"
    has_token = any(name.endswith(("cls_token", "class_embedding")) for name, _ in model.named_parameters())
    return "cls" if has_token and output.last_hidden_state.ndim == 3 else "mean"


def pooled(output: Any, pooling: Pooling) -> torch.Tensor:
    """Return (n, dim) from a model's output: hidden states are tokens (n, tokens, dim) or a map (n, dim,
    height, width)."""
    features: torch.Tensor
    if pooling == "projected":
        features = output.image_embeds
    elif pooling == "pooler":
        features = output.pooler_output.flatten(1)
    elif pooling == "cls":
        features = output.last_hidden_state[:, 0]
    else:
        states = output.last_hidden_state
        features = states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))
    return features
