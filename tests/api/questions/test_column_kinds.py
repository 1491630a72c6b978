"""Values over HTTP: what a column takes is found by its value, and everything else is refused in words that
people know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, client_on, fill, picture, runtime_in, settings_in
from vitrine.api.schemas.changes import ChangedOut
from vitrine.api.schemas.images import UploadOut
from vitrine.api.schemas.metadata import MetadataOut

CATEGORY = "/v1/categories/colours"
IMAGES = f"{CATEGORY}/images"


@pytest.fixture
def ids(client: TestClient) -> dict[str, str]:
    return fill_with_kinds(client)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client for tests that change nothing."""
    with runtime_in(settings_in(tmp_path_factory.mktemp("kinds"))) as runtime, client_on(runtime) as client:
        fill_with_kinds(client)
        yield client


def fill_with_kinds(client: TestClient) -> dict[str, str]:
    """The category ``colours`` with values of all kinds; ids by colour."""
    made = fill(client)
    for colour, said in {
        "red": {"price": 10, "size": "S", "taken": "2019-06-01", "sold": True},
        "green": {"price": 12.5, "size": 38, "taken": "2022-05-01T10:30Z", "sold": "no"},
        "blue": {"price": "NULL", "size": True, "taken": "2024-W18-3"},
    }.items():
        changed = client.patch(f"{IMAGES}/{made[colour]}", json={"metadata": said})
        assert changed.status_code == 200, changed.text
    return made


def names(client: TestClient, query: str) -> set[str]:
    answer = client.get(f"{IMAGES}?{query}")
    assert answer.status_code == 200, answer.text
    return {hit["payload"]["filename"].removesuffix(".png") for hit in answer.json()["hits"]}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("metadata.price.gte=11", {"green"}),
        ("metadata.price=12.50", {"green"}),
        ("metadata.size=38", {"green"}),
        ("metadata.size=true", {"blue"}),
        ("metadata.sold=false", {"green"}),
        ("metadata.taken=2022", {"green"}),
        ("metadata.taken.gte=2022", {"green", "blue"}),
        ("metadata.taken.lt=2022", {"red"}),
        ("metadata.taken.gt=2022", {"blue"}),
        ("metadata.taken.lte=2022", {"red", "green"}),
        ("metadata.taken.gte=20220501&metadata.taken.lte=2024-05-01", {"green", "blue"}),
        ("metadata.taken=2022-05-01T19:30:00+09:00", {"green"}),  # the plus arrives as a space
        ("metadata.taken=2022-05-01T19:30:00%2B09:00", {"green"}),
        ("metadata.year.gte=1990.5&metadata.year.lt=1991.5", {"orange"}),
        ("created_at.lt=2022", set()),
    ],
)
def test_values_are_found_in_whatever_form_they_are_asked_for(
    kinds: TestClient, query: str, found: set[str]
) -> None:
    assert names(kinds, query) == found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("created_at.gte=yesterday", "'yesterday' is not a date"),
        ("metadata.taken.gte=2024-02-30", "'2024-02-30' is not a date: there is no such day"),
        ("metadata.taken=0001-01-01%2B01:00", "'0001-01-01+01:00' is not a date"),
        ("metadata.taken.gte=10000-01-01", "'10000-01-01' is not a date"),
        ("metadata.price.gte=cheap", "'cheap' is not a number"),
        ("metadata.price.gte=nan", "'nan' is not a number"),
        ("metadata.price.lt=1e400", "'1e400' is beyond"),
        ("width.gte=inf", "'inf' is not a number"),
        ("metadata.size.gte=3", "holds words"),
        ("metadata.sold=perhaps", "holds true or false"),
    ],
)
def test_what_cannot_be_compared_is_named(kinds: TestClient, query: str, said: str) -> None:
    answer = kinds.get(f"{IMAGES}?{query}")
    assert answer.status_code == 422 and said in answer.json()["detail"], answer.text
    assert "boolean" not in answer.text and "datetime" not in answer.json()["detail"]


def test_dates_in_json_are_read_alike(kinds: TestClient) -> None:
    def count(filter: dict[str, Any]) -> int:
        answer = kinds.post(f"{CATEGORY}/search", json={"filter": filter})
        assert answer.status_code == 200, answer.text
        return len(answer.json()["hits"])

    assert count({"metadata": {"taken": {"gte": 2022, "lte": "2022"}}}) == 1
    assert count({"metadata": {"taken": ["2019", "2024-05"]}}) == 2
    assert (
        count({"where": {"must": [{"key": "metadata.taken", "range": {"gte": "2022", "lt": "2024-W18-3"}}]}})
        == 1
    )
    assert count({"created_at": {"gte": 2022}}) == len(COLOURS)
    bad = kinds.post(f"{CATEGORY}/search", json={"filter": {"metadata": {"taken": {"gte": "soon"}}}})
    assert bad.status_code == 422 and "'soon' is not a date" in bad.json()["detail"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"price": "cheap"}, "Column 'price' holds numbers: 'cheap' is not a number"),
        ({"taken": "last week"}, "Column 'taken' holds dates: 'last week' is not a date"),
        ({"sold": "perhaps"}, "Column 'sold' holds true or false"),
        ({"price": {"a": 1}}, "an object is not a number"),
        ({"price": [1, [2]]}, "not lists within a list"),
    ],
)
def test_an_edit_of_another_kind_is_refused_and_changes_nothing(
    client: TestClient, ids: dict[str, str], said: dict[str, Any], words: str
) -> None:
    path = f"{IMAGES}/{ids['red']}"
    before = client.get(path).json()
    answer = client.patch(path, json={"add_tags": ["new"], "metadata": said})
    assert answer.status_code == 422 and words in answer.json()["detail"], answer.text
    assert client.get(path).json() == before


def test_uploads_are_cast_or_refused_by_name(client: TestClient, ids: dict[str, str]) -> None:
    def upload(metadata: str, **fields: Any) -> Any:
        file = ("x.png", picture((len(metadata), 7, 7)), "image/png")
        return client.post(IMAGES, files={"files": file}, data={"metadata": metadata, **fields})

    refused = upload('{"taken": "last week"}')
    assert (
        refused.status_code == 422
        and refused.json()["code"] == "bad_row"
        and "'last week'" in refused.json()["detail"]
    )
    added = UploadOut.model_validate(
        upload('{"price": 99.5, "size": 7, "weight": "1.50"}', columns="weight:float").json()
    )
    assert added.counts == {"added": 1} and added.notes == []
    assert names(client, "metadata.price=99.5&metadata.size=7&metadata.weight.gte=1.5") == {"x"}
    for columns in ("weight", "weight:heavy", "other:float"):
        assert upload('{"weight": 1}', columns=columns).status_code == 422


def test_columns_without_an_index_are_named(client: TestClient, ids: dict[str, str]) -> None:
    many = {f"c{n}": n for n in range(70)}
    changed = ChangedOut.model_validate(
        client.patch(f"{IMAGES}/{ids['red']}", json={"metadata": many}).json()
    )
    assert (
        len(changed.notes) == 1
        and "no filter, order or facet finds them" in changed.notes[0]
        and "c69" in changed.notes[0]
    )
    assert (
        ChangedOut.model_validate(
            client.patch(f"{IMAGES}/{ids['red']}", json={"metadata": {"c1": None}}).json()
        ).notes
        == []
    )


def test_a_table_may_say_what_a_column_holds(client: TestClient, ids: dict[str, str]) -> None:
    def send(text: str, **fields: Any) -> MetadataOut:
        answer = client.post(f"{CATEGORY}/metadata", files={"file": ("t.csv", text.encode())}, data=fields)
        assert answer.status_code == 200, answer.text
        return MetadataOut.model_validate(answer.json())

    refused = send("file,taken\nred.png,last week\ngreen.png,2020\n")
    assert (refused.updated, refused.malformed.rows) == (1, 1) and "'last week'" in refused.malformed.first[
        0
    ].reason
    words = send("file,taken\nred.png,last week\n", columns="taken:keyword")
    assert words.updated == 1 and any(
        "values of 0 images" in note or "holds words" in note for note in words.notes
    )
    assert names(client, "metadata.taken=last week") == {"red"}
