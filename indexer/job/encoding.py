"""Encode several pictures so that one that fails does not cost the others their vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitrine.services.domain import Embedding
from vitrine.services.encoders.batching import BatchedEncoder, Prepared
from vitrine.services.errors import VitrineError, because


def encoded(encoder: BatchedEncoder, images: Sequence[Prepared]) -> list[Embedding | str]:
    """Return for each image its vector, or a sentence on why there is none. Raises an error that all of
    several images raise: then it is not the pictures."""
    try:
        return [_checked(encoder, row) for row in encoder.encode_prepared(images)]
    except VitrineError:
        raise
    except Exception as error:
        if len(images) == 1:
            return [f"The encoder {encoder.spec.name} cannot encode it: {because(error)}."]
        alone = [encoded(encoder, [image])[0] for image in images]
        if all(isinstance(row, str) for row in alone):
            raise
        return alone


def _checked(encoder: BatchedEncoder, row: Embedding) -> Embedding | str:
    return row if np.isfinite(row).all() else f"The encoder {encoder.spec.name} gave no finite vector for it."
