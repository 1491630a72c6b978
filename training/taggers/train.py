"""Train taggers of many tags at once: first measured fairly, then fit on all images.

The images are dealt into a held-out part and k training parts, every tag in each
(training/taggers/splits.py). The margin of every image comes from a head that has not seen it. C is chosen by
average precision, calibration and threshold are fit, on the training parts; the metrics are of the
held-out part. Tags with few images there are measured across all parts instead, each part judged with what
the others chose. The head in service is then fit on all images, and calibrated on all those margins, at the
category's own prevalence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import Embeddings
from vitrine.services.errors import TooFewExamples
from vitrine.services.taggers.logistic import balanced_weights, platt, sigmoid
from vitrine.services.taggers.ranking_metrics import average_precision, best_threshold
from vitrine.training.taggers.examples import TagExamples
from vitrine.training.taggers.fitters import fit_heads
from vitrine.training.taggers.metrics import TagMetrics, tag_metrics
from vitrine.training.taggers.options import TrainOptions
from vitrine.training.taggers.splits import stratified_parts

Floats = NDArray[np.float32]
Tell = Callable[[str, int, int], None]
"""Gets what is being done, how much of it is done, and of how much."""

HELD_OUT = 0
"""The number of the held-out part."""
_SEARCH_ROWS, _SEARCH_POSITIVES = 20_000, 200
"""C is chosen on so many images, more only that each tag has so many: else the search would take most of a
run."""
_FEW_ROWS = 5_000
_ROWS = 8_192


@dataclass(frozen=True)
class TagReport:
    """One trained tag: its head, its metrics out of sample, and how they were measured."""

    head: TagHead
    metrics: TagMetrics
    protocol: str
    c: float

    def to_json(self) -> dict[str, Any]:
        head = self.head
        return {
            "tag": head.tag,
            "kind": head.kind,
            "using": head.using,
            "protocol": self.protocol,
            "c": self.c,
            "examples": dict(head.examples),
            "threshold": head.threshold,
            "metrics": asdict(self.metrics),
        }


@dataclass(frozen=True)
class Training:
    """The result of a training: ``reports`` by tag, and why tags were ``skipped``."""

    reports: tuple[TagReport, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    """Ids of the held-out images."""

    @property
    def heads(self) -> list[TagHead]:
        return [report.head for report in self.reports]

    @property
    def mean_average_precision(self) -> float:
        """Return the mean over the tags, each counting the same; NaN without any."""
        values = [report.metrics.average_precision for report in self.reports]
        return float(np.mean(values)) if values else float("nan")


def train_taggers(
    examples: TagExamples,
    options: TrainOptions | None = None,
    *,
    named: bool = False,
    tell: Tell | None = None,
) -> Training:
    """Train and measure heads for all tags. Deterministic for a seed.

    Tags that lack examples on a side of the split are skipped and say why; with ``named`` they are an error:
    ``TooFewExamples``.
    """
    options = options or TrainOptions()
    count = len(examples.ids)

    def say(what: str, done: int, total: int) -> None:
        if tell is not None:  # in images: each step goes over all of them
            tell(what, done * count, total * count)

    part = deal_parts(examples, options)
    examples, held = _measurable(examples, part, options, named)
    run = _Run(examples, part, held, options, say)
    c = run.choose_c()
    weights, biases = run.fit(c)
    margins = run.margins(weights, biases)
    reports = []
    for tag in range(len(examples.tags)):
        reports.append(
            run.report(tag, margins[tag], weights[-1, tag], float(biases[-1, tag]), float(c[-1, tag]))
        )
        say("measuring", tag + 1, len(examples.tags))
    outside = tuple(examples.ids[row] for row in np.flatnonzero(part == HELD_OUT)) if held.any() else ()
    return Training(tuple(reports), examples.skipped, outside)


def deal_parts(examples: TagExamples, options: TrainOptions) -> NDArray[np.int64]:
    """Return (n,) the part of each image: 0 is held out, the others train."""
    folds = options.folds or (5 if len(examples.ids) <= _FEW_ROWS else 3)
    shares = [options.test_fraction, *[(1 - options.test_fraction) / folds] * folds]
    return stratified_parts(examples.targets & examples.known, examples.groups, shares, options.seed)


def _measurable(
    examples: TagExamples, part: NDArray[np.int64], options: TrainOptions, named: bool
) -> tuple[TagExamples, NDArray[np.bool_]]:
    """Choose the tags that can be measured, and which of them on the held-out part (t,)."""
    kept, held, skipped = [], [], {}
    for tag, name in enumerate(examples.tags):
        known, labels = examples.known[:, tag], examples.targets[:, tag]
        counts = [
            [int(((part == one) & known & side).sum()) for one in range(part.max() + 1)]
            for side in (labels, ~labels)
        ]
        outside = min(side[HELD_OUT] for side in counts)
        inside = min(sum(side[1:]) for side in counts)
        spread = min(sum(count > 0 for count in side[1:]) for side in counts)
        whole = min(sum(count > 0 for count in side) for side in counts)
        enough = 1 if options.protocol == "held-out" else options.least_held_out
        on_held_out = options.protocol != "cross-validation" and outside >= enough and spread >= 2
        if on_held_out or (options.protocol != "held-out" and whole >= 2 and inside):
            kept.append(tag)
            held.append(on_held_out)
            continue
        positives, negatives = examples.counts(tag)
        reason = (
            f"{positives} images and {negatives} counterexamples, {counts[0][HELD_OUT]} and "
            f"{counts[1][HELD_OUT]} of them held out, are too few to train and to judge with: tag more "
            "images"
            + (
                ""
                if options.protocol != "held-out"
                else ", raise --test-fraction, or leave the protocol at auto"
            )
        )
        if named:
            raise TooFewExamples(f"{name!r}: {reason}.", tag=name, positives=positives, negatives=negatives)
        skipped[name] = reason
    if not kept:
        raise TooFewExamples(
            "No tag has examples on both sides of the split: tag more images.", skipped=len(skipped)
        )
    return examples.only(kept, skipped), np.array(held)


@dataclass(frozen=True)
class _Run:
    """One training: the examples, the part of each image (n,), and which tags are measured on the held-out
    part (t,)."""

    examples: TagExamples
    part: NDArray[np.int64]
    held: NDArray[np.bool_]
    options: TrainOptions
    tell: Tell

    @property
    def parts(self) -> int:
        return int(self.part.max()) + 1

    def choose_c(self) -> Floats:
        """Return C (parts + 1, t) for the heads that leave each part out, chosen on the others, and last for
        the final head."""
        tags, grid = len(self.examples.tags), sorted(self.options.grid)
        if len(grid) == 1:
            return np.full((self.parts + 1, tags), grid[0], np.float32)
        rows = self._search_rows()
        x, part = (self.examples.x, self.part) if rows is None else (self.examples.x[rows], self.part[rows])
        some = slice(None) if rows is None else rows
        targets, known = self.examples.targets[some], self.examples.known[some]
        found = np.full((len(grid), self.parts, tags), np.nan)
        start = None
        for number, c in enumerate(grid):
            self.tell("choosing C", number, len(grid))
            wanted = np.full((self.parts, tags), c, np.float32)
            fitted, biases = self._fit_parts(
                x, targets, known, part, range(self.parts), wanted, start, rough=True
            )
            start = (fitted.reshape(-1, x.shape[1]), biases.ravel())
            for one in range(self.parts):
                inside = np.flatnonzero(part == one)
                margins = x[inside] @ fitted[one].T + biases[one]
                for tag in range(tags):
                    if one == HELD_OUT and self.held[tag]:
                        continue  # what is held out chooses nothing
                    used = inside[known[inside, tag]]
                    scores = margins[known[inside, tag], tag]
                    found[number, one, tag] = average_precision(targets[used, tag], scores)
        self.tell("choosing C", len(grid), len(grid))
        chosen = [_best(np.delete(found, one, axis=1), grid) for one in range(self.parts)]
        return np.stack([*chosen, _best(found, grid)]).astype(np.float32)

    def fit(self, c: Floats) -> tuple[Floats, Floats]:
        """Return weights (parts + 1, t, dim) and biases (parts + 1, t) of the heads that leave each part out,
        and of the final ones."""
        examples = self.examples
        self.tell("training", 0, 2)
        weights, biases = self._fit_parts(
            examples.x, examples.targets, examples.known, self.part, range(self.parts), c[:-1], None
        )
        self.tell("training", 1, 2)
        # the final heads begin at those that left one part out
        final = self._fit_parts(
            examples.x,
            examples.targets,
            examples.known,
            self.part,
            [-1],
            c[-1:],
            (weights[HELD_OUT], biases[HELD_OUT]),
        )
        self.tell("training", 2, 2)
        return np.concatenate([weights, final[0]]), np.concatenate([biases, final[1]])

    def margins(self, weights: Floats, biases: Floats) -> Floats:
        """Return the margins (t, n) of each image by the heads that have not seen its part."""
        margins = np.empty((len(self.examples.tags), len(self.part)), np.float32)
        for one in range(self.parts):
            inside = np.flatnonzero(self.part == one)
            for first in range(0, len(inside), _ROWS):
                rows = inside[first : first + _ROWS]
                margins[:, rows] = weights[one] @ self.examples.x[rows].T + biases[one][:, None]
        return margins

    def report(self, tag: int, margins: Floats, weight: Floats, bias: float, c: float) -> TagReport:
        examples, options = self.examples, self.options
        known = np.flatnonzero(examples.known[:, tag])
        measured = _Margins(
            margins[known].astype(np.float64),
            examples.targets[known, tag],
            examples.weights_of(tag)[known],
            options.precision,
        )
        part = self.part[known]
        outside = part == HELD_OUT
        if self.held[tag]:
            protocol = f"held out: {options.test_fraction:.0%} of the images"
            metrics = measured.judge(~outside, outside)
        else:
            protocol = f"cross-validation: {self.parts} parts"
            metrics = measured.judge_across(part)
        usable = ~outside if options.holdout_only and self.held[tag] else np.ones(len(part), bool)
        slope, offset, threshold = measured.calibrate(usable)
        positives, negatives = examples.counts(tag)
        head = TagHead(
            tag=examples.tags[tag],
            kind=options.kind,
            using=examples.encoder.name,
            encoder_revision=examples.encoder.revision,
            weight=weight,
            bias=bias,
            slope=slope,
            offset=offset,
            threshold=threshold,
            fingerprint=examples.fingerprint(tag),
            examples={"positives": positives, "negatives": negatives},
            metrics={**asdict(metrics), "protocol": protocol, "c": c},
        )
        return TagReport(head, metrics, protocol, c)

    def _fit_parts(
        self,
        x: Embeddings,
        targets: NDArray[np.bool_],
        known: NDArray[np.bool_],
        part: NDArray[np.int64],
        leave_out: Sequence[int],
        c: Floats,
        start: tuple[Floats, Floats] | None,
        *,
        rough: bool = False,
    ) -> tuple[Floats, Floats]:
        """Return weights (len(leave_out), t, dim) and biases of heads that leave a part out (-1: none), all
        fit at once."""
        columns = []
        for one in leave_out:
            hidden = self.held if one >= 0 or self.options.holdout_only else np.zeros_like(self.held)
            columns.append(known & (part != one)[:, None] & ~((part == HELD_OUT)[:, None] & hidden))
        used = np.concatenate(columns, axis=1)
        repeated = np.tile(targets, (1, len(columns)))
        used_both = _with_both_sides(used, repeated, np.tile(known, (1, len(columns))))
        weights = (
            balanced_weights(repeated, used_both) if self.options.balanced else used_both.astype(np.float32)
        )
        found, biases = fit_heads(
            self.options.kind,
            x,
            repeated,
            weights,
            c.ravel(),
            start=start,
            repeats=len(columns),
            rough=rough,
        )
        return found.reshape(len(columns), -1, x.shape[1]), biases.reshape(len(columns), -1)

    def _search_rows(self) -> NDArray[np.intp] | None:
        """Choose rows to search C on, with enough positives of each tag; None: all."""
        total = len(self.part)
        if total <= _SEARCH_ROWS:
            return None
        order = np.random.default_rng(self.options.seed).permutation(total)
        chosen = np.zeros(total, bool)
        chosen[order[:_SEARCH_ROWS]] = True
        for tag in range(len(self.examples.tags)):
            positives = order[(self.examples.targets & self.examples.known)[order, tag]]
            chosen[positives[:_SEARCH_POSITIVES]] = True
        return np.flatnonzero(chosen)


@dataclass(frozen=True)
class _Margins:
    """Out-of-sample margins (m,) of one tag with their labels, and how many images each stands for."""

    margins: NDArray[np.float64]
    labels: NDArray[np.bool_]
    weights: NDArray[np.float64]
    precision: float | None

    def calibrate(self, rows: NDArray[np.bool_]) -> tuple[float, float, float]:
        """Return slope, offset and threshold from some rows."""
        labels, weights = self.labels[rows], self.weights[rows]
        slope, offset = platt(self.margins[rows], labels, weights)
        if (
            slope <= 0
        ):  # worse than chance: a head that says the same of all, rather than the opposite of what it learnt
            share = float((weights * labels).sum() / weights.sum())
            slope, offset = 1e-6, float(np.log(share / (1 - share)))
        scores = sigmoid(slope * self.margins[rows] + offset)
        return slope, offset, best_threshold(labels, scores, weights, precision=self.precision)

    def judge(self, chosen_on: NDArray[np.bool_], measured_on: NDArray[np.bool_]) -> TagMetrics:
        slope, offset, threshold = self.calibrate(chosen_on)
        scores = sigmoid(slope * self.margins[measured_on] + offset)
        return tag_metrics(self.labels[measured_on], scores, threshold, self.weights[measured_on])

    def judge_across(self, part: NDArray[np.int64]) -> TagMetrics:
        """Measure each part with the calibration and the threshold of the others."""
        scores, thresholds = np.empty(len(part)), np.empty(len(part))
        for one in np.unique(part):
            inside = part == one
            others = ~inside
            if self.labels[others].all() or not self.labels[others].any():
                others = np.ones(len(part), bool)
            slope, offset, threshold = self.calibrate(others)
            scores[inside], thresholds[inside] = sigmoid(slope * self.margins[inside] + offset), threshold
        return tag_metrics(self.labels, scores, thresholds, self.weights)


def _with_both_sides(
    used: NDArray[np.bool_], targets: NDArray[np.bool_], known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Leave nothing out of tags where leaving a part out would leave only one side: those margins are few."""
    alone = ~((used & targets).any(axis=0) & (used & ~targets).any(axis=0))
    return np.where(alone, known, used) if alone.any() else used


def _best(found: NDArray[np.float64], grid: Sequence[float]) -> NDArray[np.float64]:
    """Return (t,) the C of the best mean over the parts of (grid, parts, t); the smaller of equals, 1 where
    nothing could be measured."""
    measured = ~np.isnan(found)
    means = np.where(measured, found, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    best = np.asarray(grid)[np.round(means, 4).argmax(axis=0)]
    return np.asarray(np.where(measured.any(axis=(0, 1)), best, 1.0))
