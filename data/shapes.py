"""The kinds of object the demo catalogue knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vitrine.data import shapes_indoors as indoors
from vitrine.data import shapes_outdoors as outdoors
from vitrine.data.geometry import Part, Variation, centred


@dataclass(frozen=True)
class Kind:
    """One kind of object: how it is drawn, how far it may lean, what else people call it."""

    name: str
    draw: Callable[[Variation], list[Part]]
    tilt: float
    """Largest rotation either way, in degrees; a kind that stands on the ground leans little."""
    synonyms: tuple[str, ...]
    plural: str

    def parts(self, variation: Variation) -> list[Part]:
        """The parts in painting order, spanning -1..1 on their longer side."""
        return centred(self.draw(variation))


_ALL = (
    Kind("mug", indoors.mug, 8, ("cup", "coffee mug"), "mugs"),
    Kind("bottle", indoors.bottle, 12, ("flask",), "bottles"),
    Kind("lamp", indoors.lamp, 8, ("table lamp", "light"), "lamps"),
    Kind("chair", indoors.chair, 7, ("seat",), "chairs"),
    Kind("clock", indoors.clock, 10, ("alarm clock",), "clocks"),
    Kind("shirt", indoors.shirt, 12, ("t-shirt", "tee"), "shirts"),
    Kind("shoe", indoors.shoe, 10, ("trainer", "sneaker"), "shoes"),
    Kind("hat", indoors.hat, 12, ("sun hat",), "hats"),
    Kind("umbrella", indoors.umbrella, 15, ("parasol",), "umbrellas"),
    Kind("guitar", indoors.guitar, 28, ("acoustic guitar",), "guitars"),
    Kind("car", outdoors.car, 7, ("automobile", "vehicle"), "cars"),
    Kind("boat", outdoors.boat, 8, ("sailing boat", "ship"), "boats"),
    Kind("rocket", outdoors.rocket, 25, ("spaceship", "space rocket"), "rockets"),
    Kind("house", outdoors.house, 5, ("home", "building"), "houses"),
    Kind("fish", outdoors.fish, 14, ("goldfish",), "fishes"),
    Kind("butterfly", outdoors.butterfly, 22, ("moth",), "butterflies"),
    Kind("leaf", outdoors.leaf, 40, ("foliage",), "leaves"),
    Kind("flower", outdoors.flower, 14, ("blossom", "daisy"), "flowers"),
    Kind("star", outdoors.star_shape, 36, ("star shape",), "stars"),
    Kind("kite", outdoors.kite, 22, ("toy kite",), "kites"),
)

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
