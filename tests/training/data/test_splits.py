from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from tests.training.labelled import keys, labelled, several
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.data.duplicates import duplicate_groups
from vitrine.training.data.splits import (
    Split,
    split_by_class,
    split_by_image,
    split_given,
    straddling,
)

TEN = {f"c{number}": 12 for number in range(10)}


def everything(split: Split) -> list[int]:
    return sorted([*split.train, *split.validation, *split.test, *split.left_out])


def classes(images: list[LabelledImage], positions: tuple[int, ...]) -> Counter[str]:
    return Counter(images[position].class_ for position in positions)


# By image
# ------------------------------------------------------------------------------------------------------------


def test_every_class_gives_its_share_to_every_part() -> None:
    images = several({"a": 100, "b": 50, "c": 20})
    split = split_by_image(images)
    assert everything(split) == list(range(170))
    assert classes(images, split.train) == {"a": 80, "b": 40, "c": 16}
    assert classes(images, split.validation) == classes(images, split.test) == {"a": 10, "b": 5, "c": 2}


def test_small_classes_stay_in_train_and_reach_the_test_from_three_images_on() -> None:
    images = several({"one": 1, "two": 2, "three": 3, "four": 4, "many": 40})
    split = split_by_image(images)
    assert classes(images, split.train) == {"one": 1, "two": 2, "three": 2, "four": 2, "many": 32}
    assert classes(images, split.test) == {"three": 1, "four": 1, "many": 4}
    assert classes(images, split.validation) == {"four": 1, "many": 4}


@pytest.mark.parametrize(
    "fractions", [(0.01, 0.495, 0.495), (0.34, 0.33, 0.33), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0)]
)
@pytest.mark.parametrize("count", [3, 4, 5, 7, 30])
def test_no_class_loses_its_last_training_image(fractions: tuple[float, float, float], count: int) -> None:
    images = several({"a": count, "b": count})
    split = split_by_image(images, fractions)
    assert set(classes(images, split.train)) == {"a", "b"}
    assert bool(split.test) == bool(fractions[2]) and (fractions[1] or not split.validation)


def test_the_split_is_that_of_content_and_seed_in_whatever_order_images_come() -> None:
    images = several(TEN)
    split = split_by_image(images, seed=5)
    turned = images[::-1]
    again = split_by_image(turned, seed=5)
    assert keys(images, split.test) == keys(turned, again.test)
    assert keys(images, split.validation) == keys(turned, again.validation)
    assert keys(images, split_by_image(images, seed=6).test) != keys(images, split.test)


def test_the_split_is_the_same_on_every_machine() -> None:
    split = split_by_image(several({"a": 10, "b": 10}), seed=1)
    assert (split.validation, split.test) == ((1, 14), (3, 11))


def test_a_new_image_moves_few_others() -> None:
    images = several(TEN)
    before = keys(images, split_by_image(images).test)
    images.append(labelled("new.jpg", "c0"))
    assert len(before - keys(images, split_by_image(images).test)) <= 1


def test_near_duplicates_stay_together_and_count_by_image() -> None:
    images = several({"a": 60, "b": 60})
    groups = np.arange(120) // 3
    for seed in range(5):
        split = split_by_image(images, seed=seed, groups=groups)
        assert straddling(split, groups) == 0
        assert classes(images, split.test) == {"a": 6, "b": 6}


def test_a_class_of_few_large_groups_still_has_a_test() -> None:
    images = several({"a": 40, "b": 40})
    groups = np.where(np.arange(80) < 40, np.arange(80) // 10, np.arange(80))  # a: four groups of ten
    split = split_by_image(images, groups=groups)
    assert classes(images, split.test) == {"a": 10, "b": 4}
    assert classes(images, split.train)["a"] == 20


def test_nothing_to_judge_with_is_said() -> None:
    with pytest.raises(TooFewExamples, match="add images"):
        split_by_image(several({"a": 2, "b": 2}))


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_must_be_fractions(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(BadRequest, match="sum to 1"):
        split_by_image(several({"a": 9, "b": 9}), fractions)


def test_groups_must_be_of_the_images() -> None:
    with pytest.raises(ValueError, match="3 groups for 18 images"):
        split_by_image(several({"a": 9, "b": 9}), groups=np.arange(3))


# By class
# ------------------------------------------------------------------------------------------------------------


def test_classes_of_the_test_are_never_trained_on() -> None:
    images = several(TEN)
    split = split_by_class(images)
    assert everything(split) == list(range(120))
    tested, trained = classes(images, split.test), classes(images, split.train)
    assert len(tested) == 3 and len(trained) == 7 and not tested.keys() & trained.keys()
    assert classes(images, split.validation) == dict.fromkeys(trained, 1)
    assert set(classes(images, split_by_class(images, seed=1).test)) != set(tested)


def test_validation_is_whole_classes_where_there_are_enough() -> None:
    images = several({f"c{number}": 3 for number in range(20)})
    split = split_by_class(images)
    found = [set(classes(images, part)) for part in (split.train, split.validation, split.test)]
    assert [len(names) for names in found] == [12, 2, 6]
    assert not any(one & other for one, other in combinations(found, 2))


def test_named_classes_go_where_they_are_named() -> None:
    images = several(TEN)
    split = split_by_class(images, train=[f"c{number}" for number in range(7)])
    assert set(classes(images, split.test)) == {"c7", "c8", "c9"}
    assert set(classes(images, split.validation)) == {f"c{number}" for number in range(7)}
    split = split_by_class(images, test=["c0", "c1"], validation=["c2", "c3"])
    assert set(classes(images, split.test)) == {"c0", "c1"} and set(classes(images, split.validation)) == {
        "c2",
        "c3",
    }
    assert len(classes(images, split.train)) == 6


def test_a_duplicate_in_another_class_leaves_train() -> None:
    images = several(TEN)
    groups = np.arange(120)
    groups[[0, 119]] = 0  # c0 and c9
    split = split_by_class(images, groups=groups, train=[f"c{number}" for number in range(7)])
    assert split.left_out == (0,) and 119 in split.test and straddling(split, groups) == 0


def test_misnamed_classes_are_refused() -> None:
    images = several(TEN)
    with pytest.raises(BadRequest, match="no class 'x'"):
        split_by_class(images, train=["x"])
    with pytest.raises(BadRequest, match="choose one"):
        split_by_class(images, train=["c1", "c2"], test=["c1", "c3"])


def test_too_few_classes_are_said() -> None:
    with pytest.raises(TooFewExamples, match="1 of 3 classes in train"):
        split_by_class(several({"a": 9, "b": 9, "c": 9}))
    with pytest.raises(TooFewExamples, match="1 of 10 classes in test"):
        split_by_class(several(TEN), test=["c1"])
    with pytest.raises(TooFewExamples, match="1 of 10 classes in validation"):
        split_by_class(several(TEN), validation=["c1"])


# As given
# ------------------------------------------------------------------------------------------------------------


def test_given_parts_are_kept() -> None:
    images = [
        labelled("1", "a", split="train"),
        labelled("2", "a", split="validation"),
        labelled("3", "b", split="test"),
        labelled("4", "b", split="train"),
    ]
    assert split_given(images) == Split((0, 3), (1,), (2,), "given")


def test_a_missing_validation_is_taken_from_train() -> None:
    images = [labelled(f"{name}{number}", name, split="train") for name in "ab" for number in range(50)]
    images += [labelled(f"test {name}", name, split="test") for name in "ab"]
    split = split_given(images)
    assert split.test == (100, 101)
    assert classes(images, split.validation) == {"a": 5, "b": 5} and classes(images, split.train) == {
        "a": 45,
        "b": 45,
    }


def test_near_duplicates_of_what_judges_leave_train_if_groups_are_given() -> None:
    images = [
        labelled(str(number), "ab"[number % 2], split="test" if number > 8 else "train")
        for number in range(12)
    ]
    images += [labelled("v", "a", split="validation")]
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 12, 12])
    assert straddling(split_given(images), groups) == 2
    split = split_given(images, groups=groups)
    assert split.left_out == (0, 12) and straddling(split, groups) == 0 and split.test == (9, 10, 11)


def test_images_in_no_part_are_refused() -> None:
    with pytest.raises(BadRequest, match="1 images are in no part, such as y"):
        split_given([labelled("x", "a", split="train"), labelled("y", "b")])
    with pytest.raises(TooFewExamples, match="no train part"):
        split_given([labelled("x", "a", split="test"), labelled("y", "b", split="validation")])


# Near-duplicates
# ---------------------------------------------------------------------------------------------------------

HASH = 0x00000000FFFFFFFF


def flipped(*bits: int) -> str:
    return f"{HASH ^ sum(1 << bit for bit in bits):016x}"


def grouped(*hashes: str) -> list[int]:
    return duplicate_groups(
        [labelled(str(number), "a", phash=phash) for number, phash in enumerate(hashes)]
    ).tolist()


def test_a_few_bits_apart_is_a_near_duplicate() -> None:
    assert grouped(flipped(), flipped(0, 63, 31, 7), flipped(1, 2, 3, 4, 40), flipped()) == [0, 0, 1, 0]


def test_copies_of_one_picture_are_together_but_a_chain_ends() -> None:
    bits = [bit for low in range(6) for bit in (low, low + 32)]  # a set one, an unset one, and so on
    chain = [flipped(*bits[: 3 * step]) for step in range(5)]  # each 3 bits from the next
    assert grouped(*chain[:3]) == [0, 0, 0]
    assert len(set(grouped(*chain))) == 2


def test_plain_pictures_are_told_by_their_bytes() -> None:
    plain = f"{0x8000:016x}"
    images = [
        labelled(str(number), "a", phash=plain, content=content) for number, content in enumerate("xyx")
    ]
    assert duplicate_groups(images).tolist() == [0, 1, 0]


def test_groups_are_those_of_comparing_all_pairs() -> None:
    random = np.random.default_rng(0)
    bases = [sum(1 << int(bit) for bit in random.choice(64, 32, replace=False)) for _ in range(40)]
    hashes = [
        base ^ sum(1 << int(bit) for bit in random.choice(64, 2, replace=False))
        for base in bases
        for _ in range(4)
    ]
    apart = np.array([[(one ^ other).bit_count() for other in hashes] for one in hashes])
    found = np.array(grouped(*(f"{value:016x}" for value in hashes)))
    np.testing.assert_array_equal(
        found[:, None] == found, apart <= 8
    )  # copies are at most 4 apart, others far more
    assert found[0] == 0 and len(set(found.tolist())) == 40


def test_hashes_are_needed() -> None:
    with pytest.raises(ValueError, match="identify"):
        duplicate_groups([LabelledImage("x", "a", bytes)])
    with pytest.raises(ValueError, match="band"):
        duplicate_groups([labelled("x", "a")], 16)
