"""The trunk of a training run: found at once, loaded when something must be embedded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.families.built_in import TransformersFamily
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.precision import WantedPrecision, choose_device, choose_precision
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.errors import BadRequest, ModelUnavailable

InputSize = tuple[int, ...]
"""() as the trunk asks for; (edge,) that square, cut from the picture as the trunk does; (height, width) the
whole picture."""


class Trunk:
    """An encoder to train on: where its weights lie, which revision they are, and how images are fitted to
    it.

    Raises ModelUnavailable, and BadRequest where ``input_size`` cannot be had.
    """

    def __init__(
        self,
        reference: EncoderReference,
        *,
        input_size: InputSize = (),
        precision: WantedPrecision = "auto",
        device: str = "auto",
        models_folder: Path = Path("models"),
        offline: bool = True,
    ) -> None:
        self.reference = reference
        self.device = choose_device(device)
        self.wanted: WantedPrecision = precision
        self.loader = EncoderLoader(
            models=models_folder, offline=offline, precision=precision, device=self.device, images_only=True
        )
        self._resized = bool(input_size)
        self._encoder: StagedEncoder | None = None
        self._found = self.loader.find(reference)
        self.revision = self._found.revision
        family = replace(self.loader, fuse=False).family(reference, self._found)
        self._trainable = isinstance(family, TransformersFamily)
        if self._trainable:
            from vitrine.services.encoders.preprocess import read_preprocessing

            preprocessing = read_preprocessing(self._found.folder)
        else:
            if input_size:
                raise BadRequest(f"{reference.model} has no input size to choose: leave --input-size out.")
            preprocessing = self.encoder().spec.preprocessing
        self.preprocessing = resized(preprocessing, input_size)

    @property
    def key(self) -> str:
        """Return what decides the embeddings besides the image."""
        precision = choose_precision(self.wanted, self.device)
        return (
            f"{self.revision} {self.wanted} {precision} {self.device.partition(':')[0]} {self.preprocessing}"
        )

    def encoder(self) -> StagedEncoder:
        """Return the trunk as it is served; loaded the first time."""
        if self._encoder is None:
            self._encoder = self._load(self.loader)
        return self._encoder

    def for_training(self) -> Any:
        """Return a TorchEncoder in float32 whose ``model`` may be trained. ``BadRequest`` for a trunk without
        one."""
        if not self._trainable:
            raise BadRequest(
                f"The trunk {self.reference.model} cannot be trained on: use --mode frozen, or a model "
                "of transformers."
            )
        encoder: Any = self._load(replace(self.loader, precision="float32", fuse=False))
        if (
            getattr(encoder, "pooling", "pooler") != "pooler"
            and getattr(encoder.model, "pooler", None) is not None
        ):
            encoder.model.pooler = None  # its weights are random, and saved they would pass for learned
        for parameter in encoder.model.parameters():
            parameter.requires_grad_(False)
        return encoder

    def processor(self) -> dict[str, Any]:
        """Return preprocessor_config.json for the trunk with these weights and this preprocessing."""
        import json

        path = self._found.folder / "preprocessor_config.json"
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if self._resized:
            resize, crop = self.preprocessing.resize, self.preprocessing.crop
            tree["size"] = (
                {"height": resize[0], "width": resize[1]}
                if isinstance(resize, tuple)
                else {"shortest_edge": resize}
            )
            tree["do_center_crop"] = crop is not None
            if crop is not None:
                tree["crop_size"] = {"height": crop[0], "width": crop[1]}
        return tree

    def _load(self, loader: EncoderLoader) -> StagedEncoder:
        if self._trainable:
            loader = replace(loader, preprocessing=self.preprocessing)
        try:
            encoder = loader.load(self.reference, self._found)
        except ModelUnavailable as error:
            if not self._resized:
                raise
            raise BadRequest(
                f"{self.reference.model} does not read images of this size ({error.message}). Leave "
                "--input-size out; only convolutional networks read other sizes than they were made "
                "for."
            ) from error
        assert isinstance(encoder, StagedEncoder)
        return encoder


def resized(preprocessing: Preprocessing, size: InputSize) -> Preprocessing:
    """Return the preprocessing for another input size: one number crops the same share of the picture, two
    take the whole picture.

    >>> old = Preprocessing(256, (224, 224), (0.5,) * 3, (0.5,) * 3)
    >>> resized(old, (112,)).resize, resized(old, (112,)).crop
    (128, (112, 112))
    >>> resized(old, (224, 160)).resize, resized(old, (224, 160)).crop
    ((224, 160), None)
    """
    if not size:
        return preprocessing
    if len(size) > 2 or not all(16 <= edge <= 2048 for edge in size):
        raise BadRequest("--input-size takes one edge or HEIGHTxWIDTH, of 16 to 2048 pixels each.")
    if len(size) == 2:
        return replace(preprocessing, resize=(size[0], size[1]), crop=None)
    if isinstance(preprocessing.resize, tuple) or preprocessing.crop is None:
        return replace(preprocessing, resize=(size[0], size[0]), crop=None)
    shortest = round(preprocessing.resize * size[0] / min(preprocessing.crop))
    return replace(preprocessing, resize=shortest, crop=(size[0], size[0]))
