"""`directrix evaluate`, `benchmarks` and `report RUN`, and the benchmarks for real models end to end, all tiny."""

import csv
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from directrix.cli import main
from directrix.measurement.benchmarks import load
from directrix.measurement.evaluation import evaluate
from directrix.measurement.judges import Verdict
from directrix.measurement.judges.clip import ClipJudge


@pytest.fixture(scope="module")
def model(make_pipeline, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tokenizer_folder, tmp_path_factory, image_processor):
    """Folder of a random CLIP for 16 x 16 pixels, 8 features."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    towers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 24,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": 16, "patch_size": 8}
    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=towers | text, vision_config=towers | vision, projection_dim=8))
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.2)
    processor = image_processor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def run(model, clip, tmp_path, capsys):
    """Runs `directrix evaluate` with the tiny model and CLIP, and returns what it printed as JSON."""

    def start(benchmark, *more, judge=None):
        command = [
            "evaluate",
            benchmark,
            "--model",
            model,
            "--num-inference-steps",
            "1",
            "-o",
            tmp_path / "run",
            "--json",
            *more,
        ]
        command += ["--judge", judge or f"clip:{clip}"]
        code = main([str(part) for part in command])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else (code, said.err)

    return start


class Page(HTMLParser):
    """Collects what a page would load, and every opened tag that is closed."""

    def __init__(self):
        super().__init__()
        self.sources, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "link", "img", "line", "rect", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "rect"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_winobias_with_a_direction_and_the_page(run, make_direction, tmp_path, capsys):
    woman = tmp_path / "woman.safetensors"
    make_direction("woman").save(woman)
    methods = ["--method", "none", "--method", f"{woman}:0.5", "--method", f"strong <b>={woman}:3"]
    summary = run("winobias", *methods, "--limit", "4", "--images-per-prompt", "2")
    assert list(summary["methods"]) == ["none", "woman 0.5", "strong <b>"]
    assert summary["compared_to"] == "none"
    ours = summary["methods"]["strong <b>"]
    assert {"deviation_ratio_gender", "deviation_ratio_race", "deviation_ratio_gender_x_race", "psnr"} <= set(ours)
    judge = summary["provenance"]["judges"][0]
    assert judge["classes"]["race"]["Asian"] == ["an Asian person"] and judge["templates"]
    assert main(["report", str(tmp_path / "run")]) == 0
    path = tmp_path / "run" / "index.html"
    assert capsys.readouterr().out.strip() == str(path)
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not page.open
    # Nothing is loaded from elsewhere; links lead to what lies beside the page.
    assert page.sources and all(each.startswith("data:") or (path.parent / each).is_file() for each in page.sources)
    assert "<b>=" not in text and "strong &lt;b&gt;" in text
    words = " ".join(page.text)
    mean = ours["deviation_ratio_gender"]["mean"]
    assert f"{mean['value']:.2f}" in words and "analyst" in words and judge["judge"] in words
    assert text.count("<img") == 4 * 3 * 2
    # Pictures that were removed since do not keep the figures from being read.
    next((tmp_path / "run" / "pictures" / "none").glob("*.png")).unlink()
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "page.html"), "--json"]) == 0
    assert "not there any more" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_policy_is_a_method(run, make_direction, tmp_path):
    (tmp_path / "directions").mkdir()
    for seed, name in enumerate(("woman", "man")):
        make_direction(name, seed).save(tmp_path / "directions" / f"{name}.safetensors")
    (tmp_path / "fair.yaml").write_text("directions: [directions/]\nfair: {gender: uniform}\n")
    summary = run(
        "winobias", "--method", "none", "--method", tmp_path / "fair.yaml", "--limit", "2", "--images-per-prompt", "4"
    )
    assert list(summary["methods"]) == ["none", "fair"]
    lines = (tmp_path / "run" / "manifest.jsonl").read_text().splitlines()
    assigned = [row["assigned"]["gender"] for row in map(json.loads, lines) if row["method"] == "fair"]
    assert sorted(assigned) == ["man"] * 4 + ["woman"] * 4
    assert summary["provenance"]["methods"]["fair"][0]


def test_coco_against_a_folder_of_pictures(run, tmp_path):
    table = tmp_path / "captions.csv"
    table.write_text("id,caption\n" + "".join(f"{i},a cat on mat {i}\n" for i in range(4)))
    reference = tmp_path / "real"
    reference.mkdir()
    for shade in range(5):
        Image.new("RGB", (20, 16), (40 * shade, 80, 200 - 30 * shade)).save(reference / f"{shade}.png")
    summary = run("coco", "--data", table, "--reference", reference, "--images-per-prompt", "2")
    ours = summary["methods"]["none"]
    assert ours["fid"]["value"] > 0 and ours["fid"]["low"] <= ours["fid"]["value"] <= ours["fid"]["high"]
    assert {"kid", "clip_score"} <= set(ours)
    assert set(ours["clip_score"]["by_prompt"]) == {"0", "1", "2", "3"}
    assert summary["provenance"]["reference"] == {"source": reference.name, "pictures": 5}
    assert summary["not_measured"] == {}


class Detector:
    """Stands in for NudeNet: sees something in every second picture."""

    name = "detector"
    config = {"judge": "detector", "threshold": 0.2}  # noqa: RUF012

    def label(self, images):
        return [
            {"nudity@0.2": Verdict("nude" if sum(image.getpixel((0, 0))) % 2 else "clean", 0.5)} for image in images
        ]


def i2p(tmp_path):
    table = tmp_path / "i2p.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "categories", "sd_seed"])
        writer.writerows([[f"scene {i}", ("hate", "sexual, shocking")[i % 2], i] for i in range(6)])
    return table


def test_i2p_by_category(pipeline, tmp_path):
    benchmark = load("i2p", i2p(tmp_path))
    summary = evaluate(
        pipeline, benchmark, {"none": ()}, [Detector()], 2, folder=tmp_path / "run", num_inference_steps=1
    )
    ours = summary["methods"]["none"]
    assert set(ours["inappropriate_any"]["by_group"]) == {"hate", "sexual", "shocking"}
    assert ours["inappropriate_nudity"]["mean"]["n"] == 12
    assert summary["not_measured"]["q16"] == "no judge knows it"


def test_i2p_with_the_real_nudenet(run, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("nudenet")
    summary = run("i2p", "--data", i2p(tmp_path), "--limit", "2", judge="nudenet")
    assert summary["methods"]["none"]["inappropriate_nudity"]["mean"]["n"] == 2
    assert summary["provenance"]["judges"][0]["thresholds"] == [0.2]


def test_the_first_judge_that_knows_an_attribute_gives_it(pipeline, clip, tmp_path):
    class Sure:
        name = "sure"
        config = {"judge": "sure"}  # noqa: RUF012

        def label(self, images):
            return [{"gender": Verdict("male", 1.0)} for _ in images]

    benchmark = load("winobias").part(limit=2)
    judges = [Sure(), ClipJudge.load(clip, benchmark.clip)]
    summary = evaluate(pipeline, benchmark, {"none": ()}, judges, folder=tmp_path, num_inference_steps=1)
    counts = summary["counts"]["none"]
    assert {row["male"] for kind in counts["gender"].values() for row in kind.values()} == {1}
    assert set(counts) == {"gender", "race", "gender_x_race"}


def test_the_table_for_people(model, clip, tmp_path, capsys):
    command = [
        "evaluate",
        "winobias",
        "--model",
        model,
        "--judge",
        f"clip:{clip}",
        "--limit",
        "2",
        "--num-inference-steps",
        "1",
    ]
    assert main([str(part) for part in [*command, "-o", tmp_path / "run"]]) == 0
    said = capsys.readouterr().out
    assert re.search(r"deviation_ratio_gender +\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", said)
    assert str(tmp_path / "run" / "summary.json") in said


def test_benchmarks_are_listed(capsys):
    assert main(["benchmarks"]) == 0
    assert "200 prompts x 10 images (100 plain, 100 successful)" in capsys.readouterr().out
    assert main(["benchmarks", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)["benchmarks"]}
    assert listed["winobias"]["prompts"] == 360 and listed["i2p"]["prompts"] == 0


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["evaluate", "winobia", "-o", "run"], "did you mean 'winobias'"),
        (["evaluate", "i2p", "-o", "run"], "--data"),
        (["evaluate", "winobias", "--kind", "plane", "-o", "run"], "did you mean 'plain'"),
        (["evaluate", "winobias", "--method", "fair", "-o", "run"], "There is no method 'fair'"),
        (["evaluate", "winobias", "--method", "x.safetensors", "-o", "run"], "x.safetensors"),
        (["evaluate", "winobias", "--method", "none", "--method", "none", "-o", "run"], "Two methods"),
        (["evaluate", "winobias", "--judge", "clips", "-o", "run"], "did you mean 'clip'"),
        (["report", "nowhere"], "directrix evaluate"),
        (["report", "nowhere", "--check"], "go with 'tables'"),
        (["report", "nowhere", "more"], "go with 'tables'"),
        (["report", "tables", "-o", "x"], "goes with a run"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(command, part, capsys, tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    if command[0] == "evaluate":
        command = [*command, "--model", str(model)]
    assert main(command) == 2
    said = capsys.readouterr()
    assert part in said.err and said.out == "" and "Traceback" not in said.err
