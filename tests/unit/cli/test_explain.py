"""`directrix explain`: what is understood of a prompt, as text and as JSON."""

from __future__ import annotations

import json

from directrix.cli import main


def test_every_phrase_is_shown_with_what_it_switches_on(capsys):
    assert main(["explain", "a diverse group of chefs, no knives or hats", "a pilot"]) == 0
    first, second = capsys.readouterr().out.strip().split("\n\n")
    lines = [" ".join(line.split()) for line in first.splitlines()]
    assert lines == [
        "a diverse group of chefs, no knives or hats",
        '"diverse" evens gender, evens skin tone',
        '"knives" keeps out weapon',
        '"hats" not understood, changes nothing',
        "fair gender group ('group'), left as it is",
        "fair skin tone group ('group'), left as it is",
        'the model is given "a group of chefs, no hats"',
    ]
    assert "no responsible wording" in second and '"a pilot"' in second


def test_json_has_the_places_of_the_phrases(capsys):
    prompt = "men and women without beer"
    assert main(["explain", prompt, "--json"]) == 0
    (data,) = json.loads(capsys.readouterr().out)["prompts"]
    assert data["prompt"] == prompt and data["rewritten_prompt"] == data["told"] == "people" and data["unknown"] == []
    assert [(each["kind"], each["name"]) for each in data["switches"]] == [("balance", "gender"), ("absent", "alcohol")]
    for each in data["switches"]:
        assert prompt[each["start"] : each["end"]] == each["phrase"]


def test_phrases_of_several_files_are_added(tmp_path, capsys):
    for name in ("clown", "mime"):
        (tmp_path / name).write_text(f"absent: {{{name}: {{things: [{name}]}}}}")
    files = ["--phrases", str(tmp_path / "clown"), "--phrases", str(tmp_path / "mime")]
    assert main(["explain", "no clowns or mimes", *files]) == 0
    assert "keeps out clown, keeps out mime" in capsys.readouterr().out


def test_mistakes_are_explained(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("absnt: {}")
    assert main(["explain", "a pilot", "--phrases", str(tmp_path / "bad.yaml")]) == 2
    assert "did you mean 'absent'" in capsys.readouterr().err
    assert main(["explain", "a pilot", "--reader", "none"]) == 2
    said = capsys.readouterr()
    assert "directrix explain: There is no reader 'none'." in said.err and said.out == ""


def test_a_list_of_prompts_is_scored_and_misread_ones_are_shown(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    rows = ["a pilot of any gender,balance:gender", "a quiet lake,", "a frobnicated judge,absent:weapon"]
    path.write_text("\n".join(["prompt,expected", *rows]), encoding="utf-8")
    assert main(["explain", "--score", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["precision"]["value"] == 1.0 and data["recall"]["value"] == 0.5 and data["silent"]["n"] == 1
    assert data["wrong"] == [{"prompt": "a frobnicated judge", "missed": ["absent:weapon"], "extra": []}]
    assert main(["explain", "--score", str(path)]) == 0
    assert "recall     0.500" in capsys.readouterr().out


def test_a_list_that_cannot_be_scored_is_refused(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    for text, word in (
        ("prompt\na judge", "expected"),
        ("prompt,expected\n", "no prompts"),
        ("prompt,expected\na judge,absent:wepon", "wepon"),
    ):
        path.write_text(text, encoding="utf-8")
        assert main(["explain", "--score", str(path)]) == 2
        assert word in capsys.readouterr().err
    assert main(["explain", "--score", str(tmp_path / "none.csv")]) == 2
    assert main(["explain", "a judge", "--score", str(path)]) == 2
    assert main(["explain"]) == 2
