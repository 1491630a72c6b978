"""Captions and tags of a drawn picture, and every word that may occur in them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.backgrounds import TEXTURES
from data.palette import BACKGROUND_COLOURS, OBJECT_COLOURS
from data.patterns import PATTERNS
from data.shapes import KINDS

Words = dict[str, tuple[str, ...]]
"""A value of a fact, and the words for it, the usual one first."""

SIZES: Final = ("small", "medium", "large")
LOOKS: Final = ("sharp", "blurry", "grainy", "faded")

_SIZE_WORDS: Final[Words] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium sized", "mid-sized"),
    "large": ("large", "big", "huge"),
}
_PATTERN_WORDS: Final[Words] = {
    "plain": ("plain", "solid", "unpatterned"),
    "striped": ("striped", "stripy", "stripey"),
    "dotted": ("dotted", "spotted", "polka dot"),
    "checked": ("checked", "chequered", "checkered"),
    "two-tone": ("two-tone", "two-coloured", "half and half"),
}
_PATTERN_PHRASES: Final = {
    "plain": ("without a pattern", "with no pattern"),
    "striped": ("with stripes", "with {accent} stripes"),
    "dotted": ("with dots", "with {accent} dots", "with {accent} spots"),
    "checked": ("with checks", "with {accent} squares", "with {accent} checks"),
    "two-tone": ("with a {accent} half", "half {accent}"),
}
_ACCENT_PHRASES: Final = (
    "with {accent} details",
    "with {accent} trim",
    "with {accent} parts",
    "and {accent}",
)
_TEXTURE_WORDS: Final[Words] = {
    "plain": ("plain", "smooth", "even"),
    "shaded": ("shaded", "gradient", "graded"),
    "speckled": ("speckled", "mottled", "grainy textured"),
    "tiled": ("tiled", "checkerboard"),
}
_COLOUR_WORDS: Final[Words] = {
    "grey": ("grey", "gray"),
    "teal": ("teal", "turquoise"),
    "purple": ("purple", "violet"),
    "beige": ("beige", "cream", "tan"),
}
_LOOK_WORDS: Final[Words] = {
    "sharp": ("sharp", "clear"),
    "blurry": ("blurry", "blurred", "out of focus"),
    "grainy": ("grainy", "noisy"),
    "faded": ("faded", "dull"),
}
_WORDS: Final[dict[str, Words]] = {
    "size": _SIZE_WORDS,
    "pattern": _PATTERN_WORDS,
    "texture": _TEXTURE_WORDS,
    "look": _LOOK_WORDS,
}
_OPENERS: Final = (
    "a photo of",
    "a picture of",
    "an image of",
    "photo of",
    "picture of",
    "image of",
    "this is",
)
_QUESTIONS: Final = (
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
_SOMETHING: Final = (
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
_FILLERS: Final = (
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


@dataclass(frozen=True)
class Facts:
    """What a caption can say of a picture."""

    kind: str
    main: str
    accent: str
    pattern: str
    size: str
    background: str
    texture: str
    look: str

    def tags(self) -> tuple[str, ...]:
        """What a person would tag: the object's words, then the background's; no word twice."""
        words = [self.kind, self.main, self.accent, self.pattern, self.size, f"{self.background} background"]
        words += [f"{self.texture} background"] if self.texture != "plain" else []
        words += [self.look] if self.look != "sharp" else []
        return tuple(dict.fromkeys(words))


FACT_NAMES: Final = ("kind", "main", "accent", "pattern", "size", "background", "texture", "look")
FACT_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "kind": tuple(KINDS),
    "main": tuple(OBJECT_COLOURS),
    "accent": tuple(OBJECT_COLOURS),
    "pattern": PATTERNS,
    "size": SIZES,
    "background": tuple(BACKGROUND_COLOURS),
    "texture": TEXTURES,
    "look": LOOKS,
}


def full_caption(facts: Facts, rng: np.random.Generator) -> str:
    """A sentence that names every fact, such as "a large red striped mug with white details on a plain blue background".

    A sharp picture's look goes without saying.
    """
    return _Speaker(facts, rng, free=False).full()


def free_caption(facts: Facts, rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """A caption as people type them, and the names of the facts it states: full, partial, or a word or two.

    Synonyms, plurals and openers ("photo of", "show me") vary; what is left unsaid varies too.
    """
    return _Speaker(facts, rng, free=True).any_length()


def prompt(name: str, value: str, rng: np.random.Generator) -> str:
    """A few words that state just one fact, such as "mugs", "something red", "with white details", "tiled background"."""
    facts = Facts(**{n: FACT_VALUES[n][0] for n in FACT_NAMES} | {name: value})
    return _Speaker(facts, rng, free=True).only(name)


class _Speaker:
    """Words for one picture; remembers which facts it has stated."""

    def __init__(self, facts: Facts, rng: np.random.Generator, *, free: bool) -> None:
        self.facts, self.rng, self.free = facts, rng, free
        self.stated: set[str] = set()

    def pick(self, options: tuple[str, ...]) -> str:
        """The usual word first; another one of four times, in free captions only."""
        if len(options) == 1 or not self.free or self.rng.random() < 0.7:
            return options[0]
        return options[int(self.rng.integers(1, len(options)))]

    def any_of(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def say(self, name: str) -> str:
        """The word for one fact."""
        self.stated.add(name)
        value: str = getattr(self.facts, name)
        if name == "kind":
            kind = KINDS[value]
            if self.free and self.chance(0.12):
                return kind.plural
            return self.pick((kind.name, *kind.synonyms))
        return self.pick(_WORDS.get(name, _COLOUR_WORDS).get(value, (value,)))

    def full(self) -> str:
        noun, looks = self.noun(size=True, pattern=True), self.look()
        background = self.background(texture=True)
        with_accent = self.any_of(_ACCENT_PHRASES[:3]).format(accent=self.say("accent"))
        template = int(self.rng.integers(4))
        if template == 0:
            return _article(f"{looks}{noun} {with_accent} on {_article(background)}")
        if template == 1:
            return f"{_article(f'{looks}photo of')} {_article(noun)} {with_accent} on {_article(background)}"
        if template == 2:
            return f"{_article(f'{looks}picture of')} {_article(noun)} {with_accent} in front of {_article(background)}"
        return f"{_article(background)} behind {_article(f'{looks}{noun}')} {with_accent}"

    def any_length(self) -> tuple[str, frozenset[str]]:
        draw = self.rng.random()
        if draw < 0.3:
            text = self.full()
        elif draw < 0.6:
            text = self.partial()
        else:
            text = self.short()
        return text, frozenset(self.stated)

    def partial(self) -> str:
        noun = self.noun(size=self.chance(0.5), pattern=self.chance(0.5))
        if "pattern" not in self.stated and self.chance(0.4):
            noun = f"{noun} {self.phrase()}"
        elif self.chance(0.3):
            noun = f"{noun} {self.any_of(_ACCENT_PHRASES).format(accent=self.say('accent'))}"
        if self.chance(0.6):
            where = self.any_of(("on", "against", "in front of"))
            noun = f"{noun} {where} {_article(self.background(texture=self.chance(0.5)))}"
        opener = self.rng.random()
        if opener < 0.3:
            return f"{self.any_of(_OPENERS)} {_article(noun)}"
        if opener < 0.4:
            return f"{self.any_of(_QUESTIONS)} {noun}"
        return _article(noun) if opener < 0.8 else noun

    def short(self) -> str:
        """A word or two: "mug", "red mug", "something blue", "striped", "blurry photo"."""
        choice = int(self.rng.integers(10))
        if choice == 0:
            text = self.say("kind")
        elif choice <= 2:
            text = f"{self.say('main')} {self.say('kind')}"
        elif choice == 3:
            text = f"{self.say('pattern')} {self.say('kind')}"
        elif choice == 4:
            text = f"{self.say('size')} {self.say('kind')}"
        elif choice == 5:
            text = f"{self.any_of(_SOMETHING)} {self.say('main')}"
        elif choice == 6:
            text = f"{self.say('main')} {self.say('pattern')} {self.say('kind')}"
        elif choice == 7:
            thing = f"{self.say('kind')} on " if self.chance(0.5) else ""
            text = f"{thing}{self.background(texture=False)}"
        elif choice == 8:
            text = f"{self.say('kind')} {self.phrase()}"
        else:
            text = f"{self.say('look')} {self.any_of(('photo', 'picture', 'image'))}"
        if self.chance(0.2):
            return f"{self.any_of(_OPENERS)} {_article(text)}"
        return _article(text) if self.chance(0.3) else text

    def only(self, name: str) -> str:
        """A few words for one fact."""
        if name == "accent":
            return self.any_of(_ACCENT_PHRASES[:3]).format(accent=self.say(name))
        if name in ("background", "texture"):
            text = f"{self.say(name)} background"
            return f"on {_article(text)}" if self.chance(0.3) else text
        if name == "look":
            return f"{self.say(name)} {self.any_of(('photo', 'picture', 'image'))}"
        if name == "kind":
            text = self.say(name)
        elif self.chance(0.5):
            text = f"{self.any_of(_SOMETHING)} {self.say(name)}"
        else:
            text = self.say(name)
        if self.chance(0.25):
            return f"{self.any_of(_OPENERS)} {_article(text)}"
        return _article(text) if self.chance(0.25) else text

    def noun(self, *, size: bool, pattern: bool) -> str:
        words = [self.say("size")] if size else []
        words.append(self.say("main"))
        words += [self.say("pattern")] if pattern else []
        return " ".join([*words, self.say("kind")])

    def phrase(self) -> str:
        self.stated.add("pattern")
        text = self.any_of(_PATTERN_PHRASES[self.facts.pattern])
        return text.format(accent=self.say("accent")) if "{accent}" in text else text

    def background(self, *, texture: bool) -> str:
        surface = f"{self.say('texture')} " if texture else ""
        place = self.any_of(("background", "backdrop")) if self.free and self.chance(0.2) else "background"
        return f"{surface}{self.say('background')} {place}"

    def look(self) -> str:
        if self.facts.look == "sharp" and not (self.free and self.chance(0.1)):
            return ""
        return f"{self.say('look')} "


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def words_of(text: str) -> list[str]:
    """`text` in lower case, split at everything that is neither letter nor digit."""
    return re.findall(r"[a-z0-9]+", text.lower())


def vocabulary() -> tuple[str, ...]:
    """Every word a caption may hold, sorted."""
    spoken: list[str] = [
        "a",
        "an",
        "on",
        "in",
        "front",
        "of",
        "behind",
        "background",
        "photo",
        "picture",
        "image",
    ]
    spoken += [w for values in FACT_VALUES.values() for w in values]
    for table in (_SIZE_WORDS, _PATTERN_WORDS, _PATTERN_PHRASES, _TEXTURE_WORDS, _COLOUR_WORDS, _LOOK_WORDS):
        spoken += [w for words in table.values() for w in words]
    spoken += [w for kind in KINDS.values() for w in (kind.plural, *kind.synonyms)]
    spoken += [*_ACCENT_PHRASES, *_OPENERS, *_QUESTIONS, *_SOMETHING, *_FILLERS]
    return tuple(sorted(_split(spoken) - {"accent"}))


def _split(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in words_of(text)}
