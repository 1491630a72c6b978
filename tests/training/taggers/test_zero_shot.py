from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrine.services.artifacts.taggers import HeadSet, TagHead
from vitrine.services.domain import Embeddings
from vitrine.services.encoders.families.fake import COLOURS, ColourEncoder
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.training.taggers.word_scores import WordScores, WordTally, write_scores
from vitrine.training.taggers.zero_shot import (
    ANYTHING,
    TEMPLATES,
    embed_words,
    read_templates,
    read_words,
    word_heads,
)

ENCODER = ColourEncoder()
WORDS = ["red", "blue", "green", "yellow"]
DRAWN = [*WORDS, "black", "white"]


def pictures(count: int = 120) -> tuple[Embeddings, list[str]]:
    """Embeddings of pictures that are mostly of one colour, and which."""
    generator = np.random.default_rng(8)
    names = [DRAWN[number % len(DRAWN)] for number in range(count)]
    images = []
    for name in names:
        pixels = np.full((16, 16, 3), COLOURS[name], np.int64) + generator.integers(-25, 26, (16, 16, 3))
        pixels[: generator.integers(1, 6)] = generator.integers(0, 256, 3)
        images.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB"))
    return ENCODER.encode_images(images), names


X, NAMES = pictures()


def heads(words: list[str], **changed: object) -> list[TagHead]:
    return word_heads(ENCODER, words, using="colour", revision="r", images=X, **changed)  # type: ignore[arg-type]


def test_a_word_s_embedding_is_the_mean_of_its_prompts() -> None:
    found = embed_words(ENCODER, ["red", "blue"], ["a {}", "the {} one"])
    for word, row in zip(["red", "blue"], found, strict=True):
        mean = np.mean([ENCODER.encode_texts([text])[0] for text in (f"a {word}", f"the {word} one")], axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_heads_find_what_the_words_say() -> None:
    found = heads(WORDS)
    scores = HeadSet(found).scores(X)
    named = np.array([name in WORDS for name in NAMES])
    assert [(head.kind, head.using, head.encoder_revision, head.tag) for head in found] == [
        ("zero-shot", "colour", "r", word) for word in WORDS
    ]
    best = np.array(WORDS)[scores.argmax(axis=1)]
    assert np.mean(best[named] == np.array(NAMES)[named]) > 0.95
    for number, word in enumerate(WORDS):
        shown = np.array(NAMES) == word
        assert scores[shown, number].mean() > scores[~shown, number].mean() + 0.4


def test_the_best_word_is_the_one_of_the_highest_cosine() -> None:
    scores = HeadSet(heads(WORDS)).scores(X)
    cosines = X @ embed_words(ENCODER, WORDS).T
    unsure = np.sort(scores, axis=1)[:, -1] > 0.9999  # equal to the last digit
    assert (scores.argmax(axis=1) == cosines.argmax(axis=1))[~unsure].all()


def test_scores_follow_the_softmax_over_the_words_and_anything() -> None:
    found = HeadSet(heads(WORDS, sharpness=20.0)).scores(X)
    rows = embed_words(ENCODER, WORDS)
    anything = embed_words(ENCODER, ANYTHING).mean(axis=0)
    cosines = X @ np.vstack([rows, anything / np.linalg.norm(anything)]).T
    for image in range(0, len(X), 7):
        powers = [float(np.exp(20.0 * cosine)) for cosine in cosines[image]]
        assert np.abs(found[image] - [power / sum(powers) for power in powers[:-1]]).mean() < 0.2


def test_one_word_alone_is_told_from_anything_else() -> None:
    scores = HeadSet(heads(["red"])).scores(X)[:, 0]
    red = np.array(NAMES) == "red"
    assert scores[red].min() > scores[~red].mean()


def test_too_few_images_are_said() -> None:
    with pytest.raises(TooFewExamples, match="index more"):
        word_heads(ENCODER, WORDS, using="colour", revision="r", images=X[:5])


def test_files_of_words_and_templates(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffred mug\n\n# a note\n blue \nblue\n", encoding="utf-8")
    assert read_words(path) == ["red mug", "blue"]
    path.write_text("a {}\n\nthe {}, seen from above\n")
    assert read_templates(path) == ("a {}", "the {}, seen from above")
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    for text in ("", "no place\n", "{} and {}\n"):
        path.write_text(text)
        with pytest.raises(BadRequest):
            read_templates(path)
    for text in ("\n# only a note\n", f"{'x' * 201}\n"):
        path.write_text(text)
        with pytest.raises(BadRequest):
            read_words(path)
    path.write_bytes(b"\xff\xfe\xff")
    for wrong in (path, tmp_path / "none.txt", tmp_path):
        with pytest.raises(BadRequest):
            read_words(wrong)


def batches() -> list[WordScores]:
    first = np.array([[0.9, 0.1], [0.5, 0.2], [0.49, 0.3]], np.float32)
    return [WordScores(("a", "b", "c"), first), WordScores(("d",), np.array([[0.95, 0.7]], np.float32))]


def test_a_table_has_a_row_for_each_image(tmp_path: Path) -> None:
    expected = {"a": [0.9, 0.1], "b": [0.5, 0.2], "c": [0.49, 0.3], "d": [0.95, 0.7]}
    for ending in (".csv", ".json", ".parquet"):
        path = tmp_path / "deep" / f"scores{ending}"
        assert write_scores(iter(batches()), ["cat", "red mug"], path) == 4
        if ending == ".csv":
            rows = list(csv.DictReader(path.open(encoding="utf-8")))
        elif ending == ".json":
            rows = [
                {"id": row["id"], **{f"scores.{word}": score for word, score in row["scores"].items()}}
                for row in json.loads(path.read_text())
            ]
        else:
            rows = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
        found = {row["id"]: [float(row["scores.cat"]), float(row["scores.red mug"])] for row in rows}
        assert found == {id: pytest.approx(scores) for id, scores in expected.items()}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == [
        "scores.csv",
        "scores.json",
        "scores.parquet",
    ]
    with pytest.raises(BadRequest, match=r"\.csv"):
        write_scores(iter([]), ["cat"], tmp_path / "scores.txt")
    with pytest.raises(BadRequest, match="cannot be written"):
        write_scores(iter([]), ["cat"], tmp_path / "deep" / "scores.csv" / "more.csv")


def test_an_interrupted_table_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("before")

    def broken() -> object:
        yield batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scores(broken(), ["cat", "red mug"], path)  # type: ignore[arg-type]
    assert path.read_text() == "before" and [one.name for one in tmp_path.iterdir()] == ["scores.csv"]


def test_a_tally_counts_and_keeps_the_best() -> None:
    tally = WordTally(["cat", "red mug"], most=2)
    for batch in batches():
        tally.add(batch)
    assert (tally.images, tally.counts.tolist()) == (4, [3, 1])
    assert [id for id, _ in tally.best(0)] == ["d", "a"] and [id for id, _ in tally.best(1)] == ["d", "c"]
    assert tally.best(0)[0][1] == pytest.approx(0.95)
