"""SigLIP's tokenizer from its SentencePiece file, held equal to slow oracles, and to SentencePiece where that
is installed."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.texts.awkward import awkward_texts
from tests.services.encoders.texts.folders import sentencepiece_file, write
from vitrine.services.encoders.texts.read import read_tokenizer
from vitrine.services.encoders.texts.spiece import SentencePiece, read_sentencepiece
from vitrine.services.errors import ModelUnavailable

_CHARSMAP = {
    "é": "é", "e": "e", "e\u0301": "é", "e\u0301\u0300": "è", "ﬁ": "fi", "Ａ": "A", "ｂ": "b", "\u00a0": " ",
    "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u200b": "", "½": "1 2", "…": "...", "①": "1",
}  # fmt: skip
"""What is replaced by what. "e" stands for itself, and begins longer keys."""


@pytest.fixture(scope="module")
def pieces() -> list[tuple[str, float, int]]:
    """Special pieces, words and letters with random scores, so that a text can be split in many ways."""
    draw = random.Random(7)
    letters = sorted("▁abcdefghijklmnopqrstuvwxyz0123456789.-é你好")
    words = "a photo of the red house cat dog blue sky ho use ph oto ca at og bl ue sk s ed".split()  # noqa: SIM905
    texts = [*letters, *words, *(f"▁{word}" for word in words)]
    normal = [(text, -draw.uniform(2, 9), 1) for text in dict.fromkeys(texts)]
    return [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), *normal]


@pytest.fixture(params=["usual", "bare"])
def folder(tmp_path: Path, pieces: list[tuple[str, float, int]], request: pytest.FixtureRequest) -> Path:
    path = write(tmp_path / "siglip", config__json={"model_type": "siglip"})
    usual = request.param == "usual"
    data = sentencepiece_file(pieces, _CHARSMAP if usual else None, dummy=usual, trims=usual)
    (path / "spiece.model").write_bytes(data)
    return path


def test_a_text_is_split_into_the_pieces_with_the_highest_score(folder: Path) -> None:
    model = read_sentencepiece(folder / "spiece.model")

    for text in [text for text in awkward_texts() if len(text) < 100]:
        normal = model.normal(text)
        assert normal == _normal(text, trims=model.trims)
        found = model.split(text)
        assert _score(model, found, normal) == pytest.approx(_best(model, normal), abs=1e-4), text


def _normal(text: str, *, trims: bool) -> str:
    """SentencePiece's normal form, step by step: the longest key first."""
    out, at = "", 0
    while at < len(text):
        keys = [key for key in _CHARSMAP if trims and text.startswith(key, at)]
        longest = max(keys, key=len, default="")
        out += _CHARSMAP[longest] if longest else text[at]
        at += len(longest) or 1
    if not trims:
        return out.replace(" ", "▁")
    words = [word for word in out.split(" ") if word]
    whole = "".join(f"▁{word}" for word in words).rstrip("▁")
    return whole


def _score(model: SentencePiece, ids: list[int], normal: str) -> float:
    """The score of a split; ValueError where its pieces are not the text."""
    known = [piece.text if piece.kind == 1 else "" for piece in model.pieces]
    least = min(piece.score for piece in model.pieces if piece.kind == 1) - 10

    def walk(at: int, rest: list[int]) -> float:
        if not rest:
            if at != len(normal):
                raise ValueError
            return 0.0
        text = known[rest[0]]
        if text:
            if not normal.startswith(text, at):
                raise ValueError
            return model.pieces[rest[0]].score + walk(at + len(text), rest[1:])
        run = at
        while run < len(normal) and normal[run] not in known:
            run += 1
        if run == at:
            raise ValueError
        return least * (run - at) + walk(run, rest[1:])

    return walk(0, ids)


def _best(model: SentencePiece, normal: str) -> float:
    """The highest score of any split, by trying all."""
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == 1}
    least = min(scores.values()) - 10
    best = [0.0, *([-math.inf] * len(normal))]
    for end in range(1, len(normal) + 1):
        for start in range(end):
            part = normal[start:end]
            if part in scores:
                best[end] = max(best[end], best[start] + scores[part])
        if normal[end - 1] not in scores:
            best[end] = max(best[end], best[end - 1] + least)
    return best[-1]


def test_punctuation_and_capitals_are_of_no_account(folder: Path) -> None:
    tokenizer = read_tokenizer(folder, length=64, full=True, lower_case=True)
    model = read_sentencepiece(folder / "spiece.model")

    found = tokenizer(["A photo: of the RED (house)!", "a photo of the red house"])

    assert found[0].tolist() == found[1].tolist()
    words = model.split("a photo of the red house" if model.dummy else " a photo of the red house")
    end = model.numbers["</s>"]
    assert found[0].tolist() == [*words, *([end] * (64 - len(words)))]


def test_a_long_text_ends_with_the_end_token(folder: Path) -> None:
    found = read_tokenizer(folder, length=16, full=True, lower_case=True)(["house " * 50])

    assert found.shape == (1, 16)
    assert found[0, -1] == 1 and 1 not in found[0, :-1]


def test_an_end_token_in_a_text_closes_it_once(folder: Path) -> None:
    tokenizer = read_tokenizer(folder, length=16, full=False, lower_case=True)

    assert tokenizer(["the cat </s>"]).tolist() == tokenizer(["the cat"]).tolist()
    assert tokenizer(["</s>"]).tolist() == [[1]]


def test_equals_transformers(folder: Path) -> None:
    pytest.importorskip("sentencepiece")
    transformers = pytest.importorskip("transformers")
    reference: Any = transformers.SiglipTokenizer.from_pretrained(folder, model_max_length=64)
    texts = [text.lower() for text in awkward_texts(500)]

    found = read_tokenizer(folder, length=64, full=True, lower_case=True)(texts)

    wanted = reference(texts, padding="max_length", truncation=True, max_length=64)["input_ids"]
    assert found.tolist() == wanted
    model = read_sentencepiece(folder / "spiece.model")
    assert [model.split(text) for text in texts] == [reference.sp_model.encode(text) for text in texts]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no model", "cannot be read"),
        (sentencepiece_file([("<unk>", 0.0, 2)]), "has no pieces"),
        (sentencepiece_file([("<unk>", 0.0, 2), ("a", -1.0, 1)], kind=2), "otherwise than by Unigram"),
        (sentencepiece_file([("<unk>", 0.0, 2), ("a", -1.0, 1)], {"e": "f"})[:-30], "damaged"),
    ],
)
def test_a_damaged_file_says_so(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}', encoding="utf-8")
    (tmp_path / "spiece.model").write_bytes(data)

    with pytest.raises(ModelUnavailable, match=says):
        read_tokenizer(tmp_path, length=64, full=True, lower_case=True)
