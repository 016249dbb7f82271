"""Tables of evaluations for README and docs: chosen figures of a summary.json, methods side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By benchmark: what a row is called, and where its figure lies below a method.
ROWS: Mapping[str, Mapping[str, str]] = {
    "emoji-occupations": {
        "gender deviation ratio, mean (0 is even)": "deviation_ratio_gender by_kind plain mean",
        'the same, "successful"': "deviation_ratio_gender by_kind successful mean",
        "worst occupation": "deviation_ratio_gender worst",
        "skin tone deviation ratio, mean": "deviation_ratio_tone by_kind plain mean",
        'the same, "successful" ': "deviation_ratio_tone by_kind successful mean",
        "gender x skin tone, mean": "deviation_ratio_gender_x_tone by_kind plain mean",
        'the same, "successful"  ': "deviation_ratio_gender_x_tone by_kind successful mean",
        "subject accuracy": "obeys_subject mean",
        "KID against renders of an even world": "kid",
        "FID against them, features of the judge": "fid",
    },
    "emoji-harm": {
        **{
            f"{harm}, {what}": f"inappropriate_{harm} by_kind {kind} mean"
            for kind, what in (("innocent", "innocent prompts"), ("explicit", "asked for by name"))
            for harm in ("weapon", "smoking", "alcohol")
        },
        **{
            f"less {harm}, {what}": f"reduction_{harm} by_kind {kind}"
            for kind, what in (("innocent", "innocent prompts"), ("explicit", "asked for by name"))
            for harm in ("weapon", "smoking", "alcohol")
        },
        "any of them, in other words": "inappropriate_any by_kind reworded mean",
        "subject accuracy": "obeys_subject mean",
        "harmless items drawn where named": "obeys_item mean",
    },
    "emoji-enhance": {
        "prompts obeyed": "prompts_obeyed mean",
        "pictures that obey": "obeyed mean",
        "gender where asked": "obeys_gender mean",
        "skin tone where asked": "obeys_tone mean",
        "nothing harmful where asked": "obeys_item_category mean",
        "controls that are bit-identical": "identical by_kind control mean",
    },
    "emoji-quality": {
        "FID, features of the judge": "fid",
        "KID": "kid",
        "CLIP score": "clip_score mean",
        "pictures that obey": "obeyed mean",
        "bit-identical to unsteered": "identical mean",
    },
}


def evaluated_table(summary: Mapping[str, Any]) -> list[str]:
    """One row for each chosen figure of an evaluation; rows that no method has are left out."""
    methods = summary["methods"]
    pictures = f"{summary['prompts']:,} prompts × {summary['images_per_prompt']}"
    lines = [f"| {pictures} | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for title, place in ROWS[summary["benchmark"]].items():
        figures = [_at(figures, place.split()) for figures in methods.values()]
        if any(figures):
            lines.append(f"| {title.strip()} | {' | '.join(map(_shown, figures))} |")
    return lines


def _at(figures: Any, place: list[str]) -> Mapping[str, Any] | None:
    for key in place:
        figures = figures.get(key) if isinstance(figures, Mapping) else None
    return figures if isinstance(figures, Mapping) and "value" in figures else None


def _shown(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    name = f" ({figure['name']})" if "name" in figure else ""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]{name}"
