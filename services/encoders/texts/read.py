"""Find the tokenizer in a model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tokenizers

from vitrine.services.encoders.texts import built
from vitrine.services.encoders.texts.built import BuiltSplitter
from vitrine.services.encoders.texts.folder import SIGLIP2, TokenizerFolder, read_folder
from vitrine.services.encoders.texts.siglip import LONGEST, siglip
from vitrine.services.encoders.texts.spiece import read_sentencepiece
from vitrine.services.encoders.texts.tokenizer import Splitter, Tokenizer
from vitrine.services.errors import ModelUnavailable

_JSON = "tokenizer.json"
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
    if folder.kind == "SiglipTokenizer" and (model := _spiece(folder.path)):
        splitter, padding = siglip(folder, read_sentencepiece(model))
        return splitter, padding, LONGEST if folder.longest is None else None
    make, usual_padding = _maker(folder)
    tokenizer = make(folder)
    if (folder.path / _OPEN_CLIP).is_file():
        return BuiltSplitter(tokenizer, folder.cuts_left, unescape=True), 0, None
    padding = _padding(folder, tokenizer, usual_padding)
    return BuiltSplitter(tokenizer, folder.cuts_left), padding, None


def _maker(folder: TokenizerFolder) -> tuple[Callable[[TokenizerFolder], tokenizers.Tokenizer], str]:
    """Return what reads the folder's files, and the padding token that is usual for its kind."""
    there = {file.name for file in folder.path.glob("*") if file.is_file()}
    # transformers builds CLIP's and BERT's anew from the vocabulary, whatever else tokenizer.json says
    inside = built.json_model(folder.path) if _JSON in there else ""
    pairs, words = {"vocab.json", "merges.txt"} <= there, "vocab.txt" in there
    if folder.kind == "CLIPTokenizer" and (inside == "BPE" or (pairs and not inside)):
        return built.clip, built.CLIP_END
    if folder.kind == "BertTokenizer" and (inside == "WordPiece" or (words and not inside)):
        return built.bert, built.BERT_PADDING
    if inside:
        return built.from_json, "<pad>" if folder.kind in ("GemmaTokenizer", SIGLIP2) else ""
    if not folder.kind and pairs:
        return built.clip, built.CLIP_END
    if not folder.kind and words:
        return built.bert, built.BERT_PADDING
    if pairs or words or _spiece(folder.path):
        raise ModelUnavailable(
            f"The tokenizer in {folder.path} is a {folder.kind or 'SentencePiece model'} without a {_JSON}, "
            "a kind that is not read here: where transformers is installed, load it with AutoTokenizer and "
            f"save it there again (save_pretrained), which writes {_JSON}."
        )
    raise ModelUnavailable(
        f"{folder.path} has no tokenizer files, without which its texts cannot be read: put the model's "
        f"{_JSON} (or vocab.json and merges.txt, vocab.txt, spiece.model) there."
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
