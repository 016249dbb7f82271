"""Directions on the hub: huggingface_hub's own client talks to a small server that speaks the hub's protocol.

What talks to it runs in a process of its own, as a user would: the client reads HF_ENDPOINT when it is imported.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import directrix
from directrix import models
from directrix.directions import hub
from directrix.directions.card import hub_card
from directrix.directions.direction import Direction
from directrix.directions.target_label import TargetLabel
from directrix.errors import HubError
from directrix.measurement.judges import Verdict
from directrix.measurement.reports import direction_card as cards
from directrix.models.identity import ModelIdentity, Site

WRITER, READER = "hf_writer", "hf_reader"


class Hub(ThreadingHTTPServer):
    """Repositories: by name, branches to commits, and commits to files. The owner "me" has two tokens."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.repositories: dict[str, dict[str, Any]] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []

    def commit(self, name: str, branch: str, files: dict[str, bytes]) -> str:
        repository = self.repositories[name]
        before = repository["commits"].get(repository["branches"].get(branch), {})
        oid = hashlib.sha1(f"{name}{branch}{len(repository['commits'])}".encode()).hexdigest()
        repository["commits"][oid] = {**before, **files}
        repository["branches"][branch] = oid
        return oid

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        repository = self.repositories[name]
        return repository["commits"][repository["branches"][branch]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def repository(self, name: str) -> dict[str, Any] | None:
        """The repository, if whoever asks may see it; else the hub's answer that hides whether it is there."""
        found = self.server.repositories.get(name)
        if found is None or (found["private"] and self.token not in (WRITER, READER)):
            if self.token:
                self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            else:
                self.answer(401, {"error": "Invalid username or password."})
            return None
        if found.get("gated") and self.token != WRITER:
            self.answer(403, {"error": "Access is restricted."}, X_Error_Code="GatedRepo")
            return None
        return found

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if match is None:
            self.answer(404, {"error": f"The stand-in has no {self.path}"})
            return
        repository = self.repository(match[1])
        if repository is None:
            return
        revision = match[2].replace("%2F", "/")
        oid = repository["branches"].get(revision, revision)
        if oid not in repository["commits"]:
            self.answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
            return
        content = repository["commits"][oid].get(match[3])
        if content is None:
            self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
            return
        self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=oid)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self) -> None:
        self.server.requests.append(f"PUT {self.path}")
        content = self.body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self.answer(200)

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body, path = self.body(), self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            text = json.loads(body)["content"]
            head = yaml.safe_load(text.split("---")[1]) if text.startswith("---\n") else None
            self.answer(200 if head else 400, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            branches = self.server.repositories[match[1]]["branches"]
            known = match[2] in branches
            branches.setdefault(match[2], branches["main"])
            self.answer(409 if known else 200)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            files = [each["path"] for each in json.loads(body)["files"]]
            modes = [
                {"path": each, "uploadMode": "regular" if each.endswith(".md") else "lfs", "shouldIgnore": False}
                for each in files
            ]
            self.answer(200, {"files": modes})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.address}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            self.commit(match[1], match[2], [json.loads(line) for line in body.splitlines()])
        else:
            self.answer(404, {"error": f"The stand-in has no {path}"})

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if not self.token:
            self.answer(401, {"error": "Invalid username or password."})
        elif self.token != WRITER or asked["organization"] != "me":
            self.answer(403, {"error": "You don't have the rights to create a model there."})
        elif name in self.server.repositories:
            self.answer(409, {"error": "exists", "url": f"{self.server.address}/{name}"})
        else:
            private = asked.get("private") or asked.get("visibility") == "private"
            self.server.repositories[name] = {"private": bool(private), "branches": {}, "commits": {}}
            self.server.commit(name, "main", {".gitattributes": b""})
            self.answer(200, {"url": f"{self.server.address}/{name}"})

    def commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines:
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.server.large[line["value"]["oid"]]
        oid = self.server.commit(name, branch, files)
        self.server.repositories[name]["summary"] = lines[0]["value"]["summary"]
        url = f"{self.server.address}/{name}/commit/{oid}"
        self.answer(200, {"commitUrl": url, "commitOid": oid, "pullRequestUrl": None})


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


@pytest.fixture
def run(server: Hub, tmp_path: Path) -> Callable[..., Any]:
    """Runs Python in a process whose hub is the server: run(code, token="", offline=False) -> what it prints."""

    def call(code: str, *, token: str = "", endpoint: str = server.address, **more: str) -> Any:
        retained = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        environment = {
            **retained,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            # A path that is relative means something else where the process runs.
            "PYTHONPATH": str(Path(directrix.__file__).parents[1]),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **({"HF_TOKEN": token} if token else {}),
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


PRELUDE = """
import contextlib, io, json
import directrix
from directrix.cli import main
from directrix.errors import DirectrixError

def said(function, *arguments, **options):
    try:
        return str(function(*arguments, **options))
    except DirectrixError as error:
        return f"{type(error).__name__}: {error}"

def cli(*command):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(each) for each in command])
    return [code, out.getvalue(), err.getvalue()]

"""


def direction_of(fingerprint: str) -> Direction:
    """As the fixture of this name makes them, but without a pipeline."""
    tensor = torch.randn(32, 4, 4, generator=torch.Generator().manual_seed(0))
    model = ModelIdentity("someone/tiny-diffusion", "", fingerprint)
    return Direction("woman", tensor, Site("mid_block", 32), model, {"method": "difference"})


@pytest.fixture
def woman(tmp_path: Path) -> Path:
    direction_of("a" * 64).save(tmp_path / "woman.safetensors")
    return tmp_path / "woman.safetensors"


def test_there_and_back(server: Hub, run: Callable[..., Any], woman: Path):
    (woman.parent / "woman.png").write_bytes(b"\x89PNG a picture")
    pushed, again, private, branch = run(
        """
woman = directrix.Direction.load("woman.safetensors")
print(json.dumps([
    cli("push", "woman.safetensors", "me/woman", "--license", "mit", "--message", "The first", "--json"),
    (2.0 * woman).push_to_hub("me/double", tags=["people"]),
    woman.push_to_hub("me/hidden", private=True),
    cli("push", "woman.safetensors", "me/double", "--revision", "v1"),
]))
""",
        token=WRITER,
    )
    assert pushed[0] == 0, pushed
    assert json.loads(pushed[1])["repository"] == "me/woman"
    assert f"{server.address}/me/woman/commit/" in pushed[1]
    assert all(str(each).startswith(server.address) for each in (again, private))
    files = server.files("me/woman")
    assert sorted(files) == [".gitattributes", "README.md", "card.png", "direction.safetensors"]
    assert files["direction.safetensors"] == woman.read_bytes()
    assert files["card.png"] == b"\x89PNG a picture"
    assert server.repositories["me/woman"]["summary"] == "The first"
    assert b"license: mit" in files["README.md"]
    assert server.repositories["me/hidden"]["private"] and not server.repositories["me/woman"]["private"]
    assert branch[0] == 0
    assert server.files("me/double", "v1")["direction.safetensors"] == woman.read_bytes()
    # The second commit left the main branch alone.
    assert server.files("me/double")["direction.safetensors"] != woman.read_bytes()
    # Each of the files went the way that the hub asks for.
    assert any(each.startswith("PUT /upload/") for each in server.requests)

    before = len(server.requests)
    found = run(
        """
from directrix.directions import hub
from directrix.directions.collection import Catalogue
load = directrix.Direction.from_pretrained
digest = lambda *a, **k: load(*a, **k).digest()
commit = hub.locate("me/double").parent.name
print(json.dumps({
    "plain": digest("me/woman"),
    "revision": digest("me/double", "v1"),
    "at": digest("me/double@v1"),
    "main": digest("me/double"),
    "commit": digest("me/double", revision=commit),
    "file": digest("woman.safetensors"),
    "folder": digest(str(hub.locate("me/woman").parent)),
    "catalogue": Catalogue("me/woman").direction("woman").digest(),
    "inspect": cli("inspect", "me/woman", "me/double@v1", "--json"),
}))
"""
    )
    digest = Direction.load(woman).digest()
    for key in ("plain", "revision", "at", "file", "folder", "catalogue"):
        assert found[key] == digest, key
    assert found["main"] == found["commit"] != digest
    assert found["inspect"][0] == 0
    shown = json.loads(found["inspect"][1])
    assert [each["file"] for each in shown["directions"]] == ["me/woman", "me/double@v1"]
    # Fetched once, kept from then on.
    fetched = [each for each in server.requests[before:] if each.startswith("GET /me/woman/resolve")]
    assert len(fetched) == 1


@pytest.mark.slow
def test_verbs_take_repositories(server: Hub, run: Callable[..., Any], woman: Path, pipeline: Any, tmp_path: Path):
    pipeline.save_pretrained(tmp_path / "tiny")
    direction_of(models.identity(pipeline).fingerprint).save(woman)
    server.repositories["me/verbs"] = {"private": False, "branches": {}, "commits": {}}
    server.commit("me/verbs", "main", {"direction.safetensors": woman.read_bytes()})
    drawn, card, method = run(
        """
from directrix.cli.evaluate import _methods
drawing = ["generate", "--model", "tiny", "--prompt", "a judge", "--num-inference-steps", "1", "-o"]
print(json.dumps([
    cli(*drawing, "out", "--direction", "me/verbs@main:0.5", "--json"),
    cli("card", "me/verbs", "-o", "cards", "--model", "tiny"),
    {name: str(each.name) for name, each in _methods(["it=me/verbs:2"]).items()},
]))
"""
    )
    assert drawn[0] == 0, drawn
    row = json.loads(drawn[1])["images"][0]
    assert "woman" in json.dumps(row) and "0.5" in json.dumps(row)
    # There is no judge for what it was found with; what matters is that nothing fetched was touched.
    assert card[0] == 2 and "directrix card" in card[2]
    assert (tmp_path / "cards" / "verbs.safetensors").read_bytes() == woman.read_bytes()
    assert method == {"it": "woman:2"}


def test_errors_say_what_to_do(server: Hub, run: Callable[..., Any], woman: Path):
    for name, more in {"me/secret": {"private": True}, "me/gated": {"gated": True}, "me/empty": {}}.items():
        server.repositories[name] = {"private": False, "branches": {}, "commits": {}, **more}
        server.commit(name, "main", {"README.md": b"hello", "damaged.safetensors": woman.read_bytes()[:-9]})
    said = run(
        """
load, woman = directrix.Direction.from_pretrained, directrix.Direction.load("woman.safetensors")
print(json.dumps({
    "missing": said(load, "nobody/nothing"),
    "private": said(load, "me/secret"),
    "gated": said(load, "me/gated"),
    "revision": said(load, "me/empty", "v9"),
    "file": said(load, "me/empty"),
    "damaged": said(load, "me/empty", file="damaged.safetensors"),
    "local": said(load, "woman.safetensors", "v1"),
    "path": said(load, "folder/missing.safetensors"),
    "token": said(woman.push_to_hub, "me/other"),
    "refused": said(woman.push_to_hub, "me/other", token="hf_reader"),
    "other": said(woman.push_to_hub, "you/other", token="hf_writer"),
    "name": said(woman.push_to_hub, "other", token="hf_writer"),
    "at": said(woman.push_to_hub, "me/other@v1", token="hf_writer"),
    "inspect": cli("inspect", "nobody/nothing"),
    "push": cli("push", "woman.safetensors", "me/other"),
    "seen": said(lambda: load("me/secret", token="hf_reader")),
}))
"""
    )
    expected = {
        "missing": "HubError: There is no 'nobody/nothing' on the hub that you may see, nor here as a file.",
        "private": "HubError: There is no 'me/secret' on the hub that you may see",
        "gated": "HubError: 'me/gated' is open only to those who accepted its terms.",
        "revision": "HubError: 'me/empty' has no revision 'v9'.",
        "file": "HubError: 'me/empty' holds no file 'direction.safetensors'.",
        "damaged": "DirectionFileError: ",
        "local": "HubError: The revision 'v1' was given with 'woman.safetensors', which is no repository.",
        "path": "DirectionFileError: The direction file 'folder/missing.safetensors' does not exist.",
        "token": "HubError: There is no token for the hub.",
        "refused": "HubError: The hub refuses the token for 'me/other' (403).",
        "other": "HubError: The hub refuses the token for 'you/other' (403).",
        "name": "HubError: 'other' is no repository's name.",
        "at": "HubError: 'me/other@v1' is no repository's name.",
        # It may be seen with a token, but holds no direction.
        "seen": "HubError: 'me/secret' holds no file 'direction.safetensors'.",
    }
    for key, start in expected.items():
        assert said[key].startswith(start), (key, said[key])
        assert "Expected: " in said[key] and "Try: " in said[key]
    for key in ("inspect", "push"):
        code, out, err = said[key]
        assert (code, out) == (2, "") and "Traceback" not in err
        assert f"directrix {key}: " in err
    assert "me/other" not in server.repositories


@pytest.mark.slow
def test_without_a_connection(server: Hub, run: Callable[..., Any], woman: Path):
    server.repositories["me/kept"] = {"private": False, "branches": {}, "commits": {}}
    server.commit("me/kept", "main", {"direction.safetensors": woman.read_bytes()})
    ask = """
load = directrix.Direction.from_pretrained
print(json.dumps([said(load, "me/kept"), said(load, "me/unseen")]))
"""
    assert run(ask)[0].startswith("Direction('woman'")
    for more in ({"HF_HUB_OFFLINE": "1"}, {"endpoint": "http://127.0.0.1:9"}):
        retained, unseen = run(ask, **more)
        # What was fetched once is there without the hub.
        assert retained.startswith("Direction('woman'")
        assert unseen.startswith("HubError: The hub cannot be reached for 'me/unseen'"), unseen
    said = run(
        'woman = directrix.Direction.load("woman.safetensors")\nprint(json.dumps(said(woman.push_to_hub, "me/woman")))',
        token=WRITER,
        HF_HUB_OFFLINE="1",
    )
    assert said.startswith("HubError: The hub cannot be reached for 'me/woman'"), said


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("me/woman", ("me/woman", None)),
        ("me/woman-v1.5@v1", ("me/woman-v1.5", "v1")),
        ("me/woman@refs/pr/1", ("me/woman", "refs/pr/1")),
        ("woman", None),
        ("a/b/c", None),
        ("./me/woman", None),
        ("../woman", None),
        ("/me/woman", None),
        ("directions/woman.safetensors", None),
        ("me/", None),
        ("", None),
    ],
)
def test_what_is_a_repository(text: str, place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert hub.place(text) == place


def test_what_is_here_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, woman: Path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "woman").mkdir(parents=True)
    assert hub.place("me/woman") is None
    woman.rename(tmp_path / "me" / "woman" / hub.FILE)
    assert Direction.from_pretrained("me/woman").name == "woman"
    with pytest.raises(HubError, match="which is no repository"):
        Direction.from_pretrained("me/woman", "main")


def head(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_the_model_card_of_what_was_not_measured(woman: Path):
    direction = Direction.load(woman)
    text = hub_card(direction.header, "me/woman", tags=["people", "steering"])
    assert head(text) == {
        "library_name": "directrix",
        "pipeline_tag": "text-to-image",
        "tags": ["directrix", "diffusers", "text-to-image", "steering", "interpretability", "people"],
        "base_model": "someone/tiny-diffusion",
        "base_model_relation": "adapter",
    }
    assert "# woman: a direction for someone/tiny-diffusion" in text
    assert 'directrix.Direction.from_pretrained("me/woman")' in text
    assert "32 x 4 x 4" in text and "nobody measured" in text and "`difference`" in text
    assert "![" not in text
    for model, sentence in {
        "emoji": "It works with one model: emoji",
        "structural": "models of the structure of structural, fingerprint `structure:0000",
    }.items():
        print_ = "structure:" + "0" * 64 if model == "structural" else "a" * 64
        text = hub_card(direction.with_(model=ModelIdentity(model, "", print_)).header, "me/woman")
        assert "base_model" not in head(text)
        assert sentence in text


def test_the_model_card_holds_the_figures(pipeline: Any, make_direction: Callable[..., Direction]):
    class Judge:
        name = "always"

        def label(self, images: Any) -> Any:
            return [{"kind": Verdict("seen", 1.0), "subject": Verdict("a", 1.0)} for _ in images]

    direction = make_direction().pooled().with_(name="woman: --- *x*")
    card = cards.measure(
        pipeline,
        direction,
        Judge(),  # pyright: ignore
        target_label=TargetLabel("kind", "seen"),
        prompts=["a judge"],
        images_per_prompt=1,
        strengths=(),
        num_inference_steps=1,
    )
    direction = direction.with_(provenance={"card": card})
    text = hub_card(direction.header, "me/woman", picture=True)
    assert head(text)["library_name"] == "directrix"
    assert cards.sentence(card) in text
    assert "(<card.png>)" in text
    assert 'from_pretrained("me/woman")' in text and "Direction.load" not in text
    assert "![" not in hub_card(direction.header, "me/woman")
    # The figures of another tensor are not this one's.
    other = direction.with_(tensor=torch.ones(32))
    assert cards.sentence(card) not in hub_card(other.header, "me/woman")


def test_the_client_is_not_imported_for_what_is_here():
    code = (
        "import sys, directrix, directrix.directions.hub; directrix.Direction.from_pretrained;"
        "from directrix.cli import parser; parser();"
        "print([each for each in ('huggingface_hub', 'torch') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
