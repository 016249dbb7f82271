"""Serving the page: on this machine only, unless a password protects it."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, NamedTuple

from directrix.checks import whole_number
from directrix.errors import DirectrixError
from directrix.models import embedded

HOST, PORT = "127.0.0.1", 7860


class Served(NamedTuple):
    """A page that is served, at its address."""

    address: str
    blocks: Any

    def wait(self) -> None:
        """Returns when Ctrl-C has stopped the page."""
        try:
            self.blocks.block_thread()
        finally:
            self.stop()

    def stop(self) -> None:
        """Stops the page."""
        self.blocks.close(verbose=False)


def serve(
    host: str = HOST,
    port: int = PORT,
    password: str | None = None,
    model: str | None = None,
    directions: Path | None = None,
    folder: Path = Path("directrix-studio"),
) -> Served:
    """Serves the studio, in threads of its own.

    Args:
        host: the address to listen on.
        port: 0 for any that is free.
        password: visitors are asked for it; needed where others than this machine's users can reach the page.
        model: the only one that the page offers; None for the embedded models.
        directions: a folder of them; None for the starter directions of the embedded models.
        folder: of the studio's own, for what visitors find; made when it is needed.

    Raises:
        DirectrixError: an address that others can reach without a password or that is not this machine's, a port in
            use, or no gradio.
        ModelError: a model of the user's own that cannot be loaded.
        DirectionFileError: the folder holds no directions.
    """
    whole_number("port", port, 0)
    if not _local(host) and not password:
        raise DirectrixError(
            f"Others could reach the page at '{host}' without a password.",
            "the address 127.0.0.1, or a password.",
            "--password, or the environment variable DIRECTRIX_STUDIO_PASSWORD.",
        )
    port = _free(host, port)
    # Nothing of a visitor's goes to others: neither counts of use nor a look for newer versions.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio  # noqa: F401
    except ImportError:
        happened = "The studio needs the package gradio."
        raise DirectrixError(happened, "an installation with it.", "pip install 'directrix[studio]'.") from None
    from directrix.studio.artist import Artist
    from directrix.studio.desk import Desk
    from directrix.studio.page import STYLE, page, theme
    from directrix.studio.password import Password

    artist = Artist((model,) if model else tuple(embedded.MODELS), directions, folder)
    for name in artist.models:
        artist.directions(name)
    desk = Desk(artist)
    if artist.models[0] in embedded.MODELS:
        # The first visitor need not wait for the model.
        desk.queue.submit(lambda _: artist.load(artist.models[0]) and None)
    else:
        # Whether a model of one's own is there and whole is better known before a page is open.
        artist.load(artist.models[0])
    blocks = page(desk)
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        auth=Password(password) if password else None,
        auth_message="Any name will do. After ten wrong passwords in a minute, wait a minute.",
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        footer_links=[],
        ssr_mode=False,
        max_file_size="10mb",
        css_paths=STYLE,
        theme=theme(),
        pwa=False,
        enable_monitoring=False,
    )
    return Served(address, blocks)


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _free(host: str, port: int) -> int:
    """The port, or for 0 any that is free. DirectrixError where nothing can listen there."""
    import socket

    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as each:
            # As the server does: connections of an earlier page that still end are not in the way.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((host, port))
            return each.getsockname()[1]
    except OSError:
        happened = f"The page cannot be served at '{host}', port {port}."
        remedy = "--port 0, which takes any free one, or --host 127.0.0.1."
        raise DirectrixError(happened, "an address of this machine, and a free port.", remedy) from None
