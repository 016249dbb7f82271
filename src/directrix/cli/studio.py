"""`directrix studio`: the library's work in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from directrix.cli import options
from directrix.cli.app import LOG, Result, verb

_PASSWORD = options.option(metavar="TEXT", envvar="DIRECTRIX_STUDIO_PASSWORD")


@verb("studio", "The page is gone; files stay.")
def studio(
    host: str = "127.0.0.1",
    port: Annotated[int, options.option(least=0, most=65_535)] = 7860,
    password: Annotated[str | None, _PASSWORD] = None,
    model: str | None = None,
    directions: Path | None = None,
    folder: Path = Path("directrix-studio"),
) -> Result:
    """Open a page on which to see directions and steer with them."""
    options.writable_folders(folder)
    from directrix.studio.serve import serve

    served = serve(host, port, password, model, directions, folder)
    LOG.info("The studio is at %s (Ctrl-C stops it).", served.address)
    served.wait()
    return Result("The studio was stopped.", {"address": served.address})
