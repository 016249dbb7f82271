from __future__ import annotations

from pathlib import Path

import pytest

from directrix.errors import OutputError
from directrix.generation import manifest


def test_no_manifest_is_an_empty_one(tmp_path: Path):
    assert manifest.read(tmp_path) == {}


def test_the_last_line_of_a_file_counts_and_rows_are_in_order(tmp_path: Path):
    for row in ({"file": "b", "x": 1}, {"file": "a", "x": 2}, {"file": "b", "x": 3}):
        manifest.append(tmp_path, row)
    assert list(manifest.read(tmp_path).values()) == [{"file": "a", "x": 2}, {"file": "b", "x": 3}]


def test_a_cut_line_is_ignored_and_mended(tmp_path: Path):
    manifest.append(tmp_path, {"file": "a", "prompt": "☃ snow"})
    with (tmp_path / manifest.NAME).open("ab") as file:
        file.write('{"file": "b", "prompt": "☃'.encode()[:-1])
    rows = manifest.read(tmp_path)
    assert list(rows) == ["a"]
    manifest.write(tmp_path, rows)
    manifest.append(tmp_path, {"file": "c"})
    assert list(manifest.read(tmp_path)) == ["a", "c"]


def test_foreign_lines_are_ignored(tmp_path: Path):
    (tmp_path / manifest.NAME).write_text('[]\n3\n{"x": 1}\n{"file": 3}\n\n')
    assert manifest.read(tmp_path) == {}


def test_a_row_whose_gates_do_not_say_what_they_decided_is_left_out(tmp_path: Path):
    for name, gate in {"a": {"rule": "quota", "steered": True}, "b": {"steered": True}, "c": {"rule": "quota"}}.items():
        manifest.append(tmp_path, {"file": name, "gates": {"gender": gate}})
    assert list(manifest.read(tmp_path)) == ["a"]


def test_pages_are_shown_whole_rows_and_the_file_stays_as_it_is(tmp_path: Path):
    manifest.append(tmp_path, {"file": "a", "seed": 3})
    assert manifest.shown(tmp_path)["a"] == {
        **{"file": "a", "seed": 3, "prompt": "", "prompt_index": 0, "image_index": 0, "sha256": ""},
        **{"method": "", "prompt_id": "", "group": ""},
    }
    assert manifest.read(tmp_path) == {"a": {"file": "a", "seed": 3}}


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for where in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(OutputError, match="cannot be written"):
            manifest.writable(where)
    manifest.writable(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    (tmp_path / manifest.NAME).mkdir()
    with pytest.raises(OutputError):
        manifest.read(tmp_path)
    with pytest.raises(OutputError):
        manifest.append(tmp_path, {})


def test_rows_of_version_0_1_are_read_under_the_names_of_today(tmp_path: Path):
    effect = [{"name": "woman", "strength": 1.0}]
    window = {"branch": "conditional", "start": 0.0, "stop": 1.0}
    replaced = {"method": "replaced", **window, "insist": False, "directions": effect}
    replaced["in the place of"] = {"gender": {"held": effect}}
    kept_out = {"method": "safe", "combine": "removed", **window, "categories": {"told": effect}, "spare": []}
    together = {"method": "composed", "parts": [kept_out, {"method": "safe", "combine": "aligned"}]}
    feedback = {"method": "held", **window, "held": {"gender": "0123"}}
    row = {"file": "a", "prompt": "a judge of any gender", "told": "a judge"}
    manifest.append(tmp_path, row | {"interventions": [replaced, together, feedback]})
    projected, composed, feedback = manifest.read(tmp_path)["a"]["interventions"]
    assert manifest.read(tmp_path)["a"]["rewritten_prompt"] == "a judge"
    assert projected["method"] == "project-and-set" and projected["attributes"] == {"gender": {"held": effect}}
    erase, nearest = composed["parts"]
    assert (erase["combine"], erase["retain"], nearest["combine"]) == ("erase", [], "nearest")
    assert erase["categories"] == {"told": effect}
    assert feedback == {"method": "feedback", **window, "feedback": {"gender": "0123"}}
