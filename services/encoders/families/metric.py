"""A metric-learned encoder: a trunk, and an embedder trained on the trunk's embeddings, by
training/metric/train.py.

    config.json             MetricConfig: arguments, preprocessing, classes, metrics, data fingerprint
    embedder.safetensors    the embedder's weights
    trunk/                  the trunk as transformers has it, if training changed it
    split.json              which images were trained on and which were held out, by content hash

training/metric/saving.py writes it, and ``load_metric_encoder`` is its inverse: what was trained is what is
served, with the same preprocessing and in the trunk's precision. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.base import Begun, done
from vitrine.services.encoders.batching import FedEncoder, StagedEncoder
from vitrine.services.encoders.families.embedder import Embedder, read_embedder
from vitrine.services.encoders.families.metric_config import (
    EMBEDDER,
    TRUNK,
    MetricConfig,
    read_config,
)
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import LOCAL_REVISION, ResolvedModel, resolve_folder
from vitrine.services.errors import EncoderMismatch, ModelUnavailable

if TYPE_CHECKING:
    from vitrine.services.encoders.load import EncoderLoader


class RowEmbedder(Protocol):
    """Unit rows (n, trunk's dim) to unit rows (n, dim): the embedder as it serves, or as it was trained."""

    def embed(self, rows: Embeddings) -> Embeddings: ...


class MetricEncoder:
    """An Encoder of images alone: the trunk's embedding, then the embedder. A dual trunk's text side is of no
    use behind it."""

    def __init__(
        self, spec: EncoderSpec, trunk: StagedEncoder, embedder: RowEmbedder, config: MetricConfig
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
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        return self._embedder.embed(self.trunk.encode_images(images))

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        return self.begin_pixels(pixels).rows()

    def begin_pixels(self, pixels: Sequence[Pixels]) -> Begun:
        """Begin with fitted images, while the trunk may still be at earlier ones if it can do so."""
        trunk = self.trunk
        begun = (
            trunk.begin_pixels(pixels) if isinstance(trunk, FedEncoder) else done(trunk.encode_pixels(pixels))
        )
        return replace(begun, rows=lambda: self._embedder.embed(begun.rows()))


def load_metric_encoder(
    reference: EncoderReference, found: ResolvedModel, loader: EncoderLoader
) -> MetricEncoder:
    """Load the encoder that lies in a folder; ``auto`` is the precision that it was trained with.

    A trunk that is referred to is found by its reference. ``ModelUnavailable`` where it is not on this
    machine or the folder is damaged, ``EncoderMismatch`` where only another revision of the trunk is.
    """
    config = read_config(found.folder)
    trunk = _load_trunk(
        config,
        found.folder / TRUNK,
        replace(
            loader,
            precision=config.precision if loader.precision == "auto" else loader.precision,
            preprocessing=config.preprocessing,
            images_only=True,
        ),
    )
    embedder = _load_embedder(found.folder, config)
    if trunk.spec.dim != config.embedder["input_dim"]:
        raise ModelUnavailable(
            f"The trunk of {found.path} gives {trunk.spec.dim} components, its embedder reads others."
        )
    spec = EncoderSpec(
        reference.name, reference.model, found.revision, config.dim, ("image",), config.preprocessing
    )
    return MetricEncoder(spec, trunk, embedder, config)


def _load_trunk(config: MetricConfig, stored: Path, loader: EncoderLoader) -> StagedEncoder:
    """Load the trunk from the ``stored`` folder if training changed it, else exactly the revision that was
    trained on: its folder, or the hub's commit."""
    if config.trunk.stored:
        if not stored.is_dir():
            raise ModelUnavailable(f"{stored.parent} lacks its trunk: copy the whole folder.")
        reference, found = EncoderReference("trunk", str(stored)), resolve_folder(stored)
    else:
        wanted = config.trunk.revision
        reference = EncoderReference("trunk", config.trunk.model, wanted)
        found = loader.find(reference)
        if found.revision != wanted and not wanted.startswith(LOCAL_REVISION):
            found = loader.find(reference, folders=False)
        if found.revision != wanted:
            raise EncoderMismatch(
                f"The encoder {config.name} was trained on {config.trunk.model} at revision {wanted}, but "
                f"revision {found.revision} is what is found here. Bring the former weights back, or train "
                "again.",
                using=config.name,
                expected=wanted,
                found=found.revision,
            )
    trunk = loader.load(reference, found)
    assert isinstance(trunk, StagedEncoder)
    return trunk


def _load_embedder(folder: Path, config: MetricConfig) -> Embedder:
    try:
        return read_embedder(folder / EMBEDDER, config.embedder)
    except (ModelUnavailable, KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"The embedder in {folder} is missing, damaged, or other than its config.json says."
        ) from error
