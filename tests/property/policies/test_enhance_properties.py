from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from directrix.policies.wording import understand

# Words that the grammar is about, so that chance meets its rules.
VOCABULARY = """
a an the no not without any all of and or nor neither either free never who is isn't nobody with but
, . ; - ( ) " ' ’ “ ” ! gender genders skin tone race diverse inclusive men women male female man
woman knife weapons beer wine cigarette smoking drinking armed unarmed sober peaceful smoke-free
alcohol-free chef guard party hat regardless matter light dark skinned balanced banned allowed only
doesn't smoke instead people group as many
"""
WORDS = st.sampled_from(VOCABULARY.split())
SUBJECTS = st.sampled_from(["a chef", "two guards at night", "a photo of an artist", "the old pilot", "firefighters"])
AFTER = {
    "balance:gender": ["of any gender", "regardless of gender", "of all genders", "of either sex"],
    "balance:skin tone": ["of any skin colour", "of every ethnicity", "with diverse skin tones"],
    "absent:weapon": ["without a knife", "with no weapons", "free of guns", "who is unarmed"],
    "absent:smoking": ["who doesn't smoke", "without cigarettes", "not smoking"],
    "absent:alcohol": ["with no beer or wine", "who never drinks", "without any alcohol"],
}
WORDING = st.lists(
    st.sampled_from([(name, phrase) for name, phrases in AFTER.items() for phrase in phrases]),
    min_size=1,
    max_size=4,
    unique_by=lambda pair: pair[0],
)


def names(prompt: str) -> set[str]:
    return {f"{each.kind}:{each.name}" for each in understand(prompt).switches}


@given(st.text(max_size=80) | st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_is_read_and_spans_are_right(prompt: str):
    found = understand(prompt)
    assert found.prompt == prompt
    for each in found.switches:
        assert 0 <= each.start < each.end <= len(prompt)
        assert prompt[each.start : each.end] == each.phrase
    assert all(phrase and phrase in prompt for phrase in found.unknown)
    if not found.switches:
        assert found.rewritten == prompt


@given(st.lists(WORDS, max_size=14).map(" ".join))
def test_nothing_more_is_understood_of_what_is_told(prompt: str):
    assert understand(understand(prompt).rewritten).switches == ()


@given(SUBJECTS, WORDING, st.sampled_from([" ", ", "]))
def test_phrases_add_up_and_leave_the_subject_alone(subject: str, wording, joint: str):
    prompt = joint.join([subject, *(phrase for _, phrase in wording)])
    found = understand(prompt)
    assert names(prompt) == {name for name, _ in wording}
    assert found.rewritten == subject
    assert found.unknown == ()


@given(SUBJECTS, WORDING)
def test_case_spelling_and_marks_make_no_difference(subject: str, wording):
    prompt = ", ".join([subject, *(phrase for _, phrase in wording)])
    expected = names(prompt)
    assert names(prompt.upper()) == expected
    assert names(prompt.replace("colour", "color")) == expected
    assert names(prompt.replace("'", "’")) == expected
    assert names(prompt.replace(" ", "\n  ")) == expected


@given(SUBJECTS, st.text(alphabet="qxzj ", min_size=1, max_size=20))
def test_unknown_words_stay_to_the_letter(subject: str, noise: str):
    assume(noise.strip())
    prompt = f"{noise}{subject},  {noise}"
    assert understand(prompt).rewritten == prompt
    rewritten = understand(f"{prompt} without a knife").rewritten
    assert rewritten == re.sub(r"[\s]+$", "", prompt)
