"""Folders with small tokenizers, as their authors or users save them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tests.services.encoders.texts.awkward import awkward_texts

CLIP_TOKENS = ("<|startoftext|>", "<|endoftext|>")
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(folder: Path, **files: Any) -> Path:
    """Write a folder; ``merges__txt`` is merges.txt, and what is no text is written as JSON."""
    folder.mkdir(parents=True)
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def clip_files() -> dict[str, Any]:
    """vocab.json and merges.txt of a small byte-level BPE with CLIP's end of words."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        awkward_texts(),
        trainers.BpeTrainer(
            vocab_size=900, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for text in (*(f"{letter}</w>" for letter in sorted(letters)), *CLIP_TOKENS):
        vocabulary.setdefault(text, len(vocabulary))
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])])
    return {"vocab__json": vocabulary, "merges__txt": f"{merges}\n"}


def bert_files() -> dict[str, Any]:
    """vocab.txt of a small WordPiece."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=BERT_TOKENS, show_progress=False)
    tokenizer.train_from_iterator(awkward_texts(), trainer)
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda piece: piece[1])
    return {"vocab__txt": "".join(f"{piece}\n" for piece, _ in pieces)}


def gemma_files() -> dict[str, Any]:
    """tokenizer.json of a small BPE as SigLIP's second version has it: it keeps capitals."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=[*names, *bytes_], show_progress=False)
    tokenizer.train_from_iterator(awkward_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["id"] < len(names)]
    return {"tokenizer__json": tree}


def sentencepiece_file(
    pieces: list[tuple[str, float, int]],
    charsmap: Mapping[str, str] | None = None,
    *,
    dummy: bool = True,
    trims: bool = True,
    kind: int = 1,
) -> bytes:
    """Return a SentencePiece model: (text, score, kind) by number, and what replaces which characters."""
    parts = [
        _message(
            1, _message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind_])
        )
        for text, score, kind_ in pieces
    ]
    trainer = b"\x18" + bytes([kind])
    normaliser = _message(1, b"test") + _message(2, _darts(charsmap) if charsmap else b"")
    normaliser += b"\x18" + bytes([dummy]) + b"\x20" + bytes([trims])
    return b"".join([*parts, _message(2, trainer), _message(3, normaliser)])


def _message(field: int, data: bytes) -> bytes:
    size, length = len(data), []
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([field << 3 | 2, *length, size]) + data


def _darts(charsmap: Mapping[str, str]) -> bytes:
    """Return SentencePiece's form of a character map: a double array of the keys' bytes, then the texts."""
    texts = b"\0".join(value.encode() for value in charsmap.values()) + b"\0"
    starts, at = {}, 0
    for key, value in charsmap.items():
        starts[key.encode()], at = at, at + len(value.encode()) + 1
    units = {0: 0}
    following = 256

    def place(prefix: bytes, node: int) -> None:
        """Give every node a block of 256 places of its own: wasteful, and plain to see."""
        nonlocal following
        base, following = following, following + 256
        units[node] |= (base ^ node) << 10
        if prefix in starts:
            units[node] |= 1 << 8
            units[base] = starts[prefix] | 1 << 31
        for byte in sorted({key[len(prefix)] for key in starts if key[: len(prefix)] == prefix != key}):
            units[base ^ byte] = byte
            place(prefix + bytes([byte]), base ^ byte)

    place(b"", 0)
    array = struct.pack(f"<{following}I", *(units.get(index, 1 << 31) for index in range(following)))
    return struct.pack("<I", len(array)) + array + texts
