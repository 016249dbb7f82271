"""`directrix fit-probe`: fit what tells, of an image that is being drawn, which category it is going to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import directrix
from directrix.cli import calibration, options
from directrix.cli.app import Result, progress, verb
from directrix.concept import attribute_set


@verb("fit-probe", "Run the same command again: it goes on where it stopped.")
def fit_probe(
    output: options.Output,
    attribute: str,
    directions: Path,
    prompt: list[str] | None = None,
    prompts: Path | None = None,
    images_per_prompt: options.ImagesPerPrompt = 12,
    rounds: options.Count = 2,
    num_inference_steps: options.Steps = None,
    height: options.Side = None,
    width: options.Side = None,
    seed: options.Seed = 5000,
    judge: options.Judge = None,
    closed_loop: bool = False,
    model: options.Model = options.EMOJI,
) -> Result:
    """Fit a linear probe: which category an image is going to show. For feedback steering, or for a closed loop."""
    texts = options.prompts_of(prompt, prompts) if prompt or prompts else []
    options.writable_files(output)
    from directrix.directions.collection import Catalogue
    from directrix.discovery.checkpoint import Checkpoint
    from directrix.measurement.calibration.target import judge_of_values

    wanted = attribute_set(attribute)
    catalogue = Catalogue(directions)
    found = [catalogue.direction(each.name).with_(name=each.name) for each in wanted.concepts]
    checkpoint = Checkpoint(output.with_name(f"{output.name}.checkpoint"))
    drawn: dict[str, Any] = {
        "images_per_prompt": images_per_prompt,
        "num_inference_steps": num_inference_steps,
        "height": height,
        "width": width,
        "seed": seed,
        "checkpoint": checkpoint.folder,
        "progress": progress(),
    }
    if closed_loop:
        from directrix.measurement.calibration.fit_early_probe import fit_early_probe

        probe = fit_early_probe(model.load(), wanted.name, found, texts or None, **drawn)
    else:
        labels = calibration.labelled(found, directions)
        loaded = model.load()
        seeing, target_labels = judge_of_values(loaded, wanted, judge)
        known = labels if target_labels is None else dict(zip(found, target_labels, strict=True))
        probe = directrix.fit_probe(loaded, wanted.name, known, seeing, texts or None, rounds=rounds, **drawn)
    probe.save(output)
    checkpoint.remove()
    data: dict[str, Any] = {
        "file": str(output),
        "attribute": probe.attribute,
        "categories": list(probe.categories),
        "timesteps": [float(each) for each in probe.timesteps],
        "pictures": probe.provenance["pictures"],
        "digest": probe.digest(),
    }
    text = f"A probe of {probe.attribute} ({', '.join(probe.categories)}), from {data['pictures']} images."
    return Result(f"{text} Wrote {output}.", data)
