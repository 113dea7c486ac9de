from __future__ import annotations

import threading

import pytest

from flows.accelerator import accelerator, limit_name
from flows.process_group import Cancelled


def slots() -> int:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit_name()).active_slots


def take_all() -> None:
    """Leaves the limit as a run leaves it that was killed together with its server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit_name(), limit=1)
        client.update_global_concurrency_limit(limit_name(), GlobalConcurrencyLimitUpdate(active_slots=1))


def test_the_slot_is_held_for_the_block_and_given_back(prefect_server: str) -> None:
    with accelerator(threading.Event(), embedded=True):
        assert slots() == 1
    assert slots() == 0


def test_a_slot_that_a_killed_run_left_taken_is_free_again(prefect_server: str) -> None:
    take_all()
    with accelerator(threading.Event(), embedded=True):
        assert slots() == 1


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
