"""`directrix benchmarks`: what `directrix evaluate` can be asked for."""

from __future__ import annotations

from directrix.cli.app import Result, verb


@verb("benchmarks")
def benchmarks() -> Result:
    """List the benchmarks in the package: how many prompts, of which kinds, and what is measured."""
    from directrix.measurement.benchmarks import shipped

    found = [benchmark.as_dict() for benchmark in shipped()]
    paragraphs = []
    for each in found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in each["kinds"].items())
        size = f"{each['prompts']} prompts x {each['images']} images" if each["prompts"] else "prompts from --data"
        paragraphs.append(
            f"{each['name']}  (version {each['version']}, {each['licence']})\n"
            f"  {each['description']}\n"
            f"  {size}{f' ({kinds})' if kinds else ''}; measures {', '.join(each['measures'])}; judge: {each['judge']}"
        )
    return Result("\n\n".join(paragraphs), {"benchmarks": found})
