"""The tab Steer: a slider for each direction, and the images of the same seeds unsteered and steered."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio import markup
from directrix.studio.artist import Pairs, Strip
from directrix.studio.desk import Desk, failed
from directrix.studio.jobs import Job
from directrix.studio.recipe import MOST_IMAGES, MOST_SEED, MOST_WORDS, Recipe

_STRENGTHS = (
    "**Strengths.** 0 changes nothing, and less than 0 moves away from the concept. Where a range was not measured, "
    "1 adds what the words themselves would."
)
EMPTY = '<p class="dx-empty">Move a slider, or press Draw. The images appear here.</p>'


class SteerTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`."""

    def __init__(self, desk: Desk) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist = gr, desk, desk.artist
        first = self._artist.models[0]
        names = list(self._artist.directions(first))
        self._names = names
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self.prompt = gr.Textbox("a firefighter", label="Prompt", max_length=MOST_WORDS, elem_id="dx-prompt")
                with gr.Row():
                    self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, min_width=90)
                    self.images = gr.Number(
                        4, label="Images", precision=0, minimum=1, maximum=MOST_IMAGES, min_width=90
                    )
                self.model = gr.Dropdown(
                    list(self._artist.models), value=first, label="Model", visible=len(self._artist.models) > 1
                )
                with gr.Row():
                    self.draw = gr.Button("Draw", variant="primary", min_width=70, elem_id="dx-draw")
                    self.cancel = gr.Button("Cancel", min_width=70, elem_id="dx-cancel")
                    self.reset = gr.Button("Reset", min_width=70)
                gr.Markdown(_STRENGTHS)
                with gr.Column(elem_id="dx-sliders"):
                    self.sliders = [
                        gr.Slider(label=name, value=0.0, step=0.05, **self._range(first, name)) for name in names
                    ]
            with gr.Column(scale=5, min_width=300):
                self.status = gr.HTML(markup.status(None, 0), elem_id="dx-status")
                self.view = gr.Radio(list(markup.VIEWS), value=markup.VIEWS[0], label="View")
                self.shown = gr.HTML(EMPTY, elem_id="dx-images")
                with gr.Row():
                    self.along = gr.Dropdown(names, value=names[0] if names else None, label="Direction of the strip")
                    self.strip = gr.Button("Strip over strengths", min_width=160, elem_id="dx-strip")
                self.strip_shown = gr.HTML("")
                self.download = gr.DownloadButton("Download PNG with its recipe", interactive=False, elem_id="dx-png")
                with gr.Accordion("Reproduce these images", open=False):
                    self.shell = gr.Code(
                        language="shell", lines=2, label="Command line", interactive=False, wrap_lines=True
                    )
                    self.python = gr.Code(
                        language="python", lines=2, label="Python", interactive=False, wrap_lines=True
                    )
        self.remembered = gr.BrowserState(None, storage_key="directrix-studio-job")
        self._wire()

    def _range(self, model: str, name: str) -> Mapping[str, Any]:
        """A slider's ends, and a sentence about them."""
        direction = self._artist.directions(model).get(name)
        if direction is None:
            return {"minimum": -1.0, "maximum": 1.0, "info": "This model has no such direction."}
        low, high = direction.strengths.minimum, direction.strengths.maximum
        said = f"Measured: sensible up to {high:g}." if "calibration" in direction.provenance else None
        return {"minimum": min(low, 0.0), "maximum": high, "info": said}

    def _wire(self) -> None:
        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        gr = self._gr
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        given = [self.model, self.prompt, self.seed, self.images, self.view, *self.sliders]
        outputs = [
            self.status, self.shown, self.strip_shown, self.shell, self.python, self.download, self.remembered,
        ]  # fmt: skip

        async def draw(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), values):
                yield each

        async def strip(along: str, request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._draw(str(request.session_hash), values, along):
                yield each

        async def reload(name: str | None, view: str, request: Request) -> AsyncIterator[list[Any]]:
            job = self._desk.queue.get(name if isinstance(name, str) else None)
            if job is not None:
                self._desk.adopt(str(request.session_hash), job.name)
                async for each in self._follow(job, view):
                    yield each

        def cancel(request: Request) -> str:
            return markup.status(self._desk.cancel(str(request.session_hash)), 0)

        def look(name: str | None, view: str) -> Any:
            job = self._desk.queue.get(name if isinstance(name, str) else None)
            known = job is not None and isinstance(job.result, Pairs)
            return markup.pairs(job.result, view) if job is not None and known else gr.skip()

        def ranges(model: str) -> list[Any]:
            return [gr.update(value=0.0, **self._range(model, name)) for name in self._names]

        for slider in self.sliders:
            slider.input(draw, given, outputs, **follows)
        gr.on([self.draw.click, self.prompt.submit], draw, given, outputs, **follows)
        self.strip.click(strip, [self.along, *given], outputs, **follows)
        self.cancel.click(cancel, None, self.status, **private)
        self.reset.click(lambda: [0.0] * len(self.sliders), None, self.sliders, **private)
        self.view.change(look, [self.remembered, self.view], self.shown, **private)
        if self.sliders:
            self.model.change(ranges, self.model, self.sliders, **private)
        self.on_load = (reload, [self.remembered, self.view], outputs, follows)

    def _recipe(self, values: tuple[Any, ...]) -> Recipe:
        model, prompt, seed, images, _, *strengths = values
        known = self._artist.models
        chosen = dict(zip(self._names, strengths, strict=True))
        starters = self._artist.starters
        folder = "starters" if starters else "directions"
        return Recipe(
            model if model in known else known[0], prompt, seed, images, chosen, folder=folder, starters=starters
        )

    async def _draw(self, visitor: str, values: tuple[Any, ...], along: str = "") -> AsyncIterator[list[Any]]:
        try:
            recipe = self._recipe(values)
            if along:
                job = self._desk.submit(visitor, lambda job: self._artist.strip(job, recipe, along))
            else:
                job = self._desk.submit(visitor, lambda job: self._artist.pairs(job, recipe))
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), *self._skipped(6)]
            return
        async for each in self._follow(job, values[4]):
            yield each

    async def _follow(self, job: Job, view: str) -> AsyncIterator[list[Any]]:
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                # Whoever cancelled it has said so, or has begun another.
                return
            said = markup.status(job, place)
            if isinstance(job.result, Pairs):
                recipe = job.result.recipe
                file = self._gr.update(value=_written(job), interactive=True)
                images = markup.pairs(job.result, view)
                yield [said, images, self._gr.skip(), recipe.command(), recipe.python(), file, job.name]
            elif isinstance(job.result, Strip):
                yield [said, self._gr.skip(), markup.strip(job.result), *self._skipped(4)]
            else:
                yield [said, *self._skipped(5), job.name]

    def _skipped(self, count: int) -> list[Any]:
        return [self._gr.skip()] * count


def _written(job: Job) -> str:
    """The job's PNG in a file that the page may hand out; it goes when the studio ends."""
    path = Path(tempfile.mkdtemp(dir=_folder().name)) / "directrix.png"
    path.write_bytes(markup.png(job.result))
    return str(path)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="directrix-studio-")
