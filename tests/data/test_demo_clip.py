"""The demo encoder: its folder loads offline, and finds pictures it has never seen."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmarks.demo_weights.captions import free_caption
from benchmarks.demo_weights.evaluation import Figures, evaluate, hit_rate, own_ranks, r_precision
from benchmarks.demo_weights.loop import Recipe, info_nce, learning_rate
from benchmarks.demo_weights.pictures import decode_facts, encode_facts
from benchmarks.demo_weights.tokenizer import END_ID, START_ID, UNKNOWN_ID, demo_tokenizer
from benchmarks.demo_weights.wording import vocabulary, words_of
from vitrine.data.captions import full_caption
from vitrine.data.facts import FACT_NAMES, Facts
from vitrine.data.pictures import draw_pictures

FOLDER = Path(__file__).parents[2] / "data" / "demo-clip"
FACTS = Facts("mug", "red", "white", "striped", "large", "blue", "tiled", "blurry")


@pytest.fixture(scope="module")
def figures() -> Figures:
    return evaluate(FOLDER, seed=77_777, count=200)


def test_the_folder_is_small() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 6 * 2**20


def test_full_captions_find_their_pictures(figures: Figures) -> None:
    assert figures["text_to_image_hit_10"] >= 0.9
    assert figures["image_to_text_hit_10"] >= 0.9


def test_short_queries_find_what_they_name(figures: Figures) -> None:
    assert figures["kind_r_precision"] >= 0.8
    assert figures["colour_kind_r_precision"] >= 0.5


def test_the_shipped_tokenizer_is_the_one_the_code_makes() -> None:
    shipped = transformers.AutoTokenizer.from_pretrained(str(FOLDER))
    assert shipped.get_vocab() == demo_tokenizer().get_vocab()
    texts = ["A photo of a RED two-tone mug!", "", "mug " * 60]
    assert (
        shipped(texts, truncation=True)["input_ids"] == demo_tokenizer()(texts, truncation=True)["input_ids"]
    )


def test_unknown_words_become_the_unknown_word() -> None:
    assert demo_tokenizer()("Zürich")["input_ids"] == [START_ID, UNKNOWN_ID, END_ID]


def test_long_texts_are_cut_before_their_end() -> None:
    tokens = demo_tokenizer()("mug " * 60, truncation=True)["input_ids"]
    assert len(tokens) == 32
    assert tokens[-1] == END_ID


def test_every_word_of_every_caption_is_known() -> None:
    known = set(vocabulary())
    rng = np.random.default_rng(0)
    for picture in draw_pictures(100, 11, 32):
        for text in (full_caption(picture.facts, rng), free_caption(picture.facts, rng)[0]):
            assert set(words_of(text)) <= known


def test_a_full_caption_names_every_fact() -> None:
    words = words_of(full_caption(FACTS, np.random.default_rng(1)))
    assert {"mug", "red", "white", "striped", "large", "blue", "tiled", "blurry"} <= set(words)


def test_a_short_caption_states_no_more_than_it_says() -> None:
    rng = np.random.default_rng(2)
    said = [free_caption(FACTS, rng) for _ in range(300)]
    assert all(names <= set(FACT_NAMES) for _, names in said)
    assert all("kind" not in names for text, names in said if text == "blue background")
    assert any(len(names) == 1 for _, names in said)


def test_facts_survive_encoding() -> None:
    assert decode_facts(np.array(encode_facts(FACTS), dtype=np.uint8)) == FACTS


def test_info_nce_without_shared_captions_is_the_usual_loss() -> None:
    rng = np.random.default_rng(0)
    texts, images = (
        torch.nn.functional.normalize(torch.tensor(rng.normal(size=(5, 8))), dim=1) for _ in range(2)
    )
    scale = torch.tensor(math.log(7.0))
    logits = (texts @ images.T * 7.0).numpy()

    def slow(rows: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(
            np.mean([-math.log(math.exp(r[i]) / sum(math.exp(v) for v in r)) for i, r in enumerate(rows)])
        )

    loss = info_nce(texts, images, scale, torch.eye(5, dtype=torch.bool))
    assert float(loss) == pytest.approx((slow(logits) + slow(logits.T)) / 2, rel=1e-5)


def test_pictures_a_caption_also_describes_are_no_negatives() -> None:
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    scale = torch.tensor(math.log(10.0))
    apart = info_nce(texts[[0, 0]], images, scale, torch.eye(2, dtype=torch.bool))
    together = info_nce(texts[[0, 0]], images, scale, torch.ones(2, 2, dtype=torch.bool))
    assert float(apart) == pytest.approx(math.log(2), rel=1e-5)
    assert float(together) == pytest.approx(0.0, abs=1e-6)


def test_the_learning_rate_rises_then_falls() -> None:
    recipe = Recipe(learning_rate=1.0, warm_up=0.1)
    rates = [learning_rate(recipe, step / 100) for step in range(1, 101)]
    assert rates.index(max(rates)) == 9
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_own_ranks_count_a_tie_as_a_miss() -> None:
    scores = np.array([[0.5, 0.5], [0.1, 0.9]], dtype=np.float32)
    assert own_ranks(scores).tolist() == [1, 0]
    assert hit_rate(own_ranks(scores), 1) == 0.5


def test_r_precision_is_1_where_all_relevant_pictures_come_first() -> None:
    scores = np.array([[0.3, 0.9, 0.8]], dtype=np.float32)
    assert r_precision(scores, np.array([[False, True, True]])) == 1.0
