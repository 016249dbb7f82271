"""The policy that a form makes."""

import pytest

from directrix.errors import ConceptError, PolicyError
from directrix.models import embedded
from directrix.policies.policy import Policy
from directrix.studio import markup
from directrix.studio.artist import Artist
from directrix.studio.jobs import Job
from directrix.studio.policy_run import ABSENT, PolicyForm, loop_possible, prompts_of, run
from directrix.studio.wording_markup import readings


def test_the_form_s_file_is_a_policy_for_the_starter_directions(tmp_path):
    form = PolicyForm(("gender", "skin tone"), ("weapon", "smoking"), enhance=True)
    (tmp_path / "starters").symlink_to(embedded.directions_path())
    (tmp_path / "policy.yaml").write_text(form.yaml())
    said = " ".join(Policy.load(tmp_path / "policy.yaml").lines())
    assert "woman 50.0%, man 50.0%" in said and "Kept out of every image: weapon, smoking" in said


def test_a_form_without_a_choice_and_prompts_without_a_line_are_sentences():
    with pytest.raises(PolicyError, match="says nothing"):
        PolicyForm().yaml()
    with pytest.raises(ConceptError, match="There are 0 prompts"):
        prompts_of(" \n ")
    with pytest.raises(ConceptError, match="There are 5 prompts"):
        prompts_of("a\nb\nc\nd\ne")


def test_a_judge_that_looks_half_way_looks_for_harm_too():
    safe = PolicyForm(absent=("weapon",), closed_loop=True).settings([])["safe"]
    assert safe["closed_loop"] == "judge" and safe["labels"] == {"weapon": "item category=weapon"}
    # What a prompt may ask to be absent is labelled as well.
    asked = PolicyForm(absent=("weapon",), enhance=True, closed_loop=True).settings([])["safe"]
    assert asked["always"] == ["weapon"] and asked["labels"].keys() == asked["categories"].keys() == ABSENT.keys()


@pytest.mark.parametrize("enhance", [False, True])
def test_the_policy_of_the_starters_reads_and_keeps_out(enhance):
    form = PolicyForm(("gender",), ("weapon",), enhance=enhance, closed_loop=True)
    policy = Policy.of(form.settings([str(embedded.directions_path())]))
    assert policy.unread and policy.plan(["a judge without alcohol"], 2, 0).intervention


def test_shares_of_genders_need_not_be_even():
    assert PolicyForm(("gender",), women=70).settings([])["fair"] == {"gender": {"woman": 0.7, "man": 0.3}}
    with pytest.raises(PolicyError, match="120 %"):
        PolicyForm(("gender",), women=120)


def test_images_under_the_policy_are_shown_as_they_come(pipeline, make_direction, monkeypatch, tmp_path):
    from directrix.models.steerable import SteerableModel

    artist = Artist(("tiny",), own=tmp_path)
    given = {name: make_direction(name, seed=seed) for seed, name in enumerate(("woman", "man"))}
    monkeypatch.setattr(artist, "load", lambda _: SteerableModel.of(pipeline))
    monkeypatch.setattr(artist, "given", lambda _: given)
    shown = []
    job = Job(lambda _: None)
    monkeypatch.setattr(job, "show", shown.append)
    result = run(job, artist, "tiny", ["a judge", "two nurses", "a dog"], 4, 0, PolicyForm(("gender",)))
    assert [sum(each.policed is not None for each in part.outcomes) for part in shown] == [0, 0, 8, 12]
    assert [len(part.outcomes) for part in shown] == [8, 12, 12, 12] and {part.total for part in shown} == {12}
    assert [each.unchanged for each in result.outcomes] == [False] * 4 + [True] * 8
    assert sorted(each.assigned["gender"] for each in result.outcomes[:4]) == ["man", "man", "woman", "woman"]
    assert markup.policy(shown[0]).count("still to come") == 8 and markup.policy(result).count("<img") == 24
    assert not loop_possible(artist, "tiny")


def test_understood_phrases_are_marked_and_all_text_is_escaped():
    read = readings("a <b>nurse</b> of any gender, without a cigarette\na dog", asked=True)
    assert read.count("<mark>") == 2 and "<b>" not in read and "even shares of gender" in read
    assert "The model gets" in read and "a dog" not in read
    assert "<mark>" not in readings("a dog", asked=True)
    assert "are acted on where" in readings("a nurse of any gender", asked=False)
