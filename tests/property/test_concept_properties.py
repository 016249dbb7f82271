from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directrix.concept import Concept
from directrix.errors import ConceptError

WORDS = st.text(min_size=1, max_size=10).filter(str.strip)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=4), st.none() | WORDS)
def test_pairs_or_an_error(targets: list[str], neutrals: list[str], negative: str | None):
    count = max(len(targets), len(neutrals))
    fits = all(len(each) in (1, count) for each in (targets, neutrals))
    wide = [each * count if len(each) == 1 else each for each in (targets, neutrals)]
    same = negative is None and any(a.strip() == b.strip() for a, b in zip(*wide, strict=False))
    if not fits or same:
        with pytest.raises(ConceptError):
            Concept.of("x", targets, neutrals, negative)
        return
    concept = Concept.of("x", targets, neutrals, negative)
    assert [pair.target for pair in concept.pairs] == wide[0]
    assert [pair.neutral for pair in concept.pairs] == wide[1]
    assert concept.anti == (negative is not None)
    assert hash(concept) == hash(Concept.of("x", targets, neutrals, negative))
