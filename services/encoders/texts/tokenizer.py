"""From texts to the token numbers that a text tower reads.

No mask comes with them. CLIP and its relatives need none: they read from left to right and take the
embedding at the end token, so that what follows changes nothing. SigLIP needs none either: its texts are
padded to their full length, and the padding is part of what it was trained on. Towers that read in both
directions do need a mask, ``ids != tokenizer.pad_id``, because padding changes what they see: those on BERT
(Chinese-CLIP, ALIGN, BLIP, FLAVA) and on XLM-RoBERTa (AltCLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Splitter(Protocol):
    """One kind of tokenizer."""

    def split(self, texts: Sequence[str], length: int) -> list[list[int]]:
        """Return the token numbers of each text, at most ``length``, its start and end tokens among them."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """Texts to token numbers. ``length``: the most of a text. ``full``: every text is padded to ``length``;
    else to the longest of its batch. ``lower_case``: texts are lower-cased first."""

    splitter: Splitter
    pad_id: int
    length: int
    full: bool = False
    lower_case: bool = False

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return (n, t), padded on the right; a longer text is cut before its end token."""
        if self.lower_case:
            texts = [text.lower() for text in texts]
        split = self.splitter.split(texts, self.length)
        width = self.length if self.full else max(map(len, split), default=0)
        ids = np.full((len(split), width), self.pad_id, np.int64)
        for row, tokens in zip(ids, split, strict=True):
            row[: len(tokens)] = tokens
        return ids
