"""Encoders on graphs of OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.base import Begun
from vitrine.services.encoders.compiled.tower import Tower
from vitrine.services.encoders.precision import Precision, WantedPrecision, choose_precision
from vitrine.services.encoders.preprocess import Pixels, fit

if TYPE_CHECKING:
    import openvino as ov

FITTED = 32
"""Images that are fitted before the first of them is encoded: bounds the memory of a long list."""

Tokenize = Callable[[Sequence[str]], NDArray[np.int64]]
"""Texts to token numbers (n, t), padded on the right."""


class OpenVinoEncoder:
    """A FedEncoder (services/encoders/batching.py) on one graph. Only ``prepare`` is thread-safe.

    ``image`` reads pixels (height, width, 3) uint8. ``rounds`` False: ``auto`` leaves the network in float32,
    where rounding moves its vectors too far. ``int8``: the same graph quantised, if there is one.
    """

    runtime = "openvino"
    device = "cpu"

    def __init__(
        self, spec: EncoderSpec, image: Tower, *, rounds: bool = True, int8: Tower | None = None
    ) -> None:
        self._spec = spec
        self._image = image
        self._rounds = rounds
        self._int8 = int8
        self.precision: Precision = "float32"

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def precision_for(self, wanted: WantedPrecision) -> Precision:
        """Return the number format that the graph should run in."""
        if wanted == "int8" and self._int8 is not None:
            return "int8"
        if wanted in ("auto", "int8") and not self._rounds:
            return "float32"
        return choose_precision(wanted, self.device)

    def round_to(self, precision: Precision) -> None:
        """Run in this number format from now on. The graph stays in float32, so this can be undone."""
        self._image.round_to(self._floats(precision))
        if self._int8 is not None:
            self._int8.round_to(self._floats(precision))
        self.precision = precision

    def _floats(self, precision: Precision) -> Precision:
        """Return the format of what is not in int8."""
        return self.precision_for("auto") if precision == "int8" else precision

    @property
    def image_graph(self) -> ov.Model:
        """The graph of the images' side in float32: (n, height, width, 3) uint8 to (n, dim)."""
        return self._image.model

    def with_image_graph(self, model: ov.Model) -> OpenVinoEncoder:
        """Return an encoder of images alone that runs another graph in the place of this one's."""
        return OpenVinoEncoder(self._spec, self._image.on(model), rounds=self._rounds)

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop one RGB image to what the model reads: (height, width, 3) uint8. Any thread may
        call it."""
        return fit(image, self._spec.preprocessing)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        parts = [
            self.encode_pixels([self.prepare(image) for image in images[at : at + FITTED]])
            for at in range(0, len(images), FITTED)
        ]
        return np.concatenate(parts) if parts else self.encode_pixels([])

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        return self.begin_pixels(pixels).rows()

    def begin_pixels(self, pixels: Sequence[Pixels]) -> Begun:
        """Begin with fitted images while earlier ones may still be under way."""
        tower = self._int8 if self.precision == "int8" and self._int8 is not None else self._image
        return tower.begin(pixels)


class OpenVinoTextEncoder(OpenVinoEncoder):
    """A TextEncoder on the two graphs of a dual model. Each side is compiled when it is first used: a search
    by words never needs the images' side."""

    def __init__(
        self,
        spec: EncoderSpec,
        image: Tower,
        text: Tower,
        tokenize: Tokenize,
        *,
        rounds: bool = True,
        int8: Tower | None = None,
    ) -> None:
        super().__init__(spec, image, rounds=rounds, int8=int8)
        self._text = text
        self._tokenize = tokenize

    def round_to(self, precision: Precision) -> None:
        """Run both sides in this number format from now on."""
        super().round_to(precision)
        self._text.round_to(self._floats(precision))

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for text i; a text longer than the model reads is
        cut."""
        parts = [self._text(self._tokenize(texts[at : at + FITTED])) for at in range(0, len(texts), FITTED)]
        return np.concatenate(parts) if parts else self._text([])
