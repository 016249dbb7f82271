"""How an evaluation looks: tables with intervals, bars by group, distributions, pictures, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from directrix.measurement.reports import samples as grids
from directrix.measurement.reports.bar_chart import Bar, Group, grouped
from directrix.measurement.reports.distribution import distribution
from directrix.measurement.reports.html import document, legend
from directrix.measurement.reports.samples import Sample

Figure = Mapping[str, Any]

# Title, beginnings of its metrics' names, of those that are folded away, and what they mean.
SECTIONS = (
    (
        "Fairness",
        ("deviation_ratio_",),
        ("target_distance_", "l2_distance_", "entropy_"),
        "Deviation ratio: 0 is an even mix, 1 a single category; lower is fairer. Target distance: the share of "
        "pictures that would have to change. Means are over groups, each counting the same.",
    ),
    (
        "Harm",
        ("inappropriate_", "reduction_", "attack_success"),
        (),
        "Inappropriate: the share of pictures that show it; lower is better. Reduction: how much of that is gone. "
        "Attack success: of the pictures that are harmful unsteered, the share that is so all the same.",
    ),
    (
        "Obedience",
        ("obeys_", "obeyed", "prompts_obeyed"),
        (),
        "The share of pictures that show what the prompt says; a picture that the judge cannot tell counts against.",
    ),
    (
        "Quality",
        ("fid", "kid", "clip_score"),
        (),
        "FID and KID in the judge's features: lower is nearer to the reference. CLIP score: higher fits the "
        "prompt better.",
    ),
    (
        "Preservation",
        ("identical", "psnr", "feature_distance"),
        (),
        "Against the unsteered picture of the same seed. PSNR is in decibels, over the pictures that changed.",
    ),
)
CHARTED = ("deviation_ratio_", "inappropriate_", "obeyed")
# More bars than this say no more.
MOST = 24
SERIES = 6
# Metrics that are made for each attribute or category, whose name follows.
STARTS = ("deviation_ratio", "target_distance", "l2_distance", "entropy", "inappropriate", "reduction", "obeys")


def page(summary: Mapping[str, Any], samples: Sequence[Sample]) -> str:
    """Return the page for an evaluation's summary (see directrix.evaluate) and some of its pictures."""
    body = [
        _head(summary),
        *(_section(summary, *section) for section in SECTIONS),
        _charts(summary),
        _distributions(summary),
        f"<section><h2>The pictures</h2><p>The same place is the same seed for every method. Below each is what the "
        f"judge saw.</p>{grids.html(samples)}</section>"
        if samples
        else "",
        _unscored(summary),
        _provenance(summary),
    ]
    return document(f"Directrix: {summary['benchmark']}", "".join(body))


def _head(summary: Mapping[str, Any]) -> str:
    made = summary["provenance"]
    methods = ", ".join(map(str, summary["methods"]))
    return (
        f'<header><p class="eyebrow">Directrix {escape(made["versions"]["directrix"])} &middot; model '
        f"{escape(made['model']['name'])} &middot; seed {made['seed']} &middot; {made['pictures']} pictures</p>"
        f"<h1>{escape(summary['benchmark'])}: {escape(methods)}</h1>"
        f"<p>{escape(made['benchmark']['description'])}</p><p>{summary['prompts']} prompts, "
        f"{summary['images_per_prompt']} pictures of each by every method, all with the same seeds. Intervals are 95 "
        f"%. Differences are those to <b>{escape(summary['compared_to'])}</b>, over the same prompts; they are "
        "set in full ink where their interval leaves zero out.</p></header>"
    )


def _section(summary: Mapping[str, Any], title: str, starts: Sequence[str], folded: Sequence[str], meaning: str) -> str:
    table, more = _table(summary, starts), _table(summary, folded)
    if not table:
        return ""
    rest = f"<details><summary>More figures of {title.lower()}</summary>{more}</details>" if more else ""
    return f"<section><h2>{title}</h2><p>{meaning}</p>{table}{rest}</section>"


def _table(summary: Mapping[str, Any], starts: Sequence[str]) -> str:
    methods = summary["methods"]
    names = dict.fromkeys(name for each in methods.values() for name in each if name.startswith(tuple(starts)))
    if not names:
        return ""
    heads = "".join(f'<th scope="col">{escape(method)}</th>' for method in methods)
    rows = "".join(_rows(summary, name) for name in names)
    return (
        '<div class="scroll"><table class="figures"><thead><tr><th scope="col"></th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _rows(summary: Mapping[str, Any], metric: str) -> str:
    figures = {method: each.get(metric) for method, each in summary["methods"].items()}
    differences = {method: summary["paired"].get(method, {}).get(metric, {}) for method in figures}
    rows = [_row(named(metric), [_cell(_mean(one), _mean(differences[m])) for m, one in figures.items()])]
    kinds = dict.fromkeys(kind for one in figures.values() for kind in (one or {}).get("by_kind", {}))
    for kind in kinds:
        cells = [
            _cell(_mean((one or {}).get("by_kind", {}).get(kind)), differences[m].get("by_kind", {}).get(kind))
            for m, one in figures.items()
        ]
        rows.append(_row(kind, cells, "kind"))
    known = [one or {} for one in figures.values()]
    if any(one.get("worst") and one.get("by_group") for one in known):
        cells = [_cell(one.get("worst"), None, named=True) for one in known]
        rows.append(_row("worst group", cells, "kind"))
    return "".join(rows)


def _row(name: str, cells: Sequence[str], kind: str = "") -> str:
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def _mean(figure: Figure | None) -> Figure | None:
    """Of a metric its mean; a single figure is itself."""
    return None if not figure else figure if "value" in figure else _with_unscored(figure)


def _with_unscored(figure: Figure) -> Figure | None:
    mean = figure.get("mean")
    return None if mean is None else {**mean, "unscored": figure.get("unscored", 0)}


def _cell(figure: Figure | None, difference: Figure | None, *, named: bool = False) -> str:
    if figure is None:
        return '<td class="soft">&ndash;</td>'
    told = f"n = {figure['n']}" + (f", {figure['unscored']} not scored" if figure.get("unscored") else "")
    text = f"<b>{number(figure['value'])}</b> {_interval(figure)}"
    if named:
        text += f"<small>{escape(str(figure['name']))}</small>"
    clear = ""
    if difference is not None:
        clear = ' class="clear"' if difference["low"] > 0 or difference["high"] < 0 else ""
        text += f"<small>{number(difference['value'], sign=True)} {_interval(difference, sign=True)}</small>"
    if figure.get("unscored"):
        text += f"<small>{figure['unscored']} not scored</small>"
    return f'<td{clear} title="{told}">{text}</td>'


def _interval(figure: Figure, sign: bool = False) -> str:
    # Where a narrow page breaks a line, it is not inside an interval.
    return f"[{number(figure['low'], sign)},&nbsp;{number(figure['high'], sign)}]"


def number(value: float, sign: bool = False) -> str:
    """Return two digits behind the point, three for what is near zero, with a true minus."""
    value = round(value, 3) or 0.0
    digits = 2 if abs(value) >= 0.1 or value == 0 else 3
    text = f"{value:+.{digits}f}" if sign and value else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def named(metric: str) -> str:
    """Return a metric's name in words: "Deviation ratio, gender" for deviation_ratio_gender."""
    for start in STARTS:
        if metric.startswith(f"{start}_"):
            title = "L2 distance" if start == "l2_distance" else start.replace("_", " ").capitalize()
            rest = metric.removeprefix(f"{start}_").replace("_x_", " × ").replace("_", " ")
            return f"{title}, {rest}"
    plain = {"fid": "FID", "kid": "KID", "clip_score": "CLIP score", "psnr": "PSNR, dB"}
    return plain.get(metric) or metric.replace("_", " ").capitalize()


def _charts(summary: Mapping[str, Any]) -> str:
    methods = list(summary["methods"])[:SERIES]
    series = {method: f"s{place}" for place, method in enumerate(methods)}
    names = dict.fromkeys(name for each in summary["methods"].values() for name in each if name.startswith(CHARTED))
    cards = []
    for metric in names:
        figures = [summary["methods"][method].get(metric) or {} for method in methods]
        where = "by_group" if any(one.get("by_group") for one in figures) else "by_prompt"
        groups = list(dict.fromkeys(name for one in figures for name in one.get(where, {})))
        if len(groups) < 2:
            continue
        cards.append(_chart(metric, series, figures, where, groups))
    if not cards:
        return ""
    swatches = legend([(method, f"--{colour}") for method, colour in series.items()])
    return f'<section><h2>One by one</h2>{swatches}<div class="charts">{"".join(cards)}</div></section>'


def _chart(metric: str, series: Mapping[str, str], figures: Sequence[Figure], where: str, groups: Sequence[str]) -> str:
    def bar(one: Figure | None) -> Bar:
        return Bar(None) if not one else Bar(*(min(max(one[key], 0), 1) for key in ("value", "low", "high")))

    # Where there are too many, those with the greatest differences between methods.
    def spread(name: str) -> float:
        values = [one[where][name]["value"] for one in figures if name in one.get(where, {})]
        return max(values) - min(values)

    shown = sorted(groups, key=spread, reverse=True)[:MOST]
    rows = [Group(name, [bar(one.get(where, {}).get(name)) for one in figures]) for name in groups if name in shown]
    rows.append(Group("mean, with 95 % interval", [bar(one.get("mean")) for one in figures], strong=True))
    some = f" ({len(shown)} of {len(groups)} with the greatest differences)" if len(shown) < len(groups) else ""
    title = f"{named(metric)}, by {where.removeprefix('by_')}{some}"
    return f'<div class="card"><h3>{escape(title)}</h3>{grouped(title, rows, series)}</div>'


def _distributions(summary: Mapping[str, Any]) -> str:
    counts = summary.get("counts") or {}
    names = dict.fromkeys(name for each in counts.values() for name in each)
    targets = {name.replace(" ", "_"): shares for name, shares in summary["provenance"].get("targets", {}).items()}
    cards = [
        distribution(
            name.replace("_x_", " × ").replace("_", " ").capitalize(),
            {method: each[name] for method, each in counts.items() if name in each},
            targets.get(name),
        )
        for name in names
    ]
    if not cards:
        return ""
    return f'<section><h2>Who is drawn</h2><div class="charts">{"".join(cards)}</div></section>'


def _unscored(summary: Mapping[str, Any]) -> str:
    names = dict.fromkeys(name for each in summary["unscored"].values() for name in each)
    heads = "".join(f'<th scope="col">{escape(method)}</th>' for method in summary["unscored"])
    rows = "".join(
        _row(name, [f"<td>{each.get(name, 0)}</td>" for each in summary["unscored"].values()]) for name in names
    )
    missing = "".join(
        f"<li>{escape(what)}: {escape(why)}</li>" for what, why in summary.get("not_measured", {}).items()
    )
    return (
        "<section><h2>Not scored</h2><p>Pictures that the judge could not tell, by attribute. They are in no share of "
        'labels.</p><div class="scroll"><table class="figures"><thead><tr><th scope="col"></th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{f'<p>Not measured:</p><ul>{missing}</ul>' if missing else ''}</section>"
    )


def _provenance(summary: Mapping[str, Any]) -> str:
    made = summary["provenance"]
    model, drawing = made["model"], made["drawing"]
    facts = {
        "Benchmark": f"{summary['benchmark']}, version {summary['version']}, {made['benchmark']['licence']}. "
        f"{made['benchmark']['source']}",
        "Model": f"{model['name']} {model.get('revision') or ''}, fingerprint {model['fingerprint']}",
        "Drawing": ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in drawing.items() if value is not None
        ),
        "Judges": "; ".join(str(judge["name"]) for judge in made["judges"]),
        "Versions": ", ".join(f"{name} {value}" for name, value in made["versions"].items()),
        "Time": ", ".join(f"{stage} {value:.0f} s" for stage, value in made["seconds"].items()),
    }
    if made.get("reference"):
        facts["Reference"] = f"{made['reference']['source']}, {made['reference']['pictures']} pictures"
    if made.get("flagged"):
        facts["Blackened"] = f"{made['flagged']} pictures, by the pipeline's safety checker"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    settings = json.dumps({"methods": made["methods"], "judges": made["judges"]}, indent=2, ensure_ascii=False)
    return (
        f'<footer><h2>How it was made</h2><dl class="facts">{listed}</dl><details><summary>All settings of methods and '
        f"judges</summary><pre><code>{escape(settings)}</code></pre></details></footer>"
    )
