"""A metric-learned encoder: a trunk, and an embedder trained on the trunk's embeddings, by
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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.families.metric_config import (
    EMBEDDER,
    SPLIT,
    TRUNK,
    MetricConfig,
    read_config,
    write_config,
)
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import LOCAL_REVISION, ResolvedModel, resolve_folder
from vitrine.services.errors import AlreadyExists, EncoderMismatch, ModelUnavailable
from vitrine.services.files import make_folder

if TYPE_CHECKING:
    from vitrine.services.encoders.families.embedder import Embedder
    from vitrine.services.encoders.load import EncoderLoader


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
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        return self._embedder.embed(self.trunk.encode_images(images))

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        return self._embedder.embed(self.trunk.encode_pixels(pixels))


def save_metric_encoder(
    folder: Path,
    config: MetricConfig,
    embedder: Embedder,
    *,
    trunk: Any = None,
    processor: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
) -> None:
    """Write an encoder's folder; ``config.json`` comes last, so that half a folder is not an encoder.

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
    save_file(_weights(embedder), folder / EMBEDDER, {"format": "pt"})
    if split is not None:
        (folder / SPLIT).write_text(json.dumps(split) + "\n", encoding="utf-8")
    write_config(folder, config)


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
    embedder = _load_embedder(found.folder, config, str(getattr(trunk, "device", "cpu")))
    if trunk.spec.dim != config.embedder["input_dim"]:
        raise ModelUnavailable(
            f"The trunk of {found.path} gives {trunk.spec.dim} components, its embedder reads others."
        )
    spec = EncoderSpec(
        reference.name, reference.model, found.revision, config.dim, ("image",), config.preprocessing
    )
    return MetricEncoder(spec, trunk, embedder, config)


def _save_trunk(folder: Path, model: Any, processor: Mapping[str, Any]) -> None:
    from vitrine.services.encoders.families.transformers import quiet

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with quiet():
        model.save_pretrained(folder, state_dict=_weights(model))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")


def _weights(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


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
