"""Who can reach the page, and what the page is."""

import pytest

from directrix.cli import main
from directrix.errors import DirectrixError
from directrix.studio.serve import serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_needs_a_password(host):
    with pytest.raises(DirectrixError, match="without a password"):
        serve(host)
    with pytest.raises(DirectrixError, match="without a password"):
        serve(host, password="")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "999.1.1.1", "--password", "x"], "cannot be served at '999.1.1.1'"),
        (["--host", "999.1.1.1", "--password", "x", "--port", "0"], "cannot be served at '999.1.1.1'"),
        (["--model", "/nowhere/sd"], "There is no folder or file '/nowhere/sd'"),
        (["--model", "me/nothing"], "me/nothing"),
        (["--folder", "/proc/studio"], "/proc/studio"),
    ],
)
def test_what_cannot_work_is_said_before_a_page_is_open(flags, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("gradio")
    assert main(["studio", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
