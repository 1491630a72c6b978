"""Heads and where they are kept: scores as the formula says, versions whole or not there, no score of two
heads at once."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import numpy as np
import pytest

from vitrine.services.artifacts import store
from vitrine.services.artifacts.taggers import HeadSet, TaggerStore, TagHead
from vitrine.services.category.fields import QUALITY
from vitrine.services.errors import BadRequest, NotFound, StorageFull, TaggerMismatch
from vitrine.services.object_store.local import LocalObjectStore

DIM = 6
RANDOM = np.random.default_rng(7)


def head(tag: str = "cat", *, using: str = "clip", dim: int = DIM, bias: float = 0.3) -> TagHead:
    weight = RANDOM.normal(size=dim).astype(np.float32)
    return TagHead(
        tag, "logistic-regression", using, "sha256:1", weight, bias, slope=1.7, offset=-0.2, threshold=0.6
    )


def test_scores_follow_the_formula_also_far_out() -> None:
    heads = [head("cat"), head("dog", bias=-2.0), head("fish", bias=300.0)]
    x = RANDOM.normal(size=(20, DIM)).astype(np.float32)
    scores = HeadSet(heads).scores(x)
    for row in range(len(x)):
        for column, one in enumerate(heads):
            margin = sum(float(a) * float(b) for a, b in zip(one.weight, x[row], strict=True)) + one.bias
            assert scores[row, column] == pytest.approx(
                1 / (1 + math.exp(-(one.slope * margin + one.offset))), abs=1e-5
            )
    # a product with several columns may differ from that with one in its last bit
    np.testing.assert_allclose(heads[1].scores(x), scores[:, 1], atol=1e-6)
    assert HeadSet(heads).scores(x[:0]).shape == (0, 3)


def test_heads_of_several_vectors_are_not_scored_together() -> None:
    with pytest.raises(TaggerMismatch, match="different vectors"):
        HeadSet([head(), head("dog", using="look-1")])


def test_a_saved_head_comes_back_equal_in_another_process(objects: LocalObjectStore) -> None:
    saved = TaggerStore(objects).save("pets", [head("red mug"), head("dog", using="vit", dim=9)])
    store = TaggerStore(objects)
    assert [one.tag for one in store.in_service("pets")] == ["dog", "red mug"]
    for one in saved:
        found = store.get("pets", one.tag)
        assert np.array_equal(found.weight, one.weight)
        assert {**vars(found), "weight": 0} == {**vars(one), "weight": 0}
    assert saved[0].payload_field == 'scores."red mug"'
    assert head(QUALITY).payload_field == "quality"


def test_no_two_heads_share_a_signature(objects: LocalObjectStore) -> None:
    store = TaggerStore(objects)
    signatures = [store.save("pets", [head()])[0].signature for _ in range(5)]
    assert len(set(signatures)) == 5
    assert [one.signature for one in store.history("pets", "cat")] == signatures[::-1]


class SetBack(datetime):
    """A clock that stands still, a century ago."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime(1926, 11, 30, 9, 0, tzinfo=UTC)


def test_the_order_of_heads_outlives_a_clock_that_is_set_back(
    objects: LocalObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = TaggerStore(objects).save("pets", [head()])
    monkeypatch.setattr(store, "datetime", SetBack)
    (second,) = TaggerStore(objects).save("pets", [head()])
    TaggerStore(objects).delete("pets", "cat")
    (third,) = TaggerStore(objects).save("pets", [head()])
    assert second.trained_at == third.trained_at == "1926-11-30T09:00:00.000+00:00"
    assert (first.number, second.number, third.number) == (1, 2, 3)
    assert len({one.signature for one in (first, second, third)}) == 3
    assert [one.number for one in TaggerStore(objects).history("pets", "cat")] == [3, 2, 1]


def test_a_tag_is_unsettled_from_its_second_head_until_it_is_settled(objects: LocalObjectStore) -> None:
    store = TaggerStore(objects)
    (first,) = store.save("pets", [head()])
    assert store.unsettled("pets") == {}
    (second,) = store.save("pets", [head()])
    assert store.unsettled("pets") == {"cat": second.signature}
    store.settle("pets", [first])  # a run that began before the second was trained
    assert store.unsettled("pets") == {"cat": second.signature}
    store.settle("pets", [second])
    assert store.unsettled("pets") == {}
    store.save("pets", [head("dog")], scored=["dog"])  # a manifest has given such scores
    assert set(store.unsettled("pets")) == {"dog"}


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_save_that_dies_half_way_changes_nothing(
    objects: LocalObjectStore, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    (first,) = TaggerStore(objects).save("pets", [head()])
    puts = 0

    def put(key: str, data: bytes, *, media_type: str = "") -> None:
        nonlocal puts
        if puts == fails_at:
            raise StorageFull("No space is left.")
        puts += 1
        LocalObjectStore.put(objects, key, data, media_type=media_type)

    with monkeypatch.context() as patched:
        patched.setattr(objects, "put", put)
        with pytest.raises(StorageFull):
            TaggerStore(objects).save("pets", [head(), head("dog")])
    assert [one.signature for one in TaggerStore(objects).in_service("pets")] == [first.signature]
    assert len(TaggerStore(objects).save("pets", [head("dog")])) == 1


def test_a_deleted_tagger_is_gone_and_the_others_stay(objects: LocalObjectStore) -> None:
    store = TaggerStore(objects)
    store.save("pets", [head(), head("dog")])
    store.delete("pets", "cat")
    assert [one.tag for one in store.in_service("pets")] == ["dog"]
    with pytest.raises(NotFound, match="it has: dog"):
        store.get("pets", "cat")
    with pytest.raises(NotFound):
        store.delete("pets", "cat")
    assert TaggerStore(objects).in_service("birds") == ()


def test_names_that_cannot_be_fields_and_doubles_are_refused(objects: LocalObjectStore) -> None:
    store = TaggerStore(objects)
    for heads in ([head(" ")], [head(), head(" cat ")]):
        with pytest.raises(BadRequest):
            store.save("pets", heads)
    assert store.in_service("pets") == ()


def test_of_two_processes_that_save_at_the_same_moment_nothing_is_lost(
    objects: LocalObjectStore, tmp_path: Path
) -> None:
    stores = [TaggerStore(objects), TaggerStore(LocalObjectStore(tmp_path / "objects", min_free_mb=0))]
    one = head("tag")

    def save(number: int) -> None:
        stores[number % 2].save("a", [replace(one, tag=f"tag-{number}")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(16)))
    found = TaggerStore(objects).in_service("a")
    assert {kept.tag for kept in found} == {f"tag-{number}" for number in range(16)}
    assert sorted(kept.number for kept in found) == list(range(1, 17)), "no two runs have one number"


def test_the_history_of_a_category_that_was_made_anew_is_its_own(objects: LocalObjectStore) -> None:
    reader, other_process = TaggerStore(objects), TaggerStore(objects)
    (old,) = other_process.save("pets", [head()])
    assert [one.signature for one in reader.history("pets", "cat")] == [old.signature]
    for stat in list(objects.list("_taggers/pets/")):
        objects.delete(stat.key)
    other_process.forget("pets")
    (new,) = other_process.save("pets", [replace(head(), kind="by-hand")])
    assert new.number == old.number == 1
    assert [one.signature for one in reader.history("pets", "cat")] == [new.signature]
