"""Options are called in Python what they are called on the command line and in the settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import vitrine
from vitrine.cli import category, duplicates, export, index, search
from vitrine.cli.cluster import commands as clusters
from vitrine.cli.images import commands as images
from vitrine.cli.images import previews
from vitrine.cli.map import commands as maps
from vitrine.cli.metric import commands as metric
from vitrine.cli.metric.promote import promote, rollback
from vitrine.cli.tagger import commands as tagger
from vitrine.cli.tagger import score
from vitrine.services.settings import VARIABLES

SHELL = {"ctx", "category", "create", "encoder", "as_json", "sheet", "yes"}
"""What only a command has."""
PLURAL = {"tag": "tags", "any_tag": "any_tags", "not_tag": "not_tags", "score": "scores", "column": "columns"}
"""Options that a command line repeats, and that are lists in Python."""
IN_WHERE = dict.fromkeys((*PLURAL, "class_", "quality"), "where")
LISTING = dict.fromkeys(("id", "order_by", "random", "cursor"), "")


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def same(
    method: Callable[..., Any],
    command: Callable[..., Any],
    other: Mapping[str, str] | None = None,
    options: Sequence[type] = (),
) -> None:
    """The method has every option of the command, with its default: by its name, by the ``other`` one (empty:
    not at all), or as a field of its ``options``."""
    ours = parameters(method)
    in_options = {field.name for one in options for field in fields(one)}
    for name, option in parameters(command).items():
        called = (other or {}).get(name, PLURAL.get(name, name))
        if name in SHELL | in_options or not called:
            continue
        assert called in ours, f"{method.__qualname__} has no {called}"
        if isinstance(option.default, bool | int | float | str):
            assert ours[called].default == option.default, f"{method.__qualname__}: {called}"


def test_methods_have_the_options_of_the_commands() -> None:
    shop = vitrine.Category
    same(shop.add, index.add)
    same(shop.search, search.search, LISTING)
    same(shop.images, images.list_images)
    same(shop.facets, images.facets, IN_WHERE)
    same(shop.histogram, images.histogram, IN_WHERE)
    same(shop.score, score.score)
    same(shop.export, export.table, IN_WHERE)
    same(shop.export, export.folders, IN_WHERE)
    same(shop.make_map, maps.make, options=[vitrine.MapOptions])
    drawn = dict.fromkeys(("words", "prompt", "to"), "")
    same(shop.cluster, clusters.run, {"name": "run", **drawn}, [vitrine.ClusterOptions])
    same(shop.previews, previews.previews, options=[vitrine.PreviewOptions])
    same(shop.find_duplicates, duplicates.find, options=[vitrine.DuplicateOptions])
    elsewhere = dict.fromkeys(("folder", "meta"), "")
    same(shop.train_metric, metric.train, elsewhere, [vitrine.MetricOptions, vitrine.SplitOptions])
    same(shop.promote, promote)
    same(shop.rollback, rollback)
    same(shop.train_taggers, tagger.train, {"plots": ""}, [vitrine.TrainOptions])
    same(vitrine.Library.delete, category.delete)


def test_settings_are_called_as_they_are() -> None:
    assert parameters(vitrine.open).keys() - {"progress"} <= VARIABLES.keys()
