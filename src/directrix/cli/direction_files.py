"""`directrix inspect | import | push`: what a direction's file says, the paper's as ours, and ours on the hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import directrix
from directrix.cli import options
from directrix.cli.app import LOG, Result, reading, verb
from directrix.errors import MismatchError


@verb("inspect")
def inspect(files: Annotated[list[str], typer.Argument()]) -> Result:
    """Say what a direction's file contains."""
    directions = [directrix.Direction.from_pretrained(file) for file in files]
    data = described(list(zip(directions, map(Path, files), strict=True))).data
    if len(directions) > 1:
        try:
            cosines = [[round(a.cosine(b), 4) for b in directions] for a in directions]
            data = {**data, "cosines": cosines}
        except MismatchError as error:
            # What each file contains was asked for all the same.
            LOG.info("Not compared: %s", error.happened)
    return Result(reading("directions", data), data)


@verb("import", "Every file is whole or not there.")
def import_published(
    file: Annotated[Path, typer.Argument()],
    output: options.Output,
    concepts: Path | None = None,
    model: options.Model = options.UNNAMED,
) -> Result:
    """Turn the paper's unet.pth and concept_dict.json into direction files."""
    options.writable_folders(output)
    from directrix.directions import published

    pipeline = None if model.model is None else model.load()
    directions = published.import_published(file, concepts, pipeline)
    rows = [(each, output / published.file_name(each.name)) for each in directions]
    for direction, path in rows:
        direction.save(path)
    if unnamed := directions[0].provenance["unnamed_columns"]:
        LOG.info("%d columns have no name, and were left out.", unnamed)
    if pipeline is None:
        LOG.info(
            "Matched by structure: the files fit every model built like %s, at 512 x 512 pixels. "
            "--model NAME makes them that model's alone.",
            published.MODEL.name,
        )
    return described(rows)


@verb("push", "The commit is there or not; it has all files or none.")
def push(
    file: options.DirectionFile,
    repository: options.Word,
    revision: str | None = None,
    private: bool = False,
    message: str | None = None,
    license: str | None = None,
    no_card: bool = False,
) -> Result:
    """Put a direction on the Hugging Face hub, with a model card."""
    from directrix.directions import hub

    path = hub.locate(file)
    image = path.with_suffix(".png")
    url = directrix.Direction.load(path).push_to_hub(
        repository,
        revision=revision,
        private=private or None,
        message=message,
        license=license,
        card=not no_card,
        picture=image.read_bytes() if image.is_file() else None,
    )
    return Result(f"{file} is in {repository}: {url}", {"repository": repository, "commit": url})


def described(rows: Sequence[tuple[directrix.Direction, Path]]) -> Result:
    """Everything that directions with their files say, but for the tensors' values."""
    data = {"directions": [_as_json(*row) for row in rows]}
    return Result(reading("directions", data), data)


def _as_json(direction: directrix.Direction, path: Path) -> dict[str, Any]:
    header = direction.header
    place: dict[str, Any] = {"parts": [asdict(each) for each in header.parts]}
    if len(header.parts) == 1 and header.parts[0].plain:
        place = {"shape": list(direction.tensor.shape), "site": asdict(direction.site)}
    return {
        "file": str(path),
        "name": direction.name,
        **place,
        "norm": round(direction.norm(), 4),
        "model": asdict(direction.model),
        "strengths": asdict(direction.strengths),
        "calibrated": options.calibrated(direction),
        "recipe": dict(direction.recipe),
        "provenance": dict(direction.provenance),
    }
