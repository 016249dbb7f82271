"""The tab Discover: words in, a direction out, with its card; and the directions that were saved."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from directrix.errors import DirectrixError
from directrix.studio import direction_markup, markup
from directrix.studio.desk import Desk, failed
from directrix.studio.discovery_run import Ask, Found, find, labels
from directrix.studio.downloads import handed_out
from directrix.studio.jobs import Job
from directrix.studio.recipe import MOST_WORDS
from directrix.studio.shelf import LONGEST

FIND_OUT = "Find out what changes"
_EMPTY = (
    '<p class="dx-empty">Say the same thing twice, with the concept and without it, and press Find. '
    "The first images appear in seconds.</p>"
)
_FULL = 60  # characters of a repository's name, and more than a token's owner needs


class DiscoverTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`.

    remembered: a `gr.BrowserState` for the name of its job.
    changed: is given the event of each click that changes the saved directions, for other tabs to follow.
    """

    def __init__(self, desk: Desk, remembered: Any, changed: Callable[[Any], None]) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist, self._changed = gr, desk, desk.artist, changed
        self.remembered = remembered
        names = list(self._artist.models)
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                self.name = gr.Textbox("balloon", label="Name", max_length=LONGEST, elem_id="dx-name")
                self.target = gr.Textbox(
                    "a person with a balloon",
                    label="With the concept",
                    info="A prompt a line.",
                    lines=2,
                    max_length=4 * MOST_WORDS,
                )
                self.neutral = gr.Textbox(
                    "a person",
                    label="Without it",
                    info="One for each, or one for all.",
                    lines=2,
                    max_length=4 * MOST_WORDS,
                )
                self.model = gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
                self.label = gr.Dropdown(
                    self._labels(names[0]), value=FIND_OUT, label="What the judge should see", visible=True
                )
                with gr.Row():
                    self.find = gr.Button("Find", variant="primary", min_width=90, elem_id="dx-find")
                    self.cancel = gr.Button("Cancel", min_width=90, elem_id="dx-find-cancel")
                gr.Markdown("### Saved directions")
                saved = list(self._artist.shelf.directions(names[0]))
                self.saved = gr.Dropdown(
                    saved, value=saved[0] if saved else None, label="Direction", elem_id="dx-saved"
                )
                self.told = gr.HTML("", elem_id="dx-told")
                self.file = gr.DownloadButton("Download file", interactive=False, elem_id="dx-file")
                with gr.Row():
                    self.show = gr.Button("Show card", min_width=90, elem_id="dx-card")
                    self.delete = gr.Button("Delete", min_width=90, elem_id="dx-delete")
                with gr.Accordion("Rename, or push to the hub", open=False):
                    self.other = gr.Textbox("", label="New name", max_length=LONGEST, elem_id="dx-new-name")
                    self.rename = gr.Button("Rename", min_width=90, elem_id="dx-rename")
                    self.repository = gr.Textbox(
                        "", label="Repository", info="owner/name on the Hugging Face hub.", max_length=2 * _FULL
                    )
                    self.push = gr.Button("Push", min_width=90, elem_id="dx-push")
            with gr.Column(scale=5, min_width=300):
                self.status = gr.HTML(markup.status(None, 0), elem_id="dx-find-status")
                with gr.Row():
                    self.save = gr.Button(
                        "Save it, with a slider in Steer", variant="primary", visible=False, elem_id="dx-save"
                    )
                self.shown = gr.HTML(_EMPTY, elem_id="dx-found")
        self._wire()

    def _labels(self, model: str) -> list[str]:
        return [FIND_OUT, *labels(model)]

    def _wire(self) -> None:
        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        gr, artist = self._gr, self._artist
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        outputs = [self.status, self.shown, self.save, self.remembered]

        async def search(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._search(visitor(request), *values):
                yield each

        async def reload(name: str | None, request: Request) -> AsyncIterator[list[Any]]:
            job = self._desk.returned(visitor(request), name)
            async for each in self._follow(job):
                yield each

        def cancel(request: Request) -> str:
            return markup.status(self._desk.cancel(visitor(request)), 0)

        def models(model: str) -> list[Any]:
            labels = self._labels(model if model in artist.models else artist.models[0])
            return [gr.update(choices=labels, value=FIND_OUT), *self._listed(model, None)]

        def restore(name: str | None, model: str) -> list[Any]:
            ask = getattr(self._desk.job(name), "asked", None)
            if ask is None:
                return [*self._skipped(5), *self._listed(model, None)]
            label = gr.update(choices=self._labels(ask.model), value=ask.label or FIND_OUT)
            return [ask.model, ask.name, ask.target, ask.neutral, label, *self._listed(ask.model, None)]

        def save(job_name: str | None, model: str) -> list[Any]:
            job = self._desk.job(job_name)
            if job is None or not isinstance(job.latest, Found):
                return [_error("There is nothing to save. Find a direction first."), *self._skipped(3)]
            ask = job.latest.ask
            return self._after(
                lambda: artist.shelf.save(ask.model, job.latest.direction, ask.name, artist.given(ask.model)),
                model,
                ask.name,
                f"Saved. The tab Steer has a slider '{ask.name}' for {ask.model} now.",
            )

        def rename(model: str, old: str, new: str) -> list[Any]:
            taken = artist.given(model) if model in artist.models else ()
            return self._after(
                lambda: artist.shelf.rename(model, old, new, taken), model, new, f"It is called '{new}'."
            )

        def delete(model: str, name: str) -> list[Any]:
            return self._after(lambda: artist.shelf.delete(model, name), model, None, "Deleted.")

        def show(model: str, name: str) -> list[Any]:
            try:
                return ["", direction_markup.card(artist.shelf.direction(model, name))]
            except DirectrixError as error:
                return [_error(str(error)), gr.skip()]

        def push(model: str, name: str, repository: str) -> str:
            try:
                direction = artist.shelf.direction(model, name)
                return _said(f"Pushed: {direction.push_to_hub(str(repository or ''))}")
            except DirectrixError as error:
                return _error(str(error))

        def chosen(model: str, name: str) -> Any:
            return self._file(model, name)

        given = [self.model, self.name, self.target, self.neutral, self.label]
        listed = [self.told, self.saved, self.file, self.status]
        self.find.click(search, given, outputs, **follows)
        self.cancel.click(cancel, None, self.status, **private)
        # Not `change`, which comes after a reload too and would empty the label.
        self.model.input(models, self.model, [self.label, self.saved, self.file], **private)
        self.saved.change(chosen, [self.model, self.saved], self.file, **private)
        self.show.click(show, [self.model, self.saved], [self.told, self.shown], **private)
        self.push.click(push, [self.model, self.saved, self.repository], self.told, **private)
        self._changed(self.save.click(save, [self.remembered, self.model], listed, **private))
        self._changed(self.rename.click(rename, [self.model, self.saved, self.other], listed, **private))
        self._changed(self.delete.click(delete, [self.model, self.saved], listed, **private))
        self.on_load = (reload, [self.remembered], outputs, follows)
        self.restore = (restore, [self.remembered, self.model], [*given, self.saved, self.file], private)

    def _after(self, change: Callable[[], None], model: str, name: str | None, said: str) -> list[Any]:
        """Makes a change of the saved directions; what the list and the sentences about it show then."""
        try:
            change()
        except DirectrixError as error:
            return [_error(str(error)), *self._skipped(2), _error(str(error))]
        return [_said(said), *self._listed(model, name), _said(said)]

    def _listed(self, model: str, name: str | None) -> list[Any]:
        """The list of saved directions with one of them chosen, and its file."""
        model = model if model in self._artist.models else self._artist.models[0]
        names = list(self._artist.shelf.directions(model))
        value = name if name in names else names[0] if names else None
        return [self._gr.update(choices=names, value=value), self._file(model, value)]

    def _file(self, model: str, name: str | None) -> Any:
        path = self._artist.shelf.file(model, name)
        given = None if path is None else handed_out(path.name, path.read_bytes())
        return self._gr.update(value=given, interactive=path is not None)

    async def _search(self, visitor: str, *values: Any) -> AsyncIterator[list[Any]]:
        model, name, target, neutral, label = values
        known = self._artist.models
        try:
            chosen = model if model in known else known[0]
            ask = Ask(chosen, name, target, neutral, label if label in labels(chosen) else "")
            # It goes with the job, which holds on to it.
            seen = TemporaryDirectory(prefix="directrix-search-")
            job = self._desk.submit(visitor, lambda job: find(job, self._artist, ask, Path(seen.name)), "sets", ask)
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), *self._skipped(3)]
            return
        async for each in self._follow(job):
            yield each

    async def _follow(self, job: Job | None) -> AsyncIterator[list[Any]]:
        # Gradio would empty what a function fills that never answers: for a job that is gone, or was cancelled at once.
        yield self._skipped(4)
        if job is None:
            return
        shows = -1
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                # Whoever cancelled it has said so, or has begun another.
                return
            latest, known = job.latest, isinstance(job.latest, Found)
            # Images are long: only what is new is sent again.
            fresh = known and (job.shows != shows or job.over)
            shows = job.shows
            shown = direction_markup.found(latest, job.over) if fresh else self._gr.skip()
            save = self._gr.update(visible=True) if known else self._gr.update(visible=False)
            yield [markup.status(job, place), shown, save, job.name]

    def _skipped(self, count: int) -> list[Any]:
        return [self._gr.skip()] * count


def visitor(request: Any) -> str:
    """Who searches: a visitor's search is not cancelled by what the same visitor draws."""
    return f"{request.session_hash} discover"


def _said(text: str) -> str:
    return markup.sentence(text)


def _error(text: str) -> str:
    return markup.sentence(text, error=True)
