"""The paper's experiments end to end on a tiny random pipeline, and what a reproduction says of itself."""

import csv
import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from directrix.cli import main
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, InterruptedRun, MismatchError, OutputError
from directrix.experiments.paper import directions, prepare, protocol, reproduce
from directrix.experiments.paper.comparison import _of_judges, differences, mean_of_groups
from directrix.experiments.paper.table import table
from directrix.measurement import benchmarks
from directrix.measurement.benchmarks import Benchmark, Row
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.base import best
from directrix.measurement.judges.clip import ClipEncoder, ClipJudge
from directrix.measurement.metrics import deviation_ratio
from directrix.policies.wording.understand import understand

QUICK = {"images_of_discovery": 2, "steps_of_discovery": 1, "num_inference_steps": 1, "images": 1}
DISCOVERY = ("--training-images", "2", "--optimizer-steps", "1", "--num-inference-steps", "1")


class Eyes:
    """Stands in for NudeNet and Q16: what they see follows from the pixels."""

    def __init__(self, name, attribute, labels):
        self.name, self.attribute, self.labels = name, attribute, labels
        self.config = {"judge": name, "version": "3.0.8", "thresholds": [0.2], "boxes dropped up to": 0.25}

    def label(self, images):
        return [{self.attribute: Verdict(self.labels[sum(image.getpixel((0, 0))) % 2], 0.9)} for image in images]


NUDENET = Eyes("NudeNet", "nudity@0.2", ("nude", "clean"))
Q16 = Eyes("Q16", "q16", ("inappropriate", "appropriate"))


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(make_clip, tmp_path_factory):
    """Folder of a tiny CLIP."""
    folder = tmp_path_factory.mktemp("clip")
    for part in make_clip():
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def discoveries(monkeypatch):
    """Names of the concepts that are discovered, in order."""
    found = []
    real = directions.discover

    def counting(pipeline, concept, *more, **settings):
        found.append(concept.name)
        return real(pipeline, concept, *more, **settings)

    monkeypatch.setattr(directions, "discover", counting)
    return found


def clip_judge(make_clip, name):
    (benchmark,) = [each for each in benchmarks.shipped() if each.name == name]
    return ClipJudge(ClipEncoder(*make_clip(), checkpoint="somewhere/clip-vit-base-patch32"), benchmark.clip)


def i2p(folder):
    path = folder / "i2p.csv"
    groups = ["hate", "sexual, shocking", "violence", "self-harm, harassment", "illegal activity", "sexual"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "categories"])
        writer.writerows([[f"scene {place}", each] for place, each in enumerate(groups)])
    return path


def rows(result):
    return {row["name"]: row for row in result["rows"]}


def test_winobias_on_the_command_line_and_again(model, clip, tmp_path, capsys, discoveries):
    run = tmp_path / "run"
    command = [
        *("reproduce", "winobias", "--model", model, "--judge", f"clip:{clip}", "-o", run),
        *("--limit", "4", "-n", "2", *DISCOVERY),
    ]
    command = [str(part) for part in command]
    assert main(command) == 0
    said = capsys.readouterr()
    assert discoveries == ["woman", "man", "Black", "White", "Asian"]
    assert sorted(path.name for path in (run / "directions").iterdir()) == [
        *("asian.safetensors", "black.safetensors", "man.safetensors"),
        *("white.safetensors", "woman.safetensors"),
    ]
    assert not list((run / "discover").iterdir())
    assert "woman: drawing images" in said.err and "gender: drawing images" in said.err
    lines = said.out.splitlines()
    (paper,) = [line for line in lines if line.startswith("the paper (")]
    assert paper.split()[-5:] == ["0.17", "0.23", "0.23", "0.20", "[1]"]
    (ours,) = [line for line in lines if line.startswith("ours, unsteered")]
    assert ours.count(", ") == 5 and ours.endswith("[2]")
    assert any(line.startswith("[1] the comparison with RespoDiff (NeurIPS 2025") for line in lines)
    assert "[2] this run: tiny, 4 prompts x 2 pictures" in lines
    assert "- pictures to learn from of the discovery: 2; the paper: 1000" in lines
    assert "- 4 prompts; the paper: 360" in lines
    assert any("how many pictures of each prompt" in line for line in lines)
    assert lines[-1] == str(run / "reproduction.json")

    result = json.loads((run / "reproduction.json").read_text(encoding="utf-8"))
    assert (result["experiment"], result["same_as_paper"]) == ("winobias", False)
    assert set(result["columns"]) == {"Gender", "Gender+", "Race", "Race+"}
    steered = rows(result)["ours, each attribute balanced alone"]
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["methods"]) == ["none", "gender", "race", "gender projected", "race projected"]
    beyond = rows(result)["ours, project-and-set"]
    better = summary["methods"]["race projected"]["deviation_ratio_race"]
    assert beyond["figures"]["Race+"] == better["by_kind"]["successful"]["mean"]
    ratio = summary["methods"]["race"]["deviation_ratio_race"]
    assert steered["figures"]["Race+"] == ratio["by_kind"]["successful"]["mean"]
    assert steered["ours"] and not rows(result)["RespoDiff (NeurIPS 2025)"]["ours"]
    woman = result["settings"]["directions"][0]
    assert woman["name"] == "woman" and (run / woman["file"]).is_file()
    assert woman["recipe"]["method"] == "reconstruction" and woman["recipe"]["steps"] == 1
    assert result["settings"]["num_inference_steps"] == 1 and result["settings"]["guidance_scale"] == 7.5

    # Again: nothing is discovered or drawn, and the result is the same.
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert len(discoveries) == 5


def test_a_stopped_run_goes_on_and_other_settings_are_refused(
    pipeline, other_pipeline, make_clip, tmp_path, monkeypatch, discoveries
):
    judge = clip_judge(make_clip, "coco")
    table_of_captions = tmp_path / "captions.csv"
    table_of_captions.write_text("caption\na cat on a mat\na dog\na cup\n")
    settings = {"data": table_of_captions, "judges": [judge], **QUICK}
    save = Direction.save

    def stopping(direction, path):
        save(direction, path)
        if direction.name == "woman":
            raise KeyboardInterrupt

    @contextmanager
    def halfway(total, label):
        class Bar:
            def advance(self, n=1):
                if label.startswith("woman: fitting"):
                    raise KeyboardInterrupt

        yield Bar()

    with pytest.raises(InterruptedRun, match="fitting"):
        reproduce(pipeline, "coco", tmp_path / "run", progress=halfway, **settings)
    assert {path.name for path in (tmp_path / "run" / "discover" / "woman").glob("[!.]*")} == {
        *("settings.json", "latents-00000.safetensors", "fit.safetensors")
    }
    discoveries.clear()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Direction, "save", stopping)
        reproduce(pipeline, "coco", tmp_path / "run", **settings)
    reproduce(pipeline, "coco", tmp_path / "run", **settings)
    assert discoveries == ["woman", "man"]
    for other in ({"steps_of_discovery": 2}, {"seed": 1}, {"method": "distillation"}):
        with pytest.raises(MismatchError, match=next(iter(other)).removesuffix("_of_discovery")):
            reproduce(pipeline, "coco", tmp_path / "run", **{**settings, **other})
    with pytest.raises(MismatchError, match="model"):
        reproduce(other_pipeline, "coco", tmp_path / "run", **settings)
    assert discoveries == ["woman", "man"]


def test_coco_beside_published_figures_with_directions_of_ones_own(
    pipeline, make_clip, make_direction, other_pipeline, tmp_path, discoveries
):
    for seed, name in enumerate(("woman", "man")):
        make_direction(name, seed).save(tmp_path / "own" / f"{name}.safetensors")
    (tmp_path / "captions.csv").write_text("caption\n" + "".join(f"a cup {each}\n" for each in range(4)))
    (tmp_path / "real").mkdir()
    for shade in range(4):
        Image.new("RGB", (16, 16), (60 * shade, 80, 90)).save(tmp_path / "real" / f"{shade}.png")
    settings = {
        "data": tmp_path / "captions.csv",
        "reference": tmp_path / "real",
        "directions": tmp_path / "own",
        "judges": [clip_judge(make_clip, "coco")],
        "num_inference_steps": 1,
    }
    result = reproduce(pipeline, "coco", tmp_path / "run", **settings)
    assert discoveries == [] and not (tmp_path / "run" / "directions").exists()
    found = rows(result)
    assert found["the paper (Li et al.), gender vectors on"]["figures"] == {
        "FID": {"value": 23.6},
        "CLIP score": {"value": 29.9},
    }
    for name in ("ours, unsteered", "ours, gender directions on"):
        assert {"value", "low", "high", "n"} == set(found[name]["figures"]["FID"])
    assert any("Inception" in each for each in result["differences"])
    assert not any("with other seeds" in each for each in result["differences"])
    assert "how these directions were found is not known: woman, man" in result["differences"]
    assert [each["file"] for each in result["settings"]["directions"]] == [None, None]
    assert any(line.startswith("the paper (Li et al.), gender and race vectors on  ") for line in table(result))

    with pytest.raises(MismatchError, match="belongs to the model"):
        reproduce(other_pipeline, "coco", tmp_path / "other", **settings)
    assert not list((tmp_path / "other").rglob("*.png"))
    (tmp_path / "own" / "man.safetensors").unlink()
    with pytest.raises(DirectrixError, match="no direction 'man'"):
        prepare("coco", tmp_path / "run", **settings)


def test_i2p_is_not_comparable_without_q16(pipeline, tmp_path, discoveries):
    data = i2p(tmp_path)
    result = reproduce(pipeline, "i2p", tmp_path / "run", data=data, judges=[NUDENET], **QUICK)
    assert discoveries == ["no sexual content", "no violence"]
    assert any("not judged by Q16" in each and "not comparable" in each for each in result["differences"])
    found = rows(result)
    assert found["SLD"]["figures"] == {"mean of categories": {"value": 0.2}}
    ours = found["ours, safe"]["figures"]
    seven = ["hate", "harassment", "violence", "self-harm", "sexual", "shocking", "illegal activity"]
    assert set(ours) == {"mean of categories", *seven}
    mean = sum(ours[name]["value"] for name in seven) / 7
    assert ours["mean of categories"]["value"] == pytest.approx(mean, abs=1e-3)
    assert any(line.startswith("illegal activity ") for line in table(result))

    settings = QUICK | {"data": data, "judges": [NUDENET, Q16], "categories": ["sexual", "hate"]}
    with pytest.raises(OutputError, match="images of another run"):
        reproduce(pipeline, "i2p", tmp_path / "run", **settings)
    result = reproduce(pipeline, "i2p", tmp_path / "run", overwrite=True, **settings)
    assert discoveries[2:] == ["no hate"]
    assert not any("Q16" in each for each in result["differences"])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["provenance"]["methods"]["safe"][0]["parts"][0]["on"]) == {"no sexual content", "no hate"}


def test_i2p_with_the_real_nudenet(model, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("nudenet")
    command = ["reproduce", "i2p", "--data", i2p(tmp_path), "--model", model, "-o", tmp_path / "run"]
    command += ["--category", "violence", "--method", "difference", "--training-images", "1"]
    assert main([str(part) for part in [*command, "--num-inference-steps", "1", "--limit", "2", "--json"]]) == 0
    result = json.loads(capsys.readouterr().out)
    assert any(each.startswith("NudeNet, version 3.") for each in result["differences"])
    assert "method of the discovery: difference; the paper: reconstruction" in result["differences"]
    assert [each["name"] for each in result["settings"]["directions"]] == ["no violence"]


def test_enhance(pipeline, make_clip, tmp_path, discoveries):
    judges = [clip_judge(make_clip, "enhance"), NUDENET]
    settings = {**QUICK, "images": 3, "limit": 10}
    result = reproduce(pipeline, "enhance", tmp_path / "run", judges=judges, **settings)
    assert discoveries == ["woman", "man", "Black", "White", "Asian", "no sexual content", "no violence"]
    assert all(row["ours"] for row in result["rows"])
    text = table(result)
    assert "No published figure of enhance is known to us." in text
    figures = rows(result)["ours, enhanced"]["figures"]
    # Violence is for Q16 alone.
    assert result["not_measured"] == {"q16": "no judge knows it"}
    assert set(figures) == {"all", "gender", "race", "gender and race", "sexual content"}
    manifest = [json.loads(line) for line in (tmp_path / "run" / "manifest.jsonl").read_text().splitlines()]
    drawn = [row for row in manifest if row["method"] == "enhance"]
    by_kind = {row["kind"]: row for row in drawn}
    assert set(by_kind["race"]["assigned"]) == {"skin tone"}
    assert sorted(row["assigned"]["skin tone"] for row in drawn if row["kind"] == "race") == sorted(
        2 * ["Asian", "Black", "White"]
    )
    for kind, direction in (("violence", "no violence"), ("sexual content", "no sexual content")):
        (composed,) = by_kind[kind]["interventions"]
        assert [each["name"] for part in composed["parts"] for each in part["directions"]] == [direction]
        assert by_kind[kind]["prompt"] != by_kind[kind]["rewritten_prompt"]


def test_the_prompts_of_enhance_are_balanced_and_read():
    benchmark = benchmarks.load("enhance")
    assert len(benchmark.rows) == len(set(benchmark.prompts)) == 200
    assert benchmark.kinds == {
        **{"gender": 40, "race": 40, "gender and race": 20},
        **{"sexual content": 50, "violence": 50},
    }
    sizes = Counter(row.group for row in benchmark.rows)
    assert Counter(sizes.values()) == {5: 20, 2: 50}
    path = Path(benchmarks.__file__).parent / "enhance" / "prompts.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            read = understand(line["prompt"])
            switches = {f"{each.kind}:{each.name}" for each in read.switches}
            assert switches == set(line["expected"].split(";")), line
            assert read.unknown == () and read.rewritten, line


def test_published_figures_stand_in_columns_of_ours_with_a_source():
    for name, experiment in protocol.experiments().items():
        assert set(experiment.concepts) <= set(protocol._read("protocol")["concepts"])
        for each in experiment.concepts:
            assert protocol.concept(each).name == each
        for column in (*experiment.columns.values(), *experiment.details.values()):
            assert column.method in experiment.methods
        for row in protocol.published(name):
            assert set(row) == {"name", "source", "figures"} and row["source"]
            assert set(row["figures"]) <= set(experiment.columns)
    assert len(benchmarks.load("winobias").rows) == protocol.experiment("winobias").prompts
    assert len(benchmarks.load("enhance").rows) == protocol.experiment("enhance").prompts


def test_settings_of_the_paper_are_the_methods_own():
    from directrix.discovery.registry import METHODS
    from directrix.models import cards

    paper = protocol.paper()
    defaults = METHODS.get(paper.discovery["method"]).defaults
    card = cards()[paper.model]
    for key in ("images", "steps", "batch_size"):
        assert getattr(defaults, key) == paper.discovery[key]
    for key in ("num_inference_steps", "guidance_scale", "learning_rate"):
        assert card[key] == paper.discovery[key]


def test_what_is_judged_is_drawn_as_the_paper_draws_it(tmp_path, make_clip):
    from directrix.experiments.paper import prepare

    judges = [clip_judge(make_clip, "winobias")]
    ready = prepare("winobias", tmp_path / "paper", judges=judges)
    assert (ready.num_inference_steps, ready.discovery.num_inference_steps) == (50, 30)
    quick = prepare("winobias", tmp_path / "quick", judges=judges, num_inference_steps=7)
    assert (quick.num_inference_steps, quick.discovery.num_inference_steps) == (7, 7)


def test_the_papers_own_settings_have_no_differences(make_direction):
    paper, experiment = protocol.paper(), protocol.experiment("winobias")
    woman = make_direction("woman").with_(recipe=dict(paper.discovery))
    theirs = make_direction("woman").with_(recipe={"method": "published", "column": 1})
    judge = {"name": "CLIP zero-shot", **experiment.judged_by[0]}
    drawing = {"scheduler": "PNDMScheduler", "dtype": "float32", "num_inference_steps": 50}
    made = {
        "model": {"name": "stable-diffusion-v1-4"},
        "drawing": {**drawing, "guidance_scale": 7.5},
        "judges": [judge],
        "reference": None,
    }
    summary = {"prompts": 360, "provenance": made}
    assert differences(experiment, paper, summary, {"woman": theirs}) == []
    assert differences(experiment, paper, summary, {"woman": woman}) == []
    made["drawing"]["num_inference_steps"] = 30
    (said,) = differences(experiment, paper, summary, {"woman": theirs})
    assert said == "denoising steps of the pictures 30; the paper: 50"
    made["drawing"]["num_inference_steps"] = 50
    slow = woman.with_(recipe={**woman.recipe, "learning_rate": 0.01})
    long = woman.with_(recipe={key: value for key, value in woman.recipe.items() if key != "padding"})
    made["judges"] = [{**judge, "checkpoint": "elsewhere"}]
    made["model"] = {"name": "other"}
    assert differences(experiment, paper, summary, {"woman": long, "man": slow}) == [
        "the model is other; the paper: CompVis/stable-diffusion-v1-4",
        "learning rate of the discovery of man: 0.01; the paper: 0.1",
        "padding of the neutral prompts of the discovery of woman: model; the paper: longest",
        "CLIP zero-shot, checkpoint elsewhere; the paper: openai/clip-vit-base-patch32",
    ]


@pytest.mark.parametrize("wording", [str, str.upper, lambda name: name.replace("race", "-race")])
def test_directions_by_the_authors_names(make_direction, tmp_path, wording):
    names = ["female", "male", "whiterace", "blackrace", "asianrace", "antisexual", "antiviolence", "young"]
    for place, name in enumerate(names):
        make_direction(wording(name), seed=place).save(tmp_path / f"{place}.safetensors")
    experiment = protocol.experiment("enhance")
    found = directions.given(experiment.concepts, tmp_path)
    assert list(found) == [each.name for each in found.values()] == list(experiment.concepts)
    for place, each in zip([0, 1, 3, 2, 4, 5, 6], found.values(), strict=True):
        assert torch.equal(each.tensor, make_direction(seed=place).tensor)


def test_our_name_counts_before_the_authors(make_direction, tmp_path):
    for place, name in enumerate(["female", "woman"]):
        make_direction(name, seed=place).save(tmp_path / f"{place}.safetensors")
    found = directions.given(["woman"], tmp_path)["woman"]
    assert torch.equal(found.tensor, make_direction(seed=1).tensor)


@pytest.mark.parametrize(
    ("chances", "ratio"),
    [
        ([(0.6, 0.2, 0.2)] * 4 + [(0.3, 0.45, 0.25)] * 6, 0.5),
        ([(0.34, 0.33, 0.33)] * 10, 1.0),
        ([(0.4, 0.35, 0.25), (0.3, 0.4, 0.3), (0.3, 0.3, 0.4)], 0.0),
    ],
)
def test_the_papers_rule_leaves_no_image_unscored(clip, tmp_path, chances, ratio):
    """The largest of bare phrases decides."""
    ready = prepare("winobias", tmp_path / "run", judges=[f"clip:{clip}"])
    (judge,) = ready.judges
    assert judge.templates == ("{}",)
    assert judge.labels["gender"] == {"female": ["a woman"], "male": ["a man"]}
    assert judge.labels["race"]["Black"] == ["a black-race person"]
    found = [best(each, list(judge.labels["race"]), judge.sure).label for each in chances]
    assert deviation_ratio(Counter(found), list(judge.labels["race"])) == pytest.approx(ratio)


def test_what_nudenet_drops_is_a_difference():
    experiment = protocol.experiment("i2p")
    config = {**experiment.judged_by[0], "name": "NudeNet", "boxes dropped up to": 0.0}
    said = [each for each in _of_judges(experiment, [config]) if each.startswith("NudeNet")]
    assert said == ["NudeNet, boxes dropped up to 0; the paper: 0.25"]


def test_an_empty_prompt_of_i2p_is_drawn(pipeline, tmp_path):
    table = tmp_path / "i2p.csv"
    table.write_text("prompt,categories\na fight,violence\n,hate\n")
    result = reproduce(pipeline, "i2p", tmp_path / "run", data=table, judges=[NUDENET, Q16], **QUICK)
    assert result["settings"]["prompts"] == 2
    manifest = (tmp_path / "run" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in manifest] == ["a fight", ""] * 2


def test_the_mean_of_groups_counts_groups_alike_and_prompts_in_all_of_theirs():
    rows = [Row("a", "a", "hate"), Row("b", "b", "hate, sexual"), Row("c", "c", "sexual"), Row("d", "d", "x")]
    benchmark = Benchmark("b", "1", "CC0-1.0", "B.", tuple(rows), ("preservation",))
    shares = {"a": 1.0, "b": 0.0, "c": 0.5, "d": 1.0}
    by_prompt = {name: {"value": value, "n": 2} for name, value in shares.items()}
    # hate: 2 of 4; sexual: 1 of 4; shocking has no prompt.
    found = mean_of_groups(by_prompt, benchmark, ["hate", "sexual", "shocking"])
    assert found is not None and (found["value"], found["n"]) == (0.375, 6)
    assert 0 <= found["low"] <= 0.375 <= found["high"] <= 1
    assert mean_of_groups(by_prompt, benchmark, ["shocking"]) is None


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["winobia"], "did you mean 'winobias'"),
        (["i2p"], "--data"),
        (["coco"], "--data"),
        (["winobias", "--data", "x.csv"], "has its own prompts"),
        (["winobias", "--category", "hate"], "has no use for categories"),
        (["winobias", "--q16", "x.npy"], "has no use for Q16"),
        (["enhance", "--reference", "real"], "has no use for reference pictures"),
        (["winobias", "--method", "destillation"], "did you mean 'distillation'"),
        (["winobias", "--method", "difference", "--optimizer-steps", "3"], "closed form"),
        (["enhance", "--guidance-scale", "1"], "negative prompt does nothing"),
        (["winobias", "--directions", "nowhere"], "nowhere"),
        (["winobias", "--directions", "own", "--method", "difference"], "none is discovered"),
        (["winobias", "--judge", "clips"], "did you mean 'clip'"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(command, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("directrix.load", None)
    assert main(["reproduce", *command, "-o", "run"]) == 2
    said = capsys.readouterr()
    assert part in said.err and said.out == "" and "Traceback" not in said.err


def test_a_category_and_a_judge_that_do_not_fit(tmp_path, make_clip):
    data = i2p(tmp_path)
    with pytest.raises(DirectrixError, match="no category 'weapons'"):
        prepare("i2p", tmp_path / "run", data=data, categories=["weapons"], judges=[NUDENET])
    with pytest.raises(DirectrixError, match=r"asks for nudity@0\.2"):
        prepare("i2p", tmp_path / "run", data=data, judges=[clip_judge(make_clip, "winobias")])
    with pytest.raises(DirectrixError, match="images is 0"):
        prepare("i2p", tmp_path / "run", data=data, images=0, judges=[NUDENET])
