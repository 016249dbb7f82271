"""A judge looks at images half-way, and those that show what the quota asks for keep their bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from directrix import fair
from directrix.cli.generate import _left
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import MismatchError, PolicyError
from directrix.generation.generate import generate
from directrix.interventions.finite import beyond_range
from directrix.interventions.preview import Preview
from directrix.interventions.protocol import compose
from directrix.interventions.reading import missed
from directrix.interventions.steering import Steering
from directrix.interventions.turns import LOOKED_AT as TURNS
from directrix.interventions.turns import distinct
from directrix.interventions.where_forming import still_forming
from directrix.policies.fair import Fair
from directrix.policies.policy import Policy
from directrix.policies.running_quota import RunningQuota
from directrix.policies.safe import Safe

QUICK = {"num_inference_steps": 4, "guidance_scale": 5.0, "batch_size": 4}
PROMPTS = ["a judge", "a cook"]
LABELS = {"woman": TargetLabel("gender", "female"), "man": TargetLabel("gender", "male")}


class Said(NamedTuple):
    label: str | None
    confidence: float = 0.9


class Brightness:
    """Sees a woman in images that are brighter than most."""

    name = "brightness"

    def __init__(self, cut: float = 0.0) -> None:
        self.cut, self.looked = cut, 0

    @property
    def config(self) -> dict[str, Any]:
        return {"cut": self.cut}

    def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
        self.looked += len(images)
        means = [float(np.asarray(each).mean()) for each in images]
        cut = self.cut or float(np.median(means))
        return [{"gender": Said("female" if each >= cut else "male")} for each in means]


@pytest.fixture(scope="module")
def people(make_direction: Callable[..., Direction]) -> list[Direction]:
    """Calibrated, so that what a judge sees of each is known."""
    found = []
    for seed, (name, label) in enumerate(LABELS.items()):
        calibration = {"target_label": {"attribute": label.attribute, "label": label.label}}
        found.append(make_direction(name, seed, scale=8.0).with_(provenance={"calibration": calibration}))
    return found


def pixels(record: Any) -> np.ndarray:
    return np.asarray(record.image)


def test_images_that_a_judge_sees_serve_the_quota_keep_their_bits(pipeline: Any, people: list[Direction]):
    judge = Brightness(cut=1e-9)
    # All look like women: half of them are left, and the others are steered.
    records = fair(pipeline, PROMPTS, {"gender": "uniform"}, 4, directions=people, closed_loop=judge, **QUICK)
    plain = generate(pipeline, PROMPTS, 4, **QUICK)
    # Half-way, finished, and those that never become what they should in each turn.
    assert judge.looked == 8 + 8 + 4 * len(distinct(TURNS, 0.0, 4))
    assert _left(records) == [
        "4 of 8 images may show another gender than the policy gave them: see closed_loop in the manifest."
    ]
    for record, unsteered in zip(records, plain, strict=True):
        found = record.row["closed_loop"]["gender"]
        assert found["likelihood"] == {"woman": 0.9, "man": 0.1}
        assert found["steered"] is (found["given"] == "man")
        assert np.array_equal(pixels(record), pixels(unsteered)) is not found["steered"]
    assert Counter(each.row["closed_loop"]["gender"]["given"] for each in records) == {"woman": 4, "man": 4}


class Says(Brightness):
    """Says of each set of images that it is shown what was planned, of one more set at a time; the last for ever."""

    def __init__(self, *sets: str | Sequence[Said]) -> None:
        super().__init__()
        self.sets = [[Said(WORDS[each]) for each in one] if isinstance(one, str) else one for one in sets]
        self.shown: list[int] = []

    def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
        said = self.sets[min(len(self.shown), len(self.sets) - 1)]
        self.shown.append(len(images))
        return [{"gender": each} for each in said[: len(images)]]


WORDS = {"f": "female", "m": "male"}


def loop_of(
    pipeline: Any, people: list[Direction], judge: Says, steps: int = 4
) -> tuple[Any, list[Any], Callable[..., list[np.ndarray]]]:
    """Four images of one prompt in a closed loop, the unsteered ones, and the same steered from some step on."""
    settings: Any = {**QUICK, "num_inference_steps": steps}
    records = fair(pipeline, PROMPTS[:1], {"gender": "uniform"}, 4, directions=people, closed_loop=judge, **settings)
    given = [each.row["closed_loop"]["gender"]["given"] for each in records]

    def steered(start: float, factor: float = 1.0) -> list[np.ndarray]:
        strengths = {each: tuple(factor * (each.name == name) for name in given) for each in people}
        with beyond_range():
            steering = Steering(strengths, start=start)
            return [pixels(each) for each in generate(pipeline, PROMPTS[:1], 4, interventions=steering, **settings)]

    return records, [pixels(each) for each in generate(pipeline, PROMPTS[:1], 4, **settings)], steered


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """But for the last bits, which may depend on the batch."""
    return int(np.abs(one.astype(int) - other).max()) <= 1


def test_an_image_that_half_way_steering_makes_right_is_not_drawn_again(pipeline: Any, people: list[Direction]):
    # All look like women; then like whatever they were dealt.
    records, plain, steered = loop_of(pipeline, people, Says("ffff"))
    found = [each.row["closed_loop"]["gender"] for each in records]
    women = [place for place, each in enumerate(found) if each["given"] == "woman"]
    judge = Says("ffff", [Said("female" if place in women else "male") for place in range(4)])
    records, *_ = loop_of(pipeline, people, judge)
    assert judge.shown == [4, 4]
    for place, (record, late) in enumerate(zip(records, steered(0.75), strict=True)):
        assert np.array_equal(pixels(record), plain[place] if place in women else late)
    found = [each.row["closed_loop"]["gender"] for each in records]
    assert [each.get("after") for each in found] == [
        None if place in women else {"woman": 0.1, "man": 0.9} for place in range(4)
    ]
    assert _left(records) == []


def test_others_are_drawn_again_from_an_earlier_step_on_until_the_judge_is_sure(pipeline: Any, people: list[Direction]):
    # Two are to become men: one does so in the first turn, the other in the third, since it is not sure in the second.
    judge = Says("ffff", "ffff", "mf", [Said("male", 0.6)], "m")
    records, plain, steered = loop_of(pipeline, people, judge, 10)
    assert judge.shown == [4, 4, 2, 1, 1]
    starts = [start for start, *_ in TURNS]
    men = [place for place, each in enumerate(records) if each.row["closed_loop"]["gender"]["given"] == "man"]
    early, earliest = steered(starts[0]), steered(starts[2])
    for place, record in enumerate(records):
        expected = plain if place not in men else early if place == men[0] else earliest
        assert same(pixels(record), expected[place])
    assert not same(early[men[1]], earliest[men[1]])
    assert all(records[place].row["closed_loop"]["gender"]["after"] == {"woman": 0.1, "man": 0.9} for place in men)


def test_the_drawing_stands_that_is_most_likely_what_it_should_be(pipeline: Any, people: list[Direction]):
    # In the first turn they are men, and the judge is not sure; later they are women again.
    unsure = [Said("male", 0.65)] * 2
    judge = Says("ffff", "ffff", unsure, "ff")
    records, _, steered = loop_of(pipeline, people, judge, 10)
    # More strength is for those that show something else.
    assert judge.shown == [4, 4, 2, 2, 2]
    men = [place for place, each in enumerate(records) if each.row["closed_loop"]["gender"]["given"] == "man"]
    first = steered(TURNS[0][0])
    assert all(same(pixels(records[place]), first[place]) for place in men)
    assert all(records[place].row["closed_loop"]["gender"]["after"]["man"] == 0.65 for place in men)
    assert _left(records) == []


def test_what_a_safety_checker_blackened_is_not_looked_at(
    pipeline: Any, people: list[Direction], monkeypatch: pytest.MonkeyPatch
):
    def flagged(image: Any, *_: Any) -> tuple[Any, list[bool]]:
        return torch.zeros_like(image), [True] * len(image)

    monkeypatch.setattr(pipeline, "run_safety_checker", flagged)
    judge = Says("fmfm", "mmmm")
    records, *_ = loop_of(pipeline, people, judge)
    assert judge.shown == [4] and all(each.row["flagged"] for each in records)
    assert not any(each.row["closed_loop"]["gender"]["steered"] for each in records) and _left(records) == []


def test_an_image_that_steering_does_not_help_is_left_and_said_so(pipeline: Any, people: list[Direction]):
    # The first one reads as a woman, ends as a man, and is one even more surely in every turn.
    judge = Says("fmfm", "mmfm", [Said("male", 0.99)])
    records, plain, _ = loop_of(pipeline, people, judge)
    found = [each.row["closed_loop"]["gender"] for each in records]
    assert [each["steered"] for each in found] == [False] * 4 and found[0]["after"] == {"woman": 0.1, "man": 0.9}
    assert all(np.array_equal(pixels(each), other) for each, other in zip(records, plain, strict=True))
    assert _left(records) == [
        "1 of 4 images may show another gender than the policy gave them: see closed_loop in the manifest."
    ]


def test_what_a_judge_cannot_tell_is_left_and_what_was_steered_must_be_seen(pipeline: Any, people: list[Direction]):
    nobody = [Said(None, 0.0)] * 4
    judge = Says(nobody)
    records, plain, _ = loop_of(pipeline, people, judge)
    assert judge.shown == [4, 4]
    assert all(np.array_equal(pixels(each), other) for each, other in zip(records, plain, strict=True))
    judge = Says("ffff", nobody, "mm")
    loop_of(pipeline, people, judge)
    assert judge.shown == [4, 4, 2]


def test_what_is_still_in_an_image_is_no_other_category_of_it():
    found = {"given": "absent", "steered": True, "after": {"absent": 0.3, "present": 0.7}}
    # As it is, and as it was before rows had "still".
    for harm in (found, {**found, "still": True}):
        assert still_forming({"weapon": harm}) == ["weapon"] and missed({"weapon": harm}) == []


def test_turns_that_begin_at_one_step_are_one():
    assert distinct(TURNS, 0.0, 10) == distinct(TURNS, 0.0, None) == list(TURNS)
    # The first step of four at .1 or .2 is the second one.
    assert distinct(TURNS, 0.0, 4) == [TURNS[0], *TURNS[2:]]
    assert distinct(TURNS, 0.3, 10) == [(0.3, 1.0, 1.0), (0.3, 1.5, -0.5)]


def test_the_last_turn_is_stronger(pipeline: Any, people: list[Direction]):
    records, _, steered = loop_of(pipeline, people, Says("ffff"))
    for record, strong in zip(records, steered(*TURNS[-1][:2]), strict=True):
        assert record.row["closed_loop"]["gender"]["given"] == "woman" or same(pixels(record), strong)


def test_an_image_that_was_read_wrongly_is_found_when_it_is_finished(pipeline: Any, people: list[Direction]):
    judge = Says("fmfm", "mmfm", "f")
    records, plain, steered = loop_of(pipeline, people, judge)
    assert judge.shown == [4, 4, 1]
    found = [each.row["closed_loop"]["gender"] for each in records]
    assert [each["given"] for each in found] == ["woman", "man"] * 2
    assert [each["steered"] for each in found] == [True, False, False, False]
    assert found[0]["after"] == {"woman": 0.9, "man": 0.1} and all("after" not in each for each in found[1:])
    assert same(pixels(records[0]), steered(TURNS[0][0])[0]) and not same(pixels(records[0]), plain[0])
    assert all(np.array_equal(pixels(records[place]), plain[place]) for place in (1, 2, 3))


def test_images_that_show_another_category_than_their_prompt_names_are_steered_to_it(
    pipeline: Any, people: list[Direction]
):
    prompts = ["a female judge", "a male cook", "not a man", "a dog"]
    plain = generate(pipeline, prompts, 2, **QUICK)
    for gate, steered in ((None, "woman"), ({"stated": "leave"}, "")):
        # None looks like a woman.
        policy = Fair({"gender": "uniform"}, people, gate, closed_loop=Brightness(cut=255.0))
        records = generate(pipeline, prompts, 2, interventions=policy, **QUICK)
        changed = [not np.array_equal(pixels(a), pixels(b)) for a, b in zip(records, plain, strict=True)]
        assert changed == [bool(steered)] * 2 + [False] * 6
        gates = [each.row["gates"]["gender"] for each in records[::2]]
        assert [each["rule"] for each in gates] == ["stated", "stated", "stated", "no person"]
        assert [each["steered"] for each in gates] == [bool(steered)] * 2 + [False] * 2
        found = [each.row.get("closed_loop", {}).get("gender", {}).get("given", "") for each in records[::2]]
        assert found == [steered, "man" if steered else "", "", ""]


def test_in_every_second_turn_some_of_what_a_prompt_names_is_taken_out(pipeline: Any, people: list[Direction]):
    # All are to become women: three since their prompt says so, three by their quota.
    settings: Any = {**QUICK, "num_inference_steps": 10, "batch_size": 6}
    prompts, seed = ["a female judge", "a judge"], 3
    woman = people[[each.name for each in people].index("woman")]

    def drawn(*sets: str) -> tuple[Any, Says]:
        judge = Says(*sets)
        policy = Fair({"gender": {"woman": 1}}, people, closed_loop=judge)
        return generate(pipeline, prompts, 3, seed=seed, interventions=policy, **settings), judge

    for turns, factors in ((1, (1.0, 1.0)), (2, (-0.5, 1.0)), (3, (1.0, 1.0)), (4, (-0.5, 1.5))):
        records, judge = drawn("mmmmmm", *["mmmmmm"] * turns, "ffffff")
        assert len(judge.shown) == turns + 2
        strengths = {woman: tuple(factor for factor in factors for _ in range(3))}
        with beyond_range():
            steering = Steering(strengths, start=TURNS[turns - 1][0])
            expected = generate(pipeline, prompts, 3, seed=seed, interventions=steering, **settings)
        assert all(same(pixels(a), pixels(b)) for a, b in zip(records, expected, strict=True))
    named = [each.row["interventions"][0]["named"] for each in records[::3]]
    assert named == [["gender"], []]


def test_a_running_quota_knows_what_its_prompt_names(people: list[Direction]):
    quota = RunningQuota(Fair({"gender": "uniform"}, people, closed_loop=Says("f")))
    named = [quota.steering(prompt, 2).config["named"] for prompt in ("a female judge", "a judge")]
    assert named == [["gender"], []]


def test_nothing_is_taken_out_of_what_an_image_shows_already(
    pipeline: Any, people: list[Direction], make_direction: Callable[..., Direction]
):
    class Light(Says):
        """Sees light skin, and a woman, as the prompt says."""

        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            tone = "dark" if len(self.shown) > 2 else "light"
            return [{**each, "tone": Said(tone)} for each in super().label(images)]

    label = {"target_label": {"attribute": "tone", "label": "dark"}}
    dark = make_direction("dark", 8, scale=8.0).with_(provenance={"calibration": label})
    woman = people[[each.name for each in people].index("woman")]
    policy = Fair(
        {"gender": "uniform", "tone": {"dark": 1}}, [*people, dark], sets={"tone": ["dark"]}, closed_loop=Light("f")
    )
    settings: Any = {**QUICK, "num_inference_steps": 10}
    (record,) = generate(pipeline, "a female judge", 1, interventions=policy, **settings)
    # It is dark in the second turn, in which it is still a woman's.
    with beyond_range():
        steering = Steering({woman: 1.0, dark: 1.0}, start=TURNS[1][0])
        (expected,) = generate(pipeline, "a female judge", 1, interventions=steering, **settings)
    assert same(pixels(record), pixels(expected))


def test_a_policy_file_is_read_by_a_judge_that_comes_later(pipeline: Any, people: list[Direction], tmp_path: Path):
    for each in people:
        each.save(tmp_path / f"{each.name}.safetensors")
    (tmp_path / "policy.yaml").write_text("directions: [.]\nfair: {gender: uniform}\nclosed_loop: judge\n")
    policy = Policy.load(tmp_path / "policy.yaml")
    with pytest.raises(PolicyError, match="none is given"):
        generate(pipeline, PROMPTS[:1], 2, interventions=policy, **QUICK)
    judge = Brightness(cut=255.0)
    records = generate(pipeline, PROMPTS[:1], 2, interventions=policy.read_by(judge), **QUICK)
    # None looks like a woman.
    assert sorted((f["given"], f["steered"]) for f in (each.row["closed_loop"]["gender"] for each in records)) == [
        ("man", False),
        ("woman", True),
    ]
    assert any("left as they are" in line for line in policy.lines())
    assert policy.config != policy.read_by(judge).config


def test_what_a_judge_sees_must_be_known(people: list[Direction]):
    raw = [each.with_(provenance={}) for each in people]
    with pytest.raises(PolicyError, match="was not calibrated"):
        Fair({"gender": "uniform"}, raw, closed_loop="judge")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Said("female", 0.8), {"woman": 0.8, "man": 0.2}),
        # Less sure of what it says than a coin.
        (Said("male", 0.3), {"woman": 0.5, "man": 0.5}),
        (Said(None, 0.0), {"woman": 0.5, "man": 0.5}),
        # Sure that it is neither.
        (Said("robot", 0.9), {"woman": 0.05, "man": 0.05}),
    ],
)
def test_an_unsure_judge_leaves_it_open(said: Said, expected: dict[str, float]):
    assert Preview("gender", LABELS).likelihood({"gender": said}) == expected


@pytest.mark.parametrize(
    ("seen", "targets", "given", "steered"),
    [
        # Who is shown is none of those that are balanced.
        ("robot", {"woman": 0.5, "man": 0.5}, {"woman": 2, "man": 2}, 4),
        # One category alone: whoever shows another is steered to it.
        ("male", {"woman": 1.0}, {"woman": 4}, 4),
        ("female", {"woman": 1.0}, {"woman": 4}, 0),
    ],
)
def test_an_image_that_shows_none_of_the_categories_fits_no_quota(
    pipeline: Any, people: list[Direction], seen: str, targets: dict[str, float], given: dict[str, int], steered: int
):
    class Sees(Brightness):
        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            return [{"gender": Said(seen)} for _ in images]

    records = fair(pipeline, PROMPTS[:1], {"gender": targets}, 4, directions=people, closed_loop=Sees(), **QUICK)
    found = [each.row["closed_loop"]["gender"] for each in records]
    assert Counter(each["given"] for each in found) == given
    assert sum(each["steered"] for each in found) == steered


class Armed(Brightness):
    """Sees a weapon in every image that is brighter than most."""

    def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
        return [
            {"item": Said("knife" if each["gender"].label == "female" else "cup", each["gender"].confidence)}
            for each in super().label(images)
        ]


@pytest.fixture(scope="module")
def unarmed(make_direction: Callable[..., Direction]) -> Direction:
    return make_direction("unarmed", 5, scale=8.0)


def test_only_images_on_which_harm_is_forming_are_steered(pipeline: Any, unarmed: Direction, tmp_path: Path):
    unarmed.save(tmp_path / "unarmed.safetensors")
    (tmp_path / "policy.yaml").write_text(
        "directions: [.]\nsafe:\n  categories: {weapon: [unarmed]}\n  closed_loop: judge\n"
        "  labels: {weapon: item=knife}\n"
    )
    policy = Policy.load(tmp_path / "policy.yaml").read_by(Armed())
    records = generate(pipeline, PROMPTS, 2, interventions=policy, output=tmp_path / "run", **QUICK)
    plain = generate(pipeline, PROMPTS, 2, **QUICK)
    # Half of them are brighter than most.
    assert sorted(each.row["closed_loop"]["weapon"]["steered"] for each in records) == [False, False, True, True]
    for record, unsteered in zip(records, plain, strict=True):
        found = record.row["closed_loop"]["weapon"]
        assert found["steered"] is (found["likelihood"]["present"] > 0.5)
        assert np.array_equal(pixels(record), pixels(unsteered)) is not found["steered"]
    # Those are drawn again, as they are if they are steered from the first step on.
    for place, record in enumerate(records):
        if record.row["closed_loop"]["weapon"]["steered"]:
            times = record.row["closed_loop"]["weapon"]["times"]
            whole = generate(pipeline, PROMPTS, 2, interventions=Safe(unarmed, strengths={"unarmed": times}), **QUICK)
            assert np.abs(pixels(record).astype(int) - pixels(whole[place])).max() <= 1
    # Of a run that goes on, whatever else is in the batch.
    records[1].path.unlink()
    again = generate(pipeline, PROMPTS, 2, interventions=policy, output=tmp_path / "run", **QUICK)
    assert [each.row for each in again] == [each.row for each in records]


class Stubborn(Brightness):
    """Sees a weapon in so many of the first looks at an image, one image a call."""

    def __init__(self, looks: int) -> None:
        super().__init__(1.0)
        self.looks = looks

    def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
        self.looked += 1
        return [{"item": Said("knife" if self.looked <= self.looks else "cup")} for _ in images]


@pytest.mark.parametrize(("looks", "times", "left"), [(0, 0, False), (1, 1, False), (2, 2, False), (9, 3, True)])
def test_what_is_still_forming_is_kept_out_more_firmly(
    pipeline: Any, unarmed: Direction, looks: int, times: int, left: bool
):
    judge = Stubborn(looks)
    safe = Safe(unarmed, labels={"unarmed": TargetLabel("item", "knife", False)}, closed_loop=judge)
    (record,) = generate(pipeline, "a judge", 1, interventions=safe, **QUICK)
    (whole,) = generate(pipeline, "a judge", 1, interventions=Steering({unarmed: times}), **QUICK)
    assert np.array_equal(pixels(record), pixels(whole))
    assert judge.looked == times + 1
    found = record.row["closed_loop"]["unarmed"]
    assert found["steered"] is (times > 0) and found.get("times", 0) == times
    # The last word is in the manifest: whoever reads it knows which images may still be harmful.
    assert (found.get("after", found["likelihood"])["present"] > 0.5) is left
    assert still_forming(record.row["closed_loop"]) == (["unarmed"] if left else [])
    assert _left([record]) == (
        ["1 of 1 images may still show unarmed: see closed_loop in the manifest."] if left else []
    )


def test_what_is_forming_is_shown_to_the_unconditional_branch(pipeline: Any, unarmed: Direction):
    seen: Any = {"labels": {"unarmed": TargetLabel("item", "knife", False)}, "opposed": 0.5}
    for looks in (1, 2):
        (record,) = generate(
            pipeline, "a judge", 1, interventions=Safe(unarmed, closed_loop=Stubborn(looks), **seen), **QUICK
        )
        sides = (Steering({unarmed: looks}), Steering({unarmed: -0.5 * looks}, branch="unconditional"))
        (whole,) = generate(pipeline, "a judge", 1, interventions=compose(*sides), **QUICK)
        assert same(pixels(record), pixels(whole))
    # Where nobody draws it again, from the step on that was read.
    loop = Safe(unarmed, closed_loop=Stubborn(9), **seen)
    late = compose(Steering({unarmed: 1.0}, start=0.8), Steering({unarmed: -0.5}, branch="unconditional", start=0.8))
    drawn = []
    for intervention in (loop, late):
        with beyond_range(), intervention.applied(pipeline):
            call = {"num_inference_steps": 10, "guidance_scale": 5.0, "output_type": "np"}
            drawn.append(pipeline("a judge", generator=torch.Generator().manual_seed(1), **call).images)
    assert np.allclose(*drawn, atol=1e-4)


def test_only_what_is_forming_is_kept_out_of_an_image(pipeline: Any, unarmed: Direction, people: list[Direction]):
    class Knives(Brightness):
        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            self.looked += 1
            return [{"item": Said("knife" if self.looked == 1 else "cup")} for _ in images]

    labels = {"unarmed": TargetLabel("item", "knife", False), "sober": TargetLabel("item", "wine", False)}
    categories = {"unarmed": "unarmed", "sober": {"woman": -1.0}}
    safe = Safe([unarmed, people[0]], categories=categories, labels=labels, closed_loop=Knives())
    (record,) = generate(pipeline, "a judge", 1, interventions=safe, **QUICK)
    (whole,) = generate(pipeline, "a judge", 1, interventions=Steering({unarmed: 1.0}), **QUICK)
    assert np.array_equal(pixels(record), pixels(whole))
    assert [record.row["closed_loop"][name]["steered"] for name in labels] == [True, False]


def test_in_a_call_of_the_pipeline_itself_they_are_steered_from_what_was_read_on(pipeline: Any, unarmed: Direction):
    safe = Safe(unarmed, labels={"unarmed": TargetLabel("item", "knife", False)}, closed_loop=Armed())
    call = {"num_inference_steps": 8, "guidance_scale": 5.0, "output_type": "np"}
    drawn = []
    for intervention in (safe, Steering({unarmed: 0.0}), Safe(unarmed)):
        generators = [torch.Generator().manual_seed(each) for each in range(4)]
        with intervention.applied(pipeline):
            drawn.append(pipeline(["a judge"] * 4, generator=generators, **call).images)
    loop, plain, whole = drawn
    changed = [not np.array_equal(a, b) for a, b in zip(loop, plain, strict=True)]
    assert sorted(changed) == [False, False, True, True]
    assert not any(np.allclose(a, b) for a, b, each in zip(loop, whole, changed, strict=True) if each)


def test_fair_shares_and_harm_are_read_in_one_run(pipeline: Any, people: list[Direction], unarmed: Direction):
    class Both(Armed):
        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            return [{**one, "gender": Said("female")} for one in super().label(images)]

    parts = {
        "directions": [*people, unarmed],
        "fair": {"gender": "uniform"},
        "closed_loop": "judge",
        "safe": {"categories": {"weapon": ["unarmed"]}, "closed_loop": "judge", "labels": {"weapon": "item=knife"}},
    }
    records = generate(pipeline, PROMPTS, 4, interventions=Policy.of(parts).read_by(Both()), **QUICK)
    plain = generate(pipeline, PROMPTS, 4, **QUICK)
    for prompt in PROMPTS:
        found = [each.row["closed_loop"] for each in records if each.prompt == prompt]
        assert Counter(each["gender"]["given"] for each in found) == {"woman": 2, "man": 2}
        assert sum(each["weapon"]["steered"] for each in found) == 2
    for record, unsteered in zip(records, plain, strict=True):
        steered = any(each["steered"] for each in record.row["closed_loop"].values())
        assert np.array_equal(pixels(record), pixels(unsteered)) is not steered


def test_an_unsure_judge_counts_as_harm(pipeline: Any, unarmed: Direction):
    class Unsure(Armed):
        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            return [{"item": Said("cup", 0.55)} for _ in images]

    label = TargetLabel("item", "knife", present=False)
    safe = Safe(unarmed, labels={"unarmed": label}, closed_loop=Unsure())
    steered = generate(pipeline, PROMPTS, 1, interventions=safe, **QUICK)
    assert all(each.row["closed_loop"]["unarmed"]["steered"] for each in steered)


@pytest.mark.parametrize(("sure", "steered"), [(None, False), (0.6, False), (0.85, True), (1.0, True)])
def test_a_policy_says_how_sure_of_absence_the_judge_must_be(
    pipeline: Any, unarmed: Direction, tmp_path: Path, sure: float | None, steered: bool
):
    class Fairly(Brightness):
        def label(self, images: Sequence[Any]) -> list[dict[str, Said]]:
            return [{"item": Said("cup", 0.8)} for _ in images]

    unarmed.save(tmp_path / "unarmed.safetensors")
    part = {"categories": {"weapon": ["unarmed"]}, "closed_loop": "judge", "labels": {"weapon": "item=knife"}}
    said = part if sure is None else {**part, "sure": sure}
    policy = Policy.of({"directions": [str(tmp_path)], "safe": said}).read_by(Fairly())
    (record,) = generate(pipeline, "a judge", 1, interventions=policy, **QUICK)
    found = record.row["closed_loop"]["weapon"]
    assert (found["steered"], found.get("still", False)) == (steered, steered)
    assert still_forming(record.row["closed_loop"]) == (["weapon"] if steered else [])
    # A judge that cannot tell says .5, and that must count as harm.
    for wrong in (1.5, 0.5, 0.0):
        with pytest.raises(PolicyError, match="sure"):
            Policy.of({"directions": [str(tmp_path)], "safe": {**said, "sure": wrong}})
    with pytest.raises(PolicyError, match="nobody looks"):
        Safe(unarmed, sure=0.9)


def test_a_judge_that_does_not_know_what_to_read_is_refused(pipeline: Any, unarmed: Direction):
    safe = Safe(unarmed, labels={"unarmed": TargetLabel("nudity", "bare", False)}, closed_loop=Armed())
    with pytest.raises(MismatchError, match="does not know 'nudity'"):
        generate(pipeline, PROMPTS, 1, interventions=safe, **QUICK)
    with pytest.raises(PolicyError, match="was not calibrated"):
        Safe(unarmed, closed_loop="judge")
    with pytest.raises(PolicyError, match="closed_loop is"):
        Safe(unarmed, closed_loop="always", labels={"unarmed": TargetLabel("item", "knife", False)})
