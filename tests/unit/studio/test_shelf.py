"""Saved directions are files of safe names, which a later studio finds again."""

import pytest

from directrix.errors import DirectrixError
from directrix.studio.shelf import MOST, Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "own")


def test_a_saved_direction_is_there_after_a_restart_under_its_last_name(shelf, make_direction, tmp_path):
    direction = make_direction()
    shelf.save("a/model", direction, " red  hat ")
    shelf.rename("a/model", "red hat", "blue hat")
    found = Shelf(tmp_path / "own").directions("a/model")
    assert list(found) == ["blue hat"] and found["blue hat"].name == "blue hat"
    assert found["blue hat"].digest() == direction.digest()
    shelf.delete("a/model", "blue hat")
    assert not Shelf(tmp_path / "own").directions("a/model")
    assert shelf.file("a/model", "blue hat") is None


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", ".x", "x.", "a" * 41, "<b>", None, "x\\y", "con\n/x"])
def test_a_name_that_is_no_file_s_is_refused_and_nothing_is_written(shelf, make_direction, tmp_path, name):
    with pytest.raises(DirectrixError):
        shelf.save("m", make_direction(), name)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_name_is_taken_once_also_by_directions_of_the_package_and_in_other_letters(shelf, make_direction):
    shelf.save("m", make_direction(), "hat")
    for name in ("Hat", "woman"):
        with pytest.raises(DirectrixError, match="already"):
            shelf.save("m", make_direction(), name, taken=["woman"])
    shelf.save("m", make_direction(), "cap")
    with pytest.raises(DirectrixError, match="already"):
        shelf.rename("m", "cap", "hat")
    assert list(shelf.directions("m")) == ["hat", "cap"]


def test_there_are_so_many_and_no_more(shelf, make_direction):
    for place in range(MOST):
        shelf.save("m", make_direction(), f"d{place}")
    with pytest.raises(DirectrixError, match="delete one"):
        shelf.save("m", make_direction(), "one more")


def test_a_damaged_file_is_left_out_and_a_missing_direction_is_a_sentence(shelf, make_direction, tmp_path, caplog):
    shelf.save("m", make_direction(), "hat")
    (tmp_path / "own" / "m" / "bad.safetensors").write_bytes(b"no direction")
    assert list(Shelf(tmp_path / "own").directions("m")) == ["hat"] and "left out" in caplog.text
    with pytest.raises(DirectrixError, match="not saved here"):
        shelf.delete("m", "cap")
