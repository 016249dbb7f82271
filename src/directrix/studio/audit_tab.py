"""The tab Audit: benchmarks or one's own prompts under several methods, measured, shown, compared and handed out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError, OutputError
from directrix.measurement.evaluation import SUMMARY
from directrix.studio import audit_markup, markup
from directrix.studio.audit_figures import AGREE
from directrix.studio.audit_run import known, methods, run
from directrix.studio.audits import MOST_IMAGES, MOST_PROMPTS, Audits, Plan, offered
from directrix.studio.desk import Desk, failed
from directrix.studio.downloads import handed_out
from directrix.studio.jobs import Job
from directrix.studio.policy_run import ATTRIBUTES
from directrix.studio.recipe import MOST_SEED

OWN = "My own prompts"
EVERY = "All groups"
_EMPTY = '<p class="dx-empty">Choose prompts and methods, and press Run. A run goes on where it was stopped.</p>'


class AuditTab:
    """The components of the tab and what they do; make it inside `gr.Blocks`.

    remembered: a `gr.BrowserState` for the name of its job.
    """

    def __init__(self, desk: Desk, remembered: Any) -> None:
        import gradio as gr

        self._gr, self._desk, self._artist, self.remembered = gr, desk, desk.artist, remembered
        self._audits = Audits(self._artist.own / "audits")
        models = list(self._artist.models)
        first = [each.name for each in offered()]
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300):
                benchmark = gr.Dropdown(
                    [*first, OWN], value="emoji-occupations", label="Benchmark", elem_id="dx-benchmark"
                )
                upload = gr.File(
                    label="A text file, one prompt a line, or a CSV file with a column “prompt”",
                    file_types=[".txt", ".csv"],
                    type="filepath",
                    visible=False,
                    elem_id="dx-upload",
                )
                balanced = gr.CheckboxGroup(list(ATTRIBUTES), label="Measure shares of", visible=False)
                model = gr.Dropdown(models, value=models[0], label="Model", visible=len(models) > 1)
                offers = methods(self._artist, models[0])
                method = gr.Dropdown(
                    offers,
                    value=offers[:2],
                    multiselect=True,
                    label="Methods",
                    elem_id="dx-methods",
                    info="“none” is unsteered; the others are compared with it.",
                )
                with gr.Row():
                    prompts = gr.Number(8, label="Prompts", precision=0, minimum=1, maximum=MOST_PROMPTS, min_width=80)
                    images = gr.Number(2, label="Images", precision=0, minimum=1, maximum=MOST_IMAGES, min_width=80)
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, min_width=80)
                with gr.Row():
                    begin = gr.Button("Run", variant="primary", min_width=90, elem_id="dx-run")
                    stop = gr.Button("Cancel", min_width=90, elem_id="dx-run-cancel")
                gr.Markdown("### Audits")
                names = self._audits.names()
                self.chosen = gr.Dropdown(names, value=next(iter(names), None), label="Audit", elem_id="dx-audits")
                with gr.Row():
                    show = gr.Button("Show", min_width=70, elem_id="dx-show")
                    resume = gr.Button("Resume", min_width=70, elem_id="dx-resume")
                    delete = gr.Button("Delete", min_width=70, elem_id="dx-audit-delete")
                self.beside = gr.Dropdown(names, value=next(iter(names[1:]), None), label="Compare with")
                compare = gr.Button("Compare", min_width=90, elem_id="dx-audit-compare")
            with gr.Column(scale=5, min_width=300):
                self.status = gr.HTML(markup.status(None, 0), elem_id="dx-audit-status")
                self.shown = gr.HTML(_EMPTY, elem_id="dx-audit")
                self.file = gr.DownloadButton("Download the whole page (HTML)", visible=False, elem_id="dx-audit-file")
                with gr.Row(visible=False) as self.filters:
                    self.filtered = gr.Radio(list(AGREE), value=AGREE[0], label="Images", elem_id="dx-filter")
                    self.group = gr.Dropdown([EVERY], value=EVERY, label="Group")
                self.seen = gr.HTML("", elem_id="dx-audit-images")
        asked = [benchmark, upload, balanced, model, method, prompts, images, seed]
        self._wire(asked, begin, stop, show, resume, delete, compare)

    def _wire(self, asked: list[Any], begin: Any, stop: Any, show: Any, resume: Any, delete: Any, compare: Any) -> None:
        # In this place, so that Gradio sees the class itself in the functions' annotations.
        from gradio import Request

        gr = self._gr
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        follows: dict[str, Any] = {**private, "concurrency_limit": None, "trigger_mode": "multiple"}
        result = [self.shown, self.file, self.filters, self.group, self.seen]
        outputs = [self.status, self.remembered, self.chosen, *result]
        lists = [self.chosen, self.beside]

        async def start(request: Request, *values: Any) -> AsyncIterator[list[Any]]:
            async for each in self._begun(visitor(request), lambda: self._audits.create(*self._plan(*values))):
                yield each

        async def go_on(name: str, request: Request) -> AsyncIterator[list[Any]]:
            async for each in self._begun(visitor(request), lambda: self._audits.run(name).parent.name):
                yield each

        async def reload(name: str | None, request: Request) -> AsyncIterator[list[Any]]:
            job = self._desk.returned(visitor(request), name)
            async for each in self._follow(job):
                yield each

        def cancel(request: Request) -> str:
            job = self._desk.cancel(visitor(request))
            stopped = job is not None and job.state == "cancelled"
            return markup.sentence("Stopped. Resume goes on from here.") if stopped else markup.status(job, 0)

        def display(name: str) -> list[Any]:
            return self._tried(lambda: ["", *self._result(name)], 5)

        def remove(name: str) -> list[Any]:
            def gone() -> list[Any]:
                self._audits.delete(name)
                return [markup.sentence("Deleted."), *self._listed()]

            return self._tried(gone, 2)

        def beside(name: str, other: str) -> list[Any]:
            def both() -> list[Any]:
                pair = [(each, self._finished(each)) for each in (name, other)]
                return [
                    "",
                    audit_markup.compared(*pair),
                    gr.update(visible=False),
                    gr.update(visible=False),
                    gr.skip(),
                    "",
                ]

            return self._tried(both, 5)

        def pictures(name: str, filtered: str, group: str) -> list[Any]:
            return self._tried(lambda: ["", self._images(name, filtered, group)], 1)

        def offers(model: str, chosen: list[str] | None) -> Any:
            names = methods(self._artist, model if model in self._artist.models else self._artist.models[0])
            return gr.update(choices=names, value=[each for each in names if each in (chosen or ())] or names[:2])

        def restore(name: str | None) -> list[Any]:
            try:
                return self._form(getattr(self._desk.job(name), "asked", None))
            except DirectrixError:  # the job is gone, or its audit was deleted
                return self._skipped(len(asked))

        def own(benchmark: str) -> list[Any]:
            return [gr.update(visible=benchmark == OWN)] * 2

        asked[0].change(own, asked[0], asked[1:3], **private)
        # Not `change`, which comes after a reload too and would choose other methods.
        asked[3].input(offers, asked[3:5], asked[4], **private)
        begin.click(start, asked, outputs, **follows)
        resume.click(go_on, self.chosen, outputs, **follows)
        stop.click(cancel, None, self.status, **private)
        show.click(display, self.chosen, [self.status, *result], **private)
        delete.click(remove, self.chosen, [self.status, *lists], **private)
        compare.click(beside, [self.chosen, self.beside], [self.status, *result], **private)
        chosen = [self.chosen, self.filtered, self.group]
        gr.on([self.filtered.input, self.group.input], pictures, chosen, [self.status, self.seen], **private)
        self.refresh = (lambda: self._listed(), None, lists, private)
        self.restore = (restore, [self.remembered], asked, private)
        self.offer = (offers, asked[3:5], asked[4], private)
        self.on_load = (reload, [self.remembered], outputs, follows)

    def _plan(self, benchmark: Any, upload: Any, balanced: Any, model: Any, method: Any, *counts: Any) -> Any:
        """What was asked, and the uploaded file. Raises DirectrixError where it makes no sense."""
        known_model = model if model in self._artist.models else self._artist.models[0]
        chosen = known(self._artist, known_model, method)
        prompts, images, seed = counts
        numbers: dict[str, Any] = {"images": images, "prompts": prompts, "seed": seed}
        if benchmark in [each.name for each in offered()]:
            return Plan(known_model, chosen, benchmark=benchmark, **numbers), None
        if not upload:
            raise DirectrixError(
                "There is no file of prompts.", "a text file, one a line, or a CSV file.", "upload one."
            )
        path = Path(str(upload))
        even = tuple(each for each in ATTRIBUTES if each in (balanced or ()))
        file = f"prompts{path.suffix.lower()}"
        return Plan(known_model, chosen, file=file, balanced=even, **numbers), path

    def _form(self, name: str | None) -> list[Any]:
        """What the form says of an audit. Raises DirectrixError where there is none of that name."""
        gr, plan, file = self._gr, self._audits.plan(name), self._audits.uploaded(name)
        offered = methods(self._artist, plan.model)
        return [
            plan.benchmark or OWN,
            gr.update(value=file and handed_out(file.name, file.read_bytes()), visible=file is not None),
            gr.update(value=list(plan.balanced), visible=file is not None),
            plan.model,
            gr.update(choices=offered, value=[each for each in offered if each in plan.methods]),
            *(plan.prompts, plan.images, plan.seed),
        ]

    async def _begun(self, visitor: str, named: Callable[[], str]) -> AsyncIterator[list[Any]]:
        try:
            name = named()
            work = partial(run, artist=self._artist, audits=self._audits, name=name)
            job = self._desk.submit(visitor, work, "batches", asked=name)
            job.show(name)
        except DirectrixError as error:
            yield [markup.status(failed(error), 0), *self._skipped(7)]
            return
        async for each in self._follow(job):
            yield each

    async def _follow(self, job: Job | None) -> AsyncIterator[list[Any]]:
        # Gradio would empty what a function fills that never answers: for a job that is gone, or was cancelled at once.
        yield self._skipped(8)
        if job is None:
            return
        listed = False
        async for place in self._desk.follow(job):
            if job.state == "cancelled":
                # Whoever cancelled it has said so, or has begun another.
                return
            said = markup.status(job, place)
            name = job.latest if isinstance(job.latest, str) else None
            names = self._gr.skip() if listed else self._listed(name)[0]
            listed = True
            if job.state == "done":
                # Its page takes a second or two, in which nobody else should wait.
                found = partial(self._tried, lambda said=said, name=name: [said, *self._result(str(name))], 5)
                status, *result = await asyncio.to_thread(found)
                yield [status, job.name, self._listed(name)[0], *result]
            else:
                yield [said, job.name, names, *self._skipped(5)]

    def _result(self, name: str) -> list[Any]:
        """What `result` shows of a finished audit. Raises DirectrixError where it is not."""
        gr, folder = self._gr, self._finished(name)
        groups = audit_markup.groups(folder)
        return [
            audit_markup.audit(name, folder),
            gr.update(value=handed_out(f"{name}.html", audit_markup.page(folder)), visible=True),
            gr.update(visible=True),
            gr.update(choices=[EVERY, *groups], value=EVERY),
            self._images(name, AGREE[0], EVERY),
        ]

    def _finished(self, name: str) -> Path:
        """The run's folder of an audit. Raises DirectrixError where it has no figures yet."""
        folder = self._audits.run(name)
        if not (folder / SUMMARY).is_file():
            raise OutputError(f"The audit '{name}' is not finished.", "figures.", "Resume, which goes on from there.")
        return folder

    def _images(self, name: str, filtered: str, group: str) -> str:
        return audit_markup.images(self._finished(name), filtered, "" if group == EVERY else group)

    def _listed(self, name: str | None = None) -> list[Any]:
        """The lists of audits, the first with one of them chosen."""
        names = self._audits.names()
        value = name if name in names else next(iter(names), None)
        other = next((each for each in names if each != value), None)
        return [self._gr.update(choices=names, value=value), self._gr.update(choices=names, value=other)]

    def _tried(self, made: Callable[[], list[Any]], rest: int) -> list[Any]:
        try:
            return made()
        except DirectrixError as error:
            return [markup.sentence(str(error), error=True), *self._skipped(rest)]

    def _skipped(self, count: int) -> list[Any]:
        return [self._gr.skip()] * count


def visitor(request: Any) -> str:
    """Who measures: a visitor's audit is not cancelled by what the same visitor draws."""
    return f"{request.session_hash} audit"
