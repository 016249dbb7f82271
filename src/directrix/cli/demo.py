"""`directrix demo`: the whole method in minutes, on one page."""

from __future__ import annotations

from pathlib import Path

from directrix.cli import options, terminal
from directrix.cli.app import Result, verb


@verb("demo", "The page is written at the end; run the same command again.")
def demo(
    output: options.Output = Path("demo"), images_per_prompt: options.ImagesPerPrompt = 20, seed: options.Seed = 0
) -> Result:
    """See it work: six occupations before and after, on one page, in minutes.

    On the embedded model: find gender and skin tone, draw six occupations unsteered and steered, judge all images, and
    write index.html with everything inside, summary.json and the directions.

    Args:
        output (DIR): Folder of the page.
    """
    options.writable_folder(output)
    from directrix.experiments import demo
    from directrix.measurement.metrics import Interval

    summary = demo.demo(output, images_per_prompt=images_per_prompt, seed=seed, progress=terminal.progress())

    def row(title: str, figures: list[dict | None]) -> str:
        shown = (str(Interval(**each)) if each else "not scored" for each in figures)
        return f"{title:28}" + "".join(f"{each:>20}" for each in shown)

    sides = [summary[side] for side in ("unsteered", "steered")]
    lines = [f"{'':28}{'unsteered':>20}{'steered':>20}"]
    for attribute in ("gender", "tone"):
        lines.append(row(f"deviation ratio, {attribute}", [side["deviation_ratio"][attribute] for side in sides]))
    lines.append(row("subject accuracy", [side["subject_accuracy"] for side in sides]))
    lines.append(f"{summary['seconds']:.0f} s. Open {output / 'index.html'}")
    return Result("\n".join(lines), summary)
