"""The application `directrix`: how a typed function becomes a verb, and what is said beside a verb's result.

A verb's docstring is the first sentence of its help; `help.md` has the rest, and the help of each option where the type
of its parameter does not bring it along (see `options`). A parameter that is a data class stands for its fields. What a
verb returns is printed as text, often by a template beside this file, or with --json as one JSON object. Notes, errors
and progress go to standard error.
"""

from __future__ import annotations

import copy
import inspect
import json as json_module
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from directrix import __version__
from directrix import progress as progresses
from directrix.errors import DirectrixError, InterruptedRun
from directrix.reading.names import visible

LIBRARY = logging.getLogger("directrix")
LOG = logging.getLogger("directrix.cli")
_QUIETLY: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}
_NOTE = re.compile(r"^- (\w+)(?: \((\S+)\))?: (.*(?:\n  .*)*)\n?", re.MULTILINE)
_PACKAGE = Path(__file__).parents[1]
_PAGES = Path(__file__).with_name("help.md").read_text(encoding="utf-8")
HELP = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n)*)", _PAGES, re.MULTILINE))
_METAVARS = {int: "N", float: "X", Path: "FILE", str: "TEXT"}

app = typer.Typer(
    **_QUIETLY,
    help="Find what a word means inside a frozen text-to-image model, and steer its images with it.",
    epilog="`directrix VERB --help` explains a verb. To begin without a GPU or a download: `directrix demo`.",
)


class Result(NamedTuple):
    """What a verb found, for people and as JSON, and a file that gets the JSON; `failure` is raised once it is said."""

    text: str
    data: Mapping[str, Any]
    file: Path | None = None
    failure: DirectrixError | None = None


def group(name: str, explained: str) -> typer.Typer:
    """A verb that has verbs of its own."""
    verbs = typer.Typer(name=name, **_QUIETLY)
    app.add_typer(verbs, help=explained)
    return verbs


def verb(
    name: str, after_interrupt: str = "Nothing was changed.", of: typer.Typer = app, shared: bool = False
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Makes a function a verb. After Ctrl-C, `after_interrupt` says what became of the work and what to type.

    shared: whether the processes of one launch share the work; the first one says what came of it.
    """

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        hints = get_type_hints(function, include_extras=True)
        bundles: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

        def run(*, json: bool, **given: Any) -> None:
            for name, kind in bundles.items():
                given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            try:
                with _launched() if shared else nullcontext(True) as speaks:
                    result = function(**given)
            except InterruptedRun as error:
                # The library's advice names its own arguments; the verb knows what to type.
                raise InterruptedRun(f"{error.happened} {after_interrupt}") from error
            except KeyboardInterrupt:
                raise InterruptedRun(f"Interrupted. {after_interrupt}") from None
            if not speaks:
                return
            write_json(result.data, result.file)
            said = json_module.dumps(result.data, indent=2, ensure_ascii=False) if json else result.text
            print(visible(said), flush=True)
            if result.failure is not None:
                raise result.failure

        page = HELP.get(name if of is app else f"{of.info.name} {name}", "")
        text, example, epilog = _NOTE.sub("", f"{function.__doc__}\n\n{page}").partition("\n\nexample")
        parameters = _options(function, hints, page)
        run.__signature__ = inspect.Signature(parameters)
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        of.command(name, help=text, epilog=example + epilog)(run)
        return function

    return register


@contextmanager
def _launched() -> Iterator[bool]:
    """Within, the processes of a launch share the work; yields whether this one is the first, which alone says so."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield True
        return
    from directrix.models import processes

    own = processes.join().rank
    if own:
        LIBRARY.setLevel(logging.ERROR)
    try:
        yield own == 0
    finally:
        processes.leave()


def _options(function: Callable[..., Any], hints: Mapping[str, Any], page: str) -> list[inspect.Parameter]:
    """The function's parameters and --json, each with its name on the command line, its placeholder and its help."""
    explained = {name: (metavar, " ".join(text.split())) for name, metavar, text in _NOTE.findall(page)}
    found = []
    for parameter, hint in _spread(function, hints):
        kind, given = (*get_args(hint), None)[:2] if get_origin(hint) is Annotated else (hint, None)
        if kind is not typer.Context:
            option: Any = typer.Option() if given is None else copy.copy(given)
            if isinstance(option, OptionInfo) and option.default is ...:
                option.param_decls = (f"--{parameter.name.replace('_', '-')}", *(option.param_decls or ()))
            metavar, text = explained.get(parameter.name, (None, None))
            option.help = text or option.help
            types = [kind, *get_args(kind), *(each for part in get_args(kind) for each in get_args(part))]
            known = next((_METAVARS[each] for each in types if each in _METAVARS), None)
            option.metavar = metavar or option.metavar or known
            kind = Annotated[kind, option]
        found.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
    as_json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
    return [*found, inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=as_json)]


def _spread(function: Callable[..., Any], hints: Mapping[str, Any]) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Each parameter with its type; a data class stands for its fields, with the values of the default instance."""
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            yield parameter, kind
            continue
        of_fields = get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            default = getattr(parameter.default, field.name)
            yield parameter.replace(name=field.name, default=default), of_fields[field.name]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"directrix {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more, also where an error arose.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors, no progress bars.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Sets how much is said on standard error."""
    if verbose or quiet:
        LIBRARY.setLevel(logging.DEBUG if verbose else logging.WARNING)


class _BesideBars(logging.StreamHandler[Any]):
    """Writes to standard error, each message on a line of its own, also while a bar is shown there."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        if bars is not None and any(True for _ in getattr(bars.tqdm, "_instances", ())):
            bars.tqdm.write(self.format(record), file=self.stream)
        else:
            super().emit(record)


class _Visible(logging.Formatter):
    """Lines in which no name moves the cursor or changes a colour."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Shows what the library and the command line log, from INFO up, and each of the library's warnings in one line.

    -v and -q change the level for one command.
    """
    handler, level = _BesideBars(), LIBRARY.level
    handler.setFormatter(_Visible())
    LIBRARY.addHandler(handler)
    LIBRARY.setLevel(logging.INFO)
    shown = warnings.showwarning

    def in_one_line(message: Any, category: Any, filename: str, *rest: Any) -> None:
        if Path(filename).is_relative_to(_PACKAGE):
            LOG.warning("Note: %s", message)
        else:
            shown(message, category, filename, *rest)

    warnings.showwarning = in_one_line
    try:
        yield
    finally:
        warnings.showwarning = shown
        LIBRARY.removeHandler(handler)
        LIBRARY.setLevel(level)


def progress() -> progresses.Progress:
    """Bars with the time left, unless -q asks for silence."""
    return progresses.bars if LIBRARY.isEnabledFor(logging.INFO) else progresses.silent


def reading(template: str, data: Mapping[str, Any]) -> str:
    """What a verb found, for people: its data as a template of this folder says them."""
    from directrix.directions.card import render

    return render(f"{template}.txt.jinja", Path(__file__).parent, **data).rstrip("\n")


def write_json(figures: Mapping[str, Any], output: Path | None) -> None:
    """Writes figures to a file, where one is named."""
    if output is not None:
        from directrix.models.files import write_atomically

        write_atomically(output, (json_module.dumps(figures, indent=2) + "\n").encode())


def say_what_is_missing(summary: Mapping[str, Any]) -> None:
    """Notes what of a benchmark could not be measured, and why."""
    for what, why in summary["not_measured"].items():
        LOG.info("Not measured: %s, since %s.", what, why)


def refuse(wrong: object, happened: str, expected: str, remedy: str = "leave one out.") -> None:
    """Raises DirectrixError where options do not go together."""
    if wrong:
        raise DirectrixError(happened, expected, remedy)
