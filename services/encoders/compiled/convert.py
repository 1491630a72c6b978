"""Models that no graph is known for: torch's own, converted once by OpenVINO and kept with the data.

    CACHE/converted/<digest>/model.xml, model.bin    the graph in float32, for every number format
    CACHE/converted/<digest>/converted.json          Converted; written last

The digest is over the weights' revision and how pictures are fitted. Where torch is installed, what other
versions converted is made again; where it is not, it runs as it is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.compiled.choose import core_count
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder
from vitrine.services.encoders.compiled.library import import_openvino
from vitrine.services.encoders.compiled.load import CONVOLUTIONAL_SLICE, SLICE, input_size
from vitrine.services.encoders.compiled.proof_memory import installed_version
from vitrine.services.encoders.compiled.tower import Streams, Tower, reads_pixels
from vitrine.services.encoders.preprocess import read_preprocessing
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.errors import because

if TYPE_CHECKING:
    import openvino as ov

    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.torch_encoder import TransformersEncoder

_log = logging.getLogger("vitrine.encoders")
_XML, _BIN, _NOTE = "model.xml", "model.bin", "converted.json"
_EQUAL = 0.9999
"""Least cosine of a converted graph's vectors to torch's, on pictures of noise, alone and together."""
_PACKAGES = ("vitrine", "openvino", "torch", "transformers")
_FORMAT = 2
"""Of what is kept. Up to 1 its place depended on the versions of the packages."""


@dataclass(frozen=True)
class Converted:
    """What is known of a converted model. ``bytes``: of the two files, which shows one that was cut off.
    ``refused``: why it runs in torch instead; empty where it does not. ``made_by``: the versions of the
    packages that converted it."""

    dim: int = 0
    pooling: str | None = None
    convolutional: bool = False
    rounds: bool = True
    bytes: tuple[int, int] = (0, 0)
    refused: str = ""
    made_by: tuple[str, ...] = ()


def load_converted(
    reference: EncoderReference,
    found: ResolvedModel,
    loader: EncoderLoader,
    by_torch: Callable[[], TransformersEncoder],
) -> OpenVinoEncoder | TransformersEncoder:
    """Return the converted encoder of a folder; ``by_torch`` loads it where that must be made first, and is
    what is returned where it cannot be. A copy that is damaged, or made by other versions, is made again.
    ``loader`` has a cache."""
    preprocessing, folder = _fitted(found, loader), _place(found, loader)
    known = _read(folder)
    if known and known.made_by != _versions():
        known = None
    if known and known.refused:
        return by_torch()
    model = _graph(folder, known) if known else None
    if known is None or model is None:
        encoder = by_torch()
        try:
            model, known = _convert(encoder, input_size(preprocessing))
        except Exception as error:  # tracing and converting raise of all kinds
            known = Converted(refused=because(error)[:200], made_by=_versions())
            _log.warning("%s runs in torch, because it is not converted: %s.", found.path, known.refused)
        _keep(folder, model, known)
        if model is None:
            return encoder
    return _encoder(reference, found, loader, model, known)


def load_kept(
    reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader
) -> OpenVinoEncoder | None:
    """Return the encoder of a folder as it was converted where torch was, by whichever versions; None where
    nothing of it is kept whole."""
    if loader.cache is None:
        return None
    folder = _place(found, loader)
    known = _read(folder)
    model = _graph(folder, known) if known and not known.refused else None
    return _encoder(reference, found, loader, model, known) if known and model is not None else None


def _encoder(
    reference: EncoderReference,
    found: ResolvedModel,
    loader: EncoderLoader,
    model: ov.Model,
    known: Converted,
) -> OpenVinoEncoder:
    preprocessing = _fitted(found, loader)
    spec = EncoderSpec(
        reference.name, reference.model, found.revision, known.dim, ("image",), preprocessing, known.pooling
    )
    step = CONVOLUTIONAL_SLICE if known.convolutional else SLICE
    streams = Streams(core_count(loader.threads), {"float32": step, "bfloat16": step})
    return OpenVinoEncoder(
        spec, Tower(reads_pixels(model, preprocessing), known.dim, streams), rounds=known.rounds
    )


def _convert(encoder: TransformersEncoder, size: tuple[int, int]) -> tuple[ov.Model, Converted]:
    """Return torch's images' side as a graph that gives the same vectors. ``ValueError`` where it does
    not."""
    import openvino as ov
    import torch

    from vitrine.services.encoders.torch_encoder import choose_model_precision, is_convolutional, unit

    if "text" in encoder.spec.modalities:
        raise ValueError("it reads texts as well, and no graph is known for its kind")

    class Rows(torch.nn.Module):
        """Normalised pixels (n, 3, height, width) to rows of length 1."""

        def __init__(self) -> None:
            super().__init__()
            self.model = encoder.model

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(encoder.features(pixels), dim=-1)

    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 3, *size)).astype(np.float32))
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of what the comparison below would show
        model = ov.convert_model(Rows().eval(), example_input=noise[:2].clone(), input=[-1, 3, *size])
        wanted = unit(encoder.features(noise))
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = compiled([noise.numpy()])[0].copy()
    alone = compiled([noise.numpy()[:1]])[0]
    if rows.shape != wanted.shape or min((rows * wanted).sum(1).min(), (alone * wanted[:1]).sum()) < _EQUAL:
        raise ValueError("the converted graph gives other vectors")
    exact = choose_model_precision("auto", "cpu", encoder.model) == "float32" and is_convolutional(
        encoder.model
    )
    known = Converted(
        rows.shape[1],
        encoder.spec.pooling,
        is_convolutional(encoder.model),
        rounds=not exact,
        made_by=_versions(),
    )
    return model, known


def _read(folder: Path) -> Converted | None:
    """Return what is known of a kept model; None where there is none that is whole."""
    try:
        tree = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
        known = Converted(**tree | {name: tuple(tree[name]) for name in ("bytes", "made_by")})
        sizes = known.bytes if known.refused else _sizes(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if sizes == known.bytes else None


def _graph(folder: Path, known: Converted) -> ov.Model | None:
    import_openvino()
    import openvino as ov

    try:
        model = ov.Core().read_model(folder / _XML)
        return model if model.output(0).get_partial_shape()[1] == known.dim else None
    except Exception as error:  # a damaged file; openvino raises RuntimeError and others
        _log.warning("The converted model in %s is damaged and not used: %s.", folder, because(error))
        return None


def _keep(folder: Path, model: ov.Model | None, known: Converted) -> None:
    """Write a converted model beside its place and move it there; that it cannot be kept is only logged."""
    import openvino as ov

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            tree: dict[str, Any] = asdict(known)
            if model is not None:
                ov.save_model(model, made / _XML, compress_to_fp16=False)
                tree["bytes"] = _sizes(made)
            (made / _NOTE).write_text(json.dumps(tree), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except (OSError, RuntimeError) as error:
        _log.warning("The converted model is not kept, so it is made again next time: %s.", because(error))


def _sizes(folder: Path) -> tuple[int, int]:
    return (folder / _XML).stat().st_size, (folder / _BIN).stat().st_size


def _fitted(found: ResolvedModel, loader: EncoderLoader) -> Preprocessing:
    """Return how pictures are fitted for a model."""
    return loader.preprocessing or read_preprocessing(found.folder)


def _place(found: ResolvedModel, loader: EncoderLoader) -> Path:
    """Return the folder in which the conversion of a model is kept."""
    assert loader.cache is not None
    identity = [_FORMAT, found.revision, asdict(_fitted(found, loader)), loader.images_only]
    digest = hashlib.sha256(json.dumps(cast(Any, identity)).encode()).hexdigest()
    return loader.cache / "converted" / digest


def _versions() -> tuple[str, ...]:
    return tuple(map(installed_version, _PACKAGES))
