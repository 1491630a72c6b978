from __future__ import annotations

import io
import json
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.indexer.enrich.scores.heads import id_of
from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.enrich.clusters.options import PairOptions
from vitrine.indexer.enrich.clusters.threshold.answers import Answers
from vitrine.indexer.enrich.clusters.threshold.judging import side_by_side
from vitrine.indexer.enrich.clusters.threshold.pair_sample import PairSample, sample_pairs
from vitrine.indexer.enrich.clusters.threshold.threshold import Judged, Row, collapsed, most_telling, propose
from vitrine.indexer.export.clusters.plots import draw_threshold
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.domain import Embeddings, Point
from vitrine.services.errors import BadRequest, NotFound, TooFewExamples, UnknownVector
from vitrine.services.runtime import Runtime

GROUPS, EACH, DIM = 60, 5, 64


def grouped_rows() -> Embeddings:
    """Sixty groups of five rows about centres that are alike themselves, so that groups run into each
    other."""
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(GROUPS, DIM)) + 1.2 * draw.normal(size=DIM)
    rows = np.repeat(centres, EACH, axis=0) + 0.75 * draw.normal(size=(GROUPS * EACH, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    made = make_runtime(tmp_path_factory.mktemp("threshold"))
    points = [
        Point(id_of(n), {"colour": row}, {"filename": f"{n}.png"}) for n, row in enumerate(grouped_rows())
    ]
    made.vectors.upsert(CATEGORY, points)
    return made


GROUP_OF = {id_of(n): n // EACH for n in range(GROUPS * EACH)}


@cache
def all_pairs(low: float) -> tuple[np.ndarray, np.ndarray]:
    """Similarity and truth of every pair at or above ``low``, by plain loops."""
    rows = grouped_rows()
    found = [(float(rows[a] @ rows[b]), a // EACH == b // EACH) for a, b in combinations(range(len(rows)), 2)]
    kept = [(value, same) for value, same in found if value >= low]
    return np.array([value for value, _ in kept]), np.array([same for _, same in kept])


def exact(low: float, threshold: float) -> Row:
    similar, same = all_pairs(low)
    said = similar >= threshold
    right = (said & same).sum()
    precision, recall = right / max(1, said.sum()), right / same.sum()
    return Row(threshold, precision, recall, 2 * precision * recall / max(1e-9, precision + recall))


def judged(sample: PairSample, most: int | None = None) -> Judged:
    """The oracle's answers to a sample."""
    pairs = sample.pairs[:most]
    return Judged(
        np.array([pair.similarity for pair in pairs]),
        np.array([GROUP_OF[pair.one] == GROUP_OF[pair.other] for pair in pairs]),
        np.array([pair.bin for pair in pairs]),
        np.array([one.pairs for one in sample.bins]),
        sample.bins[0].low,
    )


def test_bins_hold_what_plain_loops_count(runtime: Runtime) -> None:
    sample = sample_pairs(runtime, CATEGORY, PairOptions(pairs=100, low=0.3, bins=7))
    similar, _ = all_pairs(0.3)
    edges = [one.low for one in sample.bins] + [sample.bins[-1].high]
    assert edges == pytest.approx(np.linspace(0.3, 1, 8))
    assert [one.pairs for one in sample.bins] == np.histogram(similar, edges)[0].tolist()
    assert (
        len({(pair.one, pair.other) for pair in sample.pairs}) == 100
        and "seen: all of them" in sample.population
    )
    rows = {id_of(n): row for n, row in enumerate(grouped_rows())}
    for pair in sample.pairs:
        assert pair.one < pair.other and pair.similarity == pytest.approx(
            float(rows[pair.one] @ rows[pair.other]), abs=1e-5
        )
        assert edges[pair.bin] - 1e-6 <= pair.similarity <= edges[pair.bin + 1] + 1e-6
    each = np.bincount([pair.bin for pair in sample.pairs], minlength=7)
    full = [one.pairs for one in sample.bins]
    assert all(
        held in (full[at], max(each), max(each) - 1) for at, held in enumerate(each.tolist())
    )  # spread over the range


def test_some_images_stand_for_all(runtime: Runtime) -> None:
    sample = sample_pairs(runtime, CATEGORY, PairOptions(pairs=50, low=0.3, images=100, bins=5))
    whole = sample_pairs(runtime, CATEGORY, PairOptions(pairs=50, low=0.3, bins=5))
    n, s = GROUPS * EACH, 100
    share = 1 - (n - s) * (n - s - 1) / (n * (n - 1))
    seen, all_of = (np.array([one.pairs for one in made.bins]) for made in (sample, whole))
    assert seen.sum() == pytest.approx(share * all_of.sum(), rel=0.15) and f"{share:.1%}" in sample.population


def test_the_same_seed_draws_the_same_and_more_pairs_come_on_top(runtime: Runtime) -> None:
    def drawn(pairs: int, seed: int = 0) -> set[tuple[str, str]]:
        made = sample_pairs(runtime, CATEGORY, PairOptions(pairs=pairs, low=0.3, seed=seed))
        return {(pair.one, pair.other) for pair in made.pairs}

    assert drawn(40) == drawn(40) and drawn(40) < drawn(90) and drawn(40) != drawn(40, seed=1)


def test_estimates_are_near_the_truth_of_the_population(runtime: Runtime) -> None:
    """Without bias on average, and the intervals hold the truth about as often as they say."""
    inside, errors = [], []
    for seed in range(12):
        sample = sample_pairs(runtime, CATEGORY, PairOptions(pairs=200, low=0.3, seed=seed))
        made = propose(judged(sample), seed=seed)
        truth = exact(0.3, made.chosen.threshold)
        errors.append((made.chosen.precision - truth.precision, made.chosen.recall - truth.recall))
        for name in ("precision", "recall"):
            low, high = made.intervals[name]
            inside.append(low <= getattr(truth, name) <= high)
    assert np.abs(np.mean(errors, axis=0)).max() < 0.06 and np.abs(errors).max() < 0.25
    assert np.mean(inside) >= 0.9
    low = round(float(np.sort(all_pairs(0.3)[0])[-1_500]), 3)
    everything = sample_pairs(runtime, CATEGORY, PairOptions(pairs=2_000, low=low))
    assert sum(one.pairs for one in everything.bins) == len(
        everything.pairs
    )  # all were drawn: the estimate is the truth
    made = propose(judged(everything))
    truth = exact(low, made.chosen.threshold)
    for name in ("precision", "recall", "f1"):
        assert getattr(made.chosen, name) == pytest.approx(getattr(truth, name), abs=1e-3)
    best = max(exact(low, threshold).f1 for threshold in np.linspace(low, 0.95, 100))
    assert made.chosen.f1 == pytest.approx(best, abs=2e-3)


def test_the_lowest_threshold_of_a_precision(runtime: Runtime) -> None:
    made = judged(sample_pairs(runtime, CATEGORY, PairOptions(pairs=300, low=0.3)))
    best, careful = propose(made), propose(made, precision=0.97)
    assert careful.chosen.precision >= 0.97 and careful.chosen.threshold >= best.chosen.threshold
    assert all(row.precision < 0.97 for row in careful.rows if row.threshold < careful.chosen.threshold)
    assert best.chosen.f1 == max(row.f1 for row in best.rows)
    low, high = best.intervals["threshold"]
    assert low <= best.chosen.threshold <= high
    none = Judged(
        np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        np.array([0, 1, 0, 1, 0, 1], bool),
        np.zeros(6, np.int64),
        np.array([6]),
        0.3,
    )
    with pytest.raises(BadRequest, match=r"the best is 0\.5"):
        propose(none, precision=0.9)


def test_weights_by_hand() -> None:
    """Two bins: 100 pairs below 0.5 of which one of two answers is yes, 4 above, both answers yes."""
    made = propose(
        Judged(
            np.array([0.9, 0.8, 0.4, 0.3, 0.2, 0.1]),
            np.array([1, 1, 1, 0, 0, 0], bool),
            np.array([1, 1, 0, 0, 0, 0]),
            np.array([100, 4]),
            0.0,
        )
    )
    rows = {row.threshold: row for row in made.rows}
    assert list(rows) == pytest.approx([0.85, 0.6, 0.35, 0.25, 0.15, 0.05])
    assert rows[0.6] == Row(0.6, 1.0, round(4 / 29, 4), round(8 / 33, 4))
    assert rows[0.35] == made.chosen == Row(0.35, 1.0, 1.0, 1.0)
    assert rows[0.25].precision == pytest.approx(29 / 54, abs=1e-4)


def test_bins_with_few_answers_are_taken_together() -> None:
    populations = np.array([50, 40, 30, 20, 10])
    strata = collapsed(np.array([4, 4, 3, 2, 2, 0]), populations)
    # bin 4 alone; 3 and 2 together; 1 and 0 have one answer and join those
    assert strata.of.tolist() == [0, 0, 1, 1, 1, 1] and strata.populations.tolist() == [10, 140]
    assert collapsed(np.array([2]), populations).populations.tolist() == [150]


@pytest.mark.parametrize("seed", range(20))
def test_estimates_lie_inside_their_intervals(seed: int) -> None:
    draw = np.random.default_rng(seed)
    similarity = np.sort(draw.uniform(0.5, 1, 8))
    accepted = similarity >= similarity[draw.integers(3, 6)]  # few answers, and all of one mind
    judged = Judged(similarity, accepted, np.arange(8) // 2, np.array([4_000, 900, 80, 9]), 0.5)
    found = propose(judged, seed=seed)
    for name, (low, high) in found.intervals.items():
        assert low <= getattr(found.chosen, name) <= high, name


def test_too_few_answers_say_what_to_do() -> None:
    def made(*accepted: int) -> Judged:
        n = len(accepted)
        return Judged(
            np.linspace(0.9, 0.1, n), np.array(accepted, bool), np.zeros(n, np.int64), np.array([10]), 0.0
        )

    with pytest.raises(TooFewExamples, match=r"2 pairs were accepted.*higher similarity") as caught:
        propose(made(1, 1, 0, 0, 0))
    assert caught.value.code == "too_few_examples" and caught.value.details == {"accepted": 2, "rejected": 3}
    with pytest.raises(TooFewExamples, match="lower --low"):
        propose(made(1, 1, 1, 0))
    with pytest.raises(TooFewExamples):
        propose(made())


def test_what_is_asked_first_covers_the_range_and_then_the_doubt() -> None:
    bins, answered = 9, list[tuple[float, bool, int]]()
    waiting = np.full(bins, 30)
    for _ in range(60):  # the truth: yes from bin 4 on
        similar, accepted, number = (
            (np.array(part) for part in zip(*answered, strict=True)) if answered else (np.array([]),) * 3
        )
        at = most_telling(
            Judged(
                similar.astype(float), accepted.astype(bool), number.astype(np.int64), np.full(bins, 100), 0
            ),
            waiting,
        )
        answered.append((at / bins, at >= 4, at))
        waiting[at] -= 1
    assert [at for *_, at in answered[:3]] == [4, 2, 7] and len({at for *_, at in answered[:9]}) == 9
    asked = np.bincount([at for *_, at in answered], minlength=bins)
    assert asked[3:5].min() > asked[[0, 1, 7, 8]].max()  # the bins about the border are asked about most


# The file
# ------------------------------------------------------------------------------------------------------------


def answers(runtime: Runtime, path: Path, pairs: int = 30, low: float = 0.3) -> Answers:
    sample = sample_pairs(runtime, CATEGORY, PairOptions(pairs=pairs, low=low))
    made = Answers(path, CATEGORY, "embedding", "colour", "", 0.0, 0, [])
    made.take(sample, {id: f"{id[:4]}.png" for id in GROUP_OF})
    return made


def test_answers_come_back_and_more_pairs_keep_them(runtime: Runtime, tmp_path: Path) -> None:
    made = answers(runtime, tmp_path / "sub" / "a.json")
    assert [pair.number for pair in made.by_similarity()] == list(range(1, 31))
    made.answer([1, 2, 5], True)
    made.answer([29], False)
    made.answer([2], None)
    made.write()
    again = Answers.read(made.path)
    assert again == made and [pair.number for pair in again.pairs if pair.accepted] == [1, 5]
    known = {(pair.one, pair.other): pair.number for pair in made.pairs}
    more = sample_pairs(runtime, CATEGORY, PairOptions(pairs=45, low=0.2))
    new = again.take(more, {id: "" for id in GROUP_OF})
    assert new == len(again.pairs) - 30 > 0 and all(
        pair.number == known.get((pair.one, pair.other), pair.number) for pair in again.pairs
    )
    assert sorted(pair.number for pair in again.pairs) == list(range(1, len(again.pairs) + 1))
    assert [pair.number for pair in again.pairs if pair.accepted] == [1, 5] and again.low == 0.2
    edges = [one.low for one in again.bins] + [1.0]
    assert all(
        edges[pair.bin] <= pair.similarity + 1e-6 and pair.similarity <= edges[pair.bin + 1] + 1e-6
        for pair in again.pairs
    )
    assert again.judged().accepted.tolist().count(True) == 2


def test_the_next_pair_is_one_without_an_answer(runtime: Runtime, tmp_path: Path) -> None:
    made, seen = answers(runtime, tmp_path / "a.json"), list[int]()
    while pair := made.next_pair(skipped=[3]):
        seen.append(pair.number)
        made.answer([pair.number], pair.similarity > 0.6)
    assert sorted([*seen, 3]) == list(range(1, 31))


def test_files_that_are_no_answers(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "a.json"
    for text in ("", "[]", "{}", '{"format": 1}', '{"format": 2}', '{"format": 1, "bins": [1], "pairs": []}'):
        path.write_text(text)
        with pytest.raises(BadRequest):
            Answers.read(path)
    with pytest.raises(BadRequest, match="cannot be read"):
        Answers.read(tmp_path)
    made = answers(runtime, path)
    for numbers in ([31], [0], [1, 99]):
        with pytest.raises(BadRequest, match="from 1 to 30"):
            made.answer(numbers, True)
    assert made.judged().accepted.size == 0
    for category, measure, using in (
        ("other", "embedding", None),
        (CATEGORY, "phash", None),
        (CATEGORY, "embedding", "clip"),
    ):
        with pytest.raises(BadRequest, match="another file"):
            made.check(category, measure, using)
    made.check(CATEGORY, "embedding", "colour")
    made.path = tmp_path / "a.json" / "b.json"
    with pytest.raises(BadRequest, match="cannot be written"):
        made.write()


def test_what_cannot_be_drawn(runtime: Runtime, tmp_path: Path) -> None:
    for wrong in (
        {"measure": "cosine"},
        {"pairs": 5},
        {"low": 1},
        {"images": 1},
        {"bins": 1},
    ):
        with pytest.raises(BadRequest):
            PairOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UnknownVector):
        sample_pairs(runtime, CATEGORY, PairOptions(using="nothing"))
    with pytest.raises(NotFound):
        sample_pairs(runtime, "nowhere", PairOptions())
    empty = make_runtime(tmp_path)
    with pytest.raises(BadRequest, match="index"):
        sample_pairs(empty, CATEGORY, PairOptions())
    empty.vectors.upsert(CATEGORY, [Point(id_of(0), {"colour": grouped_rows()[0]}, {})])
    with pytest.raises(BadRequest, match="one image"):
        sample_pairs(empty, CATEGORY, PairOptions())


# By pixels, and pictures
# -----------------------------------------------------------------------------------------------------


def smooth(seed: int, blur: float = 0) -> bytes:
    image = Image.open(io.BytesIO(picture(seed))).resize((96, 96), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    (image.filter(ImageFilter.GaussianBlur(blur)) if blur else image).save(buffer, "PNG")
    return buffer.getvalue()


def test_pairs_by_a_measure_of_the_pixels(tmp_path: Path) -> None:
    """Copies by construction: picture n, and itself blurred."""
    runtime = make_runtime(tmp_path)
    files = {f"{n}-{copy}.png": smooth(n, 1.5 * copy) for n in range(30) for copy in range(2)}
    records = [ImageRecord(f"file:{name}", name, lambda data=data: data) for name, data in files.items()]  # type: ignore[misc]
    assert index_images(records, runtime, CATEGORY).added == 60
    told: list[int] = []
    options = PairOptions("phash", pairs=150, neighbours=4)
    sample = sample_pairs(runtime, CATEGORY, options, lambda done, of: told.append(done))
    assert told[0] == 0 and told[-1] == 60
    assert "60 of 60 images" in sample.population and "4 nearest by colour" in sample.population
    names = {
        hit.id: str(hit.payload["filename"]).split("-")[0]
        for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits
    }
    same = np.array([names[pair.one] == names[pair.other] for pair in sample.pairs])
    made = propose(
        Judged(
            np.array([pair.similarity for pair in sample.pairs]),
            same,
            np.array([pair.bin for pair in sample.pairs]),
            np.array([one.pairs for one in sample.bins]),
            sample.bins[0].low,
        )
    )
    assert made.chosen.f1 > 0.9 and 0.6 < made.chosen.threshold < 1
    runtime.objects.delete(str(runtime.vectors.scroll(CATEGORY, limit=1).hits[0].payload["object_key"]))
    assert sample_pairs(runtime, CATEGORY, options).pairs  # a picture that is gone is left out


def test_a_plot_of_the_answers(runtime: Runtime, tmp_path: Path) -> None:
    made = judged(sample_pairs(runtime, CATEGORY, PairOptions(pairs=80, low=0.3)))
    drawn = draw_threshold(propose(made), made, tmp_path / "a.png", title="things")
    assert Image.open(drawn).width > 500
    assert (
        b"<svg" in draw_threshold(propose(made), made, tmp_path / "a.svg", title="things").read_bytes()[:600]
    )
    assert json.loads(json.dumps(propose(made).to_json()))["accepted"] == int(made.accepted.sum())


def test_two_pictures_in_a_square() -> None:
    high, wide = picture(1, size=(30, 60)), picture(2, size=(60, 30))
    beside, above = side_by_side(high, high, 100), side_by_side(wide, wide, 100)
    assert beside is not None and above is not None and beside.size == above.size == (100, 100)
    empty = (247, 247, 248)
    assert (
        {beside.getpixel((50, y)) for y in range(100)}
        == {empty}
        == {above.getpixel((x, 50)) for x in range(100)}
    )
    assert side_by_side(None, b"no picture", 100) is None and side_by_side(None, high, 100) is not None
