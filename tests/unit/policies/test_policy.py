from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from directrix import Policy
from directrix.cli import main
from directrix.directions.direction import Direction
from directrix.errors import DirectrixError, PolicyError
from directrix.generation.generate import generate
from directrix.interventions.steering import Steering
from directrix.policies.enhance import Enhance
from directrix.policies.fair import Fair
from directrix.policies.policy import starter
from directrix.policies.safe import Safe

QUICK = {"num_inference_steps": 2, "guidance_scale": 5.0}
PHRASES = {
    "of any gender": ("balance", "gender"),
    "of any skin tone": ("balance", "skin tone"),
    "without a weapon": ("absent", "weapon"),
    "without tobacco": ("absent", "smoking"),
}


@dataclass(frozen=True)
class Switch:
    kind: str
    name: str
    phrase: str
    start: int
    end: int


@dataclass(frozen=True)
class Understanding:
    prompt: str
    switches: tuple[Switch, ...]
    unknown: tuple[str, ...] = ()

    @property
    def rewritten(self) -> str:
        text = self.prompt
        for each in self.switches:
            text = text.replace(" " + each.phrase, "")
        return text


def understand(prompt: str, phrases: Any = None) -> Understanding:
    """A grammar of four phrases, in place of the real one: what is tested here is what is done with its answer."""
    found = [
        Switch(*PHRASES[each], each, prompt.index(each), prompt.index(each) + len(each))
        for each in PHRASES
        if each in prompt
    ]
    return Understanding(prompt, tuple(found), tuple(re.findall("unbiased", prompt)))


@pytest.fixture(scope="module")
def directions(make_direction: Callable[..., Direction]) -> list[Direction]:
    """The genders, one skin tone, and an anti-concept."""
    pairs = [{"target": "a person", "neutral": "a person", "negative": "a weapon"}]
    unarmed = make_direction("unarmed", 3, scale=8.0).with_(recipe={"concept": {"name": "unarmed", "pairs": pairs}})
    people = [make_direction(name, seed, scale=8.0) for seed, name in enumerate(("woman", "man", "dark-skinned"))]
    return [*people, unarmed]


@pytest.fixture(scope="module")
def folder(directions: list[Direction], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `directions/` in it."""
    place = tmp_path_factory.mktemp("policies")
    for each in directions:
        each.save(place / "directions" / f"{each.name}.safetensors")
    return place


def pixels(record: Any) -> np.ndarray:
    return np.asarray(record.image).astype(int)


def names(record: Any) -> list[str]:
    """Directions that a picture got."""
    return sorted(re.findall(r'"name": "([^"]+)"', json.dumps(record.row["interventions"])))


def test_what_a_prompt_asks_for_is_done(pipeline: Any, directions: list[Direction], tmp_path: Path):
    prompts = ["a judge of any gender", "a cook", "a cook without a weapon"]
    enhance = Enhance(directions, understand=understand)
    records = generate(pipeline, prompts, 4, interventions=enhance, output=tmp_path, batch_size=5, **QUICK)
    plain = generate(pipeline, ["a judge", "a cook", "a cook"], 4, batch_size=5, **QUICK)
    assert Counter(each.row["assigned"]["gender"] for each in records[:4]) == {"woman": 2, "man": 2}
    assert all("assigned" not in each.row for each in records[4:])
    assert [each.row.get("rewritten_prompt") for each in records] == ["a judge"] * 4 + [None] * 4 + ["a cook"] * 4
    assert [each.prompt for each in records] == [prompt for prompt in prompts for _ in range(4)]
    assert [names(each) for each in records[4:]] == [[]] * 4 + [["unarmed"]] * 4
    same = [np.array_equal(pixels(a), pixels(b)) for a, b in zip(records, plain, strict=True)]
    assert same == [False] * 4 + [True] * 4 + [False] * 4
    # The last prompt's pictures are those of what the model was given.
    unarmed = Steering({directions[3]: 1.0})
    rewritten = generate(pipeline, ["a judge", "a cook", "a cook"], 4, interventions=unarmed, **QUICK)[8:]
    for a, b in zip(records[8:], rewritten, strict=True):
        assert np.abs(pixels(a) - pixels(b)).max() <= 1
    # The model being given another prompt makes another picture, even where nothing else differs.
    rewritten = generate(
        pipeline,
        prompts,
        4,
        interventions=Enhance(directions, rewrite=False, understand=understand),
        output=tmp_path,
        overwrite=True,
        **QUICK,
    )
    assert [each.drawn for each in rewritten] == [True] * 4 + [False] * 4 + [True] * 4


def test_what_no_direction_can_do_stays_and_is_reported(pipeline: Any, directions: list[Direction]):
    prompt = "an unbiased cook of any gender without tobacco of any skin tone"
    record = generate(pipeline, prompt, interventions=Enhance(directions, understand=understand), **QUICK)[0]
    assert record.row["rewritten_prompt"] == "an unbiased cook without tobacco of any skin tone"
    # Of the skin tones one direction is there, but not the others.
    assert record.row["unmet"] == ["skin tone", "smoking", "unbiased"]


def test_the_parts_of_a_policy(pipeline: Any, directions: list[Direction]):
    policy = Policy(
        Fair({"gender": {"woman": 0.75, "man": 0.25}}, directions),
        Safe(directions, categories={"weapon": "unarmed"}, on=()),
        Enhance(directions, understand=understand),
    )
    prompts = ["a judge of any gender", "a cook without a weapon"]
    records = generate(pipeline, prompts, 4, interventions=policy, **QUICK)
    # The target of `fair` wins over the words of a prompt, which the model is not given all the same.
    for prompt in prompts:
        given = Counter(each.row["assigned"]["gender"] for each in records if each.prompt == prompt)
        assert given == {"woman": 3, "man": 1}
    assert [each.row["rewritten_prompt"] for each in records[::4]] == ["a judge", "a cook"]
    assert all("unarmed" not in names(each) for each in records[:4])
    assert all("unarmed" in names(each) for each in records[4:])


def test_a_prompt_s_own_attribute_is_combined_with_the_policy_s(directions: list[Direction]):
    sets = {"glow": ["unarmed", "dark-skinned"]}
    policy = Policy(Fair({"glow": "uniform"}, directions, sets=sets), None, Enhance(directions, understand=understand))
    plan = policy.plan(["a judge of any gender", "a cook"], 4, 0)
    assert Counter((each["glow"], each["gender"]) for each in plan.assigned[:4]) == Counter(
        (glow, gender) for glow in sets["glow"] for gender in ("woman", "man")
    )
    assert all(set(each) == {"glow"} for each in plan.assigned[4:])


POLICY = """
directions: [directions/]
strengths: {woman: 0.5}
attributes:
  mood: {glad: woman, grave: {woman: -1.0}}
fair:
  gender: {woman: 0.5, man: 0.25, leave: 0.25}
safe:
  categories: {weapon: unarmed}
  combine: nearest
steer: {stop: 0.8}
"""


def test_a_file_and_the_command_line(
    pipeline: Any, folder: Path, directions: list[Direction], tmp_path: Path, capsys: Any
):
    (folder / "policy.yaml").write_text(POLICY)
    policy = Policy.load(folder / "policy.yaml")
    by_hand = Policy(
        Fair({"gender": {"woman": 0.5, "man": 0.25, None: 0.25}}, directions, strengths={"woman": 0.5}, stop=0.8),
        Safe(directions, "nearest", {"weapon": "unarmed"}, stop=0.8),
    )
    assert policy.config == by_hand.config
    assert main(["policy", str(folder / "policy.yaml")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Every prompt's images are spread over gender: woman 50.0%, man 25.0%, leave 25.0%.",
        "Left as they are: what a prompt says itself of such an attribute; prompts about several persons; "
        "prompts about no person; prompts whose noun is not known, or that are not English.",
        "Kept out of every image: weapon.",
        "What a prompt itself says of what is balanced is taken out first, wherever guidance tells it.",
    ]
    assert main(["policy", str(folder / "policy.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == policy.config
    pipeline.save_pretrained(tmp_path / "model")
    command = ["generate", "--policy", str(folder / "policy.yaml"), "--model", str(tmp_path / "model")]
    drawing = ["--prompt", "a judge", "-n", "4", "--num-inference-steps", "2", "-o", str(tmp_path / "out"), "--json"]
    assert main(command + drawing) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    assert Counter(row["assigned"]["gender"] for row in rows) == {"woman": 2, "man": 1, "leave": 1}


def test_a_policy_that_is_only_safe_needs_no_prompts(pipeline: Any, directions: list[Direction]):
    policy = Policy.of({"directions": directions, "safe": ["unarmed"]})
    with policy.applied(pipeline):
        pipeline("a judge", **QUICK)
    with pytest.raises(DirectrixError, match="depends on the prompts"):
        Policy.of({"directions": directions, "fair": {"gender": "uniform"}}).applied(pipeline)


WRONG = {
    "fiar: {gender: uniform}": "has no key 'fiar'. Expected: a key of this part. Try: did you mean 'fair'",
    "fair: {gender: uniform, gander: uniform}": "> fair > gander: There is no attribute 'gander'",
    "fair: {gender: {womann: 1.0}}": "> fair > gender: There is no category of gender 'womann'.*'woman'",
    "fair: {skin tone: uniform}": "> fair > skin tone: There is no direction 'light-skinned'",
    "fair: {gender: {1: 0.5, 2: 0.5}}": "> fair > gender: There is no category of gender '1'",
    "fair: {gender: uniform}\ngate: {grups: leave}": "> gate has no key 'grups'.*did you mean 'groups'",
    "fair: {gender: uniform}\ngate: {groups: no}": "> gate > groups is yes or no",
    "fair: {gender: uniform}\ngate: {groups: never}": "> gate: The gate's 'groups' is 'never'",
    "fair: {gender: uniform}\ngate: {people: nowhere.yaml}": "> gate: .*nowhere.yaml",
    "safe: [unarmed]\ngate: false": "> gate says what 'fair' acts on",
    "fair: uniform": "> fair is text ('uniform'). Expected: a mapping",
    "safe: true": "> safe is yes or no (True)",
    "safe: [unarmd]": "> safe: There is no direction 'unarmd'.*did you mean 'unarmed'",
    "safe: {always: [unarmed], combine: som}": "> safe: There is no way 'som'.*'sum'",
    "safe: {always: [unarmed], combine: mean}": "> safe: The way 'mean' is gone. Expected: 'nearest' in its place",
    "safe: {combine: []}": "> safe > combine is a list. Expected: text",
    "safe: {categories: {weapon: 1}}": "> safe > categories > weapon: 1 is no direction. Expected: a name",
    "safe: {combine: sum}": "> safe names nothing to keep out. Expected: `always` or `categories`",
    "safe: {categories: {arms: gun}}": "> safe > categories > arms: There is no direction 'gun'",
    "enhance: {rewrite: 3}": "> enhance > rewrite is 3. Expected: true or false",
    "enhance: {phrases: nowhere.yaml}": "> enhance > phrases: there is no file",
    "enhance: yes please": "> enhance is text",
    "enhance: 1": "> enhance is 1.*Try: enhance: true.",
    "enhance: false": "The policy says nothing",
    "strengths: {woman: strong}": "> strengths > woman is text ('strong'). Expected: a number",
    "strengths: {womann: 1.0}": "> strengths: There is no direction 'womann'",
    "attributes: {mood: [woman]}": "> attributes > mood is a list. Expected: Value should have at least 2",
    "attributes: {mood: {a: woman, b: grim}}": "> attributes > mood > b: There is no direction 'grim'",
    "attributes: {mood: [on, off]}": "> attributes > mood[0] is yes or no (True). Expected: text",
    "steer: {branch: condtional}": "> steer: There is no branch 'condtional'",
    "steer: {start: soon}": "> steer > start is text",
    "fair: {gender: uniform}\nfair: {}": "the key 'fair' stands twice",
    "fair: [": "is not YAML",
}


@pytest.mark.parametrize("line", WRONG)
def test_errors_name_the_file_the_key_and_the_nearest(folder: Path, line: str, capsys: Any):
    path = folder / "wrong.yaml"
    path.write_text(f"directions: [directions/]\n{line}\n")
    assert main(["policy", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and "Traceback" not in error
    assert all(part in error for part in WRONG[line].split(".*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a mapping of keys and values. Try: keys directions, strengths, attributes, fair, gate, safe, enhance"),
        ("fair: {gender: uniform}", "> directions is empty"),
        ("directions: [nowhere]", "does not exist"),
        ("directions: 3", "The directions are of type int"),
    ],
)
def test_no_directions(tmp_path: Path, text: str, message: str):
    (tmp_path / "policy.yaml").write_text(text)
    with pytest.raises(PolicyError, match=message):
        Policy.load(tmp_path / "policy.yaml")


def test_no_file_and_no_command(tmp_path: Path, capsys: Any):
    assert main(["policy", str(tmp_path / "none.yaml")]) == 2
    assert "--starter" in capsys.readouterr().err
    assert main(["policy"]) == 2
    assert main(["generate", "--prompt", "a", "-o", str(tmp_path), "--policy", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_starter_is_written_once_and_holds(make_direction: Callable[..., Direction], tmp_path: Path, capsys: Any):
    assert main(["policy", "--starter", "-o", str(tmp_path)]) == 0
    path = tmp_path / "policy.yaml"
    assert path.read_text() == starter()
    assert main(["policy", "--starter", "-o", str(path)]) == 2
    capsys.readouterr()
    for name in ("woman", "man", "no weapon"):
        make_direction(name).save(tmp_path / "directions" / f"{name}.safetensors")
    assert Policy.load(path).name == "policy: fair gender; safe no weapon; enhance"
    # Its commented examples hold as well.
    for name in ("young", "old", "smiling", "no alcohol", "light-skinned", "brown-skinned", "dark-skinned"):
        make_direction(name).save(tmp_path / "directions" / f"{name}.safetensors")
    examples = yaml.safe_load(
        re.sub(
            r"(?m)^safe: .*|^  gender: .*|^enhance: true",
            "",
            re.sub(
                r"(?m)^( *)# (?=strengths|attributes|  age|  mood|skin|age"
                r"|safe|  categories|  always|  combine|enhance|steer)",
                r"\1",
                starter(),
            ),
        )
    )
    del examples["enhance"]["phrases"]
    assert set(examples) == {"directions", "strengths", "attributes", "fair", "safe", "enhance", "steer"}
    assert Policy.of(examples, tmp_path).name == "policy: fair skin tone, age; safe weapon; enhance"


@pytest.mark.parametrize("path", sorted(Path("policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_policies_of_this_repository_hold(make_direction: Callable[..., Direction], tmp_path: Path, path: Path):
    labels = {"woman": ("gender", "female"), "man": ("gender", "male")}
    labels |= {f"{each}-skinned": ("tone", each) for each in ("light", "brown", "dark")}
    for name, (attribute, label) in labels.items():
        seen = {"calibration": {"target_label": {"attribute": attribute, "label": label}}}
        make_direction(name).with_(provenance=seen).save(tmp_path / "directions" / f"{name}.safetensors")
    for name in ("weapon", "smoking", "alcohol"):
        # Nobody calibrated these: the policy says what a judge sees of them.
        make_direction(name).save(tmp_path / "directions" / f"{name}.safetensors")
    policy = {**yaml.safe_load(path.read_text()), "directions": ["directions"]}
    assert Policy.of(policy, tmp_path).plan(["a cook without alcohol"], 2, 0).intervention


def test_a_policy_of_objects_erases_some_and_retains_others(
    pipeline: Any, make_direction: Callable[..., Direction], tmp_path: Path
):
    pairs = [{"target": "a person with it", "neutral": "a person", "negative": None}]
    for seed, name in enumerate(("knife", "axe", "book")):
        noun = make_direction(name, seed).with_(recipe={"concept": {"name": name, "pairs": pairs}})
        noun.save(tmp_path / "directions" / f"{name}.safetensors")
    path = tmp_path / "policy.yaml"
    text = "directions: [directions]\nsafe: {combine: erase, categories: {weapon: [knife, axe]}, retain: [book]}\n"
    path.write_text(text)
    policy = Policy.load(path)
    assert "Never taken for any of it: book." in policy.lines()
    same = Safe(tmp_path / "directions", "erase", {"weapon": ["knife", "axe"]}, retain=["book"])
    drawn = [generate(pipeline, "a judge", 2, interventions=each, **QUICK) for each in (policy, same)]
    assert np.array_equal(*([np.asarray(each.image) for each in records] for records in drawn))
    path.write_text(text.replace("erase", "sum"))
    with pytest.raises(PolicyError, match=r"safe > categories > weapon: .* draws its concept"):
        Policy.load(path)


def test_files_of_version_0_1_are_read_alike(make_direction: Callable[..., Direction], tmp_path: Path):
    for seed, name in enumerate(("woman", "man", "knife", "book")):
        make_direction(name, seed).save(tmp_path / "directions" / f"{name}.safetensors")
    texts = (
        "replace: true\nsafe: {categories: {weapon: {knife: -1.0}}, combine: removed, spare: [book]}",
        "project_and_set: true\nsafe: {categories: {weapon: {knife: -1.0}}, combine: erase, retain: [book]}",
    )
    configs = []
    for text in texts:
        (tmp_path / "policy.yaml").write_text(f"directions: [directions]\nfair: {{gender: uniform}}\n{text}\n")
        configs.append(Policy.load(tmp_path / "policy.yaml").config)
    assert configs[0] == configs[1]


def test_names_may_be_numbers_and_a_list_may_stand_for_its_one_name(directions: list[Direction]):
    given = {"directions": directions}
    text = "attributes: {5: {1: woman, 2.5: man}}\nfair: {5: {1: 0.5, 2.5: 0.5}}"
    policy = Policy.of({**given, **yaml.safe_load(text)})
    assert Counter(each["5"] for each in policy.plan(["a judge"], 4, 0).assigned) == {"1": 2, "2.5": 2}
    listed = Policy.of({**given, **yaml.safe_load("attributes: {5: [woman, man]}\nfair: {5: uniform}")})
    assert listed.name == policy.name == "policy: fair 5"
    safe = {"always": ["unarmed"], "categories": {"unarmed": {"woman": -1.0}}}
    texts = [{"branch": "both", "combine": "erase"}, {"branch": ["both"], "combine": ["removed"]}]
    one, same = (
        Policy.of({**given, "steer": {"branch": each["branch"]}, "safe": {**safe, "combine": each["combine"]}})
        for each in texts
    )
    assert one.config == same.config
    with pytest.raises(PolicyError, match=r"attributes > 5 > 1: There is no direction 'grim'"):
        Policy.of({**given, "attributes": {5: {1: "grim", 2: "man"}}})
    with pytest.raises(PolicyError, match=r"attributes > 5 has the key True"):
        Policy.of({**given, "attributes": {5: {True: "woman", 2: "man"}}})


def test_a_run_of_version_0_1_goes_on(pipeline: Any, directions: list[Direction], tmp_path: Path):
    policy = Policy(Fair({"gender": "uniform"}, directions), None, Enhance(directions, understand=understand))
    first = generate(pipeline, "a judge of any gender", 2, interventions=policy, output=tmp_path, **QUICK)
    manifest = tmp_path / "manifest.jsonl"
    text = manifest.read_text()
    old = {"rewritten_prompt": "told", "project-and-set": "replaced", "attributes": "in the place of"}
    for new, name in old.items():
        assert f'"{new}"' in text
        text = text.replace(f'"{new}"', f'"{name}"')
    manifest.write_text(text)
    again = generate(pipeline, "a judge of any gender", 2, interventions=policy, output=tmp_path, **QUICK)
    assert not any(each.drawn for each in again)
    assert [each.row for each in again] == [each.row for each in first]


def test_a_policy_shows_itself(directions: list[Direction]):
    assert "<li>Kept out of every image: unarmed.</li>" in Policy(safe=Safe([directions[3]]))._repr_html_()
