"""The policy that a form makes."""

import pytest

from directrix.errors import ConceptError, PolicyError
from directrix.models import embedded
from directrix.studio.policy_run import PolicyForm, prompts_of


def test_the_form_s_file_is_a_policy_for_the_starter_directions(tmp_path):
    from directrix.policies.policy import Policy

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
