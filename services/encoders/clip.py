"""Encoders with one space for images and texts: CLIP, SigLIP and their relatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from services.domain import Embeddings, EncoderSpec
from services.encoders.precision import Precision
from services.encoders.torch_encoder import SLICE, TorchEncoder, slice_for, starts, unit

if TYPE_CHECKING:
    import torch


class DualImageEncoder(TorchEncoder):
    """An Encoder on the images' side of a dual model of transformers, projected into the shared space."""

    def __init__(self, spec: EncoderSpec, model: Any, *, precision: Precision, device: str) -> None:
        super().__init__(spec, precision=precision, device=device, slice_size=slice_for(model, device))
        self._model = model

    @property
    def model(self) -> Any:
        """The model of transformers."""
        return self._model

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return _pooled(self._model.get_image_features(pixel_values=batch))


class ClipEncoder(DualImageEncoder):
    """A TextEncoder on a dual model of transformers (one with ``get_image_features`` and ``get_text_features``)."""

    def __init__(self, spec: EncoderSpec, model: Any, tokenizer: Any, *, precision: Precision, device: str) -> None:
        super().__init__(spec, model, precision=precision, device=device)
        self._tokenizer = tokenizer
        text_config = model.config.text_config
        self._max_tokens = min(int(tokenizer.model_max_length), int(text_config.max_position_embeddings))
        # SigLIP was trained on texts padded to their full length and without a mask: the padding is part of what it reads
        self._pads_fully = str(model.config.model_type).startswith("siglip")

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """(n, dim) float32, L2-normalised; a text longer than the model reads is cut."""
        import torch

        with torch.inference_mode():
            return self._joined([self._encode_slice(list(texts[at : at + SLICE])) for at in starts(len(texts), SLICE)])

    def _encode_slice(self, texts: list[str]) -> Embeddings:
        tokens = self._tokenizer(
            texts,
            padding="max_length" if self._pads_fully else True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._pads_fully else ("input_ids", "attention_mask")
        inputs = {name: tokens[name].to(self.device) for name in names if name in tokens}
        return unit(_pooled(self._model.get_text_features(**inputs)))


def _pooled(output: Any) -> torch.Tensor:
    """The projected features: transformers 5 wraps them in an output object."""
    features: torch.Tensor = output if not hasattr(output, "pooler_output") else output.pooler_output
    return features
