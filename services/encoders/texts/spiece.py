"""SentencePiece's model files, without its package: a reader of the protocol buffer, and the splitting of a
text into pieces by tokenizers' Unigram.

Splitting is SentencePiece's own in every step but one, where it adds up scores: it does that in 32 bits, the
package here in 64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import models

from vitrine.services.encoders.texts.charsmap import Charsmap

SPACE = "▁"
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_NORMAL, _UNKNOWN, _USER, _BYTE = 1, 2, 4, 6
_UNIGRAM = 1


@dataclass(frozen=True)
class Piece:
    """``kind``: 1 normal, 2 unknown, 3 control, 4 defined by the user, 5 unused, 6 one byte."""

    text: str
    score: float = 0.0
    kind: int = _NORMAL


@dataclass(frozen=True, eq=False)
class SentencePiece:
    """A model of the kind Unigram. ``charsmap``: how characters are replaced before splitting. ``dummy``: a
    text begins with a space; ``trims``: spaces at its ends go, and several become one."""

    pieces: tuple[Piece, ...]
    charsmap: Charsmap
    dummy: bool = True
    trims: bool = True
    by_bytes: bool = False

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each piece."""
        return {piece.text: number for number, piece in enumerate(self.pieces)}

    @cached_property
    def unknown(self) -> int:
        """The number that stands for what has no piece."""
        return next(number for number, piece in enumerate(self.pieces) if piece.kind == _UNKNOWN)

    def split(self, text: str) -> list[int]:
        """Return the numbers of the pieces of a text."""
        normal = self.normal(text)
        return [token.id for token in self._model.tokenize(normal)] if normal else []

    def normal(self, text: str) -> str:
        """Return a text as it is split: its characters replaced, each space as ``SPACE``."""
        if not text:
            return ""
        kept = [SPACE] if self.dummy else []
        after_space = self.trims  # at the beginning too
        for chunk in self.charsmap.chunks(text):
            chunk = chunk.lstrip(" ") if after_space else chunk
            if chunk:
                kept.append(chunk.replace(" ", SPACE))
                after_space = self.trims and chunk.endswith(" ")
        whole = "".join(kept)
        if self.trims:
            whole = whole.rstrip(SPACE)
        return whole

    @cached_property
    def _model(self) -> models.Unigram:
        scores = [piece.score for piece in self.pieces if piece.kind == _NORMAL]
        least, most = min(scores), max(scores)

        def scored(number: int, piece: Piece) -> tuple[str, float]:
            if piece.kind in (_NORMAL, _BYTE):
                return piece.text, max(piece.score, least)
            if piece.kind == _USER:  # always wins
                return piece.text, len(piece.text.encode()) * most - 0.1
            return f"{number} {piece.text}", most  # never found in a text: it has a space

        vocabulary = [scored(number, piece) for number, piece in enumerate(self.pieces)]
        return models.Unigram(vocabulary, self.unknown, self.by_bytes)


def read_sentencepiece(file: Path) -> SentencePiece:
    """Return the model in a file. ValueError where it is damaged or of another kind than Unigram."""
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normaliser: dict[int, Any] = {}
    try:
        for field, value in _fields(file.read_bytes()):
            if field == 1:
                pieces.append(_piece(value))
            elif field == 2:
                trainer = dict(_fields(value))
            elif field == 3:
                normaliser = dict(_fields(value))
        charsmap = Charsmap(normaliser.get(2, b""))
    except (IndexError, struct.error, TypeError, UnicodeDecodeError) as error:
        raise ValueError("the file is damaged") from error
    if trainer.get(3, _UNIGRAM) != _UNIGRAM:
        raise ValueError("its pieces are joined otherwise than by Unigram")
    if not {_NORMAL, _UNKNOWN} <= {piece.kind for piece in pieces}:
        raise ValueError("the file is damaged: it has no pieces")
    if trainer.get(24) or not normaliser.get(5, 1):
        raise ValueError("it marks spaces in another way")
    return SentencePiece(
        tuple(pieces),
        charsmap,
        bool(normaliser.get(3, 1)),
        bool(normaliser.get(4, 1)),
        bool(trainer.get(35, 0)),
    )


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    score = struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0
    return Piece(fields.get(1, b"").decode(), score, fields.get(3, _NORMAL))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a protocol buffer's message: an int for a varint, else bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value: int | bytes
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
        else:
            raise IndexError(wire)
        if at + size > len(data):
            raise IndexError(at)
        yield field, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
