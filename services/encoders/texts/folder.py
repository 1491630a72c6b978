"""What a model folder says about its tokenizer: its kind, its special tokens and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from vitrine.services.encoders.folders.json_file import read_json

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CLIP, BERT, GEMMA = "CLIPTokenizer", "BertTokenizer", "GemmaTokenizer"
SIGLIP, SIGLIP2 = "SiglipTokenizer", "Siglip2Tokenizer"
_OF_MODEL = {
    **dict.fromkeys(("aimv2", "clip", "clipseg", "groupvit", "owlv2", "owlvit", "xclip"), CLIP),
    **dict.fromkeys(("align", "bert", "blip", "chinese_clip", "flava"), BERT),
    "siglip": SIGLIP,
}
"""The kind that a folder's model has where its files do not say."""


@dataclass(frozen=True)
class TokenizerFolder:
    """``kind``: the name of its class in transformers, without "Fast"; empty where nothing says it.

    ``options``: tokenizer_config.json. ``special``: the texts of the special tokens that the folder names, by
    their name, such as ``eos_token``. ``added``: tokens that are found in a text before all others, by
    number.
    ``longest``: the most tokens of a text, None where the folder does not say.
    """

    path: Path
    kind: str
    options: Mapping[str, Any]
    special: Mapping[str, str]
    added: Mapping[int, AddedToken]
    extra: tuple[AddedToken, ...] = ()
    """Special tokens without a name and a number."""
    longest: int | None = None

    @property
    def cuts_left(self) -> bool:
        """Whether a text that is too long loses its beginning."""
        return self.options.get("truncation_side") == "left"

    def token(self, name: str, otherwise: str) -> str:
        """Return the text of a special token."""
        return self.special.get(name, otherwise)


def read_folder(path: Path) -> TokenizerFolder:
    """Return what the tokenizer's files in a folder say; what they leave out is empty."""
    options, model = read_json(path / "tokenizer_config.json"), read_json(path / "config.json")
    given, kind = dict(options), _kind(options, model)
    if "added_tokens_decoder" in options:
        added = {int(id_): _added(token) for id_, token in options["added_tokens_decoder"].items()}
    else:
        given |= read_json(path / "special_tokens_map.json")
        added = dict(_older(path, given))
        if kind == SIGLIP:  # others find them there by themselves
            added |= dict(_in_json(path))
    longest = given.get("model_max_length")
    return TokenizerFolder(
        path,
        kind,
        options,
        {name: _text(given[name]) for name in _NAMED if given.get(name)},
        dict(sorted(added.items())),
        tuple(_added(token, special=True) for token in _extra(given)),
        int(longest) if isinstance(longest, int | float) else None,
    )


def _kind(options: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    if model.get("model_type") == "siglip2":  # its files name Gemma's, which keeps capitals
        return SIGLIP2
    named = options.get("tokenizer_class") or model.get("tokenizer_class")
    if isinstance(named, str):
        return named.removesuffix("Fast")
    return _OF_MODEL.get(str(model.get("model_type")), "")


def _older(path: Path, given: Mapping[str, Any]) -> Iterator[tuple[int, AddedToken]]:
    """Yield the added tokens of folders whose tokenizer_config.json does not list them."""
    special = {_text(given[name]) for name in _NAMED if given.get(name)}
    for text, id_ in read_json(path / "added_tokens.json").items():
        yield int(id_), AddedToken(text, normalized=text not in special, special=text in special)


def _in_json(path: Path) -> Iterator[tuple[int, AddedToken]]:
    """Yield the added tokens of a tokenizer.json."""
    for token in read_json(path / "tokenizer.json").get("added_tokens", ()):
        yield int(token["id"]), _added({name: value for name, value in token.items() if name != "id"})


def _extra(given: Mapping[str, Any]) -> list[Any]:
    tokens = given.get("extra_special_tokens") or given.get("additional_special_tokens") or []
    return list(tokens.values()) if isinstance(tokens, dict) else list(tokens)


def _added(token: Any, *, special: bool | None = None) -> AddedToken:
    """Return a token of a JSON file: a text, or its fields."""
    if isinstance(token, str):
        return AddedToken(token, special=True)
    known = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    fields = {name: value for name, value in token.items() if name in known}
    return AddedToken(**(fields if special is None else {**fields, "special": special}))


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
