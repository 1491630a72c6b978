"""Whether an encoder's vectors can be trusted, shown on a handful of inputs.

A model folder may load without a word and give wrong vectors: random ones, others under load than alone, none
that are finite. Search would then be wrong without a word too. So an encoder is proven each time it is
loaded: the same picture and the same texts (short, blank and over-long) must give the same finite vectors of
length 1 alone and among others, and different ones different vectors. Where its weights were rounded to a
smaller number format, the vectors must be close to those in float32.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.base import Encoder, TextEncoder
from vitrine.services.errors import UnsoundEncoder

_log = logging.getLogger("vitrine.encoders")
Encode = Callable[[Sequence[Any]], Embeddings]
Batches = Sequence[Sequence[Any]]
SAME = {"float32": 0.9999, "bfloat16": 0.998, "int8": 0.998}
"""Least cosine of two embeddings of one input, by number format. Measured on 30 families: float32 0.9999998,
bfloat16 0.9993."""
CLOSE = 0.999
"""Least cosine of an embedding in bfloat16 to the one in float32. Transformers have 0.9999; GroupViT, which
puts each patch into the one group that fits best, has 0.994, and finds pictures in another order."""
_DIFFERENT = 1e-6
"""Vectors of different inputs that differ by no more than this in any component are one vector."""
_SHORT = "a photo of a red house"
_TEXTS = ((_SHORT, "cat", ""), (" ".join([_SHORT] * 300), _SHORT))
"""Short and blank ones, and one longer than any model reads: apart, for all of a batch cost as much as its
longest."""


@dataclass(frozen=True)
class Check:
    """One property: ``cosine``, the least that was found, must be ``least`` or more. ``fault``: what is
    wrong; empty: nothing. ``remark``: what is odd, though not a reason to refuse the encoder."""

    name: str
    cosine: float | None = None
    least: float | None = None
    fault: str = ""
    remark: str = ""

    def __str__(self) -> str:
        figures = (
            f"a cosine of {self.cosine:.6f} where {self.least} is the least"
            if self.cosine is not None
            else ""
        )
        return f"{self.name}: {', '.join(filter(None, (self.fault, figures)))}"


@dataclass(frozen=True)
class Proof:
    """The checks that were made; ``sound`` if nothing is wrong."""

    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.fault)

    @property
    def sound(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        return ". ".join(map(str, self.faults))

    def to_json(self) -> list[dict[str, Any]]:
        """Return a JSON object a check."""
        return [{**asdict(check), "passed": not check.fault} for check in self.checks]

    def require(self, folder: Path | str) -> None:
        """Raise ``UnsoundEncoder`` unless it is sound."""
        if self.sound:
            return
        raise UnsoundEncoder(
            f"The encoder in {folder} gives vectors that cannot be searched with, so it is not used. "
            f"{self}. Check that its files are whole and of one model, or use another model; "
            "`vitrine encoder check` shows every figure.",
            checks=self.to_json(),
        )


@dataclass(frozen=True)
class Rows:
    """The embeddings of the proof's pictures, and of its texts if the encoder takes any, each as one
    batch."""

    pictures: Embeddings
    texts: Embeddings | None


def encode_inputs(encoder: Encoder) -> Rows | None:
    """Return the embeddings of the proof's inputs; None where the encoder fails on them: ``prove`` says
    how."""
    try:
        texts = _encoded(encoder.encode_texts, _TEXTS) if isinstance(encoder, TextEncoder) else None
        return Rows(_encoded(encoder.encode_images, _pictures()), texts)
    except Exception:  # four libraries, each with errors of its own
        return None


def prove(encoder: Encoder, exact: Rows | None = None) -> Proof:
    """Look at an encoder; ``exact`` are the inputs' embeddings in float32, where it runs in a smaller
    format."""
    sides = [
        _Side(
            "pictures",
            encoder.encode_images,
            _pictures(),
            exact.pictures if exact else None,
            may_be_alike=True,
        )
    ]
    if isinstance(encoder, TextEncoder):
        sides.append(_Side("texts", encoder.encode_texts, _TEXTS, exact.texts if exact else None))
    same = SAME[str(getattr(encoder, "precision", None) or "float32")]
    return Proof(tuple(check for side in sides for check in side.checks(encoder.spec.dim, same)))


@dataclass(frozen=True)
class _Side:
    """The pictures or the texts, by batch. The first and the second are different; the last is the first once
    more."""

    what: str
    encode: Encode
    batches: Batches
    exact: Embeddings | None
    may_be_alike: bool = False
    """A model that was never trained may show nothing of its pictures, and is right all the same."""

    def checks(self, dim: int, same: float) -> Iterator[Check]:
        """Yield the checks; end with the first that fails if the others need it."""
        what = self.what
        try:
            rows = _encoded(self.encode, self.batches)
            alone = _encoded(self.encode, [[one] for batch in self.batches for one in batch][:-1])
        except Exception:  # whatever a library raises is the model's fault: the inputs are plain
            _log.debug("an encoder failed on %s", what, exc_info=True)
            yield Check(f"{what} of all kinds are encoded", fault="the model fails on them")
            return
        yield Check(f"{what} of all kinds are encoded")
        if rows.shape[1:] != (dim,):
            found = " x ".join(map(str, rows.shape[1:]))
            yield Check(
                f"{what} get one vector each",
                fault=f"they get {found} numbers where an image's vector has {dim}",
            )
            return
        finite = _finite(what, np.concatenate([rows, alone]))
        yield finite
        if not finite.fault:
            yield from self._compared(rows, alone, same)

    def _compared(self, rows: Embeddings, alone: Embeddings, same: float) -> Iterator[Check]:
        what = self.what
        yield cosine_check(
            f"one of the {what} twice", rows[:1], rows[-1:], same, "it gets another vector each time"
        )
        fault = "the vector depends on what else is encoded"
        yield cosine_check(f"{what} alone and among others", rows[:-1], alone, same, fault)
        alike = "" if np.abs(rows[0] - rows[1]).max() > _DIFFERENT else "all get the same vector"
        if self.may_be_alike and alike:
            _log.warning(
                "The encoder gives all pictures the same vector: it has learnt nothing yet, or its "
                "weights are damaged."
            )
        yield Check(f"different {what} differ", fault="" if self.may_be_alike else alike, remark=alike)
        if self.exact is not None:
            yield rounding_check(f"{what} in bfloat16 and in float32", rows, self.exact)


def _finite(what: str, rows: Embeddings) -> Check:
    fault = ""
    if not np.isfinite(rows).all():
        fault = "they hold NaN or infinity, as damaged weights give"
    elif (np.abs(np.linalg.norm(rows, axis=1) - 1) > 1e-3).any():
        fault = "some are zero"
    return Check(f"vectors of {what} are finite and of length 1", fault=fault)


def rounding_check(name: str, rounded: Embeddings, exact: Embeddings) -> Check:
    """Return whether embeddings in bfloat16 are close to the embeddings of the same inputs in float32."""
    return cosine_check(name, rounded, exact, CLOSE, "rounding changes the vectors")


def cosine_check(name: str, rows: Embeddings, others: Embeddings, least: float, fault: str) -> Check:
    """Return whether all pairs of rows have this cosine at least; ``fault`` is what is wrong otherwise."""
    cosine = float(np.einsum("nd,nd->n", rows, others).min())
    return Check(name, round(cosine, 6), least, "" if cosine >= least else fault)


@functools.cache
def _pictures() -> Batches:
    """Return one batch: a picture, a blank one, two more and the first again, 64 x 48."""
    coarse = np.random.default_rng(7).integers(0, 256, (3, 6, 8, 3), np.uint8)
    first, *others = (Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC) for pixels in coarse)
    return ((first, Image.new("RGB", (64, 48)), *others, first),)


def _encoded(encode: Encode, batches: Batches) -> Embeddings:
    """Return the rows of all batches; ValueError where they have several widths or not one each."""
    return np.concatenate([_one_each(encode(batch), batch) for batch in batches])


def _one_each(rows: Embeddings, batch: Sequence[Any]) -> Embeddings:
    if len(rows) != len(batch):
        raise ValueError(f"{len(rows)} vectors for {len(batch)} inputs")
    return rows
