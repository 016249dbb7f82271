"""The command line. Every verb is one file here and one library call; nothing heavy is imported to read a command."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from directrix.checks import one_of
from directrix.cli import app as application

# Each adds its verbs to the application.
from directrix.cli import (  # noqa: F401
    bench,
    card,
    direction_files,
    discover,
    doctor,
    evaluate,
    experiments,
    fit_probe,
    generate,
    old_spellings,
    policy,
    sites,
    studio,
    world,
)
from directrix.cli.interrupts import noticed
from directrix.cli.model_failures import of_a_model
from directrix.errors import DirectrixError, InterruptedRun, OutputError
from directrix.reading.values import SURROGATE

VERBS = (
    *("discover", "fit-probe", "generate", "policy", "explain", "inspect", "card", "sites", "import", "push"),
    *("studio", "demo", "benchmarks", "evaluate", "reproduce", "report", "bench", "world", "doctor"),
)
_INTERRUPTED = InterruptedRun("Interrupted.")
_LONGEST = 2000  # characters of an error that is shown
# Whatever cannot be read of a command. Typer exports one class of this family.
UsageError: Any = typer.BadParameter.__base__


@cache
def parser() -> Any:
    """The command `directrix` with all its verbs, in the order of their use."""
    command: Any = typer.main.get_command(application.app)
    command.commands = {name: command.commands[name] for name in VERBS}
    for group in (command, *(each for each in command.commands.values() if hasattr(each, "commands"))):
        for parameter in group.get_params(typer.Context(group)):
            # Flags without a default would be validated, which imports pydantic.
            parameter.default = parameter.default or False
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for an error that the user can mend, 3 for a direction
    without an effect that can be seen, or 130 for Ctrl-C.
    """
    command = parser()
    if "_DIRECTRIX_COMPLETE" in os.environ:
        command.main(prog_name="directrix")
    groups = [name for name, each in command.commands.items() if hasattr(each, "commands")]
    said = list(sys.argv[1:] if argv is None else argv)
    with application.logging_to_stderr(), noticed() as interrupted:
        words = old_spellings.modern(said, groups)
        path = old_spellings.path(words, groups)
        try:
            _check_text(said)
            _check_verb(command, path)
            with command.make_context("directrix", words) as context:
                command.invoke(context)
        except typer.Exit as stop:
            return stop.exit_code
        except UsageError as error:
            return _fail(path, _explained(error, path))
        except DirectrixError as error:
            # What could not be written is said, whatever came before.
            said_itself = isinstance(error, InterruptedRun | OutputError)
            return _fail(path, _INTERRUPTED if interrupted() and not said_itself else error)
        except BrokenPipeError:
            # The reader (`head`, say) has seen enough. Closing keeps Python from complaining at exit.
            sys.stderr.close()
        except OSError as error:
            return _fail(path, DirectrixError(f"{error}.", "", "see that the place exists, is yours and has room."))
        except Exception as error:
            failed = _INTERRUPTED if interrupted() else of_a_model(error)
            if failed is None:
                raise
            return _fail(path, failed)
    return 0


def _fail(path: Sequence[str], error: DirectrixError) -> int:
    command = " ".join(["directrix", *path])
    advised = error.remedy or isinstance(error, InterruptedRun)
    said = f"{error}" if advised else f"{error} Try: `{command} --help`."
    if len(said) > _LONGEST:
        # A name or a value out of a file; what to do stands at the end.
        said = f"{said[: _LONGEST // 2]} ... {said[-_LONGEST // 2 :]}"
    application.LOG.error("%s: %s", command, said.replace("\n", "\\n"))
    application.LOG.debug("It arose here.", exc_info=error)
    return error.exit_code


def _check_text(words: Sequence[str]) -> None:
    """Raises DirectrixError for a word that is no text: bytes of another encoding than UTF-8, or a zero byte."""
    for word in words:
        if SURROGATE.search(word) or "\x00" in word:
            shown = word.encode("utf-8", "backslashreplace").decode()
            raise DirectrixError(f"'{shown}' is not text in UTF-8.", "text in UTF-8.", "a terminal that sends UTF-8.")


def _check_verb(command: Any, path: Sequence[str]) -> None:
    """Raises DirectrixError for a verb that there is not; the message names the nearest."""
    for word in path:
        one_of("verb", word, command.commands)
        command = command.commands[word]


def _explained(error: Any, path: Sequence[str]) -> DirectrixError:
    """What is wrong with a command, in one line."""
    if not hasattr(error, "possibilities"):
        said = " ".join(error.format_message().split()).replace("Value error, ", "")
        given, _, choices = said.partition(" is not one of ")
        near = difflib.get_close_matches(
            given.rpartition(" ")[2].strip("'").lower(), re.findall("'(.+?)'", choices), n=1
        )
        return DirectrixError(
            said if said.endswith((".", "?", "!")) else f"{said}.", "", f"did you mean '{near[0]}'?" if near else ""
        )
    name, old = error.option_name, old_spellings.OPTIONS.get(" ".join(path), {})
    known = [option for parameter in error.ctx.command.params for option in parameter.opts]
    near = difflib.get_close_matches(name, [*known, *old], n=1)
    return DirectrixError(
        f"There is no option '{name}'.", "", f"did you mean '{old.get(near[0], near[0])}'?" if near else ""
    )
