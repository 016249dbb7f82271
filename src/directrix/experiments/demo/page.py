"""The demo's page: one HTML file with pictures, charts and figures inside, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from directrix.measurement.reports.bar_chart import Bar, Row, bars
from directrix.measurement.reports.before_after import CATEGORIES, SIDES, Comparison, Picture, counts
from directrix.measurement.reports.html import data_uri, document, legend

TITLES = {"gender": "Gender", "tone": "Skin tone"}
FIGURES = (
    ("gender", "Gender deviation ratio", "0 is as many women as men, 1 is one gender only"),
    ("tone", "Skin tone deviation ratio", "0 is an even mix of light, brown and dark, 1 is one tone only"),
    ("subject", "Subject accuracy", "share of pictures in which the judge sees the occupation that was asked for"),
)


def page(summary: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str:
    """Return the page for a demo's summary (see directrix.experiments.demo.run) and the pictures behind it."""
    lead = comparisons[0]
    body = [
        _head(summary, lead),
        f'<section class="cards">{"".join(_card(summary, *figure) for figure in FIGURES)}</section>',
        _charts(summary),
        _pictures(comparisons),
        _method(summary),
        _table(summary),
        _limits(summary),
    ]
    return document(f"Directrix: {lead.prompt}, unsteered and steered", "".join(body))


def _head(summary: Mapping[str, Any], lead: Comparison) -> str:
    before, after = (counts(lead.side(side), "gender")["female"] for side in SIDES)
    number = len(lead.unsteered)
    return (
        "<header>"
        f'<p class="eyebrow">Directrix {escape(str(summary["version"]))} &middot; model '
        f"{escape(summary['model'])}"
        f" &middot; seed {summary['seed']} &middot; {summary['seconds']:.0f} seconds</p>"
        f"<h1>Asked for &ldquo;{escape(lead.prompt)}&rdquo;, the model draws a woman in "
        f'<span class="before-word">{before} of {number}</span> pictures. Steered, in '
        f'<span class="after-word">{after} of {number}</span>.</h1>'
        "<p>The model is frozen and the prompts are the same. Directrix found, from the model&rsquo;s own "
        "pictures, what "
        f"{_listed(summary['directions'])} mean inside it, and adds one gender and one skin tone to each "
        "picture "
        "while it is drawn, an equal number of each. A judge that shares no weights with the model then "
        "looks at all "
        f"{2 * summary['steered']['images']} pictures.</p></header>"
    )


def _card(summary: Mapping[str, Any], key: str, title: str, meaning: str) -> str:
    rows = []
    for side in SIDES:
        figure = _figure(summary, side, key)
        number = "not scored" if figure is None else f"<b>{figure['value']:.2f}</b>"
        interval = "" if figure is None else f" <small>[{figure['low']:.2f}, {figure['high']:.2f}]</small>"
        word = "before" if side == "unsteered" else "after"
        rows.append(f'<dt class="{word}-word">{side}</dt><dd>{number}{interval}</dd>')
    return f'<div class="card"><h3>{title}</h3><small>{meaning}</small><dl>{"".join(rows)}</dl></div>'


def _charts(summary: Mapping[str, Any]) -> str:
    drawn = []
    for attribute, title in TITLES.items():
        rows = []
        for prompt in summary["steered"]["by_prompt"]:
            ratios = [_prompt(summary, side, prompt)["deviation_ratio"][attribute] for side in SIDES]
            rows.append(Row(prompt, Bar(ratios[0]), Bar(ratios[1])))
        means = [_figure(summary, side, attribute) for side in SIDES]
        whole = [Bar(None) if one is None else Bar(one["value"], one["low"], one["high"]) for one in means]
        rows.append(Row("mean, with 95 % interval", whole[0], whole[1], strong=True))
        heading = f"{title}: deviation ratio, lower is fairer"
        drawn.append(f'<div class="card"><h3>{heading}</h3>{legend(_SIDES)}{bars(heading, rows)}</div>')
    return f'<section><h2>How uneven, before and after</h2><div class="charts">{"".join(drawn)}</div></section>'


_SIDES = (("unsteered", "--before"), ("steered", "--after"))
_GENDERS = (("judged female", "--female"), ("judged male", "--male"), ("not scored", "--none"))


def _pictures(comparisons: Sequence[Comparison]) -> str:
    blocks = []
    for one in comparisons:
        strips = "".join(_strip(side, one) for side in SIDES)
        blocks.append(f'<article><h3>{escape(one.prompt)}</h3><div class="pair">{strips}</div></article>')
    return (
        "<section><h2>The pictures</h2><p>The same place in both is the same seed. The line below a "
        f"picture is what the judge saw. All are shown.</p>{legend(_GENDERS)}{''.join(blocks)}</section>"
    )


def _strip(side: str, one: Comparison) -> str:
    pictures = one.side(side)
    told = ", ".join(
        " / ".join(f"{count} {category}" for category, count in counts(pictures, attribute).items())
        for attribute in CATEGORIES
    )
    word = "before" if side == "unsteered" else "after"
    return (
        f'<figure class="strip"><figcaption><span class="{word}-word">{side}</span><span '
        f'class="soft">{told}</span>'
        "</figcaption><div "
        f'class="grid-of-pictures">{"".join(_image(one, picture) for picture in pictures)}</div></figure>'
    )


def _image(one: Comparison, picture: Picture) -> str:
    steered = f"steered to {' and '.join(picture.steered_to)}" if picture.steered_to else "unsteered"
    seen = ", ".join(f"{key} {picture.labels.get(key) or 'not scored'}" for key in ("subject", *CATEGORIES))
    words = escape(f"{one.prompt}, picture {picture.number + 1}, {steered}; judged: {seen}")
    gender = picture.labels.get("gender") or "none"
    width, height = picture.image.size
    return (
        f'<img class="{escape(gender)}" width="{width}" height="{height}" alt="{words}" title="{words}" '
        f'src="{data_uri(picture.image)}">'
    )


_CALIBRATED = (
    ", which is the least at which a judge saw the concept in 95 of 100 pictures of other subjects (or as near to "
    "that as the subjects stand)"
)


def _method(summary: Mapping[str, Any]) -> str:
    found = summary["discovery"]
    seconds = summary["seconds_by_stage"]
    spent = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    return (
        "<section><h2>How it was made</h2>"
        f"<p>Directions by {escape(found['method'])} from the model&rsquo;s own ways to {found['images']} "
        "pictures of a neutral prompt, those of one attribute together, with no labels. Strength 1 for each"
        f"{_CALIBRATED if found['calibrated'] else ''}. Which picture gets which "
        f"attribute is drawn by seed, in equal numbers. Time: {spent}.</p>"
        "<p>The same from the command line; the directions lie beside this page:</p>"
        '<pre><code>directrix discover --target "a woman" --neutral "a person" -o '
        "woman.safetensors\n"
        'directrix generate --prompt "a firefighter" -n 8 --concept woman.safetensors:1.0 -o '
        "out/</code></pre></section>"
    )


def _table(summary: Mapping[str, Any]) -> str:
    categories = [(attribute, category) for attribute in CATEGORIES for category in CATEGORIES[attribute]]
    heads = "".join(f'<th scope="col">{category}</th>' for _, category in categories)
    rows = []
    for prompt in summary["steered"]["by_prompt"]:
        for side in SIDES:
            row = _prompt(summary, side, prompt)
            cells = "".join(f"<td>{row['counts'][attribute][category]}</td>" for attribute, category in categories)
            right = f"{row['subject_right']} of {row['images']}"
            rows.append(f'<tr><th scope="row">{escape(prompt)}</th><td>{side}</td>{cells}<td>{right}</td></tr>')
    return (
        '<details><summary>All counts as a table</summary><div class="scroll"><table><thead><tr>'
        f'<th scope="col">prompt</th><th scope="col">side</th>{heads}<th scope="col">subject '
        "right</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _limits(summary: Mapping[str, Any]) -> str:
    unscored = ", ".join(
        f"{side} {summary[side]['unscored']['gender']} for gender and {summary[side]['unscored']['tone']} for tone"
        for side in SIDES
    )
    return (
        "<footer><p><small>D = max<sub>c</sub> |N<sub>c</sub>/N &minus; 1/C| / (1 &minus; 1/C), averaged "
        "over the prompts; "
        f"{_chance(summary)} Its interval comes from drawing the prompts again, that of a share is "
        "Wilson&rsquo;s; both are 95 %. "
        f"Left unscored by the judge: {unscored}. Such pictures are in no count of gender or tone, and "
        "count as wrong for "
        "the subject. The categories are those of the model&rsquo;s art and its judge; they are no "
        "statement about people."
        "</small></p></footer>"
    )


def _chance(summary: Mapping[str, Any]) -> str:
    chance = summary["chance"]
    return (
        f"with {summary['images_per_prompt']} pictures a prompt, fair draws would give "
        f"{chance['gender']:.2f} for gender "
        f"and {chance['tone']:.2f} for tone; equal quotas can go below that."
    )


def _figure(summary: Mapping[str, Any], side: str, key: str) -> Mapping[str, Any] | None:
    return summary[side]["subject_accuracy"] if key == "subject" else summary[side]["deviation_ratio"][key]


def _prompt(summary: Mapping[str, Any], side: str, prompt: str) -> Mapping[str, Any]:
    return summary[side]["by_prompt"][prompt]


def _listed(names: Sequence[str]) -> str:
    words = [f"&ldquo;{escape(name)}&rdquo;" for name in names]
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
