"""No picture is lost to one that only looks like it: deleting, leaving out at upload, collapsing."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.indexer.enrich.duplicates.pages import page
from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY, file_of, payloads, write
from vitrine.indexer.enrich.duplicates.changes import deletable, delete, dismiss, keep
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.enrich.duplicates.options import DuplicateOptions
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import FIELD, DuplicateGroup, Member
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.sealed import sealed, unsealed
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByVector

FORMS = {f"form-{number}.png": file_of(page(9, f"No {number}")) for number in (4711, 4712, 9083)}
COPY = {"copy-of-9083.png": file_of(page(9, "No 9083").resize((150, 195), Image.Resampling.BICUBIC))}


def add(runtime: Runtime, folder: Path, files: dict[str, bytes]) -> None:
    index_images(open_source(str(write(folder, files))), runtime, CATEGORY)


def names(runtime: Runtime) -> dict[str, str]:
    return {hit.id: str(hit.payload["filename"]) for hit in runtime.vectors.scroll(CATEGORY, limit=1000).hits}


def kinds(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """By file name its verdict, and of which image it is."""
    known = names(runtime)
    groups = runtime.duplicates.get(CATEGORY).groups
    return {known[m.id]: (m.kind, known[group.original_of(m)]) for group in groups for m in group.members}


def deleted(runtime: Runtime, *kinds: str) -> int:
    return delete(runtime, CATEGORY, deletable(runtime, CATEGORY, kinds=kinds).takes).images


def test_forms_filled_otherwise_stay_and_the_copy_of_one_goes(runtime: Runtime, tmp_path: Path) -> None:
    add(runtime, tmp_path / "forms", FORMS | COPY)
    find_duplicates(runtime, CATEGORY)
    found = kinds(runtime)
    assert found["copy-of-9083.png"] == ("resized", "form-9083.png")
    assert sorted(kind for name, (kind, _) in found.items() if name in FORMS) == ["edited", "edited", "keep"]
    seen = runtime.searcher.search(
        CATEGORY,
        ByVector(np.ones(runtime.catalog.get(CATEGORY).encoder().dim)),
        SearchOptions(limit=9, collapse=True),
    )
    assert len(seen.hits) == 3, "only the copy is not shown"
    assert deleted(runtime, "identical", "resized") == 1 and deleted(runtime) == 0
    assert set(payloads(runtime)) == set(FORMS)
    assert not any(FIELD in payload for payload in payloads(runtime).values())


def test_a_copy_of_a_version_gives_what_was_said_of_it_to_that_version(
    runtime: Runtime, tmp_path: Path
) -> None:
    from vitrine.services.category.editor import ImageChanges

    add(runtime, tmp_path / "forms", FORMS | COPY)
    find_duplicates(runtime, CATEGORY)
    ids = {name: id for id, name in names(runtime).items()}
    runtime.editor.change(CATEGORY, [ids["copy-of-9083.png"]], ImageChanges(add_tags=("paid",)))
    deleted(runtime)
    tagged = [name for name, payload in payloads(runtime).items() if payload["tags"]]
    assert tagged == ["form-9083.png"]


def test_versions_can_be_deleted_by_name_and_a_copy_stays_for_the_one_it_is_of(
    runtime: Runtime, tmp_path: Path
) -> None:
    add(runtime, tmp_path / "forms", FORMS | COPY)
    find_duplicates(runtime, CATEGORY)
    kept = names(runtime)[runtime.duplicates.get(CATEGORY).groups[0].keep]
    deleted(runtime, "edited")
    assert kept in payloads(runtime) and "copy-of-9083.png" in payloads(runtime)
    assert all(kind != "resized" or name in payloads(runtime) for name, (kind, _) in kinds(runtime).items())


@pytest.mark.parametrize("what", ["skip", "tell"])
def test_an_upload_leaves_out_copies_alone(runtime: Runtime, what: str) -> None:
    index_uploads(runtime, CATEGORY, [Upload("form-4711.png", FORMS["form-4711.png"])])
    jpeg = io.BytesIO()
    page(9, "No 4711").save(jpeg, "JPEG", quality=92)
    more = [
        *(Upload(name, data) for name, data in list(FORMS.items())[1:]),
        Upload("again.jpg", jpeg.getvalue()),
    ]
    first, second, again = index_uploads(runtime, CATEGORY, more, near_duplicates=what)  # type: ignore[arg-type]
    assert (first.outcome, second.outcome, again.outcome) == (
        "added",
        "added",
        "duplicate" if what == "skip" else "added",
    )
    assert again.near is not None and again.near.kind == "resized"
    assert first.near is not None and first.near.kind == "edited"


def test_the_one_with_colours_is_kept_whatever_is_preferred(runtime: Runtime, tmp_path: Path) -> None:
    photo = scene(1, (300, 225))
    files = {
        "grey.png": file_of(photo.convert("L")),
        "colour.jpg": file_of(photo.resize((200, 150)), "JPEG", 85),
    }
    add(runtime, tmp_path / "photos", files)
    find_duplicates(runtime, CATEGORY)
    assert kinds(runtime) == {"colour.jpg": ("keep", "colour.jpg"), "grey.png": ("edited", "colour.jpg")}
    assert deleted(runtime) == 0
    found = find_duplicates(runtime, CATEGORY, DuplicateOptions(prefer=("bytes",)))
    assert names(runtime)[found.groups[0].keep] == "grey.png"
    asked = deletable(runtime, CATEGORY, kinds=["edited"])
    assert not asked.takes and [names(runtime)[id] for id in asked.richer] == ["colour.jpg"]


def test_the_one_with_more_pixels_stays_though_another_is_kept(runtime: Runtime, tmp_path: Path) -> None:
    photo = scene(1, (300, 225))
    files = {
        "large.jpg": file_of(photo, "JPEG", 60),
        "half.png": file_of(photo.resize((150, 113))),
        "third.png": file_of(photo.resize((100, 75))),
    }
    add(runtime, tmp_path / "photos", files)
    find_duplicates(runtime, CATEGORY)
    ids = {name: id for id, name in names(runtime).items()}
    assert keep(runtime, CATEGORY, "1-1", ids["half.png"]).chosen
    assert kinds(runtime)["third.png"] == ("resized", "half.png"), "compared with the one that is kept now"
    found = deletable(runtime, CATEGORY)
    assert found.takes == {"1-1": (ids["third.png"],)} and found.richer == (ids["large.jpg"],)


def test_groups_of_an_earlier_rule_are_neither_deleted_nor_collapsed(
    runtime: Runtime, tmp_path: Path
) -> None:
    add(runtime, tmp_path / "photos", {"a.png": file_of(scene(1)), "a.jpg": file_of(scene(1), "JPEG", 80)})
    find_duplicates(runtime, CATEGORY)
    for name, field in (("current", "note"), ("groups-1/manifest", "rule")):
        path = tmp_path / "data" / "objects" / "_duplicates" / CATEGORY / f"{name}.json"
        text = json.dumps(unsealed(json.loads(path.read_text())))
        path.write_text(json.dumps(sealed(json.loads(text.replace(f'"{field}": 2', f'"{field}": 1')))))
    runtime.duplicates.forget(CATEGORY)
    with pytest.raises(BadRequest, match="find duplicates again"):
        deletable(runtime, CATEGORY)
    options = SearchOptions(limit=9, collapse=True)
    dim = runtime.catalog.get(CATEGORY).encoder().dim
    assert len(runtime.searcher.search(CATEGORY, ByVector(np.ones(dim)), options).hits) == 2
    find_duplicates(runtime, CATEGORY)
    assert (
        len(runtime.searcher.search(CATEGORY, ByVector(np.ones(dim)), options).hits) == 1
        and deleted(runtime) == 1
    )


def test_what_is_a_copy_of_a_dismissed_image_is_sure_of_nothing() -> None:
    members = (
        Member("a", "keep", 1.0),
        Member("b", "resized", 0.9),
        Member("c", "edited", 0.8),
        Member("d", "resized", 0.9, of="c"),
    )
    group = DuplicateGroup("1-1", members)
    assert group.same_pictures() == {"a": "1-1", "b": "1-1", "c": "1-1.3", "d": "1-1.3"}
    assert [(m.id, m.kind) for m in group.without({"c"}).members] == [
        ("a", "keep"),
        ("b", "resized"),
        ("d", "edited"),
    ]
    assert [(m.id, m.kind) for m in group.without({"a"}).members] == [
        ("b", "keep"),
        ("c", "edited"),
        ("d", "resized"),
    ]
    assert group.without({"a", "b"}).same_pictures() == {"c": "1-1", "d": "1-1"}
    assert group.without(group.ids).members == ()


def test_odd_sizes_end_neither_an_upload_nor_a_search(runtime: Runtime) -> None:
    sizes = [(1, 1), (400, 2), (1000, 4), (2, 400), (3, 3), (20_000, 1)]
    odd = [Upload(f"{n}-{w}x{h}.png", file_of(scene(n, (w, h)))) for w, h in sizes for n in range(2)]
    good = [Upload(f"{n}.png", file_of(scene(n))) for n in range(5)]
    outcomes = index_uploads(runtime, CATEGORY, odd + good, near_duplicates="tell")
    assert {outcome.outcome for outcome in outcomes} <= {"added", "known"}
    report = find_duplicates(runtime, CATEGORY)
    assert (report.exit_code, report.unreadable, report.failed) == (0, 0, 0)


def test_a_library_that_gives_up_costs_one_pair(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(
        runtime,
        tmp_path / "photos",
        {f"{n}.{kind}": file_of(scene(n), kind) for n in range(2) for kind in ("png", "bmp")},
    )
    from vitrine.indexer.enrich.duplicates import pair_cache as judge

    real = judge.compare

    def compare(one, other, thresholds):  # type: ignore[no-untyped-def]
        if one.grey[0, 0] == odd:
            raise FloatingPointError("an assertion")
        return real(one, other, thresholds)

    odd = np.asarray(scene(0).convert("L"))[0, 0]
    monkeypatch.setattr(judge, "compare", compare)
    report = find_duplicates(runtime, CATEGORY)
    assert report.failed >= 1 and "could not be compared" in report.summary()
    assert [sorted(names(runtime)[id] for id in group.ids) for group in report.groups] == [["1.bmp", "1.png"]]
    assert dismiss(runtime, CATEGORY, report.groups[0].id) == 1
