"""Whatever stands in a file, reading it ends in a result or in one sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from directrix.directions import published, serialization
from directrix.directions.direction import Direction
from directrix.discovery.checkpoint import Checkpoint
from directrix.experiments.tables import tables
from directrix.generation import manifest
from directrix.interventions import guider_files
from directrix.interventions.probe import METADATA_KEY, Probe
from directrix.measurement import benchmarks
from directrix.measurement.evaluation import images as evaluated
from directrix.measurement.evaluation import judgements
from directrix.measurement.judges import huggingface, q16
from directrix.measurement.reports.page import report
from directrix.policies.policy import Policy
from directrix.policies.wording import phrase_file
from directrix.policies.wording.phrases import Phrases
from directrix.policies.wording.understand import understand
from directrix.reading import images, model_folders
from fuzz import hostile
from fuzz.full_header import MODEL, SITE, affine, full_header, show
from fuzz.limits import cases, ends_well

RESULTS = Path(__file__).parents[2] / "results"
DRAWN = {"file": "a.png", "prompt": "a judge", "prompt_index": 0, "image_index": 0, "seed": 0, "sha256": "0" * 64}
DRAWN |= {"method": "unsteered", "prompt_id": "0", "interventions": [{"method": "safe", "parts": []}]}
DRAWN |= {"gates": {"gender": {"rule": "quota", "steered": True, "word": ""}}, "group": "a judge"}


class Reader(NamedTuple):
    """What reads a file: the file's name in an empty folder, contents for it, and the call."""

    file: str
    contents: st.SearchStrategy[bytes]
    read: Callable[[Path], Any]
    number: int = 100


def _probe() -> tuple[dict[str, Any], dict[str, Any]]:
    tensors = {"timesteps": torch.tensor([2.0, 1.0]), "centres": torch.zeros(2, 2)}
    tensors |= {"weights": torch.zeros(2, 2, 2), "class_means": torch.zeros(2, 2, 2)}
    content = {"format": 1, "library": "0", "attribute": "gender", "categories": ["woman", "man"], "shape": [2]}
    return tensors, content | {"site": asdict(SITE), "model": asdict(MODEL), "provenance": {}}


def _report(path: Path) -> None:
    page = report(path.parent)
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text and '"><b>' not in text


def _manifest(path: Path) -> None:
    rows = manifest.read(path.parent)
    assert all((path.parent / name).resolve().is_relative_to(path.parent.resolve()) for name in rows)
    manifest.write(path.parent, rows)
    assert manifest.read(path.parent) == rows


def _phrases(path: Path) -> None:
    understand("a judge of any gender, no clowns", Phrases(phrase_file.load(path)))


def _torch(document: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(document, buffer)
    return buffer.getvalue()


def _import(path: Path) -> None:
    (path.parent / published.CONCEPTS).write_text('{"woman": 0}')
    published.import_published(path)


def _concepts(path: Path) -> None:
    published._columns(path, 2)


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((2, 8)))
    return buffer.getvalue()


def _features() -> bytes:
    return judgements._features_file({"0" * 64: np.ones(4, np.float32)})


def _index(path: Path) -> None:
    for part in ("scheduler", "unet"):
        (path.parent / part).mkdir(exist_ok=True)
    model_folders.check_folder(path.parent, "m")


def _config(path: Path) -> None:
    model_folders.check_folder(path.parent, "m")


def _benchmark(path: Path) -> None:
    if path.suffix == ".yaml":
        (path.parent / "prompts.csv").write_text("id,prompt,expected\n1,a judge,female\n")
    else:
        (path.parent / "benchmark.yaml").write_text(json.dumps(BENCHMARK))
    found = benchmarks.load(path.parent)
    found.as_dict()
    ends_well(lambda: found.part(limit=1).measuring(["fairness"]))


def _tables(path: Path) -> None:
    (path.parent / "wording.md").write_text("<!-- table wording: x -->\n<!-- end of table -->\n")
    (path.parent / "README.md").write_text("<!-- table demo: x -->\n<!-- end of table -->\n")
    tables([path.parent / "README.md"], path.parent)


def _guider(path: Path) -> None:
    from directrix.reading import json_text
    from directrix.reading.source import Source

    found = json_text.read(Source(path))
    if isinstance(found, dict):
        guider_files.loaded(found, path.parent, "", None, None)


def _policy(path: Path) -> None:
    if not (path.parent / "directions").exists():
        for name in ("woman", "man", "weapon"):
            Direction(name, torch.ones(2), SITE, MODEL).save(path.parent / "directions" / f"{name}.safetensors")
    Policy.load(path).lines()


POLICY = {
    "directions": ["directions"],
    "strengths": {"woman": 1.0},
    "attributes": {"gender": {"female": "woman", "male": {"man": 0.5}}},
    "fair": {"gender": {"female": 0.5, "male": 0.5}},
    "safe": {"always": ["weapon"], "categories": {"weapon": ["weapon"]}, "combine": "nearest", "retain": ["man"]},
    "enhance": {"rewrite": True},
    "steer": {"branch": "conditional", "start": 0.0, "stop": 1.0},
}
BENCHMARK = {
    **{"name": "mine", "version": "1", "licence": "MIT", "description": "d", "measures": ["fairness", "obedience"]},
    **{"data": "prompts.csv", "columns": {"prompt": ["prompt"]}, "expected": {"gender": "expected"}, "images": 2},
    **{
        "fair": {"gender": {"female": 0.5, "male": 0.5}},
        "joint": [],
        "harm": {"w": {"attribute": "i", "labels": ["g"]}},
    },
    **{"even_within": 0.25, "judge": "emoji", "clip": {"gender": {"female": "a woman", "male": ["a man"]}}},
}
PHRASES = {
    "balance": {
        "gender": {"phrases": ["any gender"], "named": ["gender"], "kinds": [{"female": ["woman"], "male": "man"}]}
    },
    "absent": {"clown": {"objects": [{"phrase": "clown[s]", "near": ["circus"]}], "acts": ["clowning"]}},
    "cues": {"negation": {"nouns": ["no"], "around": [{"phrase": "leave ... out"}]}, "openness": {"strong": ["any"]}},
    "lookalikes": ["clownfish"],
    "spellings": {"colour": "color"},
}
DEMO = json.loads((RESULTS / "demo.json").read_text(encoding="utf-8"))
HARM = json.loads((RESULTS / "emoji-harm.json").read_text(encoding="utf-8"))
WORDING = json.loads((RESULTS / "wording.json").read_text(encoding="utf-8"))
GUIDER = {
    **{"_class_name": "Steered", "branch": "conditional", "start": 0.0, "stop": 1.0, "directions": []},
    "guider": {"_class_name": "ClassifierFreeGuidance", "guidance_scale": 7.5},
}
VERDICTS = [{"sha256": "0" * 64, "verdicts": {"gender": ["female", 0.9, None]}}]
INDEX = {"_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"], "unet": ["e", "E"]}
INDEX |= {"safety_checker": [None, None]}
LABELS = {"attributes": {"gender": {"female": ["a woman"], "male": "a man"}}, "threshold": 0.5}

READERS = {
    "policy": Reader("policy.yaml", hostile.as_yaml(POLICY), _policy, 300),
    "phrases": Reader("phrases.yaml", hostile.as_yaml(PHRASES), _phrases, 200),
    "benchmark": Reader("benchmark.yaml", hostile.as_yaml(BENCHMARK), _benchmark, 200),
    "prompts": Reader("prompts.csv", hostile.mangled("id,prompt,expected\n1,a judge,female\n2,x,\n"), _benchmark),
    "labels": Reader("labels.yaml", hostile.as_yaml(LABELS), huggingface._read),
    "direction": Reader(
        "woman.safetensors",
        hostile.as_safetensors({"direction": torch.ones(2)}, serialization.METADATA_KEY, full_header()),
        show,
        300,
    ),
    "affine direction": Reader(
        "woman.safetensors", hostile.as_safetensors(affine()[0], serialization.METADATA_KEY, affine()[1]), show, 150
    ),
    "probe": Reader("gender.probe", hostile.as_safetensors(_probe()[0], METADATA_KEY, _probe()[1]), Probe.load, 150),
    "checkpoint": Reader(
        "fit.safetensors",
        hostile.as_safetensors({"a": torch.ones(2)}, "directrix", {"step": 3}),
        lambda path: Checkpoint(path.parent, {"seed": 0}).load("fit"),
    ),
    "settings": Reader(
        "settings.json", hostile.as_json({"seed": 0, "concept": {}}), lambda path: Checkpoint(path.parent, {"seed": 0})
    ),
    "manifest": Reader("manifest.jsonl", hostile.as_json_lines([DRAWN, DRAWN]), _manifest, 200),
    "run": Reader(
        "run.json",
        hostile.as_json({"benchmark": "mine", "version": "1"}),
        lambda path: evaluated.known_folder(path.parent, benchmarks.Benchmark("mine", "1", "", "", (), ())),
    ),
    "verdicts": Reader("v.jsonl", hostile.as_json_lines(VERDICTS), judgements._read_verdicts),
    "features": Reader("f.npz", hostile.flipped(_features()), judgements._read_features),
    "published": Reader("unet.pth", hostile.flipped(_torch({"c": torch.ones(4, 1)})), _import),
    "concepts": Reader("concept_dict.json", hostile.as_json({"woman": 0, "man": 1}), _concepts),
    "q16, torch": Reader("p.pt", hostile.flipped(_torch(torch.ones(2, 8))), q16._read),
    "q16, numpy": Reader("p.npy", hostile.flipped(_npy()), q16._read),
    "image": Reader("a.png", hostile.flipped(_png()), images.read, 150),
    "index": Reader("model_index.json", hostile.as_json(INDEX), _index),
    "config": Reader("config.json", hostile.as_json({"layers_per_block": 2, "block_out_channels": [32]}), _config),
    "guider": Reader("guider_config.json", hostile.as_json(GUIDER), _guider),
    "results": Reader("demo.json", hostile.as_json(DEMO), _tables),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("read")


@pytest.mark.parametrize("name", READERS)
def test_reading_ends_in_a_result_or_one_sentence(folder: Path, name: str):
    if name == "guider":
        pytest.importorskip("diffusers.guiders")
    reader = READERS[name]
    path = folder / name.replace(", ", "-") / reader.file
    path.parent.mkdir(exist_ok=True)

    @cases(reader.number)
    @given(content=reader.contents)
    def read(content: bytes) -> None:
        path.write_bytes(content)
        ends_well(lambda: reader.read(path))

    read()


@cases(40)
@given(content=st.one_of(hostile.as_json(DEMO), hostile.as_json(HARM)), rows=hostile.as_json_lines([DRAWN, DRAWN]))
def test_a_page_is_made_or_refused(folder: Path, content: bytes, rows: bytes):
    run = folder / "page"
    run.mkdir(exist_ok=True)
    (run / "a.png").write_bytes(_png())
    (run / "manifest.jsonl").write_bytes(rows)
    (run / "summary.json").write_bytes(content)
    ends_well(lambda: _report(run / "summary.json"))


@pytest.mark.parametrize("field", [each for each in DRAWN if each != "file"])
def test_a_page_is_made_of_rows_that_leave_something_out(tmp_path: Path, field: str):
    (tmp_path / "a.png").write_bytes(_png())
    row = {key: value for key, value in DRAWN.items() if key != field}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    (tmp_path / "summary.json").write_text(json.dumps(HARM))
    _report(tmp_path / "summary.json")


@cases(300)
@given(prompt=st.lists(st.one_of(st.sampled_from(hostile.TEXTS), st.text(max_size=20)), max_size=4).map(" ".join))
def test_every_prompt_is_understood(prompt: str):
    ends_well(lambda: understand(prompt))
