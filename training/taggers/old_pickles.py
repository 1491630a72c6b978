"""Linear heads from scikit-learn pickles of older systems, read offline and on request, without running any
of them.

What a model was is told by its attributes alone (training/taggers/pickle_machine.py): scikit-learn need not
be there, and which version wrote the file does not matter. Scalers before the model are folded into its
weights; a sigmoid calibration becomes the head's.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import EncoderSpec
from vitrine.services.errors import BadRequest, TaggerMismatch
from vitrine.training.taggers.pickle_machine import MAX_BYTES, Record, read_pickle

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
_MAX_CLASSES, _MAX_DIM, _MAX_STEPS = 2_000, 16_384, 20
_NAMELESS = {"0", "1", "-1", "0.0", "1.0", "-1.0", "False", "True", "no", "yes", "negative", "positive"}
REST = {"other", "others", "rest", "none", "background", "unknown"}
"""What two-class models call everything without the tag."""
_ZIP, _BUNDLED, _MODEL_FILE = b"PK", "classifier", "-tag-"
_DEPTH, _OUTER = 5, 4
"""How deep models may lie in models, and how deep is left below a OneVsRestClassifier, at least."""
_LOGISTIC = ("LogisticRegression", "LogisticRegressionCV")
_OLD_LOSSES = ("Hinge", "SquaredHinge", "Log", "ModifiedHuber", "Huber", "SquaredLoss", "EpsilonInsensitive")
_PARTS = (
    ("sklearn.linear_model._logistic", _LOGISTIC),
    ("sklearn.linear_model.logistic", _LOGISTIC),
    ("sklearn.linear_model._stochastic_gradient", ("SGDClassifier",)),
    ("sklearn.linear_model.stochastic_gradient", ("SGDClassifier",)),
    ("sklearn.linear_model._sgd_fast", _OLD_LOSSES),
    ("sklearn.linear_model.sgd_fast", _OLD_LOSSES),
    ("sklearn._loss._loss", ("CyHalfBinomialLoss", "CyHalfMultinomialLoss")),
    ("sklearn.svm._classes", ("LinearSVC",)),
    ("sklearn.svm.classes", ("LinearSVC",)),
    ("sklearn.preprocessing._data", ("StandardScaler", "Normalizer")),
    ("sklearn.preprocessing.data", ("StandardScaler", "Normalizer")),
    ("sklearn.preprocessing._label", ("LabelBinarizer",)),
    ("sklearn.preprocessing.label", ("LabelBinarizer",)),
    ("sklearn.pipeline", ("Pipeline",)),
    ("sklearn.multiclass", ("OneVsRestClassifier",)),
    ("sklearn.calibration", ("CalibratedClassifierCV", "_CalibratedClassifier", "_SigmoidCalibration")),
    ("sklearn.frozen._frozen", ("FrozenEstimator",)),
    ("numpy.random._pickle", ("__randomstate_ctor", "__bit_generator_ctor")),
    ("numpy.random._mt19937", ("MT19937",)),
    ("datetime", ("datetime",)),
)
CLASSES = frozenset(f"{module}.{name}" for module, names in _PARTS for name in names)
"""Every path that may occur in a file, under the module names of all versions of scikit-learn."""


@dataclass(frozen=True, eq=False)
class OldHead:
    """One class of an old model: ``sigmoid(slope * (weight . x + bias) + offset)`` on unit vectors x (dim,).

    ``class_`` is what the model calls it, and ``opposite`` its only other class, if it has but two. ``note``
    says where its probabilities are not those of scikit-learn; "" where they are.
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
        """The head of the opposite."""
        return replace(
            self, class_=self.opposite, opposite=self.class_, slope=-self.slope, offset=-self.offset
        )


@dataclass(frozen=True, eq=False)
class OldModel:
    """The heads of a file, what the file says their tag is, and the class that has the tag in the system that
    wrote it.

    ``tag`` and ``positive`` are "" where the file says nothing of them.
    """

    heads: list[OldHead]
    tag: str = ""
    positive: str = ""


def read_model(data: bytes, name: str = "") -> OldModel:
    """A pickle of a fitted model, a pickle of a dict that has one under ``classifier``, or an npz of its
    arrays.

    The dict, and files that are called ``model-<type>-tag-<tag>.pkl``, are those of a pipeline that trains
    the images of the tag as class 0 and all others as class 1. An npz has ``coef``, ``intercept`` and
    ``classes``, with or without an underscore at the end, and maybe ``tag``. ``BadRequest`` says what a file
    has instead.
    """
    if data.startswith(_ZIP):
        return _from_arrays(data)
    value = read_pickle(data, CLASSES)
    called = name.rpartition(".")[0].partition(_MODEL_FILE)[2] if name.startswith("model-") else ""
    if isinstance(value, dict) and _BUNDLED in value:
        heads, tag = _heads(value[_BUNDLED], _DEPTH), value.get("tag")
        return OldModel(heads, tag if isinstance(tag, str) else called, _first_class(heads))
    heads = _heads(value, _DEPTH)
    return OldModel(heads, called, _first_class(heads) if called else "")


def read_heads(data: bytes) -> list[OldHead]:
    """The heads in a pickle of a fitted model: one for a yes-or-no model, one for each class of others.

    Read are LogisticRegression, LinearSVC, SGDClassifier; over them OneVsRestClassifier and
    CalibratedClassifierCV (sigmoid, one calibration); and a Pipeline of these after StandardScaler and
    Normalizer. ``BadRequest`` says what a file has instead.
    """
    return _heads(read_pickle(data, CLASSES), _DEPTH)


def choose_heads(heads: Sequence[OldHead], tag: str | None, class_: str | None) -> list[tuple[str, OldHead]]:
    """Which head becomes which tag. ``BadRequest`` where it must be said.

    A yes-or-no model needs ``tag``, unless its class is a name. ``class_`` picks one of several; without it
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
            f"The model only tells {heads[0].class_} from its opposite: say with --tag what it is."
        )
    return [(tag or head.class_, head) for head in heads]


def to_tag_head(head: OldHead, tag: str, spec: EncoderSpec, data: bytes) -> TagHead:
    """A tagger on the named vector of ``spec``. ``TaggerMismatch`` if the dimensions differ."""
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


# Files
# ------------------------------------------------------------------------------------------------------------


def _first_class(heads: Sequence[OldHead]) -> str:
    """Class 0 of a two-class model."""
    return heads[0].opposite if len(heads) == 1 else ""


def _from_arrays(data: bytes) -> OldModel:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise BadRequest(
                    f"The file unfolds to more than {MAX_BYTES >> 20} MB: a linear model is smaller."
                )
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            state = {name.rstrip("_"): file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadRequest("The file is no npz of plain numbers and texts, or a damaged one.") from error
    missing = [name for name in ("coef", "intercept", "classes") if name not in state]
    if missing:
        raise BadRequest(
            f"The npz lacks {', '.join(missing)}: it takes coef, intercept and classes of a linear "
            "classifier."
        )
    model = Record(
        "sklearn.linear_model._logistic.LogisticRegression", state={f"{name}_": state[name] for name in state}
    )
    tag = str(state["tag"]) if "tag" in state and state["tag"].ndim == 0 else ""
    return OldModel(_heads(model, _DEPTH), tag)


# Models
# ------------------------------------------------------------------------------------------------------------


def _heads(model: Any, depth: int) -> list[OldHead]:
    name = _name(model)
    if depth == 0:
        raise BadRequest("The file nests models in models deeper than any that can be converted.")
    if name in KINDS:
        return _linear(model, name)
    if name == "Pipeline":
        return _pipeline(model, depth)
    if name == "OneVsRestClassifier":
        return _one_vs_rest(model, depth)
    if name == "CalibratedClassifierCV":
        return _calibrated(model, depth)
    if name == "FrozenEstimator":
        return _heads(_attributes(model)["estimator"], depth - 1)
    raise BadRequest(f"The file holds a {name}, which is no linear model: only linear ones can be converted.")


def _linear(model: Record, name: str) -> list[OldHead]:
    state = _fitted(model, name, "coef_", "intercept_", "classes_")
    weights = np.atleast_2d(_numbers(state["coef_"]))
    classes = _classes(state["classes_"])
    rows = 1 if len(classes) == 2 else len(classes)
    if weights.shape[0] != rows or not 0 < weights.shape[1] <= _MAX_DIM or len(classes) > _MAX_CLASSES:
        raise BadRequest(
            f"The {name} has weights {weights.shape} for {len(classes)} classes, which do not fit."
        )
    biases = _numbers(state["intercept_"]).ravel()
    if len(biases) not in (1, rows):
        raise BadRequest(
            f"The {name} has {len(biases)} intercepts for {rows} rows of weights, which do not fit."
        )
    slope, note = _links(state, name, rows)
    wanted = classes[1:] if rows == 1 else classes
    return [
        OldHead(
            class_,
            KINDS[name],
            weight,
            float(bias),
            slope,
            note=note,
            opposite=classes[0] if rows == 1 else "",
        )
        for class_, weight, bias in zip(wanted, weights, np.broadcast_to(biases, (rows,)), strict=True)
    ]


def _links(state: dict[str, Any], name: str, rows: int) -> tuple[float, str]:
    """The slope by which a margin becomes scikit-learn's probability, and what is to be noted."""
    if name == "LinearSVC" or (name == "SGDClassifier" and state.get("loss") not in ("log_loss", "log")):
        return 1.0, MARGIN
    if name == "SGDClassifier":
        return 1.0, SHARED if rows > 1 else ""
    several = state.get("multi_class", "auto")
    if rows == 1:  # a softmax of -m and m
        return (2.0 if several == "multinomial" else 1.0), ""
    own = several in ("ovr", "warn") or (several != "multinomial" and state.get("solver") == "liblinear")
    return 1.0, SHARED if own else SOFTMAX


def _pipeline(model: Record, depth: int) -> list[OldHead]:
    steps = _fitted(model, "Pipeline", "steps")["steps"]
    if (
        not isinstance(steps, list)
        or not 0 < len(steps) <= _MAX_STEPS
        or not all(_is_pair(step) for step in steps)
    ):
        raise BadRequest("The Pipeline has no steps that can be read.")
    heads = _heads(steps[-1][1], depth - 1)
    before = [step[1] for step in steps[:-1] if step[1] is not None and step[1] != "passthrough"]
    for number, step in reversed(list(enumerate(before))):
        name = _name(step)
        if name == "StandardScaler":
            heads = [_unscaled(head, _attributes(step)) for head in heads]
        elif name != "Normalizer":
            raise BadRequest(
                f"The Pipeline has a {name}, not only StandardScaler and Normalizer: it cannot be folded."
            )
        elif _attributes(step).get("norm", "l2") != "l2" or any(
            _name(other) != "Normalizer" for other in before[:number]
        ):
            raise BadRequest(
                "The Pipeline normalises other than to unit length at its start: that does not fold "
                "into weights."
            )
    return heads


def _unscaled(head: OldHead, state: dict[str, Any]) -> OldHead:
    """``w . ((x - mean) / scale) + b`` as weight and bias on x."""
    weight, bias = head.weight, head.bias
    if state.get("with_std", True) and state.get("scale_") is not None:
        weight = weight / _sized(state["scale_"], len(weight))
    if state.get("with_mean", True) and state.get("mean_") is not None:
        bias -= float(weight @ _sized(state["mean_"], len(weight)))
    return replace(head, weight=_finite(weight), bias=bias)


def _one_vs_rest(model: Record, depth: int) -> list[OldHead]:
    if depth < _OUTER:
        raise BadRequest("The OneVsRestClassifier lies within another model: convert it by itself.")
    state = _fitted(model, "OneVsRestClassifier", "estimators_", "label_binarizer_")
    binarizer = _attributes(state["label_binarizer_"])
    classes, estimators = _classes(binarizer.get("classes_")), state["estimators_"]
    wanted = classes[1:] if len(classes) == 2 and len(estimators) == 1 else classes
    if not isinstance(estimators, list) or len(estimators) != len(wanted) or len(wanted) > _MAX_CLASSES:
        raise BadRequest("The OneVsRestClassifier has not one model for each class.")
    many = len(wanted) > 1 and binarizer.get("y_type_", "multiclass") == "multiclass"
    found = []
    for class_, estimator in zip(wanted, estimators, strict=True):
        inner = _heads(estimator, _OUTER - 1)
        if len(inner) != 1:
            raise BadRequest(
                "The OneVsRestClassifier has models of several classes each: they cannot be converted."
            )
        found.append(
            replace(
                inner[0],
                class_=class_,
                opposite=classes[0] if len(wanted) == 1 else "",
                note=inner[0].note or (SHARED if many else ""),
            )
        )
    return found


def _calibrated(model: Record, depth: int) -> list[OldHead]:
    found = _fitted(model, "CalibratedClassifierCV", "calibrated_classifiers_")["calibrated_classifiers_"]
    if not isinstance(found, list) or len(found) != 1:
        raise BadRequest(
            "The CalibratedClassifierCV averages several models, which is no linear head. In the "
            "environment that wrote it, fit it with ensemble=False."
        )
    state = _attributes(found[0])
    calibrators = state.get("calibrators", state.get("calibrators_"))
    heads = _heads(state.get("estimator", state.get("base_estimator")), depth - 1)
    if not isinstance(calibrators, list) or len(calibrators) != len(heads):
        raise BadRequest("The CalibratedClassifierCV has not one calibration for each class.")
    if any(_name(one) != "_SigmoidCalibration" for one in calibrators):
        raise BadRequest(
            "The model is calibrated by steps (isotonic): only the sigmoid calibration can be converted."
        )
    result = []
    for head, calibrator in zip(heads, calibrators, strict=True):
        a, b = (float(_numbers(_attributes(calibrator)[name])) for name in ("a_", "b_"))
        result.append(replace(head, slope=-a, offset=-b, note=SHARED if len(heads) > 1 else ""))
    return result


# Attributes
# ------------------------------------------------------------------------------------------------------------


def _name(model: Any) -> str:
    if isinstance(model, Record):
        return model.path.rpartition(".")[2]
    raise BadRequest(
        f"The file holds no model but a {type(model).__name__}: give the file of a single fitted model."
    )


def _attributes(model: Any) -> dict[str, Any]:
    name = _name(model)
    if not isinstance(model.state, dict):
        raise BadRequest(f"The {name} in the file has no attributes: it was not fitted.")
    return model.state


def _fitted(model: Record, name: str, *wanted: str) -> dict[str, Any]:
    state = _attributes(model)
    missing = [key for key in wanted if key not in state]
    if missing:
        raise BadRequest(f"The {name} in the file lacks {', '.join(missing)}: it was not fitted.")
    return state


def _is_pair(step: Any) -> bool:
    return isinstance(step, tuple) and len(step) == 2


def _numbers(value: Any) -> Numbers:
    array = value.state if isinstance(value, Record) else value
    if isinstance(array, int | float) and abs(array) < 2**63:
        array = np.array(array)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim > 2:
        raise BadRequest("The model has weights that are no plain numbers: sparse ones first need densify().")
    return _finite(np.asarray(array, np.float64))


def _finite(values: Numbers) -> Numbers:
    if not np.isfinite(values).all():
        raise BadRequest("The model has weights that are not finite: it is damaged.")
    return values


def _sized(value: Any, size: int) -> Numbers:
    found = _numbers(value)
    if found.shape != (size,):
        raise BadRequest(f"The scaler is of {found.shape} numbers, the model of {size}: they do not fit.")
    return found


def _classes(value: Any) -> list[str]:
    array = value.state if isinstance(value, Record) else value
    if not isinstance(array, np.ndarray) or array.ndim != 1 or not 2 <= len(array) <= _MAX_CLASSES:
        raise BadRequest("The model names no classes.")
    return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in array.tolist()]
