"""The card of a direction: its figures, its page and its picture, and the verb that writes them."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageColor

import directrix
from directrix import models
from directrix.cli import main
from directrix.directions import card as card_module
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import ConceptError, DirectrixError, MismatchError
from directrix.generation.generate import generate
from directrix.interventions.steering import steer
from directrix.measurement.calibration import target
from directrix.measurement.judges import Verdict
from directrix.measurement.metrics import Interval
from directrix.measurement.reports import direction_card as cards
from directrix.measurement.reports import direction_card_image

PROMPTS = ["a pilot", "a cook | `x`", "a judge"]
SEED, STEPS, EACH = 5, 2, 2
AIM = TargetLabel("light", "bright")
COMMAND = "directrix discover --name woman --target 'a woman' --neutral 'a person' -o woman.safetensors"
CONCEPT = {"name": "woman", "pairs": [{"target": "a woman", "neutral": "a person", "negative": None}]}


class Judge:
    """Compares what it measures in a picture with what it is at the middle of some pictures."""

    name = "pixel_judge"

    def __init__(self, images):
        self.middle = np.median([self.measures(image) for image in images], axis=0)
        self.seen = 0

    @staticmethod
    def measures(image):
        values = np.asarray(image.convert("RGB"), dtype=float)
        return [values.mean(), (values[..., 0] - values[..., 2]).mean(), values.std()]

    def label(self, images):
        self.seen += len(images)
        return [self.verdict(image) for image in images]

    def verdict(self, image):
        light, warmth, contrast = np.array(self.measures(image)) - self.middle
        return {
            "light": Verdict("bright" if light > 0 else "dim", 1.0),
            "subject": Verdict("warm" if warmth > 0 else "cold", 1.0),
            "contrast": Verdict("strong", 1.0) if contrast > 0 else Verdict(None, 0.2, "unsure"),
        }


def drawn(pipeline, direction=None, strength=0.0):
    """The pictures, drawn without a Trial."""
    settings = {"seed": SEED, "num_inference_steps": STEPS}
    if direction is None:
        return [record.image for record in generate(pipeline, PROMPTS, EACH, **settings)]
    with steer(pipeline, {direction: strength}):
        return [record.image for record in generate(pipeline, PROMPTS, EACH, **settings)]


@pytest.fixture(scope="module")
def plain(pipeline):
    return drawn(pipeline)


@pytest.fixture(scope="module")
def direction(make_direction):
    """A direction by hand: what it says of its discovery is made up."""
    recipe = {
        "method": "difference",
        "images": 48,
        "seed": 0,
        "concept": CONCEPT,
        "learned_together": ["woman", "man"],
        "seconds": {"collecting": 3.25, "fitting": 0.5},
        "denoiser_evaluations": {"collecting": 1920, "forward": 0, "forward_backward": 0},
        "loss": {"first": None, "last": None, "curve": []},
        "command": COMMAND,
    }
    provenance = {"calibration": {"aim": {"attribute": "light", "label": "bright", "present": True}}}
    return make_direction(scale=30.0).with_(recipe=recipe, provenance=provenance)


@pytest.fixture(scope="module")
def card(pipeline, direction, plain):
    return cards.measure(
        pipeline, direction, Judge(plain), prompts=PROMPTS, images_per_prompt=EACH, num_inference_steps=STEPS, seed=SEED
    )


def row(card, strength):
    return next(each for each in card["strengths"] if each["strength"] == strength)


def test_figures_are_those_of_an_independent_computation(card, pipeline, direction, plain):
    assert [each["strength"] for each in card["strengths"]] == list(cards.STRENGTHS)
    judge = Judge(plain)
    before = judge.label(plain)
    for strength in (-1.0, 0.5, 1.0):
        images = drawn(pipeline, direction, strength)
        after = judge.label(images)
        found = row(card, strength)
        assert found["effect"]["n"] == found["subject_retained"]["n"] == 6
        shown = sum(verdict["light"].label == "bright" for verdict in after)
        assert found["effect"]["value"] == pytest.approx(shown / 6, abs=1e-4)
        retained = sum(a["subject"].label == b["subject"].label for a, b in zip(before, after, strict=True))
        assert found["subject_retained"]["value"] == pytest.approx(retained / 6, abs=1e-4)
        stacks = [np.stack([np.asarray(image) / 255 for image in side]) for side in (plain, images)]
        distance = np.sqrt(((stacks[0] - stacks[1]) ** 2).mean(axis=(1, 2, 3))).mean()
        assert 0.001 < distance == pytest.approx(found["distance"], abs=1e-4)
        for attribute in ("light", "subject", "contrast"):
            counts = Counter(verdict[attribute].label for verdict in after)
            del counts[None]
            shares = {label: count / 6 for label, count in counts.items()}
            assert found["shares"][attribute] == pytest.approx(shares, abs=1e-4)


def test_unsteered_pictures_are_at_no_distance(card):
    found = row(card, 0.0)
    assert found["distance"] == 0.0
    assert found["subject_retained"]["value"] == 1.0
    # Half of the pictures are above the middle.
    assert found["effect"]["value"] == 0.5


def test_leakage_is_the_change_of_every_other_label(card):
    before, after = row(card, 0.0)["shares"], row(card, 1.0)["shares"]
    assert set(card["leakage"]) == {"subject", "contrast"}
    for attribute, labels in card["leakage"].items():
        assert set(labels) == {*before[attribute], *after[attribute]}
        for label, change in labels.items():
            expected = after[attribute].get(label, 0.0) - before[attribute].get(label, 0.0)
            assert change["value"] == pytest.approx(expected, abs=2e-4)
            assert -1 <= change["low"] <= change["value"] <= change["high"] <= 1
            assert change["n"] == 6


def verdicts(*labels):
    return [{"tone": Verdict(label, 1.0), "gender": Verdict("female", 1.0)} for label in labels]


def test_leakage_pairs_the_seeds():
    before = verdicts(*["dark"] * 10, *["light"] * 10)
    found = cards.leakage(before, verdicts(*["dark"] * 10, *["light"] * 4, *[None] * 6), "gender")
    assert set(found) == {"tone"}
    assert found["tone"]["dark"] == (0.0, 0.0, 0.0, 20)
    light = found["tone"]["light"]
    assert (light.value, light.n) == (pytest.approx(-0.3), 20)
    # Unpaired, the interval would be half as wide again.
    assert light.low == pytest.approx(-0.5, abs=0.051) and light.high == pytest.approx(-0.1, abs=0.051)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([(0.1, 0.0, 0.3), (0.5, 0.3, 0.7), (0.9, 0.8, 1.0)], True),
        ([(0.1, 0.0, 0.3), (0.5, 0.3, 0.7), (0.45, 0.3, 0.6)], True),
        ([(0.5, 0.4, 0.6), (0.9, 0.8, 1.0), (0.6, 0.5, 0.7)], False),
        # Two falls within their intervals, one beyond them together.
        ([(0.6, 0.5, 0.7), (0.5, 0.4, 0.6), (0.4, 0.3, 0.5)], False),
    ],
)
def test_whether_the_effect_never_falls(effects, expected):
    assert cards.never_falls([Interval(*each, 20) for each in effects]) is expected


def test_the_card_is_json_and_says_where_it_comes_from(card, direction):
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert (card["name"], card["judge"], card["prompts"]) == ("woman", "pixel_judge", PROMPTS)
    assert (card["images_per_prompt"], card["num_inference_steps"], card["seed"]) == (EACH, STEPS, SEED)
    assert card["target_label"] == {"attribute": "light", "label": "bright", "present": True}
    assert card["cost"]["seconds"] == {"collecting": 3.25, "fitting": 0.5}
    assert card["cost"]["denoiser_evaluations"]["collecting"] == 1920
    assert card["cost"]["memory_mb"] is None
    assert card["command"] == COMMAND
    assert "loss" not in card["recipe"]


def test_a_stored_card_is_that_of_the_same_tensor(card, direction):
    carrying = direction.with_(provenance={"card": card})
    assert cards.stored(carrying.header) == {**card, "map": False}
    assert cards.stored(direction.header) is None
    assert cards.stored(carrying.with_(tensor=2 * direction.tensor).header) is None


def test_a_direction_of_another_model_is_refused_before_drawing(pipeline, other_pipeline, direction, plain):
    judge = Judge(plain)
    with pytest.raises(MismatchError, match="woman"):
        cards.measure(other_pipeline, direction, judge, target_label=AIM, prompts=PROMPTS)
    assert judge.seen == 0


def test_what_cannot_be_measured_is_refused(pipeline, direction, plain):
    with pytest.raises(ConceptError, match="which prompts"):
        cards.measure(pipeline, direction.with_(recipe={}), Judge(plain))
    with pytest.raises(DirectrixError, match="does not know the attribute 'gender'"):
        cards.measure(
            pipeline,
            direction,
            Judge(plain),
            target_label=TargetLabel("gender", "female"),
            prompts=["a pilot"],
            images_per_prompt=1,
            num_inference_steps=1,
        )


def test_subjects_are_not_kept_where_they_are_aimed_at(pipeline, direction, plain):
    found = cards.measure(
        pipeline,
        direction,
        Judge(plain),
        target_label=TargetLabel("subject", "warm", present=False),
        prompts=["a pilot"],
        images_per_prompt=1,
        strengths=(),
        num_inference_steps=1,
    )
    assert [each["strength"] for each in found["strengths"]] == [0.0, 1.0]
    assert [each["subject_retained"] for each in found["strengths"]] == [None, None]
    assert set(found["leakage"]) == {"light", "contrast"}
    text = cards.markdown(found)
    assert "| not judged |" in text and "keep their subject" not in cards.sentence(found)
    assert "subject is not warm" in text


def test_the_page_says_all_of_it(card):
    text = cards.markdown(card, "woman v1.safetensors", "woman v1.png")
    assert text.startswith("# woman: a direction for ")
    assert cards.sentence(card) in text
    for strength in card["strengths"]:
        assert f"\n| {strength['strength']:g} | {100 * strength['effect']['value']:.0f} % [" in text
    assert f"```sh\n{COMMAND}\ndirectrix card 'woman v1.safetensors' --again" in text
    assert "![" in text and "(<woman v1.png>)" in text
    assert 'directrix.Direction.load("woman v1.safetensors")' in text
    for words in ("collecting 1,920", "collecting 3.25", "| peak memory | not recorded |", "2 concepts in one run"):
        assert words in text
    assert "- method: difference" in text and "- `a woman`, next to `a person`" in text
    assert "| contrast | strong |" in text and "pixel\\_judge" in text
    for line in text.splitlines():
        assert line == line.rstrip()
    # Every row of a table has the cells of its head.
    for block in text.split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1


def test_the_page_needs_no_command_and_lists_the_largest_leaks(card):
    many = {f"label_{i}": {"value": i / 100, "low": 0.0, "high": 0.1, "n": 6} for i in range(8)}
    changed = {**card, "command": None, "leakage": {"contrast": many}, "monotone": False}
    text = cards.markdown(changed)
    assert "does not say with which command" in text
    assert "**The effect falls" in text
    assert "label\\_7" in text and "label\\_3" in text and "label\\_2" not in text
    assert "| contrast | 3 other labels |  |  | at most 2.0 either way |" in text
    assert "nothing can be said" in cards.markdown({**card, "leakage": {}})


def test_the_picture_shows_the_strip_and_the_curves(card, pipeline, direction, plain, tmp_path):
    strip = cards.strip(pipeline, direction, card)
    assert strip.strengths == (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
    assert [prompt for prompt, _ in strip.rows] == PROMPTS
    # The first picture of each prompt, as it was judged.
    for place, (_, images) in enumerate(strip.rows):
        assert not ImageChops.difference(images[3], plain[EACH * place]).getbbox()
        assert ImageChops.difference(images[5], plain[EACH * place]).getbbox()
    sheet = direction_card_image.picture(card, strip)
    sheet.save(tmp_path / "card.png")
    p = direction_card_image
    left, top = p.MARGIN + p.LABEL, p.MARGIN + p.TITLE + p.HEAD
    assert sheet.mode == "RGB"
    assert sheet.size == (
        left + 7 * 96 + 6 * p.GAP + p.MARGIN,
        top + 3 * (96 + p.GAP) + p.LEGEND + p.PLOT + p.TICKS + p.MARGIN,
    )
    # Sixteen pixels enlarged six times, each as hard as it was.
    shown = sheet.crop((left, top, left + 96, top + 96)).resize((16, 16), Image.Resampling.NEAREST)
    assert not ImageChops.difference(shown, strip.rows[0][1][0].convert("RGB")).getbbox()
    below = np.asarray(sheet.crop((left, top + 3 * (96 + p.GAP) + p.LEGEND, *sheet.size))).reshape(-1, 3)
    for colour in (p.EFFECT, p.RETAINED, p.BAND, p.LINE):
        assert (below == ImageColor.getrgb(colour)).all(axis=1).sum() > 50
    without = {**card, "strengths": [{**each, "subject_retained": None} for each in card["strengths"]]}
    pixels = np.asarray(direction_card_image.picture(without, strip)).reshape(-1, 3)
    assert not (pixels == ImageColor.getrgb(p.RETAINED)).all(axis=1).any()


@pytest.mark.parametrize(
    ("size", "shown"),
    [((64, 64), (128, 128)), ((16, 24), (96, 144)), ((512, 384), (192, 144)), ((128, 128), (128, 128))],
)
def test_pictures_are_shown_in_a_legible_size(size, shown):
    assert direction_card_image.cell(Image.new("RGBA", size)).size == shown
    assert direction_card_image.cell(Image.new("L", size)).mode == "RGB"


@pytest.fixture
def at_hand(monkeypatch, pipeline, plain):
    """The tiny model and the made-up judge in place of what the verb loads; counts how often it asks for them."""
    asked = Counter()
    facts = models.facts

    def load(*_, **__):
        asked["model"] += 1
        return pipeline

    def judge_for(*_, **__):
        asked["judge"] += 1
        return Judge(plain), None

    monkeypatch.setattr("directrix.load", load)
    monkeypatch.setattr(models, "facts", lambda each: with_few_steps(facts(each)))
    monkeypatch.setattr(target, "judge_for", judge_for)
    return asked


def with_few_steps(facts):
    """Two denoising steps in place of fifty."""
    from dataclasses import replace

    return replace(facts, num_inference_steps=STEPS)


@pytest.mark.slow
def test_the_verb_measures_once_and_keeps_the_figures(at_hand, direction, tmp_path, capsys):
    file, folder = tmp_path / "her.safetensors", tmp_path / "cards"
    direction.save(file)
    command = ["card", str(file), "-o", str(folder), "--model", "tiny"]
    assert main([*command, "--images-per-prompt", "2", "--seed", "7", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in folder.iterdir()) == ["her.md", "her.png"]
    retained = Direction.load(file)
    assert retained.provenance["card"] == data["card"]
    assert retained.provenance["calibration"] == direction.provenance["calibration"]
    assert retained.tensor.equal(direction.tensor) and retained.recipe == direction.recipe
    assert (data["card"]["seed"], data["card"]["images_per_prompt"]) == (7, 2)
    assert data["card"]["prompts"] == ["a person", "a photo of a person"]
    page = (folder / "her.md").read_text(encoding="utf-8")
    assert "(<her.png>)" in page and COMMAND in page
    assert at_hand == {"model": 1, "judge": 1}

    # All is there: neither model nor judge is asked again.
    whole, image = file.read_bytes(), (folder / "her.png").read_bytes()
    assert main(command) == 0
    said = capsys.readouterr()
    assert cards.sentence(data["card"]) in said.out and said.err == ""
    assert at_hand == {"model": 1, "judge": 1} and file.read_bytes() == whole

    # Only the strip is drawn again, with the same bits.
    (folder / "her.png").unlink()
    assert main([*command, "--seed", "8"]) == 0
    assert "measured with --seed 7; --again measures anew" in capsys.readouterr().err
    assert at_hand == {"model": 2, "judge": 1}
    assert (folder / "her.png").read_bytes() == image

    assert main([*command, "--again", "--images-per-prompt", "1"]) == 0
    assert at_hand == {"model": 3, "judge": 2}
    assert Direction.load(file).provenance["card"]["images_per_prompt"] == 1
    assert Direction.load(file).provenance["card"]["seed"] == 2000


@pytest.mark.slow
def test_the_verb_writes_beside_the_file_and_loads_its_model(at_hand, direction, tmp_path, monkeypatch, capsys):
    file = tmp_path / "her.safetensors"
    direction.save(file)
    load, names = directrix.load, []
    monkeypatch.setattr("directrix.load", lambda *given, **_: names.append(given[0]) or load(*given))
    command = ["card", str(file), "--images-per-prompt", "1"]
    assert main(command) == 2
    assert "not loaded unasked" in capsys.readouterr().err and not names
    assert main([*command, "--model", "tiny"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["her.md", "her.png", "her.safetensors"]
    assert main([*command, "--again", "--model", "other"]) == 0
    assert names == ["tiny", "other"]


def test_the_verb_refuses_what_is_no_direction(tmp_path, capsys):
    assert main(["card", str(tmp_path / "absent.safetensors")]) == 2
    said = capsys.readouterr()
    assert "absent.safetensors" in said.err and said.out == ""


def test_the_verb_has_help(capsys):
    assert main(["card", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--again" in said and "--json" in said and "the one that the file names" in " ".join(said.split())


def test_a_row_may_leave_out_the_subjects():
    share = {"value": 1.0, "low": 0.5, "high": 1.0, "n": 4}
    rows = [{"strength": strength, "effect": share, "distance": 0.0} for strength in (0.0, 1.0)]
    label = {"attribute": "gender", "label": "female"}
    said = card_module.sentence({"strengths": rows, "target_label": label})
    assert said.startswith("At strength 1.0") and "subject" not in said
