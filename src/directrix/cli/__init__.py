"""The command line. Every verb is one file here and one library call; nothing heavy is imported to build the
parser.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from directrix.cli import (
    bench,
    benchmarks,
    card,
    demo,
    discover,
    evaluate,
    explain,
    fit_probe,
    generate,
    import_published,
    inspect,
    policy,
    push,
    report,
    reproduce,
    sites,
    world,
)
from directrix.cli.terminal import note
from directrix.errors import DirectrixError, InterruptedRun

VERBS = (
    *(discover, fit_probe, generate, policy, explain, inspect, card, sites, import_published, push),
    *(demo, benchmarks, evaluate, reproduce, report, bench, world),
)
EXIT_ERROR = 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of `directrix` with all its verbs."""
    root = argparse.ArgumentParser(
        prog="directrix",
        description="Find what a word means inside a frozen text-to-image model, and steer its pictures.",
        epilog="`directrix VERB --help` explains a verb. To begin without a GPU or a download: `directrix demo`.",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = root.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for an error that the user can mend and for Ctrl-C, or 3
    for a direction without an effect that can be seen.
    """
    arguments = parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except InterruptedRun as error:
        # The library's advice names its own arguments; the verb knows what to type.
        note(f"directrix {arguments.verb}: {error.happened} {arguments.after_interrupt}")
        return error.exit_code
    except DirectrixError as error:
        note(f"directrix {arguments.verb}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        note(f"directrix {arguments.verb}: Interrupted. {arguments.after_interrupt}")
        return EXIT_ERROR
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough. Closing keeps Python from complaining at exit.
        sys.stderr.close()
        return 0
    except OSError as error:
        note(f"directrix {arguments.verb}: {error}. Try: see that the place exists, is yours and has room.")
        return EXIT_ERROR
    return 0


class _Version(argparse.Action):
    """Look the version up only when asked for: reading package metadata costs start-up time."""

    def __call__(self, parser, namespace, values, option_string=None):
        from directrix._version import __version__

        sys.stdout.write(f"directrix {__version__}\n")
        parser.exit()
