"""Each measure on drawn pictures: against another implementation where there is one, and by what must hold of
all."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.clusters.pixels.measures import (
    DEFAULT_SCALES,
    DEFAULT_THRESHOLDS,
    HASHES,
    MEASURES,
    decode_target,
    measure,
    patterns,
    prepared,
)
from vitrine.services.errors import BadRequest, MissingExtra
from vitrine.services.images.open import ImageLimits, open_image

pytest.importorskip("datasketch")
PLAIN = Image.new("RGB", (120, 90), (200, 200, 200))


def re_encoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.resize((150, 112), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.7)).save(
        buffer, "JPEG", quality=60
    )
    return Image.open(buffer).convert("RGB")


def data_of(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.mark.parametrize("name", MEASURES)
def test_what_holds_of_every_measure(name: str) -> None:
    chosen = measure(name)
    assert (chosen.name, chosen.scale) == (name, DEFAULT_SCALES[name])
    pictures = [scene(seed) for seed in range(6)] + [
        PLAIN,
        Image.new("RGB", (90, 120)),
        scene(1, (40, 300)),
        scene(2, (9, 7)),
    ]
    pictures += [Image.new("RGB", size, "red") for size in ((1, 1), (400, 2), (1, 4000), (20_000, 1))] + [
        scene(3, (1000, 4))
    ]
    values = [chosen.prepare(image) for image in pictures]
    again = [measure(name).prepare(image) for image in pictures]
    for place, one in enumerate(values):
        assert chosen.similarity(one, one) == chosen.similarity(one, again[place]) == 1.0
        for other in values:
            similar = chosen.similarity(one, other)
            assert 0 <= similar <= 1 and similar == chosen.similarity(other, one) == chosen.similarity(
                chosen.slim(one), other
            )


@pytest.mark.parametrize("name", MEASURES)
def test_a_copy_is_nearer_than_another_picture(name: str) -> None:
    chosen = measure(name)
    for seed in range(8):
        picture, copy = chosen.prepare(scene(seed)), chosen.prepare(re_encoded(scene(seed)))
        to_copy = chosen.similarity(picture, copy)
        others = [chosen.similarity(picture, chosen.prepare(scene(seed + n))) for n in range(10, 14)]
        if name == "colorhash":  # the scenes are of all colours alike
            assert to_copy > sum(others) / len(others)
        else:
            assert to_copy >= DEFAULT_THRESHOLDS[name] > max(others)


def test_structural_similarity_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    chosen = measure("ssim", scale=96)
    pictures = [scene(0), re_encoded(scene(0)), scene(1), scene(0).filter(ImageFilter.GaussianBlur(3)), PLAIN]
    values = [chosen.prepare(image) for image in pictures]
    for one in values:
        for other in values:
            expected = metrics.structural_similarity(
                one.grey,
                other.grey,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert chosen.similarity(one, other) == pytest.approx(max(0.0, expected), abs=1e-4)


def test_minhash_estimates_the_share_of_common_patterns() -> None:
    chosen = measure("minhash")
    greys = [
        image.convert("L").resize((16, 16), Image.Resampling.BOX)
        for image in (scene(0), re_encoded(scene(0)), scene(1))
    ]
    sets = [set(patterns(np.asarray(grey))) for grey in greys]
    values = [chosen.prepare(grey.convert("RGB")) for grey in greys]
    for one in range(3):
        for other in range(3):
            jaccard = len(sets[one] & sets[other]) / len(sets[one] | sets[other])
            assert chosen.similarity(values[one], values[other]) == pytest.approx(
                jaccard, abs=0.15
            )  # 128 permutations


@pytest.mark.parametrize("name", HASHES)
def test_hashes_are_those_of_imagehash(name: str) -> None:
    import imagehash

    made = {
        "ahash": imagehash.average_hash,
        "phash": imagehash.phash,
        "dhash": imagehash.dhash,
        "colorhash": imagehash.colorhash,
        "whash": imagehash.whash,
    }[name]
    one, other = (data_of(scene(seed, (700, 520)).filter(ImageFilter.GaussianBlur(1))) for seed in (3, 4))
    first, second = (made(Image.open(io.BytesIO(data))) for data in (one, other))
    chosen = measure(name)
    values = [
        chosen.prepare(open_image(data, target=decode_target(chosen.scale), limits=ImageLimits()).image)
        for data in (one, other)
    ]
    bits = [first.hash.ravel().tolist(), second.hash.ravel().tolist()]
    places = [place * 64 // len(bits[0]) for place in range(len(bits[0]))]
    assert values == [
        sum(1 << place for place, bit in zip(places, some, strict=True) if bit) for some in bits
    ]
    assert chosen.similarity(*values) == pytest.approx(1 - (first - second) / first.hash.size)


def test_good_matches_are_each_others_nearest() -> None:
    chosen = measure("orb")
    values = [chosen.prepare(image) for image in (scene(0), re_encoded(scene(0)), scene(1))]
    for one in values:
        for other in values[1:]:
            first, second = (np.unpackbits(each[0], axis=1) for each in (one, other))
            every = np.array([(each != second).sum(axis=1) for each in first])
            good = 0
            for row, near in enumerate(every.argmin(axis=1).tolist()):
                good += every[row, near] <= 48 and every[:, near].argmin() == row
            if one is not other:
                assert chosen.similarity(one, other) == pytest.approx(
                    2 * good / (len(one[0]) + len(other[0]))
                )


def test_a_template_is_found_where_it_correlates_most() -> None:
    chosen = measure("template", scale=24)
    values = [chosen.prepare(image) for image in (scene(0), re_encoded(scene(0)), scene(1))]
    for one in values:
        for other in values:
            best = [0.0]
            for large, small in ((one, other[2:-2, 2:-2]), (other, one[2:-2, 2:-2])):
                for y in range(5):
                    for x in range(5):
                        part = large[y : y + 20, x : x + 20]
                        best.append(float(np.corrcoef(part.ravel(), small.ravel())[0, 1]))
            assert chosen.similarity(one, other) == pytest.approx(max(best), abs=1e-4)


def test_what_cannot_be_is_refused() -> None:
    for name, scale in (("magic", None), ("ssim", 8), ("orb", 5000)):
        with pytest.raises(BadRequest):
            measure(name, scale=scale)


def test_a_missing_library_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = measure("whash")
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(MissingExtra, match="ImageHash"):
        prepared(chosen, Image.new("RGB", (16, 16)))
    with pytest.raises(MissingExtra, match="ImageHash"):
        measure("whash")
