"""Dominant colours and blurs, drawn as docs/http-api.md says."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitrine.services.images.previews import preview_of

Pixels = NDArray[np.float64]
Colour = tuple[int, int, int]


def drawn(blur: str, width: int, height: int) -> Pixels:
    """The decoder of docs/http-api.md, line by line: (height, width, 3) in 0..1."""
    data = base64.b64decode(blur)
    assert len(data) == 20
    steps = [half for byte in data[5:] for half in (byte >> 4, byte & 15)]
    means = [data[0] / 255, (data[1] - 128) / 127, (data[2] - 128) / 127]
    scales = [data[3] / 255, (data[4] >> 4) ** 2 / 225, (data[4] & 15) ** 2 / 225]
    pixels = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            values, k = list(means), 0
            for channel, highest in enumerate((5, 2, 2)):
                for total in range(1, highest + 1):
                    for u in range(total + 1):
                        size = (steps[k] - 7) / 7 * scales[channel]
                        across = math.cos(math.pi * u * (x + 0.5) / width)
                        down = math.cos(math.pi * (total - u) * (y + 0.5) / height)
                        values[channel] += size * across * down
                        k += 1
            luma, orange, greenish = values
            rest = luma - greenish / 2
            blue = rest - orange / 2
            pixels[y, x] = blue + orange, luma + greenish / 2, blue
    assert k == 30
    return np.clip(pixels, 0, 1)


def of(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.rint(pixels * 255).astype(np.uint8))


def near(colour: str, wanted: Colour, apart: int = 3) -> bool:
    found = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= apart


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90), (1, 2, 3), (0, 255, 0)])
def test_a_flat_picture_is_its_colour(colour: Colour) -> None:
    found = preview_of(Image.new("RGB", (70, 40), colour))
    assert near(found.colour, colour, 0)
    assert np.abs(drawn(found.blur, 5, 3) * 255 - colour).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 2), (33, 31), (4000, 3000)])
def test_pictures_of_any_size_have_both(size: tuple[int, int]) -> None:
    found = preview_of(Image.new("RGB", size, (90, 60, 30)))
    assert near(found.colour, (90, 60, 30), 0) and len(base64.b64decode(found.blur)) == 20


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("first", "last"), [((1, 1, 1), (0, 0, 0)), ((1, 0, 0), (0, 0, 1)), ((1, 1, 0), (0, 0, 1))]
)
def test_ramps_are_where_and_what_they_were(axis: int, first: Colour, last: Colour) -> None:
    ramp = np.linspace(0, 1, 64)[:, None]
    line = np.array(first) * (1 - ramp) + np.array(last) * ramp
    pixels = np.repeat(np.expand_dims(line, axis), 64, axis=axis)
    found = drawn(preview_of(of(pixels)).blur, 16, 16)
    wanted = pixels[2::4, 2::4]
    assert np.abs(found - wanted).max() < 0.1, np.abs(found - wanted).max()


def test_frequencies_are_those_of_a_slow_transform() -> None:
    """Waves of the kept frequencies come back as they went in, within what a step of the scale is."""
    places = (np.arange(32) + 0.5) / 32
    for u, v in ((1, 0), (0, 1), (2, 3), (5, 0), (1, 4)):
        wave = np.outer(np.cos(np.pi * v * places), np.cos(np.pi * u * places))
        pixels = np.repeat((0.5 + 0.4 * wave)[..., None], 3, axis=2)
        assert np.abs(drawn(preview_of(of(pixels)).blur, 32, 32) - pixels).max() < 0.02, (u, v)
    for u, v in ((1, 1), (2, 0), (0, 2)):
        wave = np.outer(np.cos(np.pi * v * places), np.cos(np.pi * u * places))
        pixels = np.stack([0.5 + 0.3 * wave, np.full_like(wave, 0.5), 0.5 - 0.3 * wave], axis=2)
        assert np.abs(drawn(preview_of(of(pixels)).blur, 32, 32) - pixels).max() < 0.1, (u, v)
    six = np.outer(np.cos(np.pi * 6 * places), np.ones(32))
    grey = drawn(preview_of(of(np.repeat((0.5 + 0.4 * six)[..., None], 3, axis=2))).blur, 8, 8)
    assert np.abs(grey - 0.5).max() < 0.01  # finer than what is kept


def test_the_strongest_contrast_fits() -> None:
    checks = np.kron(np.indices((2, 2)).sum(axis=0) % 2, np.ones((32, 32)))
    pixels = np.stack([checks, 1 - checks, checks], axis=2)
    found = drawn(preview_of(of(pixels)).blur, 4, 4)
    assert np.abs(found - pixels[8::16, 8::16]).max() < 0.5
    assert (found[0, 0] - found[3, 0])[1] > 0.6


def test_the_dominant_colour_is_that_of_the_thing_and_not_of_its_background() -> None:
    shirt = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(shirt).rectangle((80, 80, 220, 220), fill=(200, 40, 30))
    assert near(preview_of(shirt).colour, (200, 40, 30), 12)
    line = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(line).line((20, 280, 280, 20), fill="black", width=3)
    assert near(preview_of(line).colour, (255, 255, 255), 12)


def test_a_colour_at_the_border_of_two_groups_is_met() -> None:
    generator = np.random.default_rng(1)
    noise = generator.integers(-6, 7, (64, 64, 3))
    pixels = (np.array([160, 96, 64]) + noise).astype(np.uint8)  # each at the border of a group
    assert near(preview_of(Image.fromarray(pixels)).colour, (160, 96, 64), 4)
