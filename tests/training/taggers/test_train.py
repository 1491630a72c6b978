from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, NotFound, TooFewExamples
from vitrine.services.taggers.ranking_metrics import average_precision, best_threshold, roc_auc
from vitrine.training.taggers.examples import (
    Negatives,
    TagExamples,
    make_examples,
    read_examples,
    read_negatives,
)
from vitrine.training.taggers.metrics import tag_metrics
from vitrine.training.taggers.options import TrainOptions
from vitrine.training.taggers.splits import stratified_parts
from vitrine.training.taggers.train import deal_parts, train_taggers

SPEC = EncoderSpec("clip", "m", "r1", 16, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


def examples(
    n: int = 1_500, shares: tuple[float, ...] = (0.01, 0.1, 0.4), noise: float = 0.4, **more: Any
) -> TagExamples:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((n, 16)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    margins = x @ generator.standard_normal((16, len(shares)))
    margins = margins / margins.std(axis=0) + noise * generator.standard_normal(margins.shape)
    given = [m > np.quantile(m, 1 - share) for m, share in zip(margins.T, shares, strict=True)]
    said = [[f"t{number}" for number, tag in enumerate(given) if tag[row]] for row in range(n)]
    return make_examples(SPEC, [f"id{row}" for row in range(n)], x, said, **more)


def slow_average_precision(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    total = 0.0
    for score in scores[labels]:
        above = scores >= score
        total += labels[above].sum() / above.sum()
    return total / labels.sum()


def test_metrics_agree_with_slow_loops_and_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels, scores = generator.random(300) < 0.2, generator.random(300).round(2)
    assert average_precision(labels, scores) == pytest.approx(slow_average_precision(labels, scores))
    pairs = [(float(a > b) + 0.5 * float(a == b)) for a in scores[labels] for b in scores[~labels]]
    assert roc_auc(labels, scores) == pytest.approx(np.mean(pairs))
    metrics = pytest.importorskip("sklearn.metrics")
    weights = generator.random(300)
    assert average_precision(labels, scores, weights) == pytest.approx(
        metrics.average_precision_score(labels, scores, sample_weight=weights)
    )
    assert roc_auc(labels, scores, weights) == pytest.approx(
        metrics.roc_auc_score(labels, scores, sample_weight=weights)
    )


def test_the_best_threshold_is_found_by_trying_all() -> None:
    generator = np.random.default_rng(1)
    labels = generator.random(200) < 0.3
    scores = np.clip(0.3 * labels + generator.random(200) * 0.7, 0, 1)
    tried = [tag_metrics(labels, scores, threshold) for threshold in np.unique(scores)]
    assert tag_metrics(labels, scores, best_threshold(labels, scores)).f1 == pytest.approx(
        max(one.f1 for one in tried)
    )
    aimed = tag_metrics(labels, scores, best_threshold(labels, scores, precision=0.9))
    assert aimed.precision >= 0.9
    assert aimed.recall == pytest.approx(max(one.recall for one in tried if one.precision >= 0.9))


def test_parts_have_their_share_of_every_tag_and_tear_no_group_apart() -> None:
    generator = np.random.default_rng(2)
    targets = generator.random((2_000, 6)) < [0.004, 0.02, 0.1, 0.3, 0.5, 0.9]
    groups = np.where(np.arange(2_000) % 5 == 0, np.arange(2_000) + 1, np.arange(2_000))
    part = stratified_parts(targets, groups, [0.1, 0.3, 0.3, 0.3], 7)
    for group in np.unique(groups):
        assert len(set(part[groups == group])) == 1
    sizes = np.bincount(part) / 2_000
    np.testing.assert_allclose(sizes, [0.1, 0.3, 0.3, 0.3], atol=0.01)
    for tag in range(6):
        counts = np.bincount(part[targets[:, tag]], minlength=4)
        assert np.abs(counts - targets[:, tag].sum() * np.array([0.1, 0.3, 0.3, 0.3])).max() <= max(
            3, 0.05 * counts.sum()
        ), tag
    assert (stratified_parts(targets, groups, [0.1, 0.3, 0.3, 0.3], 7) == part).all()
    assert (stratified_parts(targets, groups, [0.1, 0.3, 0.3, 0.3], 8) != part).any()


@pytest.mark.parametrize("kind", ["logistic-regression", "sklearn-logistic-regression", "linear-svm"])
def test_every_kind_learns_and_gives_probabilities(kind: str) -> None:
    pytest.importorskip("sklearn")
    training = train_taggers(examples(), TrainOptions(kind=kind, grid=(1.0, 10.0)))
    assert [head.tag for head in training.heads] == ["t0", "t1", "t2"]
    assert training.mean_average_precision > 0.7
    many = training.reports[2].metrics
    assert many.roc_auc > 0.9 and many.calibration_error < 0.12
    for report in training.reports:
        assert report.head.kind == kind and report.head.encoder_revision == "r1"
        assert sum(report.metrics.positive_histogram) == report.metrics.positives


def test_rare_tags_are_cross_validated_and_others_held_out() -> None:
    training = train_taggers(examples(), TrainOptions(grid=(1.0,)))
    rare, _, many = training.reports
    assert rare.protocol.startswith("cross-validation") and rare.metrics.positives == 15
    assert many.protocol == "held out: 10% of the images" and many.metrics.positives == pytest.approx(
        60, abs=3
    )
    assert len(training.held_out) == pytest.approx(150, abs=3)


def test_what_is_held_out_has_no_say_in_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of the held-out part turned round: the metrics become terrible, as they must if nothing was
    learnt from them."""
    found = replace(
        examples(shares=(0.4,)), prevalence=np.array([np.nan])
    )  # every image counts once, whatever its label
    options = TrainOptions(grid=(1.0, 10.0), holdout_only=True)
    part = deal_parts(found, options)
    outside = part == 0
    monkeypatch.setattr(
        "vitrine.training.taggers.train.deal_parts", lambda *_: part
    )  # the split itself looks at the labels
    before = train_taggers(found, options)
    found.targets[outside] = ~found.targets[outside]
    after = train_taggers(found, options)
    assert after.reports[0].metrics.roc_auc < 0.2 < before.reports[0].metrics.roc_auc
    np.testing.assert_allclose(after.heads[0].weight, before.heads[0].weight)
    assert after.heads[0].threshold == before.heads[0].threshold


def test_scores_are_probabilities_at_the_true_prevalence_although_training_was_balanced() -> None:
    found = examples(n=6_000, shares=(0.03,), noise=0.8)
    head = train_taggers(found).heads[0]
    assert head.scores(found.x).mean() == pytest.approx(0.03, abs=0.006)
    sampled = examples(n=6_000, shares=(0.03,), noise=0.8, negatives=Negatives(background=500))
    assert sampled.known.sum() == 680
    fewer = train_taggers(sampled).heads[0]
    assert fewer.scores(found.x).mean() == pytest.approx(0.03, abs=0.012)


def test_labels_that_mean_nothing_are_reported_as_such() -> None:
    generator = np.random.default_rng(3)
    x = generator.standard_normal((800, 16)).astype(np.float32)
    said = [["t"] if generator.random() < 0.3 else [] for _ in range(800)]
    training = train_taggers(
        make_examples(SPEC, [str(i) for i in range(800)], x, said), TrainOptions(protocol="cross-validation")
    )
    metrics = training.reports[0].metrics
    assert metrics.roc_auc == pytest.approx(0.5, abs=0.06) and metrics.calibration_error < 0.05


def test_the_threshold_aims_at_a_precision_and_training_repeats_itself() -> None:
    found = examples(n=4_000, shares=(0.3,), noise=0.8)
    loose = train_taggers(found, TrainOptions(grid=(1.0,)))
    strict = train_taggers(found, TrainOptions(grid=(1.0,), precision=0.95))
    assert strict.heads[0].threshold > loose.heads[0].threshold
    assert strict.reports[0].metrics.precision > 0.85
    again = train_taggers(found, TrainOptions(grid=(1.0,)))
    np.testing.assert_array_equal(again.heads[0].weight, loose.heads[0].weight)


def test_pictures_of_one_perceptual_hash_stay_on_one_side() -> None:
    found = examples(hashes=[str(row // 3) for row in range(1_500)])
    part = deal_parts(found, TrainOptions())
    assert all(len(set(part[found.groups == group])) == 1 for group in np.unique(found.groups))


def test_too_few_examples_name_the_tag_the_counts_and_what_to_do() -> None:
    x = np.eye(16, dtype=np.float32)
    ids = [str(row) for row in range(16)]
    with pytest.raises(
        TooFewExamples, match=r"'rare' has 1 images and 15 counterexamples; .* tag more images"
    ) as caught:
        make_examples(SPEC, ids, x, [["rare"], *[["common"]] * 15], tags=["rare"])
    assert caught.value.details["positives"] == 1
    found = make_examples(SPEC, ids, x, [["rare"], *[["common"]] * 7, *[[]] * 8])
    assert found.tags == ("common",) and "1 images" in found.skipped["rare"]
    with pytest.raises(TooFewExamples, match="held out"):
        train_taggers(found, TrainOptions(protocol="held-out", test_fraction=0.01), named=True)
    with pytest.raises(NotFound, match="most frequent are: common"):
        make_examples(SPEC, ids, x, [["common"]] * 16, tags=["absent"])
    with pytest.raises(TooFewExamples, match="No tag"):
        make_examples(SPEC, ids, x, [[]] * 16)


def test_bad_options_are_told() -> None:
    found = examples(n=200, shares=(0.4,))
    wrong: list[dict[str, Any]] = [
        {"kind": "forest"},
        {"test_fraction": 0.0},
        {"folds": 1},
        {"grid": (0.0,)},
        {"precision": 2.0},
    ]
    for options in wrong:
        with pytest.raises(BadRequest):
            train_taggers(found, TrainOptions(**options))


def test_explicit_negatives_are_the_rejected_the_listed_or_those_of_other_tags(tmp_path: Path) -> None:
    x = np.eye(16, dtype=np.float32)[:6]
    ids = list("abcdef")
    said = [["cat"], ["cat"], ["dog"], [], [], ["cat", "dog"]]
    rejected = [(), (), (), ("cat",), (), ()]

    def known(negatives: Negatives | None) -> str:
        made = make_examples(
            SPEC, ids, x, said, rejected, names={"e": "e.jpg"}, tags=["cat"], negatives=negatives, least=1
        )
        return "".join(
            one for one, flag in zip(ids, made.known[:, 0] & ~made.targets[:, 0], strict=True) if flag
        )

    assert known(None) == "cde"
    assert known(read_negatives("rejected", None)) == "d"
    assert known(read_negatives("tag:dog", None)) == "cd"
    listed = tmp_path / "not.csv"
    listed.write_text("image,tag\ne.jpg,cat\nf,cat\n")
    assert known(read_negatives(str(listed), None)) == "de"  # f has the tag
    assert len(known(read_negatives("rejected", 1))) == 2 and "d" in known(read_negatives("rejected", 1))
    with pytest.raises(BadRequest, match="--negatives takes"):
        read_negatives("nothing.csv", None)


def test_examples_of_a_category_are_read_from_its_stored_embeddings(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    records = []
    for n in range(12):
        tags = ("third",) if n % 3 == 0 else ()
        class_ = "odd" if n % 2 else "even"
        records.append(
            ImageRecord("test", f"{n}.png", partial(picture, n), fields={"class": class_}, tags=tags)
        )
    index_images(records, runtime, CATEGORY)
    category = runtime.catalog.get(CATEGORY)
    found = read_examples(runtime.vectors, category)
    assert found.tags == ("third",) and found.targets.sum() == 4 and found.x.shape == (12, 64)
    classes = read_examples(runtime.vectors, category, field="class")
    assert classes.tags == ("even", "odd") and (classes.targets.sum(axis=1) == 1).all()
    assert found.fingerprint(0) != classes.fingerprint(0)
