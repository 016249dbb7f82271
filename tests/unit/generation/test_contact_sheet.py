from __future__ import annotations

import pytest
from PIL import Image

from directrix.errors import OutputError
from directrix.generation.contact_sheet import contact_sheet

PICTURES = [Image.new("RGB", (10, 8), color) for color in ("red", "green", "blue")]


def test_rows_and_columns():
    sheet = contact_sheet(PICTURES, columns=2)
    assert sheet.size == (2 * 14 + 4, 2 * 12 + 4)
    assert sheet.getpixel((5, 5)) == (255, 0, 0)
    assert sheet.getpixel((19, 5)) == (0, 128, 0)
    assert sheet.getpixel((5, 17)) == (0, 0, 255)
    assert sheet.getpixel((19, 17)) == (255, 255, 255)


def test_labels_take_room_and_stay_in_their_cell():
    sheet = contact_sheet(PICTURES, columns=3, labels=["x" * 100, "", ""])
    assert sheet.height == 8 + 16 + 8
    assert all(sheet.getpixel((x, y)) == (255, 255, 255) for x in range(15, 30) for y in range(12, 30))


def test_fewer_pictures_than_columns_and_mixed_sizes():
    sheet = contact_sheet([PICTURES[0], Image.new("L", (20, 20))], columns=9)
    assert sheet.size == (2 * 24 + 4, 28)


def test_nothing_to_show():
    with pytest.raises(OutputError):
        contact_sheet([], 3)
    with pytest.raises(OutputError):
        contact_sheet(PICTURES, 0)
    with pytest.raises(OutputError, match="2 labels for 3 images"):
        contact_sheet(PICTURES, 3, ["a", "b"])
