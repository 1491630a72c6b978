"""Tokenizers from folders, held equal to those of transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.encoders.texts.awkward import awkward_texts
from tests.services.encoders.texts.folders import (
    CLIP_TOKENS,
    bert_files,
    clip_files,
    gemma_files,
    write,
)
from vitrine.services.encoders.texts.read import read_tokenizer
from vitrine.services.errors import ModelUnavailable

_TOKEN = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
_HUB = {
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": 77,
    "pad_token": CLIP_TOKENS[1],
    "bos_token": {"__type": "AddedToken", "content": CLIP_TOKENS[0], **_TOKEN},
    "eos_token": {"__type": "AddedToken", "content": CLIP_TOKENS[1], **_TOKEN},
}
_GEMMA = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folders by what is special about them."""
    root = tmp_path_factory.mktemp("tokenizers")
    made = {"clip": clip_files, "bert": bert_files, "gemma": gemma_files}
    files: dict[str, dict[str, Any]] = {}
    more: dict[str, tuple[str, dict[str, Any]]] = {
        "clip": ("clip", {}),
        "clip-hub": (
            "clip",
            {
                "tokenizer_config__json": _HUB,
                "special_tokens_map__json": {"unk_token": {"content": CLIP_TOKENS[1], **_TOKEN}},
            },
        ),
        "clip-short": ("clip", {"tokenizer_config__json": {"model_max_length": 20, "pad_token": "!"}}),
        "bert": ("bert", {"config__json": {"model_type": "chinese_clip"}}),
        "bert-cased": (
            "bert",
            {
                "tokenizer_config__json": {
                    "tokenizer_class": "BertTokenizer",
                    "do_lower_case": False,
                    "tokenize_chinese_chars": False,
                },
            },
        ),
        "bert-accents": (
            "bert",
            {"tokenizer_config__json": {"tokenizer_class": "BertTokenizerFast", "strip_accents": False}},
        ),
        "gemma": (
            "gemma",
            {
                "config__json": {"model_type": "siglip"},
                "tokenizer_config__json": {"tokenizer_class": "GemmaTokenizerFast", **_GEMMA},
            },
        ),
        "siglip2": (
            "gemma",
            {"config__json": {"model_type": "siglip2"}, "tokenizer_config__json": _GEMMA},
        ),
        "left": (
            "gemma",
            {
                "tokenizer_config__json": {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "truncation_side": "left",
                    **_GEMMA,
                },
            },
        ),
        "pad-added": (
            "gemma",
            {
                "tokenizer_config__json": {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "pad_token": "[PAD]",
                    "model_max_length": 40,
                },
            },
        ),
    }

    def folder(name: str) -> Path:
        path = root / name
        if not path.is_dir():
            kind, others = more[name]
            if kind not in files:
                files[kind] = made[kind]()
            write(path, **{"config__json": {"model_type": "clip"}, **files[kind], **others})
        return path

    return folder


@pytest.mark.parametrize(
    "name",
    [
        "clip",
        "clip-hub",
        "clip-short",
        "bert",
        "bert-cased",
        "bert-accents",
        "gemma",
        "siglip2",
        "left",
        "pad-added",
    ],
)
@pytest.mark.parametrize(("length", "full"), [(12, False), (64, True)])
def test_equals_transformers(folders: Callable[[str], Path], name: str, length: int, full: bool) -> None:
    pytest.importorskip("transformers")
    reference = _reference(folders(name))
    texts = awkward_texts()

    found = read_tokenizer(folders(name), length=length, full=full, lower_case=False)(texts)

    if name == "siglip2":  # but for a capital sigma at a word's end: Python's small one is the right one
        texts = [text.lower() for text in texts]
    assert found.tolist() == _encoded(reference, texts, length, full)


@pytest.mark.parametrize("name", ["clip-hub", "bert-cased", "gemma"])
def test_equals_transformers_where_it_saved_a_tokenizer_json(
    folders: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    pytest.importorskip("transformers")
    reference = _reference(folders(name))
    reference.save_pretrained(tmp_path)
    shutil.copy(folders(name) / "config.json", tmp_path)
    texts = awkward_texts()
    assert not (tmp_path / "vocab.txt").exists() and not (tmp_path / "merges.txt").exists()

    for removed in ("special_tokens_map.json", "tokenizer_config.json"):
        found = read_tokenizer(tmp_path, length=20, full=False, lower_case=False)(texts)
        assert found.tolist() == _encoded(_reference(tmp_path), texts, 20, False)
        if name == "clip-hub":  # the others' kind would not be known without
            (tmp_path / removed).unlink(missing_ok=True)


def _reference(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _encoded(reference: Any, texts: list[str], length: int, full: bool) -> list[list[int]]:
    ids: list[list[int]] = reference(
        texts,
        padding="max_length" if full else True,
        padding_side="right",
        truncation=True,
        max_length=min(length, int(reference.model_max_length)),
    )["input_ids"]
    return ids


def test_texts_are_cut_before_their_end_token_and_padded_on_the_right(
    folders: Callable[[str], Path],
) -> None:
    vocabulary = json.loads((folders("clip") / "vocab.json").read_text(encoding="utf-8"))
    start, end = (vocabulary[token] for token in CLIP_TOKENS)
    tokenizer = read_tokenizer(folders("clip"), length=6, full=False, lower_case=False)

    found = tokenizer(["a", "a " * 30])

    a = vocabulary["a</w>"]
    assert found.tolist() == [[start, a, end, end, end, end], [start, a, a, a, a, end]]
    assert tokenizer(["a"]).shape == (1, 3)
    assert tokenizer([]).shape == (0, 0)
    assert found.dtype == "int64"


def test_lower_case_reads_capitals_as_small_letters(folders: Callable[[str], Path]) -> None:
    texts = ["A Photo of the RED house"]
    kept, lowered = (
        read_tokenizer(folders("gemma"), length=30, full=True, lower_case=lower) for lower in (False, True)
    )

    assert lowered(texts).tolist() == kept(["a photo of the red house"]).tolist()
    assert lowered(texts).tolist() != kept(texts).tolist()
    assert lowered(texts).shape == (1, 30)


def test_a_folder_of_open_clip_is_padded_with_nought_and_reads_entities(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folders("clip") / name, tmp_path)
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}}', encoding="utf-8")
    tokenizer = read_tokenizer(tmp_path, length=9, full=True, lower_case=False)

    found = tokenizer(["a &amp;amp; b", "a & b"])

    assert found[0].tolist() == found[1].tolist()
    assert found[0, 5:].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "has no tokenizer files"),
        ({"tokenizer__json": "{"}, "cannot be read"),
        (
            {"vocab__json": {}, "merges__txt": "", "tokenizer_config__json": {"tokenizer_class": "GPT2"}},
            "a GPT2",
        ),
        ({"vocab__json": {"a": 0}, "merges__txt": "#version: 0.2\na b\n"}, "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_read_says_why(tmp_path: Path, files: dict[str, Any], says: str) -> None:
    folder = write(tmp_path / "model", **files)

    with pytest.raises(ModelUnavailable, match=says) as raised:
        read_tokenizer(folder, length=10, full=False, lower_case=False)

    assert str(folder) in raised.value.message


def test_a_folder_without_a_padding_token_says_so(folders: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copy(folders("gemma") / "tokenizer.json", tmp_path)

    with pytest.raises(ModelUnavailable, match="names no padding token"):
        read_tokenizer(tmp_path, length=10, full=False, lower_case=False)
