"""`directrix generate`: draw images, with or without directions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import directrix
from directrix.cli import options
from directrix.cli.app import LOG, Result, progress, verb

if TYPE_CHECKING:
    from directrix.generation.generate import Record
    from directrix.interventions.protocol import Intervention

_PAGE = 200  # images on a contact sheet


@verb("generate", "Run the same command again: finished images stay.", shared=True)
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
    overwrite: options.Overwrite = False,
    judge: options.Judge = None,
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
    from directrix.models.processes import first

    chosen = None if policy is None else options.load_policy(policy)
    steering = Steering(strengths, branch=branch, start=start, stop=stop)
    loaded = model.load()
    interventions: list[Intervention] = []
    if chosen is not None:
        from directrix.measurement.calibration.target import read_by_judge
        from directrix.models.steerable import SteerableModel

        interventions.append(read_by_judge(SteerableModel.of(loaded), chosen, judge))
    records = directrix.generate(
        loaded,
        texts,
        images_per_prompt,
        seed=seed,
        interventions=[*interventions, steering] if strengths else interventions,
        negative_prompt=negative_prompt,
        output=output,
        overwrite=overwrite,
        **vars(drawing),
        progress=progress(),
    )
    drawn = sum(record.drawn for record in records)
    sheets = first(lambda: _write_sheets(output, records, images_per_prompt, anew=drawn > 0))
    LOG.info("%s of %s images drawn now, the others were there.", drawn, len(records))
    for text, unmet in {record.prompt: record.row.get("unmet") for record in records}.items():
        if unmet:
            LOG.info("Nothing could be done about %s in '%s'.", ", ".join(map(repr, unmet)), text)
    read = [list(record.row["closed_loop"].values()) for record in records if record.row.get("closed_loop")]
    if read:
        steered = sum(any(one["steered"] for one in each) for each in read)
        LOG.info("Closed loop: %s of %s images were steered, the others were right as they were.", steered, len(read))
    for note in (*_notes(records), *_left(records)):
        LOG.info(note)
    data = {
        "folder": str(output),
        "contact_sheet": str(sheets[0]),
        "contact_sheets": [str(each) for each in sheets],
        "manifest": str(output / manifest.NAME),
        "images": [dict(record.row) for record in records],
    }
    on = f"{sheets[0]}" if len(sheets) == 1 else f"{len(sheets)} sheets, the first is {sheets[0]}"
    return Result(f"{len(records)} images in {output}, all on {on}", data)


def _left(records: Sequence[Record]) -> list[str]:
    """What a closed loop still saw when it drew images for the last time, a sentence for each attribute."""
    from directrix.interventions.reading import missed
    from directrix.interventions.where_forming import still_forming

    counts: Counter[str] = Counter()
    for record in records:
        read = record.row.get("closed_loop", {})
        counts.update(f"still show {name}" for name in still_forming(read))
        counts.update(f"show another {name} than the policy gave them" for name in missed(read))
    return [
        f"{count} of {len(records)} images may {what}: see closed_loop in the manifest."
        for what, count in counts.items()
    ]


def _notes(records: Sequence[Record]) -> list[str]:
    """What the policy left as it is, a sentence for each prompt."""
    from directrix.policies.gates.gate import notes

    gates = {record.prompt: record.row.get("gates", {}) for record in records}
    return notes(list(gates), list(gates.values()))


def _write_sheets(folder: Path, records: Sequence[Record], images_per_prompt: int, anew: bool) -> list[Path]:
    """The contact sheets of a run, of at most `_PAGE` images each; one that is there is made again only if `anew`."""
    from directrix.generation.generate import contact_sheet

    # A row has one prompt's images, where they fit; others are laid out as a square or so.
    rows = len(records) > images_per_prompt <= _PAGE
    size = _PAGE // images_per_prompt * images_per_prompt if rows else _PAGE
    paths = []
    for first in range(0, len(records), size):
        page = records[first : first + size]
        paths.append(folder / ("contact-sheet.png" if not first else f"contact-sheet-{first // size + 1}.png"))
        if anew or not paths[-1].is_file():
            columns = images_per_prompt if rows else math.ceil(math.sqrt(len(page)))
            labels = [record.prompt for record in page] if len(records) > images_per_prompt else None
            options.write_png(contact_sheet([record.image for record in page], columns, labels), paths[-1])
    return paths
