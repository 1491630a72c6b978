from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.training.metric.augment import augment, crop_box, output_size
from vitrine.training.metric.options import Augmentation

SQUARE = Preprocessing(40, (32, 32), (0.5,) * 3, (0.5,) * 3, "bilinear")
HOW = Augmentation()


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 90)], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [(SQUARE, (32, 32)), (Preprocessing((20, 30), None, (0.0,) * 3, (1.0,) * 3), (20, 30)),
     (Preprocessing(24, None, (0.0,) * 3, (1.0,) * 3), (24, 24))],
)  # fmt: skip
def test_a_view_has_the_size_that_the_encoder_reads(preprocessing, expected):
    view = augment(gradient(100, 70), preprocessing, np.random.default_rng(0), HOW)
    assert output_size(preprocessing) == expected
    assert (view.shape, view.dtype) == ((*expected, 3), np.uint8)


def test_the_same_stream_gives_the_same_view():
    views = [augment(gradient(90, 60), SQUARE, np.random.default_rng(seed), HOW) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


@pytest.mark.parametrize("size", [(300, 300), (400, 100), (100, 533), (2000, 10), (1, 1), (7, 900)])
@pytest.mark.parametrize("aspect", [1.0, 0.75])
def test_crops_lie_inside_and_keep_area_and_aspect(size, aspect):
    random, (width, height) = np.random.default_rng(4), size
    for _ in range(300):
        left, top, right, bottom = crop_box(size, aspect, random, HOW)
        assert -1e-6 <= left < right <= width + 1e-6
        assert -1e-6 <= top < bottom <= height + 1e-6
        across, down = right - left, bottom - top
        assert aspect / HOW.aspect - 1e-6 <= across / down <= aspect * HOW.aspect + 1e-6
        if size == (300, 300):
            assert across * down >= HOW.smallest_area * width * height - 1e-6


def test_crops_differ_in_place_and_size():
    random = np.random.default_rng(5)
    boxes = np.array([crop_box((300, 200), 1.0, random, HOW) for _ in range(400)])
    assert boxes[:, 0].std() > 10 and boxes[:, 1].std() > 10
    assert (boxes[:, 2] - boxes[:, 0]).std() > 10


def test_half_of_the_views_are_mirrored_and_none_upside_down():
    random, how = np.random.default_rng(6), Augmentation(colour=0.0)
    views = [augment(gradient(120, 120), SQUARE, random, how).astype(int) for _ in range(200)]
    mirrored = np.mean([view[:, -1, 0].mean() < view[:, 0, 0].mean() for view in views])
    assert 0.4 < mirrored < 0.6
    assert all(view[-1, :, 1].mean() > view[0, :, 1].mean() for view in views)


def test_without_any_change_a_view_is_a_plain_crop():
    how = Augmentation(smallest_area=1.0, aspect=1.0, flip=0.0, colour=0.0)
    picture = gradient(64, 64)
    view = augment(picture, SQUARE, np.random.default_rng(0), how)
    np.testing.assert_array_equal(view, np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR)))


def test_colours_change_a_little():
    how = Augmentation(smallest_area=1.0, aspect=1.0, flip=0.0, colour=0.2)
    random, grey = np.random.default_rng(8), Image.new("RGB", (32, 32), (120, 100, 80))
    means = np.array([augment(grey, SQUARE, random, how).mean(axis=(0, 1)) for _ in range(100)])
    assert means.std(axis=0).min() > 3
    assert np.abs(means - (120, 100, 80)).max() < 60
