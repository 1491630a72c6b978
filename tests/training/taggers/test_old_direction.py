"""Classifiers of a pipeline that trains a tag's images as class 0, and others, on vectors whose tags are
known."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from tests.training.taggers.old_files import to_npz
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, TaggerMismatch
from vitrine.training.taggers.old_direction import Converted, TaggedVectors, convert_model
from vitrine.training.taggers.old_models import read_model

sklearn = pytest.importorskip("sklearn.linear_model")
DIM, COUNT = 16, 240
SPEC = EncoderSpec("look", "look", "r1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


def vectors() -> tuple[Any, Any]:
    """Unit vectors, and which of them are of a cat."""
    generator = np.random.default_rng(5)
    has = np.arange(COUNT) % 3 == 0
    x = generator.standard_normal((COUNT, DIM)) + 2.5 * np.where(has, 1, -1)[:, None] * np.eye(DIM)[0]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), has


X, HAS = vectors()
TAGGED = TaggedVectors(X, [frozenset({"cat", "pet"} if one else {"pet"}) for one in HAS])
ZERO = np.where(HAS, 0, 1)
"""The labels of that pipeline: the images of the tag come first."""


def model(labels: Any, length: float = 1.0) -> Any:
    return sklearn.LogisticRegression(C=10.0).fit(X * length, labels)


def bundled(fitted: Any, tag: object = "cat") -> dict[str, object]:
    return {
        "classifier": fitted,
        "model_type": "ovr-logistic-regression",
        "train_start_time": datetime(2023, 1, 2),
        "tag": tag,
    }


def convert(value: Any, name: str = "old.npz", tagged: TaggedVectors = TAGGED, **options: Any) -> Converted:
    data = value if isinstance(value, bytes) else to_npz(value)
    (one,) = convert_model(read_model(data, name), SPEC, lambda: tagged, data, **options)
    return one


def agrees(one: Converted) -> bool:
    """Whether images with the tag score above a half, and the others below, nearly always."""
    return bool(((one.tagger.scores(X) > 0.5) == HAS).mean() > 0.95)


def test_the_tag_of_a_bundle_is_its_class_0() -> None:
    one = convert(bundled(model(ZERO)))
    assert (one.tagger.tag, one.settled.head.class_) == ("cat", "0") and agrees(one)
    assert one.settled.auc is not None and one.settled.auc > 0.99
    assert (
        dict(one.tagger.examples) == {"positives": 80, "negatives": 160}
        and one.tagger.metrics["roc_auc"] > 0.99
    )


def test_scores_are_those_of_class_0() -> None:
    fitted = model(ZERO)
    np.testing.assert_allclose(
        convert(bundled(fitted)).tagger.scores(X), fitted.predict_proba(X)[:, 0], atol=1e-5
    )


def test_a_file_s_name_tells_the_tag_and_the_class() -> None:
    name = "model-ovr-logistic-regression-tag-cat.npz"
    empty = TaggedVectors(X, [frozenset()] * COUNT)
    one = convert(model(ZERO), name, empty)
    assert (
        (one.tagger.tag, one.settled.head.class_) == ("cat", "0")
        and agrees(one)
        and "too few to check" in one.notes[0]
    )
    assert read_model(to_npz(bundled(model(ZERO), None)), name).tag == "cat"


@pytest.mark.parametrize("turned", [False, True])
def test_the_images_tell_which_of_two_numbers_has_the_tag(turned: bool) -> None:
    one = convert(model(1 - ZERO if turned else ZERO), tag="cat")
    assert one.settled.head.class_ == ("1" if turned else "0") and agrees(one)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.where(HAS, "cat", "zebra"), "cat"),
        (np.where(HAS, "a cat", "other"), "a cat"),
        (np.where(HAS, "x", "REST"), "x"),
        (HAS, "True"),
        (np.where(HAS, "yes", "no"), "yes"),
        (np.where(HAS, 1, -1), "1"),
    ],
)
def test_names_of_classes_tell_too(labels: Any, expected: str) -> None:
    one = convert(model(labels), tag="cat", tagged=TaggedVectors(X, [frozenset()] * COUNT))
    assert one.settled.head.class_ == expected and agrees(one)


def test_a_direction_that_nothing_tells_is_asked_for() -> None:
    few = TaggedVectors(X, [frozenset({"cat"} if row in (0, 3) else ()) for row in range(COUNT)])
    with pytest.raises(BadRequest, match="--positive-class 0, or 1"):
        convert(model(ZERO), tag="cat", tagged=few)
    one = convert(model(ZERO), tag="cat", tagged=few, class_="0")
    assert agrees(one) and one.settled.auc is None
    generator = np.random.default_rng(1)
    noise = TaggedVectors(X, [frozenset({"cat"} if one else ()) for one in generator.random(COUNT) < 0.3])
    with pytest.raises(BadRequest, match="score like the others"):
        convert(model(ZERO), tag="cat", tagged=noise)


def test_a_direction_that_the_images_contradict_is_refused() -> None:
    with pytest.raises(BadRequest, match="Say --positive-class 0"):
        convert(bundled(model(ZERO)), class_="1")
    with pytest.raises(BadRequest, match="Say --positive-class 1"):
        convert(bundled(model(1 - ZERO)))  # not what its system does
    one = convert(bundled(model(ZERO)), class_="1", unchecked=True)
    assert one.settled.head.class_ == "1" and not agrees(one)


def test_a_classifier_of_other_vectors_is_refused() -> None:
    other = sklearn.LogisticRegression().fit(np.roll(X, 5, axis=1), ZERO)
    with pytest.raises(BadRequest, match="other vectors"):
        convert(bundled(other))
    with pytest.raises(TaggerMismatch):
        convert(bundled(sklearn.LogisticRegression().fit(X[:, :5], ZERO)))


def test_vectors_of_another_length_are_named() -> None:
    generator = np.random.default_rng(2)
    lengths = 10 * generator.normal(1, 0.02, (COUNT, 1))
    shifted = X + 1.5 * np.eye(DIM, dtype=np.float32)[0]  # a boundary away from 0, as real embeddings have it
    units = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True)).astype(np.float32)
    tagged = TaggedVectors(units, TAGGED.said)
    fitted = sklearn.LogisticRegression().fit(units * lengths, ZERO)
    one = convert(bundled(fitted), tagged=tagged)
    assert any("not normalised" in note and "--norm" in note for note in one.notes)
    right = convert(bundled(fitted), tagged=tagged, length=10.0)
    assert right.notes == () and ((right.tagger.scores(units) > 0.5) == HAS).mean() > 0.95
    assert not any("--norm" in note for note in convert(bundled(model(ZERO))).notes)


def test_several_classes_need_no_direction() -> None:
    names = np.where(HAS, "cat", np.where(X[:, 1] > 0, "dog", "emu"))
    said = TaggedVectors(X, [frozenset({name}) for name in names.tolist()])
    data = to_npz(sklearn.LogisticRegression(C=10.0).fit(X, names))
    found = convert_model(read_model(data), SPEC, lambda: said, data)
    assert [one.tagger.tag for one in found] == ["cat", "dog", "emu"]
    assert all(one.settled.auc is not None and one.settled.auc > 0.7 for one in found)


def arrays(**changed: Any) -> bytes:
    fitted = model(ZERO)
    named = {"coef_": fitted.coef_, "intercept_": fitted.intercept_, "classes_": fitted.classes_, **changed}
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in named.items() if value is not None})
    return file.getvalue()


def test_an_npz_of_the_arrays_is_read() -> None:
    one = convert(arrays(tag="cat"))
    assert (one.tagger.tag, one.settled.head.class_) == ("cat", "0") and agrees(one)
    assert agrees(convert(arrays(), tag="cat"))
    for data, why in (
        (arrays(coef_=None), "lacks coef"),
        (arrays(classes_=np.array([0, 1], object)), "plain numbers"),
        (arrays()[:200], "damaged"),
    ):
        with pytest.raises(BadRequest, match=why):
            read_model(data)
