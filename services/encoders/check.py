"""Check that an encoder works on this machine: prove its vectors, compare them with float32, time it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.compiled.choose import Runtime, has_torch
from vitrine.services.encoders.compiled.trial import Figures, try_runtime
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.precision import Precision, choose_device, choose_precision
from vitrine.services.encoders.proof import Proof, encode_inputs, prove, rounding_check
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.settings import Settings

_log = logging.getLogger("vitrine.encoders")


@dataclass(frozen=True)
class RuntimeFigures(Figures):
    """What one runtime did here. ``cosine``: the least of the pictures' embeddings to those in float32 by the
    first runtime that ran."""

    cosine: float


@dataclass(frozen=True, eq=False)
class CheckedEncoder:
    """An encoder, its proof, and its embeddings ``rows`` (n, dim) of some pictures.

    ``cosines`` (n,): how like they are to the same in float32; 1 unless it runs in bfloat16. ``rate``: images
    a second, in one batch.
    """

    encoder: Encoder
    proof: Proof
    rows: Embeddings
    cosines: NDArray[np.floating]
    load_seconds: float
    rate: float
    runtimes: tuple[RuntimeFigures, ...] = ()

    @property
    def precision(self) -> str | None:
        """Return the format that the encoder runs in; None for one without weights."""
        return getattr(self.encoder, "precision", None)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all but the proof and the embeddings."""
        least, mean = float(self.cosines.min()), float(self.cosines.mean())
        return asdict(self.encoder.spec) | {
            "device": getattr(self.encoder, "device", "cpu"),
            "precision": self.precision,
            "load_seconds": round(self.load_seconds, 2),
            "batch": len(self.rows),
            "images_per_second": round(self.rate, 1),
            "cosine_to_float32": {"min": round(least, 6), "mean": round(mean, 6)},
            "runtime": getattr(self.encoder, "runtime", None if self.precision is None else "torch"),
            "runtimes": [asdict(figures) for figures in self.runtimes],
        }


def check_encoder(
    reference: EncoderReference, settings: Settings, pictures: Sequence[Image.Image]
) -> CheckedEncoder:
    """Load an encoder, prove it, embed RGB pictures as one batch, and try each runtime that it can have here
    in a process of its own.

    ``UnsoundEncoder`` where the loader's own proof fails, ``ModelUnavailable``.
    """
    loader = EncoderLoader.of(settings)
    started = time.perf_counter()
    found = loader.find(reference)
    encoder = loader.load(reference, found)
    load_seconds = time.perf_counter() - started
    encoder.encode_images(pictures)  # warms up
    started = time.perf_counter()
    rows = encoder.encode_images(pictures)
    rate = len(pictures) / (time.perf_counter() - started)
    cosines, proof = np.ones(len(rows)), prove(encoder)
    rounded = getattr(encoder, "precision", None)
    if rounded in ("bfloat16", "int8"):
        exact = replace(loader, precision="float32").load(reference)
        exact_rows = exact.encode_images(pictures)
        cosines = (rows * exact_rows).sum(axis=1)
        if rounded == "bfloat16":  # int8 was judged on the pictures of a category
            wide = rounding_check(f"{len(pictures)} more pictures in both", rows, exact_rows)
            proof = Proof((*prove(encoder, encode_inputs(exact)).checks, wide))
    runtimes = () if found.path is None else tuple(_runtimes(reference, found, loader, pictures))
    return CheckedEncoder(encoder, proof, rows, cosines, load_seconds, rate, runtimes)


def _runtimes(
    reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader, pictures: Sequence[Image.Image]
) -> Iterator[RuntimeFigures]:
    """Yield the figures of each runtime and number format that works; float32 comes first."""
    rounds = choose_precision(loader.precision, choose_device(loader.device)) == "bfloat16"
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if rounds else ("float32",)
    if loader.precision == "int8":
        precisions += ("int8",)
    runtimes: tuple[Runtime, ...] = ("openvino", "torch") if has_torch() else ("openvino",)
    exact = None
    for precision in precisions:
        for runtime in runtimes:
            tried = try_runtime(reference, found, loader, pictures, runtime, precision)
            if isinstance(tried, str):
                _log.warning("%s in %s does not run here: %s", runtime, precision, tried)
                continue
            figures, rows = tried
            if (figures.runtime, figures.precision) != (runtime, precision):
                continue  # it has no graph, or stays in float32: the same as another row
            exact = rows if exact is None else exact
            cosine = round(float((rows * exact).sum(axis=1).min()), 6)
            yield RuntimeFigures(**asdict(figures), cosine=cosine)
