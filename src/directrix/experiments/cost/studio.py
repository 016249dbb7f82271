"""What a visitor of the studio waits for: the first screen after the command, and new images after a slider's move.

The studio runs as a process of its own and is asked over HTTP, as its page in a browser asks it: no time of a browser
is in the figures.
"""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from directrix.errors import DirectrixError
from directrix.progress import Progress, silent

PATIENCE = 900  # seconds
_LINK = re.compile(r'(?:src|href)="\.?/([^"]+)"')


def studio(moves: int = 5, visitors: int = 20, *, progress: Progress = silent) -> dict[str, Any]:
    """Starts the studio with the embedded models and measures it.

    Returns seconds: "first_screen" until the page and the files that it names are there; "first_move" of a slider,
    which draws the unsteered images too; "move", the median of the next "moves"; and "wait", the median of the "waits"
    of visitors who draw at once, each another prompt's images. With them the number of "images" and of "cores", and
    the machine's "load" before.

    Raises:
        DirectrixError: the studio does not start, or a drawing fails.
    """
    load = os.getloadavg()[0]
    with progress(1 + moves + visitors, "Visiting the studio") as bar, _running() as (address, first_screen):
        visitor, seconds = Visitor(address), []
        for place in range(1 + moves):
            # Both signs, never the same strength twice.
            seconds.append(visitor.move("woman", (-1) ** place * (1 - place / 20)))
            bar.advance()

        def wait(seed: int) -> float:
            waited = Visitor(address).move("woman", 0.5, Prompt=f"judge {seed}")
            bar.advance()
            return waited

        with ThreadPoolExecutor(visitors) as crowd:
            waits = list(crowd.map(wait, range(visitors)))
    return {
        "images": visitor.value(visitor.component("Images")),
        "cores": os.cpu_count(),
        "load": round(load, 2),
        "first_screen": first_screen,
        "first_move": seconds[0],
        "move": statistics.median(seconds[1:]),
        "moves": seconds[1:],
        "wait": statistics.median(waits),
        "waits": sorted(waits),
    }


class Visitor:
    """Does over HTTP what the page does in a visitor's browser."""

    def __init__(self, address: str) -> None:
        import httpx

        self._client = httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False)
        self._page = self._client.get("config").json()
        self._components = {each["id"]: each["props"] for each in self._page["components"]}

    def component(self, name: str) -> int:
        """The first component of that label or identifier."""
        return next(key for key, each in self._components.items() if name in (each.get("label"), each.get("elem_id")))

    def value(self, component: int) -> Any:
        """What a component holds when the page is opened."""
        return self._components[component].get("value")

    def move(self, slider: str, strength: float, **values: Any) -> float:
        """Moves a slider of the tab Steer, with other values by their components' labels; seconds until the new images
        are there. Raises DirectrixError where they do not come."""
        began = time.perf_counter()
        texts = self.ask(slider, "input", {slider: strength, **values})
        if not any("Done in" in text for text in texts):
            raise DirectrixError("The studio drew nothing.", "new images.", "directrix studio, which may say why.")
        return round(time.perf_counter() - began, 2)

    def ask(self, name: str, event: str, values: Mapping[str, Any]) -> list[str]:
        """All texts that the page gets after an event of the component of that name, where others have these values.

        Raises:
            DirectrixError: the studio answers with an error.
        """
        session, texts = uuid.uuid4().hex, []
        source, other = self.component(name), {self.component(each): value for each, value in values.items()}
        function = next(each for each in self._page["dependencies"] if [source, event] in each["targets"])
        data = [other.get(each, self.value(each)) for each in function["inputs"]]
        body = {"fn_index": function["id"], "session_hash": session, "data": data, "event_data": None}
        self._client.post("gradio_api/queue/join", json=body).raise_for_status()
        with self._client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
                if message["msg"] == "unexpected_error" or not message.get("success", True):
                    raise DirectrixError(f"The studio answered {message}.", "new images.")
                texts += _texts(message.get("output"))
        return texts


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in parts for text in _texts(each)]


@contextmanager
def _running() -> Iterator[tuple[str, float]]:
    """The studio's address while it runs, and the seconds after which its first screen was there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="directrix-studio-") as folder, (Path(folder) / "log").open("w+") as log:
        began = time.perf_counter()
        command = [sys.executable, "-m", "directrix", "studio", "--port", str(port), "--folder", folder]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}/"
            while not _there(address):
                if process.poll() is not None:
                    log.seek(0)
                    raise DirectrixError(f"The studio did not start: {log.read().strip()}", "its page.")
                time.sleep(0.05)
            yield address, round(time.perf_counter() - began, 2)
        finally:
            process.terminate()
            process.wait()


def _there(address: str) -> bool:
    """Whether the page and all files that it names are answered."""
    try:
        import httpx
    except ImportError:
        return False  # The studio itself says which packages it needs.
    with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
        try:
            files = _LINK.findall(client.get("").text)
            return bool(files) and all(client.get(file).is_success for file in files)
        except httpx.TransportError:
            return False
