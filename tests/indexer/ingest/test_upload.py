from __future__ import annotations

import pytest

from tests.indexer.pictures import CATEGORY, payloads, picture
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.services.errors import NotFound, StorageFull
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.runtime import Runtime


def test_outcomes_are_aligned_with_the_files(runtime: Runtime) -> None:
    uploads = [
        Upload(
            "../1.png",
            picture(1),
            tags=("new",),
            fields={"class": "mug", "caption": "A mug"},
            metadata={"year": 1999},
        ),
        Upload("words.jpg", b"words"),
        Upload("again.png", picture(1), tags=("new",)),
        Upload("2.png", picture(2), metadata={"": 1}),
        Upload("3.png", picture(3)),
    ]
    outcomes = index_uploads(runtime, CATEGORY, uploads)
    assert [(o.filename, o.outcome, o.reason) for o in outcomes] == [
        ("1.png", "added", None),
        ("words.jpg", "refused", "unsupported_format"),
        ("again.png", "known", None),
        ("2.png", "refused", "bad_row"),
        ("3.png", "added", None),
    ]
    assert outcomes[0].id == outcomes[2].id == point_id(content_hash(picture(1)))
    payload = payloads(runtime)["1.png"]
    assert (payload["source"], payload["class"], payload["tags"]) == ("upload", "mug", ["new"])
    assert payload["metadata"] == {"year": 1999}


def test_what_disagrees_with_an_image_of_the_same_bytes_is_named(runtime: Runtime) -> None:
    first = Upload(
        "1.png",
        picture(1),
        fields={"class": "mug", "caption": "A mug"},
        metadata={"year": 1999, "place": "Oslo"},
    )
    again = Upload(
        "2.png", picture(1), fields={"class": "cup", "caption": "A mug"}, metadata={"year": 2000, "price": 5}
    )
    one, two = index_uploads(runtime, CATEGORY, [first, again])
    assert one.conflicts == ()
    assert [str(conflict) for conflict in two.conflicts] == [
        "filename '2.png', kept '1.png'",
        "class 'cup', kept 'mug'",
        "metadata.year 2000, kept 1999",
    ]
    assert payloads(runtime)["1.png"]["metadata"] == {"year": 1999, "place": "Oslo", "price": 5}
    (later,) = index_uploads(runtime, CATEGORY, [again])
    assert later.conflicts == two.conflicts
    (same,) = index_uploads(runtime, CATEGORY, [first])
    assert same.conflicts == ()


def test_no_files_no_outcomes(runtime: Runtime) -> None:
    assert index_uploads(runtime, CATEGORY, []) == []


def test_what_ends_a_run_is_raised(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound):
        index_uploads(runtime, "nothing", [Upload("1.png", picture(1))])

    def full(*args: object, **kwargs: object) -> None:
        raise StorageFull("full")

    monkeypatch.setattr(runtime.vectors, "upsert", full)
    with pytest.raises(StorageFull):
        index_uploads(runtime, CATEGORY, [Upload("1.png", picture(1))])
