"""The machine goes down in the middle of a scheduled training, and comes back."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import automations
from tests.flows.conftest import PROJECT, eventually
from tests.services import Services, begin, free_port, schedule, up, with_home
from tests.settings import content

pytestmark = pytest.mark.service

STAGE = """
slow:
  cmd: "touch begun; test -e repaired || sleep 600; date > out.txt"
  outs: [out.txt]
"""


def nothing_by_itself(deployments: dict[str, Any]) -> None:
    for deployment in deployments.values():
        deployment.pop("schedules", None)


def test_a_run_lost_with_its_machine_holds_up_nothing_once_it_is_back(toy: Callable[[str], Path]) -> None:
    root, ports = toy(STAGE), (free_port(), free_port())
    for package in ("components", "flows"):
        shutil.copytree(PROJECT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    impatient = root / "flows" / "automations.py"
    impatient.write_text(impatient.read_text().replace(f"SILENT_S = {automations.SILENT_S}", "SILENT_S = 45.0"))
    schedule(root, PROJECT, nothing_by_itself)
    (root / "params.yaml").write_text(yaml.safe_dump(content()))
    before = begin(root, with_home(root), ports)
    lost, waiting = (start_training(before) for _ in range(2))
    assert eventually(lambda: (root / "begun").is_file(), 120)
    assert state(before, lost) == "Running"
    assert eventually(lambda: heartbeats(before) > 0), "by then the server knows that it lives"
    assert state(before, waiting) in ("Scheduled", "Late"), "one at a time"
    power_off(root)
    before.process.wait()
    (root / "repaired").touch()
    with up(root, with_home(root), ports) as back:
        assert eventually(lambda: state(back, lost) == "Crashed", 180)
        assert eventually((root / "out.txt").is_file, 120), "the one that waited does the work"


def power_off(root: Path) -> None:
    """Nothing that runs in `root` gets to say a word."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "cwd").readlink() == root and int(folder.name) != os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)


def start_training(services: Services) -> str:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(services.api) as client:
        training = client.read_deployment_by_name("pipeline/weekly-training")
        return str(client.create_flow_run_from_deployment(training.id).id)


def state(services: Services, number: str) -> str:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(services.api) as client:
        return str(client.read_flow_run(number).state_name)


def heartbeats(services: Services) -> int:
    from prefect.client.orchestration import SyncPrefectClient

    wanted = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}
    with SyncPrefectClient(services.api) as client:
        return int(client.request("POST", "/events/filter", json=wanted).json()["total"])
