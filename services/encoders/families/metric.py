"""A metric-learned encoder: a trunk, and an embedder trained on what the trunk sees. Made by
training/metric/train.py.

    config.json             MetricConfig: arguments, preprocessing, classes, metrics, data fingerprint
    embedder.safetensors    the embedder's weights
    trunk/                  the trunk as transformers has it, if training changed it
    split.json              which images were trained on and which were held out, by content hash

``save_metric_encoder`` and ``load_metric_encoder`` are each other's inverse: what was trained is what is
served, with the same preprocessing and in the trunk's precision.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.base import Encoder
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.families.metric_config import (
    EMBEDDER,
    KIND,
    SPLIT,
    TRUNK,
    MetricConfig,
    Mode,
    TrunkReference,
    folder_kind,
    read_config,
    read_split,
    write_config,
)
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import LOCAL_REVISION, ResolvedModel, folder_revision, resolve_model
from vitrine.services.errors import AlreadyExists, EncoderMismatch, ModelUnavailable
from vitrine.services.files import make_folder

if TYPE_CHECKING:
    from vitrine.services.encoders.families.embedder import Embedder

__all__ = [
    "KIND",
    "MetricConfig",
    "MetricEncoder",
    "Mode",
    "TrunkReference",
    "folder_kind",
    "load_metric_encoder",
    "read_config",
    "read_split",
    "save_metric_encoder",
]


class MetricEncoder:
    """An Encoder of images alone: the trunk's embedding, then the embedder. A dual trunk's text side is of no
    use behind it."""

    def __init__(
        self, spec: EncoderSpec, trunk: StagedEncoder, embedder: Embedder, config: MetricConfig
    ) -> None:
        self._spec = spec
        self._embedder = embedder
        self.trunk = trunk
        self.config = config
        self.precision = str(getattr(trunk, "precision", "float32"))
        self.device = str(getattr(trunk, "device", "cpu"))

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop one RGB image: (height, width, 3) uint8. Any thread may call it."""
        return self.trunk.prepare(image)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """(n, dim) float32, L2-normalised, row i for image i."""
        return self._embedder.embed(self.trunk.encode_images(images))

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        return self._embedder.embed(self.trunk.encode_pixels(pixels))

    def encode_trunk(self, rows: Embeddings) -> Embeddings:
        """The embeddings of images whose trunk embeddings (n, trunk's dim) are known."""
        return self._embedder.embed(rows)


def save_metric_encoder(
    folder: Path,
    config: MetricConfig,
    embedder: Embedder,
    *,
    trunk: Any = None,
    processor: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
) -> None:
    """Write an encoder's folder; ``config.json`` comes last, so that half a folder is none.

    ``trunk``: the float32 transformers model, where training changed it, and ``processor`` the contents of
    its preprocessor_config.json. ``split``: see ``read_split``. ``AlreadyExists`` where the folder has an
    encoder already.
    """
    from safetensors.torch import save_file

    if (folder / "config.json").exists():
        raise AlreadyExists(f"{folder} holds an encoder already: name another folder, or remove it first.")
    make_folder(folder)
    if config.trunk.stored:
        _save_trunk(folder / TRUNK, trunk, processor or {})
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in embedder.state_dict().items()}
    save_file(weights, folder / EMBEDDER, {"format": "pt"})
    if split is not None:
        (folder / SPLIT).write_text(json.dumps(split) + "\n", encoding="utf-8")
    write_config(folder, config)


def load_metric_encoder(
    reference: EncoderReference,
    found: ResolvedModel,
    *,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str = "auto",
    models_folder: Path = Path("models"),
    offline: bool = True,
) -> MetricEncoder:
    """Load the encoder that lies in a folder; ``auto`` is the precision that it was trained with.

    A trunk that is referred to is found by its reference. ``ModelUnavailable`` where it is not on this
    machine or the folder is damaged, ``EncoderMismatch`` where only another revision of the trunk is.
    """
    config = read_config(found.path)
    wanted = config.precision if precision == "auto" else precision
    if config.trunk.stored:
        trunk = _load_stored_trunk(found.path / TRUNK, config.preprocessing, wanted, device)
    else:
        trunk = _load_trunk(config, wanted, device, models_folder, offline)
    embedder = _load_embedder(found.path, config, str(getattr(trunk, "device", "cpu")))
    if trunk.spec.dim != config.embedder["input_dim"]:
        raise ModelUnavailable(
            f"The trunk of {found.path} gives {trunk.spec.dim} components, its embedder reads others."
        )
    spec = EncoderSpec(
        reference.name, reference.model, found.revision, config.dim, ("image",), config.preprocessing
    )
    return MetricEncoder(spec, trunk, embedder, config)


def _save_trunk(folder: Path, model: Any, processor: Mapping[str, Any]) -> None:
    from vitrine.services.encoders.load import quiet

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with quiet():
        model.save_pretrained(folder, state_dict=weights)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def _load_stored_trunk(
    folder: Path, preprocessing: Preprocessing, precision: Any, device: str
) -> StagedEncoder:
    from vitrine.services.encoders.load import load_folder

    if not folder.is_dir():
        raise ModelUnavailable(f"{folder.parent} lacks its trunk: copy the whole folder.")
    found = ResolvedModel(folder, folder_revision(folder))
    reference = EncoderReference("trunk", str(folder))
    encoder = load_folder(
        reference, found, precision=precision, device=device, preprocessing=preprocessing, images_only=True
    )
    return _staged(encoder)


def _load_trunk(
    config: MetricConfig, precision: Any, device: str, models_folder: Path, offline: bool
) -> StagedEncoder:
    """The very revision that was trained on: its folder, else the hub's commit."""
    from vitrine.services.encoders.families.fake import ColourEncoder
    from vitrine.services.encoders.load import load_folder
    from vitrine.services.encoders.reference import COLOUR_MODEL

    reference = EncoderReference("trunk", config.trunk.model, config.trunk.revision)
    if reference.model == COLOUR_MODEL:
        colours = ColourEncoder(reference.name, int(config.embedder["input_dim"]))
        _check_revision(config, colours.spec.revision)
        return colours
    found = resolve_model(reference, models_folder=models_folder, offline=offline)
    if found.revision != config.trunk.revision and not config.trunk.revision.startswith(LOCAL_REVISION):
        found = resolve_model(reference, models_folder=models_folder, offline=offline, folders=False)
    _check_revision(config, found.revision)
    encoder = load_folder(
        reference,
        found,
        precision=precision,
        device=device,
        models_folder=models_folder,
        offline=offline,
        preprocessing=config.preprocessing,
        images_only=True,
    )
    return _staged(encoder)


def _check_revision(config: MetricConfig, found: str) -> None:
    if found != config.trunk.revision:
        raise EncoderMismatch(
            f"The encoder {config.name} was trained on {config.trunk.model} at revision "
            f"{config.trunk.revision}, but revision {found} is what is found here. Bring the former "
            "weights back, or train again.",
            using=config.name,
            expected=config.trunk.revision,
            found=found,
        )


def _staged(encoder: Encoder) -> StagedEncoder:
    assert isinstance(encoder, StagedEncoder)
    return encoder


def _load_embedder(folder: Path, config: MetricConfig, device: str) -> Embedder:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from vitrine.services.encoders.families.embedder import Embedder

    embedder = Embedder(**config.embedder)
    try:
        embedder.load_state_dict(load_file(folder / EMBEDDER))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailable(
            f"The embedder in {folder} is missing, damaged, or other than its config.json says."
        ) from error
    return embedder.to(device).eval()
