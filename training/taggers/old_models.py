"""Read the linear classifiers of older systems from an npz of plain arrays.

The script in docs/training.md writes that npz in the environment that wrote the pickle. No pickle is read
here. Scalers before the model are folded into its weights; a sigmoid calibration becomes the head's.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import EncoderSpec
from vitrine.services.errors import BadRequest, TaggerMismatch

Numbers = NDArray[np.float64]
KINDS = {
    "LogisticRegression": "logistic-regression",
    "LogisticRegressionCV": "logistic-regression",
    "LinearSVC": "linear-svm",
    "SGDClassifier": "sgd",
}
SHARED = "scikit-learn's predict_proba also divides by the sum over the classes, which no head of its own can"
SOFTMAX = (
    "scores are the logistic function of decision_function: the model's softmax over all classes is no "
    "head of its own"
)
MARGIN = "scores are the logistic function of decision_function, which is not calibrated: 0.5 is the boundary"
MAX_BYTES = 64 << 20
"""The largest file that is read, and the most that it may unpack to."""
REST = {"other", "others", "rest", "none", "background", "unknown"}
"""What two-class models call everything without the tag."""
_MAX_CLASSES, _MAX_DIM = 2_000, 16_384
_NAMELESS = {"0", "1", "-1", "0.0", "1.0", "-1.0", "False", "True", "no", "yes", "negative", "positive"}
_ZIP, _MODEL_FILE = b"PK", "-tag-"


@dataclass(frozen=True, eq=False)
class OldHead:
    """One class of an old model: ``sigmoid(slope * (weight . x + bias) + offset)`` on unit vectors x (dim,).

    ``class_`` is the model's name for it, and ``opposite`` the only other class of a two-class model.
    ``note`` says how its probabilities differ from scikit-learn's; "" where they are the same.
    """

    class_: str
    kind: str
    weight: Numbers
    bias: float
    slope: float = 1.0
    offset: float = 0.0
    note: str = ""
    opposite: str = ""

    def turned(self) -> OldHead:
        """Return the head of the opposite class."""
        return replace(
            self, class_=self.opposite, opposite=self.class_, slope=-self.slope, offset=-self.offset
        )


@dataclass(frozen=True, eq=False)
class OldModel:
    """The heads of a file, the tag that the file names, and the class that has this tag.

    ``tag`` and ``positive`` are "" where the file does not say.
    """

    heads: list[OldHead]
    tag: str = ""
    positive: str = ""


def read_model(data: bytes, name: str = "") -> OldModel:
    """Read the npz that the script in docs/training.md writes; ``name`` is the name of the file.

    ``coef`` (rows, dim), ``intercept`` (rows,) and ``classes`` are enough; scikit-learn's names with an
    underscore at the end are read as well. A file called ``model-<type>-tag-<tag>`` comes from a pipeline
    that trains the images of the tag as class 0 and all others as class 1. ``BadRequest`` says what is
    missing or wrong.
    """
    arrays = _unpack(data)
    missing = [name for name in ("coef", "intercept", "classes") if name not in arrays]
    if missing:
        raise BadRequest(
            f"The npz lacks {', '.join(missing)}: it takes coef, intercept and classes of a linear "
            "classifier."
        )
    heads = _heads(arrays)
    called = name.rpartition(".")[0].partition(_MODEL_FILE)[2] if name.startswith("model-") else ""
    first = heads[0].opposite if called and len(heads) == 1 else ""
    return OldModel(heads, _text(arrays, "tag") or called, _text(arrays, "positive") or first)


def choose_heads(heads: Sequence[OldHead], tag: str | None, class_: str | None) -> list[tuple[str, OldHead]]:
    """Decide which head becomes which tag. ``BadRequest`` where the caller must say it.

    A two-class model needs ``tag``, unless its class has a name. ``class_`` picks one of several; without it
    each becomes a tag.
    """
    if class_ is not None:
        both = [*heads, *(head.turned() for head in heads if head.opposite)]
        heads = [head for head in both if head.class_ == class_]
        if not heads:
            raise BadRequest(
                f"The model has no class {class_!r}; it has: {', '.join(head.class_ for head in both[:30])}."
            )
    if tag is not None and len(heads) > 1:
        raise BadRequest(f"The model has {len(heads)} classes: choose one with --class, or leave out --tag.")
    if tag is None and len(heads) == 1 and heads[0].class_ in _NAMELESS:
        raise BadRequest(
            f"The model only separates {heads[0].class_} from its opposite: name the tag with --tag."
        )
    return [(tag or head.class_, head) for head in heads]


def to_tag_head(head: OldHead, tag: str, spec: EncoderSpec, data: bytes) -> TagHead:
    """Return a tagger on the named vector of ``spec``. ``TaggerMismatch`` if the dimensions differ."""
    if len(head.weight) != spec.dim:
        raise TaggerMismatch(
            f"The model takes {len(head.weight)} numbers, but vector {spec.name!r} has {spec.dim}: "
            "name with --using the vector that it was trained on.",
            using=spec.name,
        )
    return TagHead(
        tag=tag,
        kind=f"converted-{head.kind}",
        using=spec.name,
        encoder_revision=spec.revision,
        weight=head.weight.astype(np.float32),
        bias=head.bias,
        slope=head.slope,
        offset=head.offset,
        fingerprint=f"sha256:{hashlib.sha256(data).hexdigest()}",
        metrics={"note": head.note} if head.note else {},
    )


def _unpack(data: bytes) -> dict[str, NDArray[Any]]:
    if not data.startswith(_ZIP):
        raise BadRequest(
            "The file is no npz. Pickles are not read, since reading one runs what is in it: write an npz "
            "with the script in docs/training.md, in the environment that wrote the pickle."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadRequest(
                    f"The file unpacks to more than {MAX_BYTES >> 20} MB: a linear model is smaller."
                )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name.rstrip("_"): file[name] for name in file.files}
    except BadRequest:
        raise
    except Exception as error:  # zipfile and numpy meet damaged files with a dozen kinds of errors
        raise BadRequest("The file is no npz of plain numbers and texts, or a damaged one.") from error


def _heads(arrays: Mapping[str, NDArray[Any]]) -> list[OldHead]:
    kind = _text(arrays, "kind") or "LogisticRegression"
    if kind not in KINDS:
        raise BadRequest(f"The file holds a {kind}: only {', '.join(KINDS)} can be converted.")
    weights, classes = np.atleast_2d(_numbers(arrays, "coef")), _classes(arrays["classes"])
    opposite = "" if _text(arrays, "rule") == "multilabel" or len(classes) > 2 else classes[0]
    wanted = classes[1:] if opposite else classes
    if len(weights) != len(wanted) or not 0 < weights.shape[1] <= _MAX_DIM:
        raise BadRequest(
            f"The {kind} has weights {weights.shape} for {len(classes)} classes, which do not fit."
        )
    biases = _fitting(_numbers(arrays, "intercept").ravel(), (len(wanted),), "intercept")
    if "scale" in arrays:
        scale = _fitting(_numbers(arrays, "scale"), weights.shape, "scale")
        if not scale.all():
            raise BadRequest("The scaler divides by zero: the file is damaged.")
        weights = weights / scale
    if "mean" in arrays:
        biases = biases - (weights * _fitting(_numbers(arrays, "mean"), weights.shape, "mean")).sum(axis=1)
    slopes, offsets = np.ones(len(wanted)), np.zeros(len(wanted))
    if "a" in arrays and "b" in arrays:
        slopes = -_fitting(_numbers(arrays, "a"), slopes.shape, "a")
        offsets = -_fitting(_numbers(arrays, "b"), slopes.shape, "b")
        note = SHARED if len(wanted) > 1 else ""
    else:
        slope, note = _link(arrays, kind, len(wanted))
        slopes *= slope
    return [
        OldHead(class_, KINDS[kind], weight, float(bias), float(slope), float(offset), note, opposite)
        for class_, weight, bias, slope, offset in zip(wanted, weights, biases, slopes, offsets, strict=True)
    ]


def _link(arrays: Mapping[str, NDArray[Any]], kind: str, rows: int) -> tuple[float, str]:
    """Return the slope that turns a margin into scikit-learn's probability, and how it still differs."""
    rule, several = _text(arrays, "rule"), _text(arrays, "multi_class")
    if kind == "LinearSVC" or (kind == "SGDClassifier" and _text(arrays, "loss") not in ("log_loss", "log")):
        return 1.0, MARGIN
    if rows == 1 or rule:  # multinomial with two classes: a softmax of -m and m
        return (2.0 if several == "multinomial" else 1.0), (
            SHARED if rows > 1 and rule == "one-vs-rest" else ""
        )
    own = several in ("ovr", "warn") or (several != "multinomial" and _text(arrays, "solver") == "liblinear")
    return 1.0, SHARED if own or kind == "SGDClassifier" else SOFTMAX


def _text(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    found = arrays.get(name)
    return str(found) if found is not None and found.ndim == 0 else ""


def _numbers(arrays: Mapping[str, NDArray[Any]], name: str) -> Numbers:
    array = arrays[name]
    if array.dtype.kind not in "fiu" or array.ndim > 2:
        raise BadRequest(f"{name} in the npz is no table of plain numbers.")
    values = np.asarray(array, np.float64)
    if not np.isfinite(values).all():
        raise BadRequest(f"{name} in the npz has numbers that are not finite: the file is damaged.")
    return values


def _fitting(values: Numbers, shape: tuple[int, ...], name: str) -> Numbers:
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        raise BadRequest(
            f"{name} in the npz has shape {values.shape}, which does not fit {shape}."
        ) from error


def _classes(array: NDArray[Any]) -> list[str]:
    if array.ndim != 1 or not 2 <= len(array) <= _MAX_CLASSES:
        raise BadRequest(f"The model names no classes, or more than {_MAX_CLASSES}.")
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]
