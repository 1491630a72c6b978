"""The kinds of object the demo catalogue knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from data import shapes_indoors as indoors
from data import shapes_outdoors as outdoors
from data.geometry import Part, Variation, centred


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
    Kind("mug", indoors.mug, 16, ("cup", "coffee mug"), "mugs"),
    Kind("bottle", indoors.bottle, 25, ("flask",), "bottles"),
    Kind("lamp", indoors.lamp, 14, ("table lamp", "light"), "lamps"),
    Kind("chair", indoors.chair, 12, ("seat",), "chairs"),
    Kind("clock", indoors.clock, 18, ("alarm clock",), "clocks"),
    Kind("shirt", indoors.shirt, 22, ("t-shirt", "tee"), "shirts"),
    Kind("shoe", indoors.shoe, 20, ("trainer", "sneaker"), "shoes"),
    Kind("hat", indoors.hat, 22, ("sun hat",), "hats"),
    Kind("umbrella", indoors.umbrella, 30, ("parasol",), "umbrellas"),
    Kind("guitar", indoors.guitar, 60, ("acoustic guitar",), "guitars"),
    Kind("car", outdoors.car, 12, ("automobile", "vehicle"), "cars"),
    Kind("boat", outdoors.boat, 14, ("sailing boat", "ship"), "boats"),
    Kind("rocket", outdoors.rocket, 50, ("spaceship", "space rocket"), "rockets"),
    Kind("house", outdoors.house, 8, ("home", "building"), "houses"),
    Kind("fish", outdoors.fish, 25, ("goldfish",), "fishes"),
    Kind("butterfly", outdoors.butterfly, 45, ("moth",), "butterflies"),
    Kind("leaf", outdoors.leaf, 90, ("foliage",), "leaves"),
    Kind("flower", outdoors.flower, 25, ("blossom", "daisy"), "flowers"),
    Kind("star", outdoors.star_shape, 60, ("star shape",), "stars"),
    Kind("kite", outdoors.kite, 45, ("toy kite",), "kites"),
)

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
