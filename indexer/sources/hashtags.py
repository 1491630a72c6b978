"""Find hashtags in free text: "Sunset at the #beach #Summer2024" has the hashtags beach and summer2024."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from vitrine.services.category.payload import MAX_TAG_LENGTH

FIELD = "hashtags"
"""The metadata column that hashtags go to: apart from ``tags``, which are what people said of the picture on
purpose."""
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|www\.)\S+")
_MARKS = "#\uff03"
_JOINERS = "\u200c\u200d"
"""Which letters of Persian and Indic words are joined or not; they have no meaning at an end."""


def hashtags(text: str) -> list[str]:
    """Return the hashtags of a text, casefolded, each once, in order of appearance.

    A hashtag is # and then letters, digits, marks on letters, or underscores of any script, at least one of
    which is no digit. It begins a word, or follows another hashtag at once. What is inside of a URL is none,
    nor is an HTML entity.

    >>> hashtags("Sunset at the #beach, #Summer2024#Été! No. #1, C#, http://x.org/#top &#39;")
    ['beach', 'summer2024', 'été']
    """
    if not any(mark in text for mark in _MARKS):
        return []
    text = _URL.sub(" ", unicodedata.normalize("NFC", text))
    found: list[str] = []
    end = 0
    """Where the last hashtag ended."""
    for mark in re.finditer(f"[{_MARKS}]", text):
        start = mark.start()
        before = text[start - 1] if start else " "
        if start != end and (_in_word(before) or before in _MARKS or before in "&/"):
            continue
        stop = start + 1
        while stop < len(text) and (_in_word(text[stop]) or text[stop] in _JOINERS):
            stop += 1
        word = text[start + 1 : stop].strip(_JOINERS)
        if any(not _digit(character) and character != "_" for character in word):
            found.append(unicodedata.normalize("NFC", word.casefold()))
            end = stop
    return [word for word in dict.fromkeys(found) if len(word) <= MAX_TAG_LENGTH]


def hashtags_of(values: Iterable[Any]) -> list[str]:
    """Return the hashtags of all texts among ``values``, also of those in lists; each once."""
    found: dict[str, None] = {}
    for value in values:
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str):
                found |= dict.fromkeys(hashtags(text))
    return list(found)


def _in_word(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _digit(character: str) -> bool:
    return unicodedata.category(character)[0] == "N"
