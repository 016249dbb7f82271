"""A direction's card as Markdown, for a model hub or a repository. Nothing is measured here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from directrix.directions.target_label import TargetLabel
from directrix.models.fingerprint import STRUCTURE, shortened

if TYPE_CHECKING:
    from directrix.directions.direction import Direction

# Labels of an attribute that are listed by name; the others change less.
LISTED = 5

FORMAT = 1


def stored(direction: Direction) -> Mapping[str, Any] | None:
    """The card that a direction carries; None where there is none, or where it is that of another tensor."""
    card = direction.provenance.get("card")
    if not isinstance(card, Mapping) or card.get("format") != FORMAT:
        return None
    return card if card.get("digest") == direction.digest() else None


def markdown(
    card: Mapping[str, Any], file: str | None = None, picture: str | None = None, repository: str | None = None
) -> str:
    """Return the page of a card (see ``directrix.measurement.reports.direction_card.measure``).

    file: name of the direction's file; picture: of its picture, relative to the page, empty for none. None for the
    direction's own name with the endings .safetensors and .png. repository: "owner/name", where the page is for the
    hub.
    """
    file = file or f"{card['name']}.safetensors"
    picture = f"{card['name']}.png" if picture is None else picture
    sections = (
        ("", _head(card, picture)),
        ("Strengths", _strengths(card)),
        ("Leakage", _leakage(card)),
        ("Preservation", _preservation(card)),
        ("Cost", _cost(card)),
        ("Recipe", _recipe(card)),
        ("The same again", _commands(card, file)),
        ("Use", [use(card["model"]["name"], card["prompts"][0], file, repository)]),
        ("Limits", _limits(card)),
    )
    blocks = [block for title, lines in sections for block in ([f"## {title}"] if title else []) + lines]
    return "\n\n".join(blocks) + "\n"


def sentence(card: Mapping[str, Any]) -> str:
    """Return what the direction does at strength 1.0, in one sentence of plain text."""
    return _sentence(card, str(TargetLabel(**card["aim"])))


def _sentence(card: Mapping[str, Any], target_label: str) -> str:
    plain, steered = at(card, 0.0), at(card, 1.0)
    text = (
        f"At strength 1.0, {_share(steered['effect'])} of the pictures show what is aimed at ({target_label}), against "
        f"{_share(plain['effect'])} unsteered"
    )
    retained = steered["kept"]
    return f"{text}, and {_share(retained)} keep their subject." if retained else f"{text}."


def at(card: Mapping[str, Any], strength: float) -> Mapping[str, Any]:
    """Return the card's figures at a strength that was measured."""
    return next(row for row in card["strengths"] if row["strength"] == strength)


def _head(card: Mapping[str, Any], picture: str) -> list[str]:
    return [
        f"# {plain(card['name'])}: a direction for {plain(card['model']['name'])}",
        _sentence(card, _target_label(card)) + " In brackets, here and below: the 95 % interval.",
    ] + ([f"![The same seeds from strength -1.5 to 1.5; below, effect and kept subjects](<{picture}>)"] * bool(picture))


def _strengths(card: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"{row['strength']:g}",
            _share(row["effect"]),
            _share(row["kept"]) if row["kept"] else "not judged",
            f"{row['distance']:.3f}",
        )
        for row in card["strengths"]
    ]
    pictures = len(card["prompts"]) * card["images_per_prompt"]
    rises = (
        "The effect never falls, beyond its interval, as the strength rises."
        if card["monotone"]
        else "**The effect falls somewhere, beyond its interval, as the strength rises.**"
    )
    return [
        _table(("strength", "effect", "subject kept", "distance"), rows),
        f"{pictures} pictures a strength, always of the same seeds. *Effect*: the judge ({plain(card['judge'])}) sees "
        f"that {_target_label(card)}. *Subject kept*: it sees the subject that the same seed has unsteered. "
        f"*Distance*: root mean square difference of the pixels, in 0..1, to the same seed unsteered. {rises}",
    ]


def _leakage(card: Mapping[str, Any]) -> list[str]:
    before, after = at(card, 0.0)["shares"], at(card, 1.0)["shares"]
    rows = []
    for attribute, labels in card["leakage"].items():
        ranked = sorted(labels, key=lambda label: (-abs(labels[label]["value"]), label))
        for label in ranked[:LISTED]:
            shares = [f"{100 * side[attribute].get(label, 0.0):.0f} %" for side in (before, after)]
            rows.append((plain(attribute), plain(label), *shares, _points(labels[label])))
        if ranked[LISTED:]:
            most = 100 * abs(labels[ranked[LISTED]]["value"])
            others = f"{len(ranked) - LISTED} other label{'s' if len(ranked) > LISTED + 1 else ''}"
            rows.append((plain(attribute), others, "", "", f"at most {most:.1f} either way"))
    if not rows:
        return ["The judge knows no attribute but the one that is aimed at, so nothing can be said."]
    return [
        "What else changes at strength 1.0, in percentage points:",
        _table(("attribute", "label", "unsteered", "steered", "change"), rows),
        "An interval without width says that no picture changed, not that none would. A picture that the judge is not "
        "sure of has no label.",
    ]


def _preservation(card: Mapping[str, Any]) -> list[str]:
    retained, sensible = at(card, 1.0)["kept"], card["sensible"]
    told = (
        f"At strength 1.0, {_share(retained)} of the pictures keep the subject that the same seed has unsteered."
        if retained
        else "Whether pictures keep their subject was not judged."
    )
    return [
        f"{told} The distance of the pixels is {at(card, 1.0)['distance']:.3f}. Sensible strengths, says the file: "
        f"{sensible['minimum']:g} to {sensible['maximum']:g}, {sensible['default']:g} unless told otherwise."
    ]


def _cost(card: Mapping[str, Any]) -> list[str]:
    cost, together = card["cost"], card["recipe"].get("learned_together") or ()
    memory = cost["memory_mb"]
    rows = [
        ("seconds", _spent(cost["seconds"])),
        ("evaluations of the denoiser", _spent(cost["denoiser_evaluations"])),
        ("peak memory", "not recorded" if memory is None else f"{memory:,.0f} MB"),
    ]
    lines = [_table(("of the discovery", ""), rows)]
    if len(together) > 1:
        lines.append(f"For {len(together)} concepts in one run: {', '.join(map(plain, together))}.")
    return lines


def _recipe(card: Mapping[str, Any]) -> list[str]:
    recipe = dict(card["recipe"])
    concept = recipe.pop("concept", None) or {}
    recipe.pop("learned_together", None)
    found = [
        f"- {plain(key.replace('_', ' '))}: {plain(value)}"
        for key, value in recipe.items()
        if isinstance(value, str | int | float)
    ]
    for pair in concept.get("pairs", ()):
        against = f", with the negative prompt {code(pair['negative'])}" if pair.get("negative") else ""
        found.append(f"- {code(pair['target'])}{against}, next to {code(pair['neutral'])}")
    shape = " x ".join(map(str, card["shape"]))
    found.append(f"- a tensor {shape} at {code(card['site'])}")
    prompts = "\n".join(f"- {code(prompt)}" for prompt in card["prompts"])
    return [
        "\n".join(found),
        f"Measured with {card['images_per_prompt']} pictures of each of these prompts, "
        f"{card['num_inference_steps']} denoising steps, seed {card['seed']}:",
        prompts,
    ]


def _commands(card: Mapping[str, Any], file: str) -> list[str]:
    measuring = ["directrix", "card", file, "--again", "--images-per-prompt", card["images_per_prompt"]]
    again = shlex.join(map(str, [*measuring, "--seed", card["seed"]]))
    command = card["command"] or "# The file does not say with which command it was found."
    return [f"```sh\n{command}\n{again}\n```"]


def use(model: str, prompt: str, file: str, repository: str | None = None) -> str:
    """Return a block of Python that draws with a direction: of a file, or of a repository on the hub."""
    read = f"load({_quoted(file)})" if repository is None else f"from_pretrained({_quoted(repository)})"
    lines = (
        "import directrix",
        "",
        f"pipeline = directrix.load({_quoted(model)})",
        f"direction = directrix.Direction.{read}",
        "with directrix.steer(pipeline, {direction: 1.0}):",
        f"    image = pipeline({_quoted(prompt)}).images[0]",
    )
    return "```python\n" + "\n".join(lines) + "\n```"


def _limits(card: Mapping[str, Any]) -> list[str]:
    model = card["model"]
    revision = f", revision {model['revision']}" if model["revision"] else ""
    size = (
        "- It fits pictures of the size that it was found with."
        if len(card["shape"]) == 3
        else "- It has no height and width, so it fits pictures of any size."
    )
    structural = model["fingerprint"].startswith(STRUCTURE)
    only = "models of the structure of this one" if structural else "this model only"
    return [
        f"- It works with {only}: {plain(model['name'])}{revision}, fingerprint "
        f"{code(shortened(model['fingerprint']))}.\n{size}\n"
        "- The figures hold for these prompts, and are what the judge sees. It errs too, and it cannot see what it has "
        "no labels for.\n"
        "- The judge's categories are those of its training; they are no statement about people."
    ]


def _target_label(card: Mapping[str, Any]) -> str:
    return plain(TargetLabel(**card["aim"]))


def _share(figure: Mapping[str, Any]) -> str:
    value, low, high = (f"{100 * figure[key]:.0f}" for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _points(figure: Mapping[str, Any]) -> str:
    # No change has no sign.
    value, low, high = (f"{100 * figure[key] + 0.0:+.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]".replace("+0.0", "0.0").replace("-0.0", "0.0")


def _spent(spent: Any) -> str:
    """A number, or numbers by what they were spent on."""
    if isinstance(spent, Mapping):
        parts = [f"{plain(key.replace('_', ' and '))} {value:,g}" for key, value in spent.items()]
        return ", ".join(parts) or "not recorded"
    return "not recorded" if spent is None else f"{spent:,g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: Any) -> str:
    """Text that Markdown leaves as it is, on one line."""
    words = " ".join(str(text).split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|" else each for each in words)


def _quoted(text: str) -> str:
    """Text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def code(text: Any) -> str:
    words = " ".join(str(text).split())
    return f"``{words}``" if "`" in words else f"`{words}`"
