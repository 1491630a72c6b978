"""Reading a model's config: keys that are left out have the default of the library that wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrine.services.errors import ModelUnavailable


@dataclass(frozen=True)
class Config:
    """The values of a config or a section of it, by the kind of value that is wanted. A null counts as left
    out. Every method raises ModelUnavailable for a value of another kind."""

    values: Mapping[str, Any]

    def section(self, name: str) -> Config:
        """Return a section, empty where it is left out.

        Old files carry ``<name>_dict`` as well: where that is not null, it and the defaults alone hold.
        """
        old = self.values.get(f"{name}_dict")
        found = self.values.get(name) if old is None else old
        if found is not None and not isinstance(found, Mapping):
            raise _unlike(name, found, "an object")
        return Config(found or {})

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def whole(self, name: str, default: int, *, least: int = 1) -> int:
        """Return a whole number of at least ``least``."""
        value = self._value(name, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != int(value)
            or value < least
        ):
            raise _unlike(name, value, f"a whole number of at least {least}")
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unlike(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool | int):
            raise _unlike(name, value, "true or false")
        return bool(value)

    def word(self, name: str, default: str) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            raise _unlike(name, value, "a word")
        return value

    def pair(self, name: str, default: int) -> tuple[int, int]:
        """Return (height, width), which a config gives as one number where they are equal."""
        value = self._value(name, default)
        both = (value, value) if isinstance(value, int) else value
        if not isinstance(both, list | tuple) or len(both) != 2:
            raise _unlike(name, value, "a number or two of them")
        height, width = (Config({name: one}).whole(name, 1) for one in both)
        return height, width

    def wholes(self, name: str, default: tuple[int, ...], *, least: int = 1) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        value = self._value(name, default)
        if not isinstance(value, list | tuple):
            raise _unlike(name, value, "a list of whole numbers")
        return tuple(Config({name: one}).whole(name, 1, least=least) for one in value)

    def _value(self, name: str, default: object) -> Any:
        value = self.values.get(name)
        return default if value is None else value


@dataclass(frozen=True)
class Tower:
    """What a stack of transformer layers is made of: tokens of ``width`` numbers, ``hidden`` between the two
    linear layers of a block, ``heads`` of attention, the epsilon of norms, the activation's name."""

    width: int
    hidden: int
    layers: int
    heads: int
    eps: float
    activation: str

    @classmethod
    def of(cls, config: Config, default: Tower) -> Tower:
        """Return what a config says under transformers' usual names."""
        tower = cls(
            width=config.whole("hidden_size", default.width),
            hidden=config.whole("intermediate_size", default.hidden),
            layers=config.whole("num_hidden_layers", default.layers),
            heads=config.whole("num_attention_heads", default.heads),
            eps=config.number("layer_norm_eps", default.eps),
            activation=config.word("hidden_act", default.activation),
        )
        tower.check()
        return tower

    def check(self) -> None:
        """Raise ModelUnavailable where the heads do not share the width evenly."""
        if self.width % self.heads:
            raise ModelUnavailable(
                f"The model's config is wrong: {self.heads} heads cannot share {self.width} numbers evenly."
            )


def _unlike(name: str, value: object, wanted: str) -> ModelUnavailable:
    return ModelUnavailable(f"The model's config is wrong: {name} is {str(value)[:60]!r}, not {wanted}.")


def check_colours(config: Config) -> None:
    """Raise ModelUnavailable where the model does not read three colours."""
    if (channels := config.whole("num_channels", 3)) != 3:
        raise ModelUnavailable(
            f"The model reads images of {channels} channels; here they have 3, for colours."
        )


def check_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Raise ModelUnavailable where images of ``size`` (height, width) are not those that the model reads."""
    if size != wanted:
        raise ModelUnavailable(
            f"The preprocessing makes images of {size[0]}x{size[1]} pixels (height x width), and the model "
            f"reads {wanted[0]}x{wanted[1]}: preprocessor_config.json and config.json are not of one model."
        )
