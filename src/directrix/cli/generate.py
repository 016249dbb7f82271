"""`directrix generate`: draw images, with or without directions."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb
from directrix.errors import ConceptError

if TYPE_CHECKING:
    from directrix.generation.generate import Record
    from directrix.interventions.protocol import Intervention


@verb(
    "generate",
    "Run the same command again: finished images stay.",
    'example: directrix generate --prompt "a firefighter" -n 8 --direction woman.safetensors:1.0 -o out/',
)
def generate(
    output: options.Output,
    prompt: list[str],
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
    """Draw images, steered by directions.

    Each prompt's images go into a folder: PNG files, a contact sheet, and a manifest with one row an image. The same
    command with and without --direction draws the same seeds. An interrupted run goes on with the images that are
    missing.

    Args:
        output (DIR): Where the images go.
        prompt (PROMPT): What to draw; may be given several times.
        direction (FILE[:STRENGTH]): A direction's file, or OWNER/NAME[@REVISION] on the hub, and its strength (default:
            the file's own); may be given several times.
        policy: A YAML file that says what is fair, what is kept out, and whether prompts may ask for it.
        branch: The branch of classifier-free guidance that --direction steers.
        start: Fraction of the steps before steering begins.
        stop: Fraction of the steps after which it ends.
        negative_prompt (PROMPT): What to keep out, in words.
    """
    if not all(each.strip() for each in prompt):
        raise ConceptError("A prompt is empty.", "at least one word.", '--prompt "a firefighter".')
    files = [options.strength_of(text) for text in direction or ()]
    options.writable_folder(output)
    strengths = options.strengths(files)

    from directrix.generation import manifest
    from directrix.generation.generate import generate
    from directrix.interventions.steering import Steering

    steering = Steering(strengths, branch=branch, start=start, stop=stop)
    interventions: list[Intervention] = [steering] if strengths else []
    if policy is not None:
        from directrix.policies.policy import Policy

        interventions.insert(0, Policy.load(policy))
    records = generate(
        model.load(),
        prompt,
        images_per_prompt,
        seed=seed,
        interventions=interventions,
        negative_prompt=negative_prompt,
        output=output,
        **vars(drawing),
        progress=terminal.progress(),
    )
    sheet = output / "contact-sheet.png"
    _write_sheet(sheet, records, images_per_prompt)
    drawn = sum(record.drawn for record in records)
    terminal.LOG.info("%s of %s images drawn now, the others were there.", drawn, len(records))
    for text, unmet in {record.prompt: record.row.get("unmet") for record in records}.items():
        if unmet:
            terminal.LOG.info("Nothing could be done about %s in '%s'.", ", ".join(map(repr, unmet)), text)
    data = {
        "folder": str(output),
        "contact_sheet": str(sheet),
        "manifest": str(output / manifest.NAME),
        "images": [dict(record.row) for record in records],
    }
    return Result(f"{len(records)} images in {output}, all on {sheet}", data)


def _write_sheet(path: Path, records: Sequence[Record], images_per_prompt: int) -> None:
    from directrix.generation.generate import contact_sheet
    from directrix.models.files import write_atomically

    # A row has one prompt's images; a single prompt is laid out as a square or so.
    several = len(records) > images_per_prompt
    columns = images_per_prompt if several else math.ceil(math.sqrt(len(records)))
    labels = [record.prompt for record in records] if several else None
    file = io.BytesIO()
    contact_sheet([record.image for record in records], columns, labels).save(file, "PNG")
    write_atomically(path, file.getvalue())
