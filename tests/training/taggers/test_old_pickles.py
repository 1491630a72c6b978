from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import pickletools
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, TaggerMismatch
from vitrine.training.taggers.old_pickles import (
    MARGIN,
    SHARED,
    SOFTMAX,
    OldHead,
    choose_heads,
    read_heads,
    to_tag_head,
)
from vitrine.training.taggers.pickle_machine import MAX_BYTES, MAX_INSTRUCTIONS

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
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
Rows = NDArray[Any]


def examples(dtype: str = "float32") -> tuple[Rows, Rows, Rows]:
    """Unit vectors (180, 12), whether each is a cat, and which of three animals it is."""
    generator = np.random.default_rng(3)
    names = np.repeat(["cat", "dog", "emu"], 60)
    x = generator.standard_normal((180, DIM)) + 0.8 * np.eye(DIM)[np.repeat([0, 1, 2], 60)]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(dtype), names == "cat", names


X, IS_CAT, ANIMAL = examples()


def tagger(head: OldHead) -> TagHead:
    return to_tag_head(head, "t", SPEC, b"")


def scores(heads: list[OldHead]) -> Rows:
    return np.stack([tagger(head).scores(X) for head in heads], axis=1)


def logistic(margins: Rows) -> Rows:
    return np.asarray(1 / (1 + np.exp(-margins)))


def _plain(value: object) -> str:
    """A name that is the same in every process: what Python prints of objects holds addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(str(value).split()))[:60]


@pytest.mark.parametrize("protocol", PROTOCOLS)
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
def test_a_head_gives_the_probabilities_of_its_model(model: Any, protocol: int) -> None:
    model.fit(X, IS_CAT)
    (head,) = read_heads(pickle.dumps(model, protocol))
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
    heads = read_heads(pickle.dumps(model))
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
    heads = read_heads(pickle.dumps(model))
    assert [head.class_ for head in heads] == ["cat", "dog", "emu"] and {head.note for head in heads} == {
        SHARED
    }
    found = scores(heads)
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), model.predict_proba(X), atol=1e-5)


def test_many_labels_at_once_are_the_model_s_own_probabilities() -> None:
    labels = np.stack([ANIMAL == "cat", ANIMAL != "emu"], axis=1).astype(int)
    model = OneVsRestClassifier(LogisticRegression()).fit(X, labels)
    heads = read_heads(pickle.dumps(model))
    assert [(head.class_, head.note) for head in heads] == [("0", ""), ("1", "")]
    np.testing.assert_allclose(scores(heads), model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(("multi_class", "slope"), [("multinomial", 2.0), ("auto", 1.0), ("ovr", 1.0)])
def test_models_of_older_versions(multi_class: str, slope: float) -> None:
    model = LogisticRegression().fit(X, IS_CAT)
    model.multi_class = multi_class  # this was the name of the choice between a softmax and one versus rest
    assert read_heads(pickle.dumps(model))[0].slope == slope
    several = LogisticRegression().fit(X, ANIMAL)
    several.multi_class = multi_class
    assert read_heads(pickle.dumps(several))[0].note == (SHARED if multi_class == "ovr" else SOFTMAX)
    data = pickle.dumps(model, 2).replace(b"sklearn.linear_model._logistic", b"sklearn.linear_model.logistic")
    data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert read_heads(data)[0].class_ == "True"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["object", "U", "S", "int64", "float32", "bool", ">i4"])
def test_class_names_of_every_kind(kind: str, protocol: int) -> None:
    names = ["no", "yes"] if kind in ("object", "U", "S") else [0, 1]
    model = LogisticRegression().fit(X, IS_CAT)
    model.classes_ = np.array(names, kind)
    assert read_heads(pickle.dumps(model, protocol))[0].class_ in ("yes", "1", "1.0", "True")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("layout", ["C", "F", "part", ">f8", "float32"])
def test_weights_in_every_layout(layout: str, protocol: int) -> None:
    model = LogisticRegression().fit(X.astype("float64"), ANIMAL)
    expected = model.coef_.copy()
    if layout == "part":
        model.coef_ = np.repeat(expected, 2, axis=0)[::2]
    else:
        model.coef_ = np.asarray(expected, layout) if layout not in "CF" else np.array(expected, order=layout)  # type: ignore[call-overload]
    found = np.stack([head.weight for head in read_heads(pickle.dumps(model, protocol))])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("names", [np.array(["cat", "dog", "emu"]), np.array(["cat", "dog", "emu"], object)])
def test_plain_files_of_joblib(names: Rows, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())).fit(
        X, names[np.repeat([0, 1, 2], 60)]
    )
    for protocol in PROTOCOLS:
        joblib.dump(model, tmp_path / "model.joblib", protocol=protocol)
        heads = read_heads((tmp_path / "model.joblib").read_bytes())
        assert [head.class_ for head in heads] == ["cat", "dog", "emu"]
        found = scores(heads)
        np.testing.assert_allclose(
            found / found.sum(axis=1, keepdims=True), model.predict_proba(X), atol=1e-5
        )
    joblib.dump(model, tmp_path / "small.joblib", compress=3)
    with pytest.raises(BadRequest, match="compressed"):
        read_heads((tmp_path / "small.joblib").read_bytes())


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zlib.compress])
def test_compressed_files_are_told_apart(pack: Any) -> None:
    with pytest.raises(BadRequest, match=r"pickle\.dump"):
        read_heads(pack(pickle.dumps(LogisticRegression().fit(X, IS_CAT))))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (KNeighborsClassifier().fit(X, IS_CAT), "KNeighborsClassifier"),
        (make_pipeline(PCA(3), LogisticRegression()).fit(X, IS_CAT), "PCA"),
        (make_pipeline(StandardScaler(), Normalizer(), LogisticRegression()).fit(X, IS_CAT), "unit length"),
        (make_pipeline(Normalizer("l1"), LogisticRegression()).fit(X, IS_CAT), "unit length"),
        (CalibratedClassifierCV(LinearSVC()).fit(X, IS_CAT), "ensemble=False"),
        (
            CalibratedClassifierCV(LinearSVC(), method="isotonic", ensemble=False).fit(X, IS_CAT),
            "IsotonicRegression",
        ),
        (LogisticRegression(), "not fitted"),
        (StandardScaler().fit(X), "no linear model"),
        (LogisticRegression().fit(X, IS_CAT).sparsify(), "sparse"),
        ({"model": 1}, "a dict"),
        ([1, 2], "a list"),
        (None, "NoneType"),
        ({1, 2}, "EMPTY_SET"),
        (Path("x"), "pathlib"),
    ],
)
def test_what_is_no_linear_model_is_said(model: Any, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read_heads(pickle.dumps(model))


def spoilt(**attributes: Any) -> bytes:
    model = LogisticRegression().fit(X, IS_CAT)
    for name, value in attributes.items():
        setattr(model, name, value)
    return pickle.dumps(model)


@pytest.mark.parametrize(
    "attributes",
    [
        {"coef_": np.full((1, DIM), np.nan)},
        {"coef_": np.ones((3, DIM))},
        {"coef_": np.ones((1, 0))},
        {"coef_": np.ones((1, 2, 3))},
        {"coef_": "x"},
        {"coef_": 10**400},
        {"coef_": np.array([["a"] * DIM])},
        {"coef_": np.array([[1j] * DIM])},
        {"coef_": np.array([[[1]] * DIM], object)},
        {"coef_": np.zeros((1, DIM), [("a", "f8")])},
        {"intercept_": np.ones(5)},
        {"intercept_": None},
        {"classes_": ["a", "b"]},
        {"classes_": np.array(["a"])},
        {"classes_": np.array([object(), object()])},
    ],
    ids=_plain,
)
def test_spoilt_models_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        read_heads(spoilt(**attributes))


# Files that mean harm
# ------------------------------------------------------------------------------------------------------


class Call:
    """Unpickled, it would call a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self._call = (function, args)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "function", [os.system, os.mkdir, eval, exec, getattr, __import__, open, pickle.loads, io.open]
)
def test_no_call_is_made(
    function: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argument = {os.system: "touch harm", os.mkdir: "harm", open: "harm", io.open: "harm"}.get(
        function, "__import__('os').mkdir('harm')"
    )
    rest = ("w",) if function in (open, io.open) else ()
    bad = Call(function, argument, *rest)
    for value in (bad, [bad], spoilt_by(bad)):
        with pytest.raises(BadRequest, match="names"):
            read_heads(pickle.dumps(value, protocol))
    assert list(tmp_path.iterdir()) == []


def spoilt_by(value: Any) -> Any:
    model = LogisticRegression().fit(X, IS_CAT)
    model.coef_ = value
    return model


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch harm'\ntR.",
        b"(S'touch harm'\nios\nsystem\n.",
        b"(cos\nsystem\nS'touch harm'\no.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"\x80\x04\x8c\x05numpy\x8c\x15ndarray.__reduce_ex__\x93.",
        b"cnumpy\nload\n.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"cbuiltins\nobject\n(S'x'\ntR.",
        b"cbuiltins\nbytes\n(I1000000000000\ntR.",
        b"cbuiltins\nbytearray\n(L1000000000000L\ntR.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"\x80\x02\x82\x01.",
        b"P1\n.",
        b"I1\nQ.",
        b"\x80\x05\x97.",
    ],
)
def test_hand_made_harm_is_refused(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRequest):
        read_heads(data)
    assert list(tmp_path.iterdir()) == []


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FLOATS = b"(I1\n%scnumpy\ndtype\n(S'f8'\nI00\nI01\ntRI00\nC\x08%stb."


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"hello",
        b"\x80\x04",
        b"(" * 1000 + b".",
        b"]" + b"}" * 100 + b"t.",
        b"(lp0\n(lp1\ng0\nag1\na.",  # lists that hold each other
        b"]" * 200_000 + b"a" * 199_999 + b".",  # lists in lists, deep
        b")" * 1 + b"\x85" * 500_000 + b".",  # tuples in tuples, deep
        b"}" + b")" + b"\x85" * 500_000 + b"Ns.",  # as a key: hashing it would recurse
        b"]" * (MAX_INSTRUCTIONS + 10) + b".",
        b"Nr\xff\xff\xff\x7f" * 3 + b".",  # memo numbers of four bytes
        b"j\xff\xff\xff\x7f.",
        b"\x8e" + struct.pack("<Q", 1 << 62) + b".",
        b"\x8b" + struct.pack("<i", 1 << 30) + b".",
        b"\x8b" + struct.pack("<i", -1) + b".",
        b"L" + b"9" * 100_000 + b"L\n.",
        ARRAY + FLOATS % (b"(I1000000000000\nt", b"12345678"),
        ARRAY + FLOATS % (b"(I-1\nt", b"12345678"),
        ARRAY + FLOATS % (b"(I2\nt", b"12345678"),
        ARRAY + FLOATS % (b"(I0\nI1000000000000\nt", b"12345678"),
        ARRAY + FLOATS % (b"(" + b"I1\n" * 40 + b"t", b"12345678"),
        ARRAY + b"Nb.",
        b"Nb.",
        b"]Nb.",
        b"\x80\x09.",
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_bombs_and_rubbish_end_at_once(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read_heads(data)


def test_a_small_file_cannot_unfold_to_much() -> None:
    text = b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\x00" + b"X\x06\x00\x00\x00latin1q\x010"
    again = b"c_codecs\nencode\nh\x00h\x01\x86R0"
    with pytest.raises(BadRequest, match="unfolds"):
        read_heads(text + again * 2000 + b".")


def test_models_in_models_have_an_end() -> None:
    model = make_pipeline(LogisticRegression())
    model.steps = [("again", model)]
    with pytest.raises(BadRequest, match="deeper"):
        read_heads(pickle.dumps(model))
    outer = OneVsRestClassifier(LogisticRegression()).fit(X, ANIMAL)
    outer.estimators_ = [make_pipeline(outer)] * 3
    with pytest.raises(BadRequest, match="lies within another"):
        read_heads(pickle.dumps(outer))


def test_a_file_that_is_too_large_is_not_read() -> None:
    with pytest.raises(BadRequest, match="MB"):
        read_heads(bytes(MAX_BYTES + 1))


def test_every_cut_and_every_flipped_byte_ends_well() -> None:
    data = pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:, :2], IS_CAT), 4)
    for end in range(0, len(data), 7):
        with pytest.raises(BadRequest):
            read_heads(data[:end])
    generator = np.random.default_rng(0)
    for _ in range(1500):
        changed = bytearray(data)
        for place in generator.integers(0, len(data), 2):
            changed[place] = generator.integers(256)
        try:
            heads = read_heads(bytes(changed))
        except BadRequest:
            continue
        assert all(np.isfinite(head.weight).all() for head in heads)


def test_the_instructions_that_are_followed_are_those_that_pickle_knows() -> None:
    from vitrine.training.taggers import pickle_machine

    known = {instruction.name for instruction in pickletools.opcodes}
    followed = (
        pickle_machine._PUSHED | set(pickle_machine._CONSTANTS) | set(pickle_machine._INSTRUCTIONS) | {"STOP"}
    )
    assert followed <= known
    assert known - followed == {
        "INST",
        "OBJ",
        "NEWOBJ_EX",
        "EXT1",
        "EXT2",
        "EXT4",
        "PERSID",
        "BINPERSID",
        "EMPTY_SET",
        "ADDITEMS",
        "FROZENSET",
        "NEXT_BUFFER",
        "READONLY_BUFFER",
    }


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
    turned = choose_heads(read_heads(pickle.dumps(LinearSVC().fit(X, IS_CAT))), "wild", "False")[0][1]
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
