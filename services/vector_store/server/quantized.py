"""Quantised copies of vectors on a Qdrant server: how they are made, and how they are searched."""

from __future__ import annotations

from typing import Final

from qdrant_client import models

from vitrine.services.domain import Quantization

OVERSAMPLING: Final = 2.0
"""How many times more candidates the quantised copies give than are compared by the vectors themselves."""
_QUANTILE: Final = 0.99


def quantized(quantization: Quantization | None) -> models.QuantizationConfig | None:
    """Return the server's settings: the copies are held in memory, beside vectors on the disk."""
    if quantization == "int8":
        return models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(
                type=models.ScalarType.INT8, quantile=_QUANTILE, always_ram=True
            )
        )
    if quantization == "turbo4":
        return models.TurboQuantization(
            turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        )
    return None


def rescored(breadth: int, limit: int) -> models.QuantizationSearchParams:
    """Return how a search for so many hits uses copies: ``breadth`` candidates, or twice the hits where there
    are more of them, are compared by the vectors themselves. Few hits are then the first of many."""
    oversampling = (breadth + 0.5) / limit if limit <= breadth else OVERSAMPLING
    return models.QuantizationSearchParams(rescore=True, oversampling=oversampling)
