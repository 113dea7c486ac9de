"""`medsr up` as a user starts and ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.flows.conftest import eventually

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Services:
    """What runs, and where."""

    process: subprocess.Popen[str]
    log: Path
    api: str  # Prefect's
    mlflow: str

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def children(self, *words: str) -> list[int]:
        """The processes that it started itself and whose command has these words in it."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        lines = (line.split(maxsplit=1) for line in listed.stdout.splitlines())
        return [int(number) for number, command in lines if all(word in command for word in words)]


@contextmanager
def up(root: Path, environment: Mapping[str, str], ports: tuple[int, int] | None = None) -> Iterator[Services]:
    """Everything, running in `root` until the block ends; then it has to end well."""
    services = begin(root, environment, ports)
    try:
        yield services
    finally:
        services.process.send_signal(signal.SIGTERM)
        try:
            assert services.process.wait(120) == 0, services.said()
        finally:
            services.process.kill()
    assert services.said().endswith("Ended.\n")


def begin(root: Path, environment: Mapping[str, str], ports: tuple[int, int] | None = None) -> Services:
    """Everything, running in `root`; Prefect's server and MLflow at `ports`."""
    port, mlflow_port = ports or (free_port(), free_port())
    command = [sys.executable, "-m", "flows.cli", "up", "--port", str(port), "--mlflow-port", str(mlflow_port)]
    log = root / "up.log"
    with log.open("w", encoding="utf-8") as lines:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=lines, stderr=lines, text=True)
    services = Services(process, log, f"http://{HOST}:{port}/api", f"http://{HOST}:{mlflow_port}")
    assert eventually(lambda: "Running" in services.said() or process.poll() is not None, 400)
    assert process.poll() is None, services.said()
    return services


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def schedule(root: Path, source: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Copies `infra/prefect.yaml` of `source` to `root`, each deployment by its name given to `change` before."""
    described = yaml.safe_load((source / "infra" / "prefect.yaml").read_text())
    change({deployment["name"]: deployment for deployment in described["deployments"]})
    (root / "infra").mkdir(exist_ok=True)
    (root / "infra" / "prefect.yaml").write_text(yaml.safe_dump(described, sort_keys=False))


def with_home(root: Path) -> dict[str, str]:
    """This process's environment with `root` as the home of all that a run leaves outside the project."""
    own = {key: value for key, value in os.environ.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    return own | {
        "PREFECT_HOME": str(root / ".prefect"),
        "DVC_SITE_CACHE_DIR": str(root / ".dvc-site"),
        "TORCH_HOME": str(root / ".torch"),
        "PYTHONPATH": str(root),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),  # whose `python` stages are
    }
