from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import prefect_server as settings
from tests.flows.conftest import alive, ending, eventually, written_pid

pytestmark = pytest.mark.service


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.DEFAULTS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "7")
    settings.configure()
    assert os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] == "7"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_verbose_lets_prefect_speak() -> None:
    settings.configure(verbose=True)
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "INFO"


def test_a_server_that_is_given_is_used(prefect_server: str) -> None:
    assert settings.start() is False


STARTER = """
import subprocess, sys, time, types
from pathlib import Path

class Settings:
    PREFECT_API_URL = types.SimpleNamespace(value=lambda: None)

class Server:
    class SubprocessASGIServer:
        def start(self):
            self.server_process = subprocess.Popen(["sleep", "600"])
            Path("pid").write_text(str(self.server_process.pid))

parts = ("prefect", "prefect.server", "prefect.server.api")
sys.modules |= dict.fromkeys(parts, types.ModuleType("prefect"))
sys.modules |= {"prefect.settings": Settings, "prefect.server.api.server": Server}
from flows import prefect_server
assert prefect_server.start()
Path("started").touch()
time.sleep(600)
"""


def test_the_embedded_server_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER]  # with a stand-in for the server
    with ending(subprocess.Popen(command, cwd=tmp_path, text=True)) as starter:
        server = written_pid(tmp_path / "pid")
        assert eventually((tmp_path / "started").exists)
        assert alive(server)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        assert eventually(lambda: not alive(server))
