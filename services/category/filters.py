"""Conditions on images, and the filters they mean.

One class serves the JSON body of the API, its query string and the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from vitrine.services.category.field_names import BOUNDS, find_bound, find_field, find_member, readings
from vitrine.services.category.fields import PLAIN
from vitrine.services.category.word_conditions import WordConditions, match_words
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest, UnknownField
from vitrine.services.filters.conditions import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    MatchValue,
    Range,
)
from vitrine.services.filters.read import read_filter
from vitrine.services.validation import first_mistake, validated
from vitrine.services.values.dates import read_date, shown
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import HELD, cast, number
from vitrine.services.values.words import composed

Scalar = bool | int | float | str
_Number = Annotated[int | float, BeforeValidator(number, json_schema_input_type=float)]
_First = Annotated[
    datetime, BeforeValidator(lambda value: read_date(value).first, json_schema_input_type=str | int)
]
_Last = Annotated[
    datetime, BeforeValidator(lambda value: read_date(value).last, json_schema_input_type=str | int)
]


class Bounds(BaseModel):
    """Bounds of a range, at least one: ``gte <= value <= lte``, ``gt < value < lt``. The kind of the field
    decides whether they are numbers or dates."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    gte: int | float | str | datetime | None = None
    lte: int | float | str | datetime | None = None
    gt: int | float | str | datetime | None = None
    lt: int | float | str | datetime | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if self.gte is self.lte is self.gt is self.lt is None:
            raise ValueError("give at least one of gte, lte, gt, lt")
        return self


class NumberRange(Bounds):
    """Bounds that are numbers."""

    gte: _Number | None = None
    lte: _Number | None = None
    gt: _Number | None = None
    lt: _Number | None = None


class DateRange(Bounds):
    """Bounds that are dates or times, in UTC where they name no zone.

    A date stands for its whole day, month or year: ``lte`` 2024 includes its last moment, and ``gt`` 2024
    begins after it.
    """

    gte: _First | None = None
    lte: _Last | None = None
    gt: _Last | None = None
    lt: _First | None = None


class MapBox(BaseModel):
    """A rectangle of a map: ranges of its coordinates, which are in 0..1."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    x: NumberRange | None = None
    y: NumberRange | None = None

    @model_validator(mode="after")
    def _some(self) -> MapBox:
        if self.x is self.y is None:
            raise ValueError("give a range of x, of y, or of both")
        return self


_FILTERED = {
    f"{field.name}_any" if field.many else field.attribute: field for field in PLAIN if field.index != "never"
}
"""The single fields that can be asked for, by the name of the condition in Python."""
_TAKES: Mapping[str, Any] = {"keyword": tuple[str, ...], "datetime": DateRange | None}
_DEFINITIONS: dict[str, Any] = {
    name: (
        _TAKES.get(field.holds, NumberRange | None),
        Field(() if field.holds == "keyword" else None, alias=name.rstrip("_"), description=field.help),
    )
    for name, field in _FILTERED.items()
}
_CONFIG = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
if TYPE_CHECKING:  # the fields of the table are known at run time alone: read them by getattr
    _OfTable = BaseModel
else:
    _OfTable = create_model("_OfTable", __config__=_CONFIG, **_DEFINITIONS)


class Conditions(_OfTable):
    """Conditions on images; all that are given must hold.

    Fields that hold one word take a list, of which an image has any; numbers and dates take a range.
    ``tags_*`` are what people said, ``machine_tags_any`` what taggers propose, and ``rejected_tags_any`` what
    people said an image is not; the last two can be asked for once an image of the category has one.

    ``scores``: a range in 0..1 by tag. ``clusters``: a node by run, ``{"run": "root-14"}``. ``maps``: a
    rectangle by map, ``{"umap": {"x": {"gte": 0.2, "lte": 0.4}, "y": {"gte": 0.5}}}``. ``metadata``: a value,
    a list of values (any of them) or a range by column. ``where``: a filter in Qdrant's own JSON.
    """

    tags_all: tuple[str, ...] = ()
    tags_none: tuple[str, ...] = ()
    scores: dict[str, NumberRange] = Field({})
    clusters: dict[str, str] = Field({})
    maps: dict[str, MapBox] = Field({})
    metadata: dict[str, Bounds | Scalar | list[Scalar]] = Field({})
    ids: tuple[str, ...] = ()
    where: dict[str, Any] | None = None

    @field_validator("metadata", mode="before")
    @classmethod
    def _shapes(cls, columns: Any) -> Any:
        """Refuse a value by one sentence, instead of one for each type that it does not have."""
        for column, value in columns.items() if isinstance(columns, dict) else ():
            items = value if isinstance(value, list) else [value]
            if isinstance(value, dict):
                _as(Bounds, value, column)
            elif not all(isinstance(item, Scalar) for item in items):
                raise ValueError(f"{column} takes a value, a list of values or bounds")
        return columns

    def to_filter(self, indexes: Mapping[str, IndexKind]) -> Filter | None:
        """Return the filter, or None where there are no conditions. ``indexes``: the kinds of the
        category's fields.

        ``UnknownField`` for a metadata column without an index, ``BadRequest`` for a value that is not of its
        kind.
        """
        must: list[Condition] = [match_words("tags", [tag]) for tag in self.tags_all]
        for attribute, field in _FILTERED.items():
            if asked := getattr(self, attribute):
                must.append(_condition(field.name, asked, field.holds))
        for tag, span in self.scores.items():
            must.append(_condition(find_member("scores", tag, indexes), span))
        for name, box in self.maps.items():
            spans = (("x", box.x), ("y", box.y))
            must += [_condition(field_path("maps", name, axis), span) for axis, span in spans if span]
        must += [
            match_words(field_path("clusters", run, "path"), [path]) for run, path in self.clusters.items()
        ]
        for column, value in self.metadata.items():
            must.append(_typed(find_member("metadata", column, indexes), value, indexes))
        if self.ids:
            must.append(HasId(self.ids))
        if self.where is not None:
            must.append(read_filter(_read_raw(self.where, indexes)))
        must_not = (match_words("tags", self.tags_none),) if self.tags_none else ()
        return Filter(must=tuple(must), must_not=must_not) if must or must_not else None


class _Asked(Conditions):
    """Conditions with ``pairs`` on metadata columns that are read when the columns of the category are known:
    in ``metadata.price.gte`` the column may be ``price`` or ``price.gte``. ``joined``: see
    ``conditions_from_pairs``."""

    pairs: tuple[tuple[str, str], ...] = ()
    joined: bool = False

    def to_filter(self, indexes: Mapping[str, IndexKind]) -> Filter | None:
        tree: dict[str, Any] = {}
        for pair in self.pairs:
            field, bound, value = self._read(*pair, indexes)
            if bound is None:
                _put_value(tree, field, value)
            else:
                _put_bound(tree, field, bound, value)
        metadata = {path_keys(field)[-1]: value for field, value in tree.items()}
        columns = parse_conditions({"metadata": metadata})
        return Conditions.to_filter(self.model_copy(update={"metadata": columns.metadata}), indexes)

    def _read(self, key: str, value: str, indexes: Mapping[str, IndexKind]) -> tuple[str, str | None, str]:
        """Return field, bound and value, read so that the category has the column; with ``joined`` the column
        of the longest name."""
        ways = list(readings(key, value))
        for way, text in reversed(ways) if self.joined else ways:
            field, bound = find_bound(way, indexes)
            if field in indexes:
                return field, bound, text
        return *find_bound(key, indexes), value


def conditions_from_pairs(pairs: Iterable[tuple[str, str]], *, joined: bool = False) -> Conditions:
    """Return the conditions that ``key=value`` pairs of a query string or ``--where`` mean.

    The keys are ``FILTER_WORDS``; bounds are gte, lte, gt, lt. Repeated keys collect. ``joined``: each pair
    was one text, cut at its first ``=``, so that the name of a column may go on in the value. ``BadRequest``
    for any other key or value.

    >>> conditions_from_pairs([("score.cat.gte", "0.5"), ("tag", "indoor")]).scores["cat"].gte
    0.5
    """
    tree: dict[str, Any] = {}
    columns: list[tuple[str, str]] = []
    for key, value in pairs:
        if key.startswith(_SCORES):  # its value is a number, so an equal sign before it belongs to the tag
            key, value = next(
                (way for way in readings(key, value) if way[0].rpartition(".")[2] in BOUNDS), (key, value)
            )
        head, _, rest = key.partition(".")
        name, _, bound = rest.rpartition(".")
        if key in _LISTS:
            tree.setdefault(_LISTS[key], []).append(value)
        elif head in _SPANS and rest in BOUNDS:
            _put_bound(tree, head, rest, value)
        elif key in _SPANS:  # that very value; of dates the whole day, month or year
            _put_bound(tree, key, "gte", value)
            _put_bound(tree, key, "lte", value)
        elif head in ("score", "scores") and name and bound in BOUNDS:
            _put_bound(tree.setdefault("scores", {}), name, bound, value)
        elif head == "cluster" and rest and rest not in tree.get("clusters", {}):
            tree.setdefault("clusters", {})[rest] = value
        elif head == "map" and name[:-2] and name[-2:] in (".x", ".y") and bound in BOUNDS:
            shown, _, axis = name.rpartition(".")
            _put_bound(tree.setdefault("maps", {}).setdefault(shown, {}), axis, bound, value)
        elif head == "metadata" and rest:
            columns.append((key, value))
        else:
            raise BadRequest(
                f"{key!r} is not a filter, or is given twice. Filters are: {', '.join(FILTER_WORDS)}.",
                field=key,
            )
    plain = parse_conditions(tree)
    return _Asked(**dict(plain), pairs=tuple(columns), joined=joined) if columns else plain


def in_full(conditions: Conditions | WordConditions | None) -> Conditions:
    """Return the same conditions, none for None, as those of all kinds of fields."""
    if isinstance(conditions, Conditions):
        return conditions
    return Conditions(**({} if conditions is None else asdict(conditions)))


def parse_conditions(tree: Mapping[str, Any]) -> Conditions:
    """Return the conditions of a JSON object. ``BadRequest`` names the first field that is wrong."""
    return validated(Conditions, tree, "condition")


_SPANS = tuple(field.name for field in _FILTERED.values() if field.holds != "keyword")
_WORDS = {field.word: name for name, field in _FILTERED.items() if field.holds == "keyword"}
_LISTS = _WORDS | {
    "tag": "tags_all",
    "tag.all": "tags_all",
    "tag.any": "tags_any",
    "tag.none": "tags_none",
    "id": "ids",
}
"""Keys of query strings whose values are collected, and their conditions."""
FILTER_WORDS = (
    *(word for word in _LISTS if word != "tag.all"),
    *(f"{name}.gte" for name in _SPANS),
    *("score.<tag>.gte", "cluster.<run>", "map.<name>.x.gte", "metadata.<column>", "metadata.<column>.gte"),
)
"""The keys of query strings; every ``gte`` may also be lte, gt or lt."""
_SCORES = ("score.", "scores.")
_EXACT_INTEGERS = 2**53
_Range = TypeVar("_Range", bound=Bounds)


def _put_bound(tree: dict[str, Any], name: str, bound: str, value: str) -> None:
    span = tree.setdefault(name, {})
    if not isinstance(span, dict) or bound in span:
        raise BadRequest(
            f"{name!r} has a value already, or {bound!r} twice: give values or one range.", field=name
        )
    span[bound] = value


def _put_value(tree: dict[str, Any], name: str, value: str) -> None:
    values = tree.setdefault(name, [])
    if isinstance(values, dict):
        raise BadRequest(f"{name!r} has bounds already: give values or one range.", field=name)
    values.append(value)


def _condition(field: str, asked: Any, kind: IndexKind = "float") -> Condition:
    """Return the condition for words, or for a range. The bounds of whole numbers are made whole, since an
    engine may cut a fraction off a bound."""
    if kind == "keyword":
        return match_words(field, asked)
    bounds = {name: bound for name in BOUNDS if (bound := getattr(asked, name)) is not None}
    if kind == "datetime":
        return DatetimeRange(field, **bounds)
    if kind == "integer":
        rounded = {"gte": math.ceil, "lt": math.ceil, "lte": math.floor, "gt": math.floor}
        bounds = {name: rounded[name](bound) for name, bound in bounds.items()}
    return Range(field, **bounds)


def _typed(field: str, value: object, indexes: Mapping[str, IndexKind]) -> Condition:
    """Return the condition on a metadata column; words of a query string become values of its kind."""
    kind = indexes.get(field)
    if kind is None:
        known = ", ".join(sorted(f for f in indexes if f.startswith("metadata."))) or "none"
        raise UnknownField(
            f"{field!r} has no index, so it cannot be filtered. Indexed columns: {known}.", field=field
        )
    if isinstance(value, Bounds):
        return _within(field, value.model_dump(exclude_none=True), kind)
    values = value if isinstance(value, list) else [value]
    if kind == "keyword":
        return match_words(field, [_cast(field, item, kind) for item in values])
    # numbers and dates are matched by range; whole numbers too, whose column may just become one of fractions
    equal = [_equal(field, item, kind) for item in values]
    return equal[0] if len(equal) == 1 else Filter(should=tuple(equal))


def _within(field: str, bounds: dict[str, Any], kind: IndexKind) -> Condition:
    if kind == "datetime":
        return _condition(field, _as(DateRange, bounds, field), kind)
    if kind in ("integer", "float"):
        return _condition(field, _as(NumberRange, bounds, field), kind)
    raise BadRequest(
        f"{field!r} holds {HELD[kind]}, which have no range: ask for a value, or make it a column of numbers "
        "or dates by `images annotate --column NAME:float` (or NAME:date).",
        field=field,
        kind=kind,
    )


def _equal(field: str, value: object, kind: IndexKind) -> Condition:
    if kind == "datetime":
        return _within(field, {"gte": value, "lte": value}, kind)
    found = _cast(field, value, kind)
    if kind == "bool" or (abs(found) > _EXACT_INTEGERS and kind == "integer"):
        return MatchValue(field, found)
    return _condition(field, NumberRange(gte=found, lte=found))


def _cast(field: str, value: object, kind: IndexKind) -> Any:
    """Return one value as the column holds it; ``BadRequest`` if it is not of its kind."""
    if kind != "keyword" and isinstance(value, str):
        value = value.strip()
    try:
        found = cast(field, value, kind)
    except BadRequest:
        found = None
    if found is None or isinstance(found, list):
        raise BadRequest(f"{field!r} holds {HELD[kind]}, and {shown(value)} is not among them.", field=field)
    return found


def _as(cls: type[_Range], bounds: dict[str, Any], field: str) -> _Range:
    try:
        return cls.model_validate(bounds)
    except ValidationError as error:
        raise BadRequest(f"The condition on {field}: {first_mistake(error)}.", field=field) from None


def _read_raw(tree: Any, indexes: Mapping[str, IndexKind]) -> Any:
    """Return a filter in Qdrant's JSON with its fields, words and ranges of dates read as in all
    conditions."""
    if isinstance(tree, list):
        return [_read_raw(item, indexes) for item in tree]
    if not isinstance(tree, dict):
        return composed(tree) if isinstance(tree, str) else tree
    key, bounds = tree.get("key"), tree.get("range")
    if isinstance(key, str):
        tree = {**tree, "key": find_field(key, indexes)}
    if isinstance(key, str) and indexes.get(tree["key"]) == "datetime" and isinstance(bounds, dict):
        return {**tree, "range": _as(DateRange, bounds, key).model_dump(mode="json", exclude_none=True)}
    return {name: _read_raw(value, indexes) for name, value in tree.items()}
