"""The facts of a drawn picture, in words."""

from dataclasses import dataclass
from typing import Final

from vitrine.data.backgrounds import TEXTURES
from vitrine.data.palette import BACKGROUND_COLOURS, OBJECT_COLOURS
from vitrine.data.patterns import PATTERNS
from vitrine.data.shapes import KINDS

SIZES: Final = ("small", "medium", "large")
LOOKS: Final = ("sharp", "blurry", "grainy", "faded")


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
        """Return what a person would tag: the object's words, then the background's; no word twice."""
        words = [self.kind, self.main, self.accent, self.pattern, self.size, f"{self.background} background"]
        words += [f"{self.texture} background"] if self.texture != "plain" else []
        words += [self.look] if self.look != "sharp" else []
        return tuple(dict.fromkeys(words))


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
FACT_NAMES: Final = tuple(FACT_VALUES)
