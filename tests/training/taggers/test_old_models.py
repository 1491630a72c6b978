from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.taggers.old_files import to_npz
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, TaggerMismatch
from vitrine.training.taggers.old_models import (
    MARGIN,
    MAX_BYTES,
    SHARED,
    SOFTMAX,
    OldHead,
    choose_heads,
    read_model,
    to_tag_head,
)

pytest.importorskip("sklearn")

from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

DIM = 12
SPEC = EncoderSpec("look", "look", "r1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))
Rows = NDArray[Any]


def examples(dtype: str = "float32") -> tuple[Rows, Rows, Rows]:
    """Unit vectors (180, 12), whether each is a cat, and which of three animals it is."""
    generator = np.random.default_rng(3)
    names = np.repeat(["cat", "dog", "emu"], 60)
    x = generator.standard_normal((180, DIM)) + 0.8 * np.eye(DIM)[np.repeat([0, 1, 2], 60)]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(dtype), names == "cat", names


X, IS_CAT, ANIMAL = examples()


def read_heads(model: Any) -> list[OldHead]:
    return read_model(to_npz(model)).heads


def tagger(head: OldHead) -> TagHead:
    return to_tag_head(head, "t", SPEC, b"")


def scores(heads: list[OldHead]) -> Rows:
    return np.stack([tagger(head).scores(X) for head in heads], axis=1)


def logistic(margins: Rows) -> Rows:
    return np.asarray(1 / (1 + np.exp(-margins)))


def _plain(value: object) -> str:
    """A name that is the same in every process: what Python prints of objects holds addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(str(value).split()))[:60]


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=30.0),
        LogisticRegression(fit_intercept=False),
        LogisticRegression(random_state=np.random.RandomState(1)),
        LogisticRegression(class_weight={True: 2.0, False: 1.0}),
        LogisticRegressionCV(
            Cs=2, cv=2, use_legacy_attributes=True, l1_ratios=(0.0,), scoring="neg_log_loss"
        ),
        SGDClassifier(loss="log_loss", random_state=0),
        CalibratedClassifierCV(LinearSVC(), ensemble=False),
        CalibratedClassifierCV(make_pipeline(StandardScaler(), LinearSVC()), ensemble=False),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(with_mean=False), "passthrough", LogisticRegression()),
        make_pipeline(Normalizer(), StandardScaler(with_std=False), StandardScaler(), LogisticRegression()),
        make_pipeline(
            StandardScaler(), CalibratedClassifierCV(SGDClassifier(random_state=0), ensemble=False)
        ),
        OneVsRestClassifier(LogisticRegression()),
    ],
    ids=_plain,
)
def test_a_head_gives_the_probabilities_of_its_model(model: Any) -> None:
    model.fit(X, IS_CAT)
    (head,) = read_heads(model)
    assert head.note == "" and head.class_ in ("True", "1")
    np.testing.assert_allclose(tagger(head).scores(X), model.predict_proba(X)[:, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "note"),
    [
        (LinearSVC(), MARGIN),
        (SGDClassifier(loss="hinge", random_state=0), MARGIN),
        (LogisticRegression(), SOFTMAX),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_a_head_without_probabilities_has_the_decision_function(model: Any, note: str, several: bool) -> None:
    model.fit(X, ANIMAL if several else IS_CAT)
    heads = read_heads(model)
    decision = model.decision_function(X).reshape(len(X), -1)
    np.testing.assert_allclose(scores(heads), logistic(decision), atol=1e-5)
    assert {head.note for head in heads} == {note if several or note != SOFTMAX else ""}


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier(loss="log_loss", random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        OneVsRestClassifier(make_pipeline(StandardScaler(), LogisticRegression())),
        make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
        CalibratedClassifierCV(FrozenEstimator(LinearSVC().fit(X, ANIMAL))),
        CalibratedClassifierCV(LinearSVC(), ensemble=False),
    ],
    ids=_plain,
)
def test_one_versus_rest_has_a_head_for_each_class(model: Any) -> None:
    model.fit(X, ANIMAL)
    heads = read_heads(model)
    assert [head.class_ for head in heads] == ["cat", "dog", "emu"] and {head.note for head in heads} == {
        SHARED
    }
    found = scores(heads)
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), model.predict_proba(X), atol=1e-5)


def test_many_labels_at_once_are_the_model_s_own_probabilities() -> None:
    labels = np.stack([ANIMAL == "cat", ANIMAL != "emu"], axis=1).astype(int)
    model = OneVsRestClassifier(LogisticRegression()).fit(X, labels)
    heads = read_heads(model)
    assert [(head.class_, head.note) for head in heads] == [("0", ""), ("1", "")]
    np.testing.assert_allclose(scores(heads), model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(("multi_class", "slope"), [("multinomial", 2.0), ("auto", 1.0), ("ovr", 1.0)])
def test_models_of_older_versions(multi_class: str, slope: float) -> None:
    model = LogisticRegression().fit(X, IS_CAT)
    model.multi_class = multi_class  # this was the name of the choice between a softmax and one versus rest
    assert read_heads(model)[0].slope == slope
    several = LogisticRegression().fit(X, ANIMAL)
    several.multi_class = multi_class
    assert read_heads(several)[0].note == (SHARED if multi_class == "ovr" else SOFTMAX)


@pytest.mark.parametrize("kind", ["object", "U", "S", "int64", "float32", "bool", ">i4"])
def test_class_names_of_every_kind(kind: str) -> None:
    names = ["no", "yes"] if kind in ("object", "U", "S") else [0, 1]
    model = LogisticRegression().fit(X, IS_CAT)
    model.classes_ = np.array(names, kind)
    assert read_heads(model)[0].class_ in ("yes", "1", "1.0", "True")


@pytest.mark.parametrize("layout", ["C", "F", "part", ">f8", "float32"])
def test_weights_in_every_layout(layout: str) -> None:
    model = LogisticRegression().fit(X.astype("float64"), ANIMAL)
    expected = model.coef_.copy()
    if layout == "part":
        model.coef_ = np.repeat(expected, 2, axis=0)[::2]
    else:
        model.coef_ = np.asarray(expected, layout) if layout not in "CF" else np.array(expected, order=layout)  # type: ignore[call-overload]
    found = np.stack([head.weight for head in read_heads(model)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier().fit(X, IS_CAT),
        make_pipeline(PCA(3), LogisticRegression()).fit(X, IS_CAT),
        make_pipeline(StandardScaler(), Normalizer(), LogisticRegression()).fit(X, IS_CAT),
        make_pipeline(Normalizer("l1"), LogisticRegression()).fit(X, IS_CAT),
        CalibratedClassifierCV(LinearSVC()).fit(X, IS_CAT),
        CalibratedClassifierCV(LinearSVC(), method="isotonic", ensemble=False).fit(X, IS_CAT),
        LogisticRegression(),
        StandardScaler().fit(X),
        LogisticRegression().fit(X, IS_CAT).sparsify(),
        [1, 2],
        None,
    ],
    ids=_plain,
)
def test_the_script_writes_nothing_of_what_is_no_linear_model(model: Any) -> None:
    with pytest.raises((SystemExit, AttributeError, TypeError, ValueError)):
        to_npz(model)


def spoilt(**arrays: Any) -> bytes:
    with np.load(io.BytesIO(to_npz(LogisticRegression().fit(X, IS_CAT)))) as file:
        named = dict(file) | arrays
    data = io.BytesIO()
    np.savez(data, **{name: value for name, value in named.items() if value is not None})
    return data.getvalue()


@pytest.mark.parametrize(
    "arrays",
    [
        {"coef": np.full((1, DIM), np.nan)},
        {"coef": np.ones((3, DIM))},
        {"coef": np.ones((1, 0))},
        {"coef": np.ones((1, 2, 3))},
        {"coef": "x"},
        {"coef": 10**400},
        {"coef": np.array([["a"] * DIM])},
        {"coef": np.array([[1j] * DIM])},
        {"coef": np.array([[[1]] * DIM], object)},
        {"coef": np.zeros((1, DIM), [("a", "f8")])},
        {"intercept": np.ones(5)},
        {"intercept": None},
        {"classes": np.array(["a"])},
        {"classes": np.array([{}, {}])},
        {"kind": "KNeighborsClassifier"},
        {"scale": np.zeros(DIM)},
        {"scale": np.ones(DIM + 1)},
        {"mean": np.full(DIM, np.inf)},
        {"a": np.ones(3), "b": np.ones(3)},
    ],
    ids=_plain,
)
def test_spoilt_files_are_refused(arrays: dict[str, Any]) -> None:
    assert read_model(spoilt()).heads
    with pytest.raises(BadRequest):
        read_model(spoilt(**arrays))


class Harm:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> Any:
        return Path.mkdir, (Path("harm"),)


def test_no_pickle_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for data in (pickle.dumps(Harm()), pickle.dumps(LogisticRegression().fit(X, IS_CAT)), b"", b"hello"):
        with pytest.raises(BadRequest, match=r"docs/training\.md"):
            read_model(data)
    with pytest.raises(BadRequest, match="plain numbers"):
        read_model(spoilt(classes=np.array([Harm(), Harm()])))
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_cannot_unpack_to_much() -> None:
    data = io.BytesIO()
    np.savez_compressed(data, coef=np.zeros(MAX_BYTES // 8 + 1))
    with pytest.raises(BadRequest, match="MB"):
        read_model(data.getvalue())


def test_every_cut_and_every_flipped_byte_ends_well() -> None:
    data = to_npz(make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:, :2], IS_CAT))
    for end in range(0, len(data), 37):
        with pytest.raises(BadRequest):
            read_model(data[:end])
    generator = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(data)
        for place in generator.integers(0, len(data), 2):
            changed[place] = generator.integers(256)
        try:
            heads = read_model(bytes(changed)).heads
        except BadRequest:
            continue
        assert all(np.isfinite(head.weight).all() for head in heads)


# From heads to tags
# --------------------------------------------------------------------------------------------------------


def old(class_: str) -> OldHead:
    return OldHead(class_, "linear-svm", np.ones(DIM), 0.5, note=MARGIN)


def test_which_head_becomes_which_tag() -> None:
    several = [old("cat"), old("dog")]
    assert [tag for tag, _ in choose_heads(several, None, None)] == ["cat", "dog"]
    assert [(tag, head.class_) for tag, head in choose_heads(several, "pet", "dog")] == [("pet", "dog")]
    assert choose_heads([old("True")], "cat", None)[0][0] == "cat"
    assert choose_heads([old("cat")], None, None)[0][0] == "cat"
    turned = choose_heads(read_heads(LinearSVC().fit(X, IS_CAT)), "wild", "False")[0][1]
    assert tagger(turned).scores(X)[0] == pytest.approx(1 - tagger(turned.turned()).scores(X)[0], abs=1e-6)
    for heads, tag, class_ in ((several, "pet", None), (several, None, "emu"), ([old("1")], None, None)):
        with pytest.raises(BadRequest):
            choose_heads(heads, tag, class_)


def test_a_tagger_says_where_it_is_from() -> None:
    head = to_tag_head(old("cat"), "cat", SPEC, b"the file")
    assert (head.kind, head.using, head.encoder_revision, head.threshold) == (
        "converted-linear-svm",
        "look",
        "r1",
        0.5,
    )
    assert (
        head.weight.dtype == np.float32
        and head.fingerprint.startswith("sha256:")
        and head.metrics == {"note": MARGIN}
    )
    with pytest.raises(TaggerMismatch, match="--using"):
        to_tag_head(OldHead("cat", "sgd", np.ones(DIM + 1), 0.0), "cat", SPEC, b"")
