"""`directrix generate`: draw images, with or without directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import directrix
from directrix.cli import options
from directrix.cli.app import LOG, Result, progress, verb

if TYPE_CHECKING:
    from directrix.generation.generate import Record
    from directrix.interventions.protocol import Intervention


@verb("generate", "Run the same command again: finished images stay.")
def generate(
    output: options.Output,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    images_per_prompt: options.ImagesPerPrompt = 1,
    direction: list[str] | None = None,
    policy: Path | None = None,
    branch: Literal["conditional", "unconditional", "both"] = "conditional",
    start: options.Fraction = 0.0,
    stop: options.Fraction = 1.0,
    negative_prompt: str | None = None,
    seed: options.Seed = 0,
    drawing: options.Drawing = options.DRAWING,
    model: options.Model = options.EMOJI,
) -> Result:
    """Draw images, steered by directions."""
    texts = options.prompts_of(prompt, prompts)
    files = [options.strength_of(text) for text in direction or ()]
    options.writable_folders(output)
    strengths = options.strengths(files)
    from directrix.generation import manifest
    from directrix.interventions.steering import Steering

    interventions: list[Intervention] = [] if policy is None else [directrix.Policy.load(policy)]
    steering = Steering(strengths, branch=branch, start=start, stop=stop)
    records = directrix.generate(
        model.load(),
        texts,
        images_per_prompt,
        seed=seed,
        interventions=[*interventions, steering] if strengths else interventions,
        negative_prompt=negative_prompt,
        output=output,
        **vars(drawing),
        progress=progress(),
    )
    sheet = output / "contact-sheet.png"
    _write_sheet(sheet, records, images_per_prompt)
    drawn = sum(record.drawn for record in records)
    LOG.info("%s of %s images drawn now, the others were there.", drawn, len(records))
    for text, unmet in {record.prompt: record.row.get("unmet") for record in records}.items():
        if unmet:
            LOG.info("Nothing could be done about %s in '%s'.", ", ".join(map(repr, unmet)), text)
    for note in _notes(records):
        LOG.info(note)
    data = {
        "folder": str(output),
        "contact_sheet": str(sheet),
        "manifest": str(output / manifest.NAME),
        "images": [dict(record.row) for record in records],
    }
    return Result(f"{len(records)} images in {output}, all on {sheet}", data)


def _notes(records: Sequence[Record]) -> list[str]:
    """What the policy left as it is, a sentence for each prompt."""
    from directrix.policies.gates.gate import notes

    gates = {record.prompt: record.row.get("gates", {}) for record in records}
    return notes(list(gates), list(gates.values()))


def _write_sheet(path: Path, records: Sequence[Record], images_per_prompt: int) -> None:
    from directrix.generation.generate import contact_sheet

    # A row has one prompt's images; a single prompt is laid out as a square or so.
    several = len(records) > images_per_prompt
    columns = images_per_prompt if several else math.ceil(math.sqrt(len(records)))
    labels = [record.prompt for record in records] if several else None
    options.write_png(contact_sheet([record.image for record in records], columns, labels), path)
