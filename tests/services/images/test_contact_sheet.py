from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageFont

from vitrine.services.images.contact_sheet import MAX_SIDE, Tile, contact_sheet, fit_text, png_bytes

RED, BLUE = (200, 20, 20), (20, 20, 200)


def png(colour: tuple[int, ...], size: tuple[int, int] = (40, 20), mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def colours(sheet: Image.Image) -> set[tuple[int, ...]]:
    return {
        colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or [] if isinstance(colour, tuple)
    }


def test_tiles_go_row_by_row_and_the_page_fits_them() -> None:
    one = contact_sheet([Tile(png(RED))], columns=3, tile_size=100)
    two = contact_sheet([Tile(png(RED))] * 2, columns=3, tile_size=100)
    three = contact_sheet([Tile(png(RED))] * 3, columns=3, tile_size=100)
    four = contact_sheet([Tile(png(RED))] * 4, columns=3, tile_size=100)
    gap = two.width - one.width - 100
    assert 0 < gap < 100
    assert three.width - two.width == 100 + gap
    assert (four.width, four.height) == (three.width, three.height + 100 + gap)


def test_captions_and_title_make_room_for_themselves() -> None:
    bare = contact_sheet([Tile(png(RED))], tile_size=100)
    captioned = contact_sheet([Tile(png(RED), ("0.9", "mug"))], tile_size=100)
    titled = contact_sheet([Tile(png(RED), ("0.9", "mug"))], tile_size=100, title="Mugs")
    assert bare.width == captioned.width == titled.width
    assert bare.height < captioned.height < titled.height


def test_a_picture_is_whole_centred_and_keeps_its_shape() -> None:
    sheet = contact_sheet([Tile(Image.new("RGB", (50, 100), RED))], tile_size=100)
    columns = [x for x in range(sheet.width) if sheet.getpixel((x, sheet.height // 2)) == RED]
    rows = [y for y in range(sheet.height) if sheet.getpixel((sheet.width // 2, y)) == RED]
    assert len(columns) == 50
    assert len(rows) == 98  # the frame lies on its first and last row
    assert abs((columns[0] + columns[-1]) / 2 - sheet.width / 2) <= 1


def test_highlighting_adds_a_frame_around_the_tile_alone() -> None:
    plain = contact_sheet([Tile(png(RED)), Tile(png(BLUE))], tile_size=60)
    marked = contact_sheet([Tile(png(RED), highlighted=True), Tile(png(BLUE))], tile_size=60)
    assert marked.size == plain.size
    left, right = (0, 0, plain.width // 2, plain.height), (plain.width // 2, 0, plain.width, plain.height)
    assert marked.crop(left).tobytes() != plain.crop(left).tobytes()
    assert marked.crop(right).tobytes() == plain.crop(right).tobytes()


@pytest.mark.parametrize("missing", [None, b"", b"this is no picture", png(RED)[:30]])
def test_a_missing_or_broken_picture_is_an_empty_mount(missing: bytes | None) -> None:
    sheet = contact_sheet([Tile(missing, ("gone",)), Tile(Image.new("RGB", (9, 9), RED))], tile_size=100)
    assert sheet.size == contact_sheet([Tile(png(BLUE), ("gone",)), Tile(png(RED))], tile_size=100).size
    assert RED in colours(sheet)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (10, 10), 9),
        Image.new("RGBA", (10, 10), (*RED, 128)),
        Image.new("P", (10, 10)),
        Image.new("CMYK", (10, 10)),
        Image.new("RGB", (1, 500), RED),
        Image.new("RGB", (500, 1), RED),
    ],
)
def test_every_mode_and_shape_is_drawn(image: Image.Image) -> None:
    sheet = contact_sheet([Tile(image, ("x",))], tile_size=64)
    assert sheet.mode == "RGB"


@pytest.mark.parametrize("text", ["", "日本語の説明", "кружка", "a\nb\tc", "\u202ertl", "🍎" * 200, "\ud800"])
def test_any_caption_and_title_can_be_drawn(text: str) -> None:
    contact_sheet([Tile(png(RED), (text, text))], tile_size=64, title=text)


def test_long_text_is_cut_to_its_width_with_an_ellipsis() -> None:
    font = ImageFont.load_default(14)
    assert fit_text("mug", font, 200) == "mug"
    cut = fit_text("a mug with red stripes and a long story " * 5, font, 200)
    assert cut.startswith("a mug") and cut.endswith("…") and font.getlength(cut) <= 200
    assert fit_text("wide", font, 0) == "…"


def test_no_tiles_give_a_page_all_the_same() -> None:
    assert min(contact_sheet([], title="Nothing found").size) > 0


def test_impossible_pages_are_refused() -> None:
    for columns, tile_size in ((0, 100), (3, 0), (-1, 100)):
        with pytest.raises(ValueError, match="at least one"):
            contact_sheet([], columns=columns, tile_size=tile_size)
    with pytest.raises(ValueError, match="fewer or smaller"):
        contact_sheet([Tile(None)] * 2, columns=1, tile_size=MAX_SIDE // 2)


def test_png_bytes_read_back_equal() -> None:
    sheet = contact_sheet([Tile(png(RED), ("mug",))], tile_size=50)
    assert Image.open(BytesIO(png_bytes(sheet))).tobytes() == sheet.tobytes()
