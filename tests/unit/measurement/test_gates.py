from __future__ import annotations

from typing import Any

from directrix.measurement.reports import gates


def row(prompt: str, index: int, **decided: Any) -> dict[str, Any]:
    return {"method": "fair", "prompt": prompt, "prompt_index": index, "gates": decided}


def test_prompts_are_counted_once_and_those_left_are_listed():
    said = {"rule": "stated", "word": "male", "steered": False}
    quota = {"rule": "quota", "word": "judge", "steered": True}
    rows = [row("a male judge", 0, gender=said, tone=quota)] * 3 + [row("a judge", 1, gender=quota, tone=quota)]
    found = gates.decisions([*rows, {"method": "none", "prompt": "a judge"}])
    assert found == {
        "fair": {
            "counts": {"gender": {"stated": 1, "quota": 1}, "tone": {"quota": 2}},
            "left": [{"prompt": "a male judge", "attribute": "gender", **said}],
            "more": 0,
        }
    }


def test_a_long_list_is_cut():
    left = {"rule": "no person", "word": "dog", "steered": False}
    found = gates.decisions(row(f"a dog {place}", place, gender=left) for place in range(gates.MOST + 7))["fair"]
    assert (len(found["left"]), found["more"]) == (gates.MOST, 7)
