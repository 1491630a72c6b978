"""Every word that may occur in a caption."""

import re
from collections.abc import Iterable
from typing import Final

from vitrine.data.captions import DETAILS
from vitrine.data.facts import FACT_VALUES
from vitrine.data.shapes import KINDS

Words = dict[str, tuple[str, ...]]
"""A value of a fact, and the words for it, the usual one first."""

SIZE_WORDS: Final[Words] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium sized", "mid-sized"),
    "large": ("large", "big", "huge"),
}
PATTERN_WORDS: Final[Words] = {
    "plain": ("plain", "solid", "unpatterned"),
    "striped": ("striped", "stripy", "stripey"),
    "dotted": ("dotted", "spotted", "polka dot"),
    "checked": ("checked", "chequered", "checkered"),
    "two-tone": ("two-tone", "two-coloured", "half and half"),
}
PATTERN_PHRASES: Final = {
    "plain": ("without a pattern", "with no pattern"),
    "striped": ("with stripes", "with {accent} stripes"),
    "dotted": ("with dots", "with {accent} dots", "with {accent} spots"),
    "checked": ("with checks", "with {accent} squares", "with {accent} checks"),
    "two-tone": ("with a {accent} half", "half {accent}"),
}
ACCENT_PHRASES: Final = (*DETAILS, "and {accent}")
TEXTURE_WORDS: Final[Words] = {
    "plain": ("plain", "smooth", "even"),
    "shaded": ("shaded", "gradient", "graded"),
    "speckled": ("speckled", "mottled", "grainy textured"),
    "tiled": ("tiled", "checkerboard"),
}
COLOUR_WORDS: Final[Words] = {
    "grey": ("grey", "gray"),
    "teal": ("teal", "turquoise"),
    "purple": ("purple", "violet"),
    "beige": ("beige", "cream", "tan"),
}
LOOK_WORDS: Final[Words] = {
    "sharp": ("sharp", "clear"),
    "blurry": ("blurry", "blurred", "out of focus"),
    "grainy": ("grainy", "noisy"),
    "faded": ("faded", "dull"),
}
WORDS: Final[dict[str, Words]] = {
    "size": SIZE_WORDS,
    "pattern": PATTERN_WORDS,
    "texture": TEXTURE_WORDS,
    "look": LOOK_WORDS,
}
OPENERS: Final = (
    "a photo of",
    "a picture of",
    "an image of",
    "photo of",
    "picture of",
    "image of",
    "this is",
)
QUESTIONS: Final = (
    "the",
    "my",
    "show me",
    "find",
    "search for",
    "i want",
    "looking for",
    "all",
    "some",
    "any",
)
SOMETHING: Final = (
    "something",
    "anything",
    "a thing",
    "an object",
    "things",
    "one",
    "item",
    "items",
    "it is",
)
FILLERS: Final = (
    "is",
    "are",
    "in",
    "at",
    "front",
    "behind",
    "colour",
    "color",
    "coloured",
    "colored",
    "backdrop",
    "against",
)


def words_of(text: str) -> list[str]:
    """Split `text` in lower case at everything that is neither letter nor digit."""
    return re.findall(r"[a-z0-9]+", text.lower())


def vocabulary() -> tuple[str, ...]:
    """Return every word a caption may hold, sorted."""
    spoken = ["a", "an", "on", "in", "front", "of", "behind", "background", "photo", "picture", "image"]
    spoken += [w for values in FACT_VALUES.values() for w in values]
    for table in (SIZE_WORDS, PATTERN_WORDS, PATTERN_PHRASES, TEXTURE_WORDS, COLOUR_WORDS, LOOK_WORDS):
        spoken += [w for words in table.values() for w in words]
    spoken += [w for kind in KINDS.values() for w in (kind.plural, *kind.synonyms)]
    spoken += [*ACCENT_PHRASES, *OPENERS, *QUESTIONS, *SOMETHING, *FILLERS]
    return tuple(sorted(_split(spoken) - {"accent"}))


def _split(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in words_of(text)}
