"""Write captions of a drawn picture as people type them."""

import numpy as np

from benchmarks.demo_weights.wording import (
    ACCENT_PHRASES,
    COLOUR_WORDS,
    OPENERS,
    PATTERN_PHRASES,
    QUESTIONS,
    SOMETHING,
    WORDS,
)
from vitrine.data.captions import DETAILS, article
from vitrine.data.facts import FACT_NAMES, FACT_VALUES, Facts
from vitrine.data.shapes import KINDS


def free_caption(facts: Facts, rng: np.random.Generator) -> tuple[str, frozenset[str]]:
    """Return a caption as people type them, and the names of the facts it states: full, partial, or a word or
    two.

    Synonyms, plurals and openers ("photo of", "show me") vary, and so does what is left out.
    """
    return _Speaker(facts, rng).any_length()


def prompt(name: str, value: str, rng: np.random.Generator) -> str:
    """Return a few words that state just one fact, such as "mugs", "something red", "with white details",
    "tiled background"."""
    facts = Facts(**{n: FACT_VALUES[n][0] for n in FACT_NAMES} | {name: value})
    return _Speaker(facts, rng).only(name)


class _Speaker:
    """Words for one picture; remembers which facts it has stated."""

    def __init__(self, facts: Facts, rng: np.random.Generator) -> None:
        self.facts, self.rng = facts, rng
        self.stated: set[str] = set()

    def pick(self, options: tuple[str, ...]) -> str:
        """Return the usual word, or, one time in four, another one."""
        if len(options) == 1 or self.rng.random() < 0.7:
            return options[0]
        return options[int(self.rng.integers(1, len(options)))]

    def any_of(self, options: tuple[str, ...]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def say(self, name: str) -> str:
        """Return the word for one fact."""
        self.stated.add(name)
        value: str = getattr(self.facts, name)
        if name == "kind":
            kind = KINDS[value]
            if self.chance(0.12):
                return kind.plural
            return self.pick((kind.name, *kind.synonyms))
        return self.pick(WORDS.get(name, COLOUR_WORDS).get(value, (value,)))

    def full(self) -> str:
        noun, looks = self.noun(size=True, pattern=True), self.look()
        background = self.background(texture=True)
        with_accent = self.any_of(DETAILS).format(accent=self.say("accent"))
        template = int(self.rng.integers(4))
        if template == 0:
            return article(f"{looks}{noun} {with_accent} on {article(background)}")
        if template == 1:
            return f"{article(f'{looks}photo of')} {article(noun)} {with_accent} on {article(background)}"
        if template == 2:
            return (
                f"{article(f'{looks}picture of')} {article(noun)} {with_accent} in front of "
                f"{article(background)}"
            )
        return f"{article(background)} behind {article(f'{looks}{noun}')} {with_accent}"

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
            noun = f"{noun} {self.any_of(ACCENT_PHRASES).format(accent=self.say('accent'))}"
        if self.chance(0.6):
            where = self.any_of(("on", "against", "in front of"))
            noun = f"{noun} {where} {article(self.background(texture=self.chance(0.5)))}"
        opener = self.rng.random()
        if opener < 0.3:
            return f"{self.any_of(OPENERS)} {article(noun)}"
        if opener < 0.4:
            return f"{self.any_of(QUESTIONS)} {noun}"
        return article(noun) if opener < 0.8 else noun

    def short(self) -> str:
        """Return a word or two: "mug", "red mug", "something blue", "striped", "blurry photo"."""
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
            text = f"{self.any_of(SOMETHING)} {self.say('main')}"
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
            return f"{self.any_of(OPENERS)} {article(text)}"
        return article(text) if self.chance(0.3) else text

    def only(self, name: str) -> str:
        """Return a few words for one fact."""
        if name == "accent":
            return self.any_of(DETAILS).format(accent=self.say(name))
        if name in ("background", "texture"):
            text = f"{self.say(name)} background"
            return f"on {article(text)}" if self.chance(0.3) else text
        if name == "look":
            return f"{self.say(name)} {self.any_of(('photo', 'picture', 'image'))}"
        if name == "kind":
            text = self.say(name)
        elif self.chance(0.5):
            text = f"{self.any_of(SOMETHING)} {self.say(name)}"
        else:
            text = self.say(name)
        if self.chance(0.25):
            return f"{self.any_of(OPENERS)} {article(text)}"
        return article(text) if self.chance(0.25) else text

    def noun(self, *, size: bool, pattern: bool) -> str:
        words = [self.say("size")] if size else []
        words.append(self.say("main"))
        words += [self.say("pattern")] if pattern else []
        return " ".join([*words, self.say("kind")])

    def phrase(self) -> str:
        self.stated.add("pattern")
        text = self.any_of(PATTERN_PHRASES[self.facts.pattern])
        return text.format(accent=self.say("accent")) if "{accent}" in text else text

    def background(self, *, texture: bool) -> str:
        surface = f"{self.say('texture')} " if texture else ""
        place = self.any_of(("background", "backdrop")) if self.chance(0.2) else "background"
        return f"{surface}{self.say('background')} {place}"

    def look(self) -> str:
        if self.facts.look == "sharp" and not self.chance(0.1):
            return ""
        return f"{self.say('look')} "
