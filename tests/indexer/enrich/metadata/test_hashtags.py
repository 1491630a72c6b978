"""Hashtags found in text, and as groupings on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.enrich.scores.heads import fill, stored
from tests.indexer.pictures import CATEGORY, make_runtime, payloads, picture, write
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.enrich.metadata.split_hashtags import split_hashtags
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.hashtags import hashtags, hashtags_of
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.category.filters import Conditions
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import BadRequest, BadSource
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.search.cluster_nodes import children
from vitrine.services.search.counts import count_values
from vitrine.services.settings import Settings

TEXTS = {
    n: {"caption": text}
    for n, text in enumerate(["Sunset at the #beach #Summer2024", "#Beach!", "no tags", "a #été"])
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Sunset at the #beach #Summer2024", ["beach", "summer2024"]),
        ("#One#Two, (#three) #one", ["one", "two", "three"]),
        ("#Été ＃日本 #हिन्दी #straße #a_b", ["été", "日本", "हिन्दी", "strasse", "a_b"]),
        ("#e\u0301te\u0301", ["été"]),
        ("#2024 #1 #_ ## # C# a#b &#39; /#x", []),
        ("https://x.org/page#top www.x.org/#y mailto://a#b #z", ["z"]),
        ("#1st #" + "x" * 201, ["1st"]),
        ("", []),
    ],
)
def test_what_is_a_hashtag(text: str, found: list[str]) -> None:
    assert hashtags(text) == found


def test_of_several_values() -> None:
    assert hashtags_of([None, 3, "#a #b", ["#b", "#c", 4]]) == ["a", "b", "c"]


def check_groupings(runtime: Runtime) -> None:
    fill(runtime, 12, TEXTS)
    report = split_hashtags(runtime, CATEGORY, ["caption"])
    assert (report.images, report.with_text, report.with_hashtags, report.updated) == (12, 4, 3, 3)
    assert report.hashtags[0] == ("beach", 2) and report.different == 3
    assert stored(runtime)["0.png"][0]["metadata"] == {"hashtags": ["beach", "summer2024"]}
    assert [
        (facet.value, facet.count)
        for facet in count_values(runtime.searcher, CATEGORY, "metadata.hashtags", Conditions())
    ] == [
        ("beach", 2),
        ("summer2024", 1),
        ("été", 1),
    ]
    assert runtime.searcher.count(CATEGORY, Conditions(metadata={"hashtags": "beach"})) == 2
    cluster(runtime, CATEGORY, "look", fit_tree(TreeOptions(3, 4, 1)))
    found = children(runtime.searcher, runtime.clusters, CATEGORY, "look", "root", ["metadata.hashtags"])
    told = [facet for child in found.children for facet in child.groupings["metadata.hashtags"]]
    assert sum(facet.count for facet in told if facet.value == "beach") == 2
    assert found.view.groupings["metadata.hashtags"][0].value == "beach"


def test_nodes_are_grouped_by_them_on_the_oracle(tmp_path: Path) -> None:
    check_groupings(make_runtime(tmp_path))


def test_nodes_are_grouped_by_them_on_the_embedded_engine(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, min_free_mb=0, encoder="colour", _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with open_runtime(settings) as runtime:
        runtime.catalog.create(CATEGORY, [ColourEncoder().spec])
        check_groupings(runtime)


def test_again_changes_nothing_and_what_is_gone_from_the_text_goes(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    fill(runtime, 4, {n: {**said, "metadata": {"post": "#Kept", "size": 3}} for n, said in TEXTS.items()})
    split_hashtags(runtime, CATEGORY, ["caption", "metadata.post"], "metadata.words")
    assert stored(runtime)["1.png"][0]["metadata"] == {"post": "#Kept", "size": 3, "words": ["beach", "kept"]}
    assert split_hashtags(runtime, CATEGORY, ["caption", "metadata.post"], "metadata.words").updated == 0
    assert split_hashtags(runtime, CATEGORY, ["caption"], "metadata.words").updated == 4
    assert stored(runtime)["2.png"][0]["metadata"] == {"post": "#Kept", "size": 3}  # its caption has none
    assert split_hashtags(runtime, CATEGORY, ["metadata.nope"], "metadata.words").updated == 0


def test_fields_that_hold_no_text_or_no_hashtags(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    runtime.catalog.ensure_indexes(CATEGORY, {"metadata.year": "integer"})
    for sources, to in (
        (["tags"], "metadata.x"),
        (["caption"], "tags"),
        (["caption"], "caption"),
        (["metadata.x"], "metadata.x"),
        ([], "metadata.x"),
        (["caption"], "metadata.year"),
        (["caption"], "metadata."),
    ):
        with pytest.raises(BadRequest):
            split_hashtags(runtime, CATEGORY, sources, to)


def test_new_images_get_those_of_a_manifests_column(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    folder = write(tmp_path / "in", {"a.png": picture(1), "b.png": picture(2)})
    (folder / "list.csv").write_text("file,caption\na.png,A #Mug\nb.png,\n")
    index_images(
        open_source(folder / "list.csv", options=SourceOptions(hashtags=("caption",))), runtime, CATEGORY
    )
    assert (
        payloads(runtime)["a.png"]["metadata"] == {"hashtags": ["mug"]}
        and "metadata" not in payloads(runtime)["b.png"]
    )
    assert runtime.searcher.count(CATEGORY, Conditions(metadata={"hashtags": "mug"})) == 1
    joined = SourceOptions(hashtags=("caption",), metadata=folder / "list.csv")
    assert next(iter(open_source(folder, options=joined))).metadata == {"hashtags": ["mug"]}
    (folder / "list.csv").unlink()
    with pytest.raises(BadSource, match="no table"):
        open_source(folder, options=SourceOptions(hashtags=("caption",)))
