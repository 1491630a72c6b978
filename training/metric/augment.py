"""Make random views of a picture for training: a crop, a flip, slightly other colours. Needs only PIL and
numpy."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageEnhance

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.preprocess import Pixels, in_model_order
from vitrine.training.metric.options import Augmentation

_TRIES = 10


def augment(
    image: Image.Image, preprocessing: Preprocessing, random: np.random.Generator, how: Augmentation
) -> Pixels:
    """Return a random view of an RGB image in the encoder's input size: (height, width, 3) uint8."""
    height, width = output_size(preprocessing)
    box = crop_box(image.size, width / height, random, how)
    view = image.resize((width, height), Image.Resampling[preprocessing.interpolation.upper()], box=box)
    if random.random() < how.flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = change(view).enhance(1.0 + how.colour * random.uniform(-1, 1))
    return in_model_order(np.asarray(view), preprocessing)


def output_size(preprocessing: Preprocessing) -> tuple[int, int]:
    """Return (height, width) in pixels of an encoder's input."""
    edge = preprocessing.resize
    return preprocessing.crop or (edge if isinstance(edge, tuple) else (edge, edge))


def crop_box(
    size: tuple[int, int], aspect: float, random: np.random.Generator, how: Augmentation
) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) in pixels of a random crop inside a picture of ``size`` (width,
    height). Its width by height is ``aspect`` up to a factor of ``how.aspect`` (Szegedy et al., 2015); a
    picture too long for any crop gives its middle."""
    width, height = size
    for _ in range(_TRIES):
        area = width * height * random.uniform(how.smallest_area, 1.0)
        shape = aspect * math.exp(random.uniform(-1, 1) * math.log(how.aspect))
        across, down = math.sqrt(area * shape), math.sqrt(area / shape)
        if across <= width and down <= height:
            left, top = random.uniform(0, width - across), random.uniform(0, height - down)
            return left, top, left + across, top + down
    across, down = min(width, height * aspect), min(height, width / aspect)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down
