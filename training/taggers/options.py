"""The options of a training of taggers. Read without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option

GRID = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class TrainOptions(Options):
    """How taggers are trained and measured.

    ``folds`` 0: five, or three of many images. ``protocol`` auto measures on the held-out part the tags that
    have ``least_held_out`` examples of each side there, and across all parts the others.
    """

    kind: Literal["logistic-regression", "sklearn-logistic-regression", "linear-svm"] = option(
        "logistic-regression", "The first is the fastest; the others are scikit-learn's."
    )
    test_fraction: float = option(0.1, "Share of the images that is held out to measure.", gt=0, le=0.5)
    min_examples: int = option(5, "Skip tags with fewer images.", ge=2)
    negatives: str = option(
        "", "Counterexamples: rejected (by people), tag:OTHER,..., or a CSV of id,tag. [default: all others]"
    )
    background: int | None = option(
        None, "Add this many random images without the tag as counterexamples.", ge=1
    )
    precision: float | None = option(
        None, "Choose the threshold for this precision. [default: the best F1]", gt=0, le=1
    )
    cv: int = option(0, "Cross-validate in this many parts. [default: only tags with few images]", ge=0)
    grid: tuple[float, ...] = option(GRID, "Inverse strengths of regularisation (C) to try.", min_length=1)
    balanced: bool = option(True, "Give both sides of a tag the same weight.")
    holdout_only: bool = option(False, "Keep the held-out images out of the final taggers too.")
    seed: int = option(0, "Seed of everything that is drawn at random.", ge=0)
    folds: int = 0
    protocol: Literal["auto", "held-out", "cross-validation"] = "auto"
    least_held_out: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds == 1 or self.folds < 0:
            raise BadRequest("Cross-validation takes at least 2 folds.")
        if min(self.grid) <= 0:
            raise BadRequest("The values of C must be positive.")
        if self.cv:
            # the part that would be held out is a fold as well
            given = {"folds": max(self.cv - 1, 2), "protocol": "cross-validation"}
            if self.cv > 1:
                given["test_fraction"] = 1 / self.cv
            for name, value in given.items():
                object.__setattr__(self, name, value)
