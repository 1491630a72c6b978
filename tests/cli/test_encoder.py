from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Run, runner


def test_presets_and_categories_encoders_are_listed(filled: Run) -> None:
    answer = filled("encoder", "list", "--json").json
    assert answer["default"] == "colour"
    rows = {(row["name"], row["category"]): row for row in answer["encoders"]}
    assert {("clip", None), ("demo", None), ("colour", None), ("colour", "shop")} <= rows.keys()
    assert rows["colour", "shop"]["weights"] == "built in"
    assert "\tbuilt in" in filled("encoder", "list").out


def test_listing_goes_on_while_another_process_has_the_data(tmp_path: Path) -> None:
    from services.vector_store.lock import DataLock

    lock = DataLock(tmp_path / "vectors", {"command": "vitrine serve"})
    try:
        answer = runner(tmp_path)("encoder", "list")
        assert answer.code == 0
        assert "vitrine serve" in answer.err and "colour" in answer.out
    finally:
        lock.release()


def test_checking_an_encoder_tells_its_shape_and_speed(vitrine: Run, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    answer = vitrine("encoder", "check", "colour", tmp_path / "a.png", "--json").json
    assert (answer["name"], answer["dim"], answer["modalities"]) == ("colour", 64, ["image", "text"])
    assert answer["images_per_second"] > 0
    assert abs(answer["cosine_to_float32"]["min"] - 1) < 1e-3
    assert len(answer["embedding"]) == 64
    assert vitrine("encoder", "check", "colour").out.startswith("name:")


def test_an_encoder_that_is_not_there_is_told(vitrine: Run, tmp_path: Path) -> None:
    assert "model_unavailable" in vitrine("encoder", "check", "no/such-model").err
    assert "bad_request" in vitrine("encoder", "check", "").err
    (tmp_path / "a.png").write_text("no picture")
    assert vitrine("encoder", "check", "colour", tmp_path / "a.png", "--json").json["error"]["code"] == "image_refused"
