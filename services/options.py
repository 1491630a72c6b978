"""Options of what can be asked for: a dataclass states default, help and range of each once, for Python, the
command line and HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_type_hints

from vitrine.services.errors import BadRequest
from vitrine.services.fitting import UNSURE, fitted

if TYPE_CHECKING:
    from pydantic import BaseModel

_T = TypeVar("_T")
_HELP = "help"
_MODELS: dict[type, type[BaseModel]] = {}


def option(default: _T, help: str, **limits: Any) -> _T:
    """Return a dataclass field with this default and help. ``limits`` are pydantic's: ge, gt, le, lt,
    min_length ..."""
    return field(default=default, metadata={_HELP: help, **limits})


@dataclass(frozen=True)
class Options:
    """The base of frozen dataclasses whose fields are made by `option`.

    Values are checked when one is made, and converted where nothing is lost ("10" to 10, a list to a tuple).
    ``BadRequest`` names the first option that is wrong. As the type of a FastAPI parameter it is a request
    body with the same ranges, defaults and descriptions.
    """

    def __post_init__(self) -> None:
        found = {
            one.name: fitted(one.kind, getattr(self, one.name), one.limits) for one in options_of(type(self))
        }
        if any(value is UNSURE for value in found.values()):
            found = self._by_pydantic()
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _by_pydantic(self) -> dict[str, Any]:
        from pydantic import ValidationError

        from vitrine.services.validation import mistakes

        model = _model_of(type(self))
        try:
            checked = model.model_validate({name: getattr(self, name) for name in model.model_fields})
        except ValidationError as error:
            first = mistakes(error)[0]
            name = first["field"].split(".")[0]  # of a list: which of its values is no matter
            raise BadRequest(f"The option {name} {first['message']}.", option=name) from None
        return dict(checked)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            lambda body: cls(**dict(body)), handler(_model_of(cls))
        )


class Option(NamedTuple):
    """One field of an options dataclass. ``limits``: its range, by the names of `option` and pydantic."""

    name: str
    kind: Any
    default: Any
    help: str
    limits: dict[str, Any]


def options_of(cls: type[Options]) -> tuple[Option, ...]:
    """Return the fields that `option` made, in their order."""
    kinds = get_type_hints(cls)
    made = [one for one in fields(cls) if _HELP in one.metadata]
    return tuple(
        Option(
            one.name,
            kinds[one.name],
            one.default,
            one.metadata[_HELP],
            {name: limit for name, limit in one.metadata.items() if name != _HELP},
        )
        for one in made
    )


def _model_of(cls: type[Options]) -> type[BaseModel]:
    """Return the pydantic model with the same fields, made once."""
    if cls in _MODELS:
        return _MODELS[cls]
    from pydantic import ConfigDict, Field, create_model

    members: dict[str, Any] = {
        one.name: (one.kind, Field(one.default, description=one.help, **one.limits))
        for one in options_of(cls)
    }
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    _MODELS[cls] = create_model(cls.__name__, __config__=config, __doc__=cls.__doc__, **members)
    return _MODELS[cls]
