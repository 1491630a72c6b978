"""Encoders with one space for images and texts: CLIP, SigLIP and their relatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.torch_encoder import SLICE, TransformersEncoder, unit

if TYPE_CHECKING:
    import torch


class DualImageEncoder(TransformersEncoder):
    """An Encoder on the images' side of a dual model of transformers, projected into the shared space."""

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return _pooled(self.model.get_image_features(pixel_values=batch))


class ClipEncoder(DualImageEncoder):
    """A TextEncoder on a dual model of transformers (one with ``get_image_features`` and
    ``get_text_features``)."""

    def __init__(self, spec: EncoderSpec, model: Any, tokenizer: Any, *, device: str) -> None:
        super().__init__(spec, model, device=device)
        self._tokenizer = tokenizer
        self._max_tokens = token_limit(model, tokenizer)
        # SigLIP was trained on lower-case texts padded to their full length and without a mask: the padding
        # is part of what it reads. Its second version comes with a tokenizer that keeps capitals.
        self._siglip = str(model.config.model_type).startswith("siglip")

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised; a text longer than the model reads is cut."""
        import torch

        with torch.inference_mode():
            return self._joined(
                [self._encode_slice(list(texts[at : at + SLICE])) for at in range(0, len(texts), SLICE)]
            )

    def _encode_slice(self, texts: list[str]) -> Embeddings:
        tokens = self._tokenizer(
            [text.lower() for text in texts] if self._siglip else texts,
            padding="max_length" if self._siglip else True,
            # whatever the folder says: a model that counts places from the left reads nothing else
            padding_side="right",
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._siglip else ("input_ids", "attention_mask")
        inputs = {name: tokens[name].to(self.device) for name in names if name in tokens}
        return unit(_pooled(self.model.get_text_features(**inputs)))


def token_limit(model: Any, tokenizer: Any) -> int:
    """Return the most tokens that the model reads of a text: as many as it has places for, or as the
    tokenizer says if that is less.

    RoBERTa and its relatives count places from the padding token's number on: so many rows of the table are
    of no use to them.
    """
    import torch

    tables = [
        part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.Embedding)
        and "text" in name
        and name.endswith(("position_embedding", "position_embeddings"))
    ]
    return min(
        int(tokenizer.model_max_length), *(tables or [int(model.config.text_config.max_position_embeddings)])
    )


def _pooled(output: Any) -> torch.Tensor:
    """Return the projected features: transformers 5 wraps them in an output object."""
    features: torch.Tensor = output if not hasattr(output, "pooler_output") else output.pooler_output
    return features
