"""SigLIP's tokenizer: texts without punctuation and capitals, split by a SentencePiece model."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tokenizers import AddedToken

from vitrine.services.encoders.texts.folder import TokenizerFolder
from vitrine.services.encoders.texts.spiece import SPACE, SentencePiece

LONGEST = 64
"""The most tokens of a text where a folder does not say."""
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, eq=False)
class SiglipSplitter:
    """A Splitter. ``special``: tokens that stand for themselves in a text, by number. ``end``: the number
    that closes a text; ``unknown``: the text of the token for what has no piece."""

    model: SentencePiece
    special: Mapping[int, AddedToken]
    end: int
    unknown: str
    lower_case: bool = True
    cuts_left: bool = False

    def split(self, texts: Sequence[str], length: int) -> list[list[int]]:
        return [self._closed(self._pieces(text), length) for text in texts]

    def _closed(self, ids: list[int], length: int) -> list[int]:
        room = max(length - 1, 0)
        if len(ids) > room:
            ids = ids[len(ids) - room :] if self.cuts_left else ids[:room]
        return ids if ids and ids[-1] == self.end else [*ids, self.end]

    def _pieces(self, text: str) -> list[int]:
        parts = self._parts(SPACE + text.replace(SPACE, " "))
        split = [self._numbers(part, special) for part, special in parts]
        if len(parts) > 1 and split[0] == [self.model.numbers.get(SPACE)]:
            split = split[1:]  # nothing but the space that was put before a special token
        return [number for part in split for number in part]

    def _numbers(self, part: str, special: int | None) -> list[int]:
        if special is not None:
            return [special]
        # a text alone would lose the space before its first word, so it is split behind a token
        ids = self.model.split(self.unknown + self.clean(part))
        return ids[self._behind :] if len(ids) >= self._behind else ids

    def clean(self, text: str) -> str:
        """Return a text without punctuation, its spaces single ones, in lower case."""
        lower = text.lower() if self.lower_case else text
        return re.sub(r"\s+", " ", lower.translate(_WITHOUT_PUNCTUATION)).strip()

    @cached_property
    def _behind(self) -> int:
        return len(self.model.split(self.unknown))

    def _parts(self, text: str) -> list[tuple[str, int | None]]:
        """Return the text cut at the special tokens in it, whose numbers come with them."""
        numbers = {token.content: number for number, token in self.special.items()}
        found = self._pattern.split(text)
        for at in range(1, len(found), 2):  # the special tokens
            token = self.special[numbers[found[at]]]
            if token.lstrip:
                found[at - 1] = found[at - 1].rstrip()
            if token.rstrip:
                found[at + 1] = found[at + 1].lstrip()
        return [(part, numbers[part] if at % 2 else None) for at, part in enumerate(found) if part]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        contents = sorted((token.content for token in self.special.values()), key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, contents))})")


def siglip(folder: TokenizerFolder, model: SentencePiece) -> tuple[SiglipSplitter, int]:
    """Return SigLIP's splitter and the number that pads."""
    unknown, end = folder.token("unk_token", "<unk>"), folder.token("eos_token", "</s>")
    padding = folder.token("pad_token", "</s>")
    special = dict(folder.added)
    numbers = {token.content: number for number, token in special.items()}

    def number(text: str) -> int:
        found = numbers.get(text, model.numbers.get(text))
        return len(model.pieces) + len(numbers.keys() - model.numbers.keys()) if found is None else found

    for text in (end, unknown, padding):
        if text not in numbers:
            numbers[text] = number(text)
            special[numbers[text]] = AddedToken(
                text, lstrip=True, rstrip=True, normalized=False, special=True
            )
    splitter = SiglipSplitter(
        model,
        special,
        numbers[end],
        unknown,
        bool(folder.options.get("do_lower_case", True)),
        folder.cuts_left,
    )
    return splitter, numbers[padding]
