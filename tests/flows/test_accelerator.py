from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest

from flows.accelerator import accelerator, limit_name
from flows.process_group import Cancelled

pytestmark = pytest.mark.service


def slots() -> int:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit_name()).active_slots


def take_all() -> None:
    """Takes the slot without a lease."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit_name(), limit=1)
        client.update_global_concurrency_limit(limit_name(), GlobalConcurrencyLimitUpdate(active_slots=1))


def test_the_slot_is_held_for_the_block_and_given_back(prefect_server: str) -> None:
    with accelerator(threading.Event(), embedded=True):
        assert slots() == 1
    assert slots() == 0


def lease_lost() -> None:
    """Lets the slot outlast its lease, as a restart does of a server that keeps leases in memory."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.update_global_concurrency_limit(limit_name(), GlobalConcurrencyLimitUpdate(active_slots=2, limit=2))


KILLED = """
import os, threading
from flows.accelerator import accelerator

with accelerator(threading.Event(), embedded=False):
    os.kill(os.getpid(), 9)
"""


def test_a_slot_that_a_killed_run_left_taken_is_free_again(prefect_server: str) -> None:
    environment = os.environ | {"PREFECT_API_URL": prefect_server}
    assert subprocess.run([sys.executable, "-c", KILLED], env=environment).returncode == -signal.SIGKILL
    assert slots() == 1
    with accelerator(threading.Event(), embedded=False):
        assert slots() == 1
    assert slots() == 0


def test_a_slot_whose_lease_the_server_lost_is_free_again(prefect_server: str) -> None:
    with accelerator(threading.Event(), embedded=False):
        lease_lost()
    assert slots() == 1
    with accelerator(threading.Event(), embedded=False):
        assert slots() == 1
    assert slots() == 0


def test_a_slot_that_another_holds_on_a_shared_server_is_waited_for_until_stopped(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.accelerator.LOOK_UP_S", 0.5)
    take_all()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled), accelerator(stop, embedded=False):
        pytest.fail("the slot was taken")


def test_waiting_for_another_run_on_this_host_ends_when_stopped(prefect_server: str) -> None:
    stop = threading.Event()
    stop.set()
    with accelerator(threading.Event(), embedded=True), pytest.raises(Cancelled), accelerator(stop, embedded=True):
        pytest.fail("two hold the accelerator")


def test_a_server_that_answers_and_records_nothing_keeps_no_stage_from_the_accelerator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.prefect_server.answers", lambda: True)
    monkeypatch.setattr("flows.accelerator._ensure_limit", refuse)
    monkeypatch.setattr("flows.accelerator._taken", refuse)
    with accelerator(threading.Event(), embedded=False):
        pass


def refuse(*_: object, **__: object) -> None:
    """As a server does whose database is on a full disk."""
    from prefect.exceptions import PrefectHTTPStatusError

    request = httpx.Request("POST", "http://prefect/api")
    raise PrefectHTTPStatusError("503", request=request, response=httpx.Response(503, request=request))
