"""The images' side of an encoder in int8: quantised on pictures, judged by their neighbours, kept on this
machine.

    CACHE/int8/<digest>/model.xml, model.bin    the graph, which reads uint8 pixels
    CACHE/int8/<digest>/judged.json             Judgement; written last
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.proof import CLOSE
from vitrine.services.errors import because
from vitrine.services.extras import load_extra

if TYPE_CHECKING:
    import openvino as ov

NEIGHBOURS = 10
LEAST_RECALL = 0.99
"""Share of the nearest images in float32 that must be among the nearest in int8."""
_XML, _NOTE = "model.xml", "judged.json"


@dataclass(frozen=True)
class Judgement:
    """How int8 compares with float32 on ``images`` pictures: the share of each one's ten nearest that stay
    among its ten nearest, the least and the mean cosine of the vectors, and images a second in both."""

    images: int
    recall: float
    cosine_min: float
    cosine_mean: float
    float32_per_second: float
    int8_per_second: float

    @property
    def equal(self) -> bool:
        """Whether int8 may take the place of float32: neighbours stay, and vectors of both may be mixed."""
        return self.recall >= LEAST_RECALL and self.cosine_min >= CLOSE


def quantised(model: ov.Model, pixels: Sequence[Pixels]) -> ov.Model:
    """Return the graph with its matrix products in int8. ``model`` reads (n, height, width, 3) uint8 and
    stays as it is; ``pixels`` are those that the ranges of its activations are measured on.

    Raises MissingExtra without NNCF, which comes with ``vitrine[train]``.
    """
    with redirect_stdout(sys.stderr):  # it draws its progress where answers are printed
        nncf = load_extra("nncf", "train")
        batches = nncf.Dataset([one[np.newaxis] for one in pixels])
        kind = nncf.ModelType.TRANSFORMER
        return nncf.quantize(model, batches, model_type=kind, subset_size=len(pixels))


def recall_of_neighbours(rows: Embeddings, others: Embeddings, k: int = NEIGHBOURS) -> float:
    """Return the share of each image's ``k`` nearest others by ``rows`` (n, dim) that are also among its
    nearest by ``others``.

    >>> corners = np.eye(3, dtype=np.float32)
    >>> recall_of_neighbours(corners, corners, k=2)
    1.0
    """
    first, second = (_nearest(each, k) for each in (rows, others))
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(first, second, strict=True)]))


def keep_int8(cache: Path, spec: EncoderSpec, model: ov.Model, judgement: Judgement) -> None:
    """Keep a quantised graph for the encoder with these weights."""
    import openvino as ov

    folder = int8_folder(cache, spec)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        ov.save_model(model, made / _XML, compress_to_fp16=False)
        (made / _NOTE).write_text(json.dumps(asdict(judgement)), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def find_int8(cache: Path | None, spec: EncoderSpec) -> tuple[ov.Model, Judgement] | str:
    """Return the quantised graph that is kept for an encoder, or why there is none."""
    if cache is None or not (int8_folder(cache, spec) / _NOTE).is_file():
        return "`vitrine encoder quantize CATEGORY` makes it"
    import openvino as ov

    folder = int8_folder(cache, spec)
    try:
        judgement = Judgement(**json.loads((folder / _NOTE).read_text(encoding="utf-8")))
        return ov.Core().read_model(folder / _XML), judgement
    except Exception as error:  # a damaged file; openvino raises RuntimeError and others
        return f"the one in {folder} is damaged ({because(error)}): `vitrine encoder quantize` makes it again"


def int8_folder(cache: Path, spec: EncoderSpec) -> Path:
    """Return where the quantised graph of these weights lies."""
    identity: list[Any] = [spec.revision, spec.dim, spec.pooling, asdict(spec.preprocessing)]
    return cache / "int8" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _nearest(rows: Embeddings, k: int) -> Any:
    similar = rows @ rows.T
    np.fill_diagonal(similar, -np.inf)
    k = min(k, len(rows) - 1)
    return np.argpartition(-similar, k - 1, axis=1)[:, :k]
