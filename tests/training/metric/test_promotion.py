from __future__ import annotations

import numpy as np
import pytest

from vitrine.services.errors import TooFewExamples
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.data.splits import Split
from vitrine.training.metric.promotion import held_out, judge, metrics_tree, recalled

IMAGES = [LabelledImage(f"{i}", "ab"[i % 2], lambda: b"", sha256=f"{i:064x}") for i in range(12)]
ANGLES = {"a": 0.0, "b": 1.5}


def near(images):
    """Classes apart by an angle of 1.5, their images by less."""
    angles = np.array([ANGLES[image.class_] + 0.01 * int(image.key) for image in images])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def mixed(images):
    """Every image next to one of the other class."""
    angles = np.array([0.2 * int(image.key) for image in images])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def split(protocol: str) -> Split:
    return Split(tuple(range(6)), (6, 7), tuple(range(8, 12)), protocol)


def test_test_images_search_among_the_training_images():
    held = held_out(IMAGES, split("by-image"))
    assert [image.key for image in held.queries] == ["8", "9", "10", "11"]
    assert [image.key for image in held.gallery or ()] == ["0", "1", "2", "3", "4", "5"]
    assert held.part == "test"


def test_unseen_classes_search_among_each_other():
    images = [LabelledImage(str(i), "abcd"[i // 3], lambda: b"", sha256=f"{i:064x}") for i in range(12)]
    held = held_out(images, Split(tuple(range(6)), (), tuple(range(6, 12)), "by-class"))
    assert held.gallery is None
    assert held_out(IMAGES, split("by-class")).gallery is not None  # these classes were seen


def test_validation_stands_in_for_a_missing_test():
    assert held_out(IMAGES, Split((0, 1), (2, 3), (), "by-image")).part == "validation"
    with pytest.raises(TooFewExamples):
        held_out(IMAGES, Split((0, 1), (), (), "by-image"))


def test_the_better_encoder_has_the_better_figures():
    judged = judge({"candidate": near, "trunk": mixed}, held_out(IMAGES, split("by-image")))
    tree = metrics_tree(judged.comparison)
    assert tree["candidate"]["precision_at_1"] == 1.0
    assert tree["trunk"]["precision_at_1"] < 1.0
    assert tree["candidate"]["map_at_r"] >= tree["trunk"]["map_at_r"]
    assert judged.queries.shape == (4, 2)
    assert judged.gallery is not None and judged.gallery.shape == (6, 2)


def test_a_split_is_found_again_by_content():
    tree = {
        "protocol": "by-image",
        **{
            part: [IMAGES[p].sha256 for p in split("by-image").part(part)]
            for part in ("train", "validation", "test")
        },
    }
    shuffled = IMAGES[::-1]
    found = recalled(shuffled, tree)
    assert {shuffled[p].key for p in found.test} == {"8", "9", "10", "11"}
    assert {shuffled[p].key for p in found.train} == {str(i) for i in range(6)}
    assert found.protocol == "by-image"
    others = [LabelledImage(str(i), "ab"[i % 2], lambda: b"", sha256=f"{i + 90:064x}") for i in range(4)]
    fresh = recalled([*IMAGES[:8], *others], tree)
    assert fresh.test == (8, 9, 10, 11)
    assert held_out([*IMAGES[:8], *others], fresh).gallery is None
