"""Tokenizers of the tokenizers package: from tokenizer.json, and from the vocabularies of CLIP and BERT."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors

from vitrine.services.encoders.texts.folder import TokenizerFolder

CLIP_END = "<|endoftext|>"
JSON = "tokenizer.json"
BERT_PADDING = "[PAD]"
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class BuiltSplitter:
    """A Splitter on a tokenizer of the package. ``unescape``: HTML entities in a text are replaced first,
    twice, as open_clip does."""

    tokenizer: tokenizers.Tokenizer
    cuts_left: bool = False
    unescape: bool = False

    def split(self, texts: Sequence[str], length: int) -> list[list[int]]:
        if self.unescape:
            texts = [html.unescape(html.unescape(text)) for text in texts]
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(length, direction="left" if self.cuts_left else "right")
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]


def from_json(folder: TokenizerFolder) -> tokenizers.Tokenizer:
    """Return the tokenizer of a tokenizer.json, with the special tokens that the folder names."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder.path / JSON))
    _add_tokens(tokenizer, folder, folder.special.values())
    return tokenizer


def clip(folder: TokenizerFolder) -> tokenizers.Tokenizer:
    """Return CLIP's, from vocab.json and merges.txt."""
    model = models.BPE.from_file(str(folder.path / "vocab.json"), str(folder.path / "merges.txt"))
    return as_clip(tokenizers.Tokenizer(model), folder)


def as_clip(tokenizer: tokenizers.Tokenizer, folder: TokenizerFolder) -> tokenizers.Tokenizer:
    """Make a vocabulary of byte pairs CLIP's tokenizer, whatever came with it: bytes joined to words of lower
    case, between a start and an end token."""
    start, end = folder.token("bos_token", "<|startoftext|>"), folder.token("eos_token", CLIP_END)
    unknown, padding = folder.token("unk_token", CLIP_END), folder.token("pad_token", CLIP_END)
    model = tokenizer.model
    assert isinstance(model, models.BPE)
    model.continuing_subword_prefix, model.end_of_word_suffix = "", "</w>"
    model.fuse_unk, model.unk_token = False, unknown
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    _add_tokens(tokenizer, folder, (start, end, unknown, padding))
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, _id(tokenizer, end)), (start, _id(tokenizer, start)), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def bert(folder: TokenizerFolder) -> tokenizers.Tokenizer:
    """Return BERT's, from vocab.txt."""
    return as_bert(tokenizers.Tokenizer(models.WordPiece.from_file(str(folder.path / "vocab.txt"))), folder)


def as_bert(tokenizer: tokenizers.Tokenizer, folder: TokenizerFolder) -> tokenizers.Tokenizer:
    """Make a vocabulary of word pieces BERT's tokenizer, whatever came with it: the longest known pieces of
    words and single Chinese characters."""
    first, last = folder.token("cls_token", "[CLS]"), folder.token("sep_token", "[SEP]")
    unknown, mask = folder.token("unk_token", "[UNK]"), folder.token("mask_token", "[MASK]")
    padding = folder.token("pad_token", BERT_PADDING)
    model = tokenizer.model
    assert isinstance(model, models.WordPiece)
    model.unk_token = unknown
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=folder.options.get("tokenize_chinese_chars", True),
        strip_accents=folder.options.get("strip_accents"),
        lowercase=folder.options.get("do_lower_case", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    _add_tokens(tokenizer, folder, (unknown, last, padding, first, mask))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, _id(tokenizer, first)), (last, _id(tokenizer, last))],
    )
    return tokenizer


def _add_tokens(tokenizer: tokenizers.Tokenizer, folder: TokenizerFolder, named: Iterable[str]) -> None:
    """Let the folder's added tokens, and those that are named, be found in a text before all others."""
    there = {str(token.content) for token in tokenizer.get_added_tokens_decoder().values()}
    wanted = [token for token in folder.added.values() if token.content not in there]
    there |= {token.content for token in wanted}
    for token in (*(AddedToken(text, special=True) for text in named), *folder.extra):
        if token.content not in there:
            there.add(token.content)
            wanted.append(token)
    if wanted:
        tokenizer.add_tokens(wanted)


def _id(tokenizer: tokenizers.Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"{token} is not in the vocabulary")
    return int(found)
