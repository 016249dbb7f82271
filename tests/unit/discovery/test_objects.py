from __future__ import annotations

import pytest

from directrix import discover, discover_objects
from directrix.cli import main
from directrix.directions.direction import Direction
from directrix.discovery import Sampling
from directrix.discovery.objects import object_concepts
from directrix.errors import ConceptError

QUICK = {"sampling": Sampling(3, num_inference_steps=2)}


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


def test_an_object_is_a_subject_with_it_against_the_subject_alone():
    knife, wine = object_concepts(["a knife", "wine"], ["a judge"])
    assert (knife.name, wine.name) == ("knife", "wine")
    assert [(pair.target, pair.neutral) for pair in knife.pairs] == [
        ("a person with a knife", "a person"),
        ("a judge with a knife", "a judge"),
    ]
    assert wine.pairs[1].target == "a judge with wine"


@pytest.mark.parametrize(
    ("objects", "message"), [(["a "], "is empty"), (["a knife", "the knife"], "are called 'knife'")]
)
def test_unusable_objects(objects, message):
    with pytest.raises(ConceptError, match=message):
        object_concepts(objects)


def test_objects_of_one_run_are_those_found_one_by_one(pipeline):
    knife, wine = discover_objects(pipeline, ["a knife", "a glass of red wine"], subjects=["a judge"], **QUICK)
    assert (knife.name, wine.name) == ("knife", "glass of red wine")
    alone = discover(pipeline, object_concepts(["a glass of red wine"], ["a judge"])[0], **QUICK)
    assert wine.cosine(alone) == pytest.approx(1, abs=1e-5)
    assert knife.cosine(wine) < 0.99


def test_the_command_writes_a_file_for_each_object(model, tmp_path, capsys):
    folder = tmp_path / "objects"
    command = ["discover", "--model", str(model), "--training-images", "3", "--no-calibration", "-o", str(folder)]
    assert main([*command, "--object", "a knife", "--object", "a book", "--json"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["book.safetensors", "knife.safetensors"]
    knife = Direction.load(folder / "knife.safetensors")
    assert "--object 'a knife' --object 'a book'" in knife.recipe["command"]
    capsys.readouterr()
    for wrong, message in (
        (["--neutral", "a person"], "'--neutral' was given together with '--object'"),
        (["--attribute", "gender"], "'--object' was given together with '--attribute'"),
        (["--compensate", str(folder)], "single concept or for objects"),
    ):
        assert main([*command, "--object", "a knife", *wrong]) == 2
        assert message in capsys.readouterr().err
