"""Divide labelled images into training, validation and test.

A split depends on the images and the seed alone: everything is ordered by a hash of seed and content, never
by a random stream, so it is the same on every machine, and a new image moves few others.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.training.data.dataset import LabelledImage, SplitName, class_names
from vitrine.training.data.duplicates import Groups

Protocol = Literal["by-image", "by-class", "given"]
Fractions = tuple[float, float, float]
DEFAULT_FRACTIONS: Fractions = (0.8, 0.1, 0.1)
"""Of the images of a class: train, validation, test."""
CLASS_FRACTIONS: Fractions = (0.6, 0.1, 0.3)
"""Of the classes: of ten, three test and seven train, a tenth of whose images validates."""


@dataclass(frozen=True)
class Split:
    """The parts, as ascending positions in the list of images. ``left_out``: images in no part, since a
    near-duplicate is in another."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    protocol: Protocol
    left_out: tuple[int, ...] = ()

    def part(self, name: SplitName) -> tuple[int, ...]:
        """Return the positions of one part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def split_by_image(
    images: Sequence[LabelledImage],
    fractions: Fractions = DEFAULT_FRACTIONS,
    seed: int = 0,
    groups: Groups | None = None,
) -> Split:
    """Give about ``fractions`` of every class to train, validation and test. ``groups`` (n,) are never
    divided.

    A class has at least one group in train, one in test if it has 3, one in validation if it has 4 (unless
    their fraction is 0); a group belongs to the class that most of its images have. ``BadRequest`` for bad
    fractions, ``TooFewExamples`` if no class has 3 groups and so nothing could be judged.
    """
    _check_fractions(fractions)
    held = _held_out(images, range(len(images)), fractions[1:], seed, _group_of(images, groups))
    parts = ["train"] * len(images)
    for position, name in held.items():
        parts[position] = name
    split = _split(parts, "by-image")
    if fractions[2] and not split.test:
        raise TooFewExamples(
            "No class has 3 images that differ: add images, so that some can be kept for the test."
        )
    return split


def split_by_class(
    images: Sequence[LabelledImage],
    fractions: Fractions = CLASS_FRACTIONS,
    seed: int = 0,
    groups: Groups | None = None,
    *,
    train: Collection[str] = (),
    validation: Collection[str] = (),
    test: Collection[str] = (),
) -> Split:
    """Give whole classes to train or test, so that the test asks for classes never seen.

    Named classes go where they are named. If ``test`` is not named, it is the classes not named when
    ``train`` is, else its fraction of the number of classes (at least two, in an order that the seed
    decides). Validation too is whole classes if they are named or its fraction comes to two (one alone cannot
    be mistaken for another); else it is taken from train by image. Of a group over several parts only the
    images in the part that judges last stay. ``BadRequest`` for unknown or repeated names and bad fractions,
    ``TooFewExamples`` with fewer than two classes in a part.
    """
    _check_fractions(fractions)
    named: dict[SplitName, Collection[str]] = {"train": train, "validation": validation, "test": test}
    part_of = _classes(class_names(images), fractions, seed, named)
    for part in ("train", "test", *(["validation"] if validation else [])):
        _check_part(part_of, part)
    members = _group_of(images, groups)
    parts: list[str] = [part_of[image.class_] for image in images]
    if "validation" not in parts and fractions[1]:
        _take_from_train(parts, images, (fractions[1], 0.0), seed, members)
    return _split(_undivided(parts, members), "by-class")


def split_given(
    images: Sequence[LabelledImage],
    seed: int = 0,
    groups: Groups | None = None,
    fractions: Fractions = DEFAULT_FRACTIONS,
) -> Split:
    """Divide as the data says. A validation or test part that it lacks is taken from train, stratified.

    With ``groups``, images whose near-duplicate is in a part that judges later are left out (of train first);
    without, all stay where the data puts them. ``BadRequest`` if images say nothing, ``TooFewExamples``
    without a train part.
    """
    silent = [image.key for image in images if image.split is None]
    if silent:
        raise BadRequest(
            f"{len(silent)} images are in no part, such as {silent[0]}: name their split, or split by "
            "image instead."
        )
    parts = [str(image.split) for image in images]
    if "train" not in parts:
        raise TooFewExamples("The data has no train part: add one, or split by image instead.")
    members = _group_of(images, groups)
    missing = (0.0 if "validation" in parts else fractions[1], 0.0 if "test" in parts else fractions[2])
    if any(missing):
        _take_from_train(parts, images, missing, seed, members)
    return _split(parts if groups is None else _undivided(parts, members), "given")


def straddling(split: Split, groups: Groups) -> int:
    """Count the groups that have images in more than one part.

    >>> straddling(Split((0, 1), (), (2,), "given"), np.array([7, 8, 8]))
    1
    """
    seen: defaultdict[int, set[str]] = defaultdict(set)
    for name, part in (("train", split.train), ("validation", split.validation), ("test", split.test)):
        for position in part:
            seen[int(groups[position])].add(name)
    return sum(len(names) > 1 for names in seen.values())


def _held_out(
    images: Sequence[LabelledImage],
    positions: Collection[int],
    fractions: tuple[float, float],
    seed: int,
    groups: Groups,
) -> dict[int, str]:
    """Choose which of ``positions`` go to validation and test; the rest stays in train."""
    by_class: defaultdict[str, list[list[int]]] = defaultdict(list)
    for members in _members(positions, groups):
        classes = Counter(images[position].class_ for position in members)
        by_class[min(classes, key=lambda name: (-classes[name], name))].append(members)
    held: dict[int, str] = {}
    for found in by_class.values():
        ordered = sorted(
            found, key=lambda members: min(_order(seed, images[position]) for position in members)
        )
        total, spare = sum(map(len, ordered)), len(ordered) - 1
        for name, fraction, enough in (("test", fractions[1], 3), ("validation", fractions[0], 4)):
            wanted = round(fraction * total)
            taken, ordered = _take(ordered, wanted, spare, at_least_one=fraction > 0 and len(found) >= enough)
            spare -= len(taken)
            held |= {position: name for members in taken for position in members}
    return held


def _take(
    ordered: list[list[int]], wanted: int, spare: int, *, at_least_one: bool
) -> tuple[list[list[int]], list[list[int]]]:
    """Take groups in order while they fit into ``wanted`` images, at most ``spare`` groups; return these and
    the rest. If none fits and one is needed, the smallest is taken."""
    taken: list[list[int]] = []
    rest: list[list[int]] = []
    for members in ordered:
        fits = len(taken) < spare and len(members) <= wanted
        wanted -= len(members) if fits else 0
        (taken if fits else rest).append(members)
    if not taken and at_least_one and spare > 0:
        taken.append(rest.pop(rest.index(min(rest, key=len))))
    return taken, rest


def _take_from_train(
    parts: list[str],
    images: Sequence[LabelledImage],
    fractions: tuple[float, float],
    seed: int,
    groups: Groups,
) -> None:
    train = [position for position, part in enumerate(parts) if part == "train"]
    for position, name in _held_out(images, train, fractions, seed, groups).items():
        parts[position] = name


def _classes(
    classes: list[str], fractions: Fractions, seed: int, named: Mapping[SplitName, Collection[str]]
) -> dict[str, SplitName]:
    """Return the part of every class."""
    part_of: dict[str, SplitName] = {}
    for part, names in named.items():
        for name in names:
            if name not in classes:
                raise BadRequest(f"There is no class {name!r}; there are: {', '.join(classes)}.", name=name)
            if part_of.setdefault(name, part) != part:
                raise BadRequest(
                    f"Class {name!r} is named for {part_of[name]} and {part}: choose one.", name=name
                )
    free = sorted((name for name in classes if name not in part_of), key=lambda name: _hash(seed, name))
    if named["train"] and not named["test"]:
        return part_of | dict.fromkeys(free, "test")
    tested = 0 if named["test"] else max(2, round(fractions[2] * len(classes)))
    between = round(fractions[1] * len(classes))
    between = 0 if named["train"] or named["validation"] or between < 2 else between
    part_of |= dict.fromkeys(free[:tested], "test")
    part_of |= dict.fromkeys(free[tested : tested + between], "validation")
    return part_of | dict.fromkeys(free[tested + between :], "train")


def _check_part(part_of: Mapping[str, SplitName], part: str) -> None:
    have = sorted(name for name, found in part_of.items() if found == part)
    if len(have) < 2:
        raise TooFewExamples(
            f"A class-disjoint split has {len(have)} of {len(part_of)} classes in {part}, at least 2 "
            "are needed: add classes, name the classes of each part, or split by image instead.",
            part=part,
            classes=have,
        )


def _undivided(parts: list[str], groups: Groups) -> list[str]:
    """Keep of a group over several parts only the images in the part that judges last."""
    rank = {"train": 0, "validation": 1, "test": 2}
    kept = list(parts)
    for members in _members(range(len(parts)), groups):
        last = max(rank[parts[position]] for position in members)
        for position in members:
            if rank[parts[position]] < last:
                kept[position] = "left out"
    return kept


def _split(parts: Sequence[str], protocol: Protocol) -> Split:
    def where(name: str) -> tuple[int, ...]:
        return tuple(position for position, part in enumerate(parts) if part == name)

    return Split(where("train"), where("validation"), where("test"), protocol, where("left out"))


def _members(positions: Collection[int], groups: Groups) -> list[list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for position in positions:
        found[int(groups[position])].append(position)
    return list(found.values())


def _group_of(images: Sequence[LabelledImage], groups: Groups | None) -> Groups:
    if groups is None:
        return np.arange(len(images), dtype=np.int64)
    if len(groups) != len(images):
        raise ValueError(f"{len(groups)} groups for {len(images)} images")
    return groups


def _check_fractions(fractions: Fractions) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or not fractions[0]:
        raise BadRequest(
            f"{fractions} are no fractions of train, validation and test: give three that sum to 1, "
            "such as 0.8 0.1 0.1."
        )


def _order(seed: int, image: LabelledImage) -> tuple[str, str]:
    return _hash(seed, image.sha256 or image.key), image.key


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
