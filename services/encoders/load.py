"""From a reference to a loaded encoder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.families.metric_config import folder_kind
from vitrine.services.encoders.fuse import fuse_quick_gelu
from vitrine.services.encoders.precision import Precision, choose_device, choose_precision
from vitrine.services.encoders.pretrained import check_folder, load_model, load_tokenizer, refusal
from vitrine.services.encoders.proof import Proof, encode_inputs, prove
from vitrine.services.encoders.reference import COLOUR_MODEL, EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel, resolve_model
from vitrine.services.errors import ModelUnavailable, VitrineError

if TYPE_CHECKING:
    import torch

    from vitrine.services.encoders.torch_encoder import TransformersEncoder

WantedPrecision = Literal["auto", "float32", "bfloat16"]
_log = logging.getLogger("vitrine.encoders")
_LOGGING = threading.Lock()
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")


def load_encoder(
    reference: EncoderReference,
    *,
    models_folder: Path = Path("models"),
    precision: WantedPrecision = "auto",
    device: str = "auto",
    offline: bool = False,
    folders: bool = True,
) -> Encoder:
    """Find and load an encoder; what its config says decides whether it takes texts too.

    ``folders=False`` ignores local folders and loads the very commit of the reference. Only safetensors
    weights are read, and no code that comes with a model is run. Raises ModelUnavailable.
    """
    if reference.model == COLOUR_MODEL:
        from vitrine.services.encoders.families.fake import ColourEncoder

        return ColourEncoder(reference.name)
    found = resolve_model(reference, models_folder=models_folder, offline=offline, folders=folders)
    return load_folder(
        reference, found, precision=precision, device=device, models_folder=models_folder, offline=offline
    )


def load_folder(
    reference: EncoderReference,
    found: ResolvedModel,
    *,
    precision: WantedPrecision = "auto",
    device: str = "auto",
    models_folder: Path = Path("models"),
    offline: bool = True,
    preprocessing: Preprocessing | None = None,
    images_only: bool = False,
    fuse: bool = True,
) -> Encoder:
    """Load the encoder that lies in a folder, and prove it: see services/encoders/proof.py.

    An encoder that is not close to itself in float32 runs in float32. Raises ModelUnavailable where the
    folder is incomplete or damaged, UnsoundEncoder where its vectors are wrong.

    ``models_folder`` and ``offline`` say where the trunk of a metric-learned encoder is looked for, if the
    folder refers to one. ``preprocessing`` replaces what the folder asks for. ``images_only`` leaves out the
    texts' side of a dual model, whose weights may then be missing. ``fuse=False`` keeps the layers as they
    were trained, for training on.
    """
    device = choose_device(device)

    def load(precision: WantedPrecision) -> tuple[Encoder, Proof]:
        kind = folder_kind(found.path)
        if kind is None:
            return _load_transformers(reference, found, precision, device, preprocessing, images_only, fuse)
        with _refusing(found.path):
            encoder = _load_own(kind, reference, found, precision, device, models_folder, offline)
        return encoder, prove(encoder)

    encoder, proof = load(precision)
    if not proof.sound and getattr(encoder, "precision", None) == "bfloat16":
        rounded = proof
        encoder, proof = load("float32")
        if proof.sound:
            _log.warning("%s runs in float32, for in bfloat16 it is not sound. %s.", found.path, rounded)
    proof.require(found.path)
    return encoder


def _load_own(
    kind: str,
    reference: EncoderReference,
    found: ResolvedModel,
    precision: WantedPrecision,
    device: str,
    models_folder: Path,
    offline: bool,
) -> Encoder:
    """An encoder of one of our kinds."""
    if kind == "autoencoder":
        from vitrine.services.encoders.families.autoencoder import load_autoencoder

        return load_autoencoder(reference, found, device=device)
    if kind == "metric-encoder":
        from vitrine.services.encoders.families.metric import load_metric_encoder

        return load_metric_encoder(
            reference, found, precision=precision, device=device, models_folder=models_folder, offline=offline
        )
    raise ModelUnavailable(f"{found.path} holds a {kind}, a kind of encoder that this version does not know.")


def _load_transformers(
    reference: EncoderReference,
    found: ResolvedModel,
    precision: WantedPrecision,
    device: str,
    preprocessing: Preprocessing | None,
    images_only: bool,
    fuse: bool,
) -> tuple[Encoder, Proof]:
    """An encoder on a model of transformers, and its proof: in bfloat16 it is compared with what it was
    before rounding."""
    check_folder(found.path)
    with _refusing(found.path):
        encoder = _in_float32(reference, found, device, preprocessing, images_only, fuse)
    wanted = choose_model_precision(precision, device, encoder.model)
    if wanted == "float32":
        if precision == "bfloat16":
            _log.warning("%s runs in float32: in bfloat16 its vectors would be others.", found.path)
        return encoder, prove(encoder)
    exact = encode_inputs(encoder)
    encoder.round_to(wanted)
    return encoder, prove(encoder, exact)


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Loading runs through four libraries that each raise their own errors."""
    try:
        yield
    except VitrineError:
        raise
    except Exception as error:
        raise ModelUnavailable(refusal(folder, error, "does not load as an encoder")) from error


def _in_float32(
    reference: EncoderReference,
    found: ResolvedModel,
    device: str,
    preprocessing: Preprocessing | None,
    images_only: bool,
    fuse: bool,
) -> TransformersEncoder:
    import torch

    from vitrine.services.encoders.preprocess import read_preprocessing
    from vitrine.services.encoders.torch_encoder import is_convolutional

    preprocessing = preprocessing or read_preprocessing(found.path)
    with quiet():
        model, missing = load_model(found.path)
    if fuse:
        fuse_quick_gelu(model)
    model = model.to(device).eval()
    if is_convolutional(model):  # MobileNetV2 on a CPU: twice as fast
        model = model.to(memory_format=torch.channels_last)
    make = _vision
    if hasattr(model, "get_image_features") and hasattr(model, "get_text_features"):
        make = _image_side if images_only else _clip
    return make(reference, found, model, missing, preprocessing, device)


def _clip(
    reference: EncoderReference,
    found: ResolvedModel,
    model: Any,
    missing: set[str],
    preprocessing: Preprocessing,
    device: str,
) -> TransformersEncoder:
    from vitrine.services.encoders.families.clip import ClipEncoder

    _refuse_missing(found.path, missing)
    if not any(file for pattern in _VOCABULARIES for file in found.path.glob(pattern)):
        raise ModelUnavailable(
            f"{found.path} has no tokenizer files: texts would be read with an empty vocabulary."
        )
    tokenizer = load_tokenizer(found.path)
    dim = _dual_dim(model, _probe(preprocessing, device))
    spec = EncoderSpec(reference.name, reference.model, found.revision, dim, ("image", "text"), preprocessing)
    return ClipEncoder(spec, model, tokenizer, device=device)


def _image_side(
    reference: EncoderReference,
    found: ResolvedModel,
    model: Any,
    missing: set[str],
    preprocessing: Preprocessing,
    device: str,
) -> TransformersEncoder:
    from vitrine.services.encoders.families.clip import DualImageEncoder

    texts = [name for name in ("text_model", "text_projection") if getattr(model, name, None) is not None]
    _refuse_missing(found.path, {name for name in missing if not name.startswith(tuple(texts))})
    for name in texts:
        setattr(model, name, None)
    dim = _dual_dim(model, _probe(preprocessing, device))
    spec = EncoderSpec(reference.name, reference.model, found.revision, dim, ("image",), preprocessing)
    return DualImageEncoder(spec, model, device=device)


def _vision(
    reference: EncoderReference,
    found: ResolvedModel,
    model: Any,
    missing: set[str],
    preprocessing: Preprocessing,
    device: str,
) -> TransformersEncoder:
    from vitrine.services.encoders.families.vit import VisionEncoder, choose_pooling, pooled

    _refuse_missing(found.path, {name for name in missing if "pooler" not in name})
    output = _forward(model, _probe(preprocessing, device))
    pooling = choose_pooling(model, output, missing)
    dim = int(pooled(output, pooling).shape[-1])
    spec = EncoderSpec(reference.name, reference.model, found.revision, dim, ("image",), preprocessing)
    return VisionEncoder(spec, model, pooling, device=device)


def choose_model_precision(wanted: WantedPrecision, device: str, model: Any) -> Precision:
    """As ``choose_precision``, but GroupViT stays in float32, and ``auto`` leaves networks with batch
    normalisation there too.

    Rounding their folded statistics costs MobileNetV2 0.003 of cosine; a transformer's layer norms cost less
    than 0.0001. GroupViT puts each patch into one group, and rounding puts some into another: 0.006.
    """
    import torch

    if model.config.model_type == "groupvit":
        return "float32"
    if wanted == "auto" and any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules()):
        return "float32"
    return choose_precision(wanted, device)


def _refuse_missing(folder: Path, missing: set[str]) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelUnavailable(
            f"{folder} lacks {len(missing)} of its weights ({names}, ...): its embeddings would be random."
        )


def _dual_dim(model: Any, probe: torch.Tensor) -> int:
    output = _forward(model.get_image_features, probe)
    return int(getattr(output, "pooler_output", output).shape[-1])


def _probe(preprocessing: Preprocessing, device: str) -> torch.Tensor:
    """One black image as a batch: it shows the dimension, and that the size fits the model."""
    import torch
    from PIL import Image

    from vitrine.services.encoders.preprocess import fit, normalise

    pixels = fit(Image.fromarray(np.zeros((8, 8, 3), np.uint8)), preprocessing)
    return normalise([pixels], preprocessing, device=device, dtype=torch.float32)


def _forward(function: Any, batch: torch.Tensor) -> Any:
    import torch

    with torch.inference_mode():
        return function(pixel_values=batch)


@contextmanager
def quiet() -> Iterator[None]:
    """transformers reports on unused classifier weights and draws progress bars; what matters of it is raised
    as an error."""
    from transformers.utils import logging

    with _LOGGING:
        before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(before)
            if bars:
                logging.enable_progress_bar()
