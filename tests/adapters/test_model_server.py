"""`mlflow models serve` as somebody without this project's code would use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from components.adapters import registry
from components.handover import Layout
from components.learning.inference.sharpening import sharpen_grey
from tests.drawing import shapes
from tests.flows.conftest import eventually
from tests.flows.test_serving import crown
from tests.services import HOST, free_port

pytestmark = pytest.mark.service

TOLERANCE = 2e-3  # of values in [0, 1]: ours calculates in bfloat16 where the processor is fast at it


@contextmanager
def serving(model: str, project: Layout) -> Iterator[str]:
    """Where MLflow serves the model until the block ends, and its children with it."""
    url, log = f"http://{HOST}:{(port := free_port())}", project.root / "server.log"
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    own |= {"MLFLOW_TRACKING_URI": f"sqlite:///{project.root / 'mlruns/mlflow.db'}"}
    own |= {"PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}  # MLflow calls uvicorn
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/ping", timeout=5).is_success
        return False

    with log.open("w") as lines:
        server = subprocess.Popen(
            command, cwd=project.root, env=own, stdout=lines, stderr=lines, start_new_session=True
        )
    try:
        assert eventually(lambda: answers() or server.poll() is not None, 180)
        assert server.poll() is None, log.read_text()
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(60)


def test_the_champion_as_mlflow_serves_it_gives_what_ours_does(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    crown(project, monkeypatch)
    image = shapes(41, 52)
    image[:2], image[-2:] = 0, 1  # its values are in [0, 1] already, as the network takes them
    ours = np.concatenate(list(sharpen_grey(image, registry.load_generator(project))))
    with serving("models:/sr-generator@champion", project) as url:
        answer = httpx.post(f"{url}/invocations", json={"inputs": image[None, None].tolist()}, timeout=60)
    assert answer.status_code == 200, answer.text
    served = np.array(answer.json()["predictions"])[0, 0]
    assert served.shape == ours.shape and served.std() > TOLERANCE
    np.testing.assert_allclose(served, ours, atol=TOLERANCE)
    assert np.corrcoef(served.ravel(), ours.ravel())[0, 1] > 0.99
