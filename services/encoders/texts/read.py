"""Find the tokenizer in a model folder."""

from __future__ import annotations

from pathlib import Path

import tokenizers
from tokenizers import models

from vitrine.services.encoders.texts import built
from vitrine.services.encoders.texts.built import BuiltSplitter
from vitrine.services.encoders.texts.folder import (
    BERT,
    CLIP,
    GEMMA,
    SIGLIP,
    SIGLIP2,
    TokenizerFolder,
    read_folder,
)
from vitrine.services.encoders.texts.siglip import LONGEST, siglip
from vitrine.services.encoders.texts.spiece import read_sentencepiece
from vitrine.services.encoders.texts.tokenizer import Splitter, Tokenizer
from vitrine.services.errors import ModelUnavailable

_OPEN_CLIP = "open_clip_config.json"


def read_tokenizer(folder: Path, *, length: int, full: bool, lower_case: bool) -> Tokenizer:
    """Return the tokenizer of a model folder, equal to the one that transformers makes of it.

    ``length`` is the most tokens that the model reads of a text; a folder may say less. ``full``: texts are
    padded to ``length``; ``lower_case``: they are lower-cased first. A folder of open_clip is padded with 0,
    as open_clip does. Raises ModelUnavailable where the folder has no tokenizer, one that is damaged, or one
    of a kind that is not known here.
    """
    found = read_folder(folder)
    try:
        splitter, padding, longest = _splitter(found)
    except ModelUnavailable:
        raise
    except Exception as error:  # tokenizers raises bare exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelUnavailable(
            f"The tokenizer in {folder} cannot be read ({reason}): put the model's tokenizer files there "
            "again."
        ) from error
    most = min(bound for bound in (length, found.longest, longest) if bound is not None)
    return Tokenizer(splitter, padding, most, full, lower_case or found.kind == SIGLIP2)


def _splitter(folder: TokenizerFolder) -> tuple[Splitter, int, int | None]:
    """Return the splitter, the number that pads, and the most tokens that are usual for its kind."""
    if folder.kind == SIGLIP and (model := _spiece(folder.path)):
        splitter, padding = siglip(folder, read_sentencepiece(model))
        return splitter, padding, LONGEST if folder.longest is None else None
    tokenizer, usual_padding = _built(folder)
    if (folder.path / _OPEN_CLIP).is_file():
        return BuiltSplitter(tokenizer, folder.cuts_left, unescape=True), 0, None
    padding = _padding(folder, tokenizer, usual_padding)
    return BuiltSplitter(tokenizer, folder.cuts_left), padding, None


def _built(folder: TokenizerFolder) -> tuple[tokenizers.Tokenizer, str]:
    """Return the tokenizer of the folder's files, and the padding token that is usual for its kind."""
    there = {file.name for file in folder.path.glob("*") if file.is_file()}
    if built.JSON in there:
        tokenizer = built.from_json(folder)
        # transformers makes these two anew from the vocabulary, whatever else tokenizer.json says
        if folder.kind == CLIP and isinstance(tokenizer.model, models.BPE):
            return built.as_clip(tokenizer, folder), built.CLIP_END
        if folder.kind == BERT and isinstance(tokenizer.model, models.WordPiece):
            return built.as_bert(tokenizer, folder), built.BERT_PADDING
        return tokenizer, "<pad>" if folder.kind in (GEMMA, SIGLIP2) else ""
    pairs, words = {"vocab.json", "merges.txt"} <= there, "vocab.txt" in there
    if pairs and folder.kind in ("", CLIP):
        return built.clip(folder), built.CLIP_END
    if words and folder.kind in ("", BERT):
        return built.bert(folder), built.BERT_PADDING
    if pairs or words or _spiece(folder.path):
        raise ModelUnavailable(
            f"The tokenizer in {folder.path} is a {folder.kind or 'SentencePiece model'} without a "
            f"{built.JSON}, a kind that is not read here: where transformers is installed, load it with "
            f"AutoTokenizer and save it there again (save_pretrained), which writes {built.JSON}."
        )
    raise ModelUnavailable(
        f"{folder.path} has no tokenizer files, without which its texts cannot be read: put the model's "
        f"{built.JSON} (or vocab.json and merges.txt, vocab.txt, spiece.model) there."
    )


def _spiece(folder: Path) -> Path | None:
    """Return the SentencePiece file of a folder."""
    if (folder / "spiece.model").is_file():
        return folder / "spiece.model"
    return next(iter(sorted(folder.glob("*.model"))), None)


def _padding(folder: TokenizerFolder, tokenizer: tokenizers.Tokenizer, usual: str) -> int:
    named = folder.special.get("pad_token") or (tokenizer.padding or {}).get("pad_token") or usual
    found = tokenizer.token_to_id(named)
    if found is None:
        raise ModelUnavailable(
            f"The tokenizer in {folder.path} names no padding token: give one as pad_token in its "
            "tokenizer_config.json."
        )
    return int(found)
