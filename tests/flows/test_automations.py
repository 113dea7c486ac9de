"""What the server does by itself; a real server, real runs, and a web server that takes the notifications."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.handover import StepError
from flows import automations
from tests.flows.conftest import PROJECT, ending, eventually

pytestmark = pytest.mark.service

HANGS = """
import time
from pathlib import Path
from prefect import flow

@flow(name="hangs", persist_result=False)
def hangs():
    Path("begun").touch()
    time.sleep(600)

hangs()
"""


@contextmanager
def asking(server: str) -> Iterator[Any]:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(server) as client:
        yield client


def there(server: str) -> dict[str, str]:
    """Our automations and their numbers."""
    with asking(server) as client:
        ours = (automations.SILENCE, automations.TROUBLE, automations.DRIFT, automations.VERDICT)
        return {name: str(one.id) for name in ours for one in client.read_automations_by_name(name)}


@pytest.fixture
def _clean(prefect_server: str) -> Iterator[None]:
    yield
    with asking(prefect_server) as client:
        for number in there(prefect_server).values():
            client.delete_automation(number)


@pytest.mark.usefixtures("_clean")
def test_a_run_that_was_killed_with_its_machine_does_not_stay_running(prefect_server: str, tmp_path: Path) -> None:
    automations.register(prefect_server, silent_s=40)
    before = there(prefect_server)
    environment = os.environ | {"PREFECT_API_URL": prefect_server, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    command = [sys.executable, "-c", HANGS]
    with (
        ending(subprocess.Popen(command, cwd=tmp_path, env=environment, text=True)) as hanging,
        asking(prefect_server) as client,
    ):
        assert eventually((tmp_path / "begun").exists, 180)
        assert eventually(lambda: heartbeats(client, "hangs") > 0, 180)
        hanging.send_signal(signal.SIGKILL)
        hanging.wait()
        automations.register(prefect_server, silent_s=40)  # as the next `medsr up` does
        assert there(prefect_server) == before
        assert eventually(lambda: run_of(client, "hangs").state.name == "Crashed", 300)
        assert "no sign of life" in run_of(client, "hangs").state.message


def run_of(client: Any, flow: str) -> Any:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    (run,) = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
    return run


def heartbeats(client: Any, flow: str) -> int:
    """How many of this flow's run arrived; others' are at the server too."""
    run = {"id": [f"prefect.flow-run.{run_of(client, flow).id}"]}
    wanted = {"event": {"name": [automations.HEARTBEAT]}, "resource": run}
    return int(client.request("POST", "/events/filter", json={"filter": wanted}).json()["total"])


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address, and what was posted there."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", heard
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("_clean")
def test_a_webhook_hears_of_failed_lost_and_waiting_runs_of_drift_and_of_a_changed_verdict(
    prefect_server: str,
) -> None:
    from prefect import flow
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.schemas.objects import State, StateType
    from prefect.events import emit_event

    @flow(name="told-of")
    def told_of() -> None:
        pass

    with listening() as (address, heard), asking(prefect_server) as client:
        block = CustomWebhookNotificationBlock(
            name="ward", url=address, json_data={"subject": "{{subject}}", "text": "{{body}}"}
        )
        block.save("ward", overwrite=True)
        automations.register(prefect_server, "custom-webhook/ward")
        ours = {automations.SILENCE, automations.TROUBLE, automations.DRIFT, automations.VERDICT}
        assert set(there(prefect_server)) == ours
        deployment = client.create_deployment(client.create_flow(told_of), "weekly")
        for run in (client.create_flow_run(told_of), client.create_flow_run_from_deployment(deployment)):
            failed = State(type=StateType.FAILED, name="Failed", message="train@rrdb failed, exit code 3")
            client.set_flow_run_state(run.id, failed, force=True)
        assert eventually(lambda: bool(heard), 180), "the failure is told"
        lost = client.create_flow_run_from_deployment(deployment)
        crashed = State(type=StateType.CRASHED, name="Crashed", message="no sign of life for 10 min")
        client.set_flow_run_state(lost.id, crashed, force=True)
        assert eventually(lambda: len(heard) == 2, 180), "and the crash"
        asks = client.create_flow_run_from_deployment(deployment)
        waits = State(type=StateType.PAUSED, name="Suspended", message="waits for an answer")
        client.set_flow_run_state(asks.id, waits, force=True)
        assert eventually(lambda: len(heard) == 3, 180), "and the question"
        emit_event("medsr.drift.found", resource={"prefect.resource.id": "medsr.drift"}, payload={"said": "CT: mean"})
        assert eventually(lambda: len(heard) == 4, 180)
        emit_event(
            "medsr.verdict.changed", {"prefect.resource.id": "medsr.verdict"}, payload={"said": "esrgan 2 serves"}
        )
        assert eventually(lambda: len(heard) == 5, 180)
        assert heard[0]["subject"] == "medsr: Failed"
        assert f"told-of {run.name}: Failed. train@rrdb failed, exit code 3" in heard[0]["text"]
        assert heard[1]["subject"] == "medsr: Crashed"
        assert f"told-of {lost.name}: Crashed. no sign of life for 10 min" in heard[1]["text"]
        assert heard[2]["subject"] == "medsr: Suspended" and asks.name in heard[2]["text"]
        assert heard[3] == {"subject": "medsr: drift", "text": "CT: mean"}
        assert heard[4] == {"subject": "medsr: the verdict changed", "text": "esrgan 2 serves"}
        automations.register(prefect_server)
        assert set(there(prefect_server)) == {automations.SILENCE}, "told to nobody, it tells nobody"
        client.delete_deployment(deployment)


def test_a_block_that_is_not_there_is_named(prefect_server: str) -> None:
    before = there(prefect_server)
    for name in ("slack-webhook/nobody", "nothing", "no-such-type/ward"):
        with pytest.raises(StepError, match=f"expected the notification block {name}, TYPE/NAME, found none"):
            automations.register(prefect_server, name)
    assert there(prefect_server) == before


def test_the_wait_is_longer_than_the_outage_that_a_run_sits_out() -> None:
    from flows.prefect_server import OUTAGE_S

    assert automations.SILENT_S >= OUTAGE_S
    assert 'PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "30"' in (PROJECT / "infra/prefect.yaml").read_text()
