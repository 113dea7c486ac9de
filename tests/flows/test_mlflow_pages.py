from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from components.handover import Layout, StepError
from flows import mlflow_pages


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").touch()
    return Layout(tmp_path)


@pytest.fixture
def taken() -> int:
    """A port where something answers, for as long as the test runs."""
    listener = socket.create_server((mlflow_pages.HOST, 0))
    threading.Thread(target=lambda: listener.accept(), daemon=True).start()
    return int(listener.getsockname()[1])


def test_the_pages_are_for_this_machine_alone(layout: Layout) -> None:
    command = mlflow_pages.command(5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--workers") + 1] == "1"
    assert not any("security" in word or "allowed-hosts" in word for word in command)


def test_the_database_is_given_where_its_password_is_not_seen_by_everybody(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = mlflow_pages.environment(layout)["MLFLOW_BACKEND_STORE_URI"]
    assert shown == f"sqlite:///{layout.root}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://medsr:secret@database/mlflow")
    shown = mlflow_pages.environment(layout)["MLFLOW_BACKEND_STORE_URI"]
    assert shown == "postgresql://medsr:secret@database/mlflow"
    assert not any("secret" in word for word in mlflow_pages.command(5001))


def test_before_the_first_run_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"mlflow\.db.*make pipeline"):
        mlflow_pages.show(Layout(tmp_path), 5001, browser=False)


def test_a_port_in_use_is_named(layout: Layout, taken: int) -> None:
    with pytest.raises(StepError, match=f"port {taken}.*--port"):
        mlflow_pages.show(layout, taken, browser=False)


def test_a_server_that_is_given_is_opened_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://medsr:secret@mlflow.example")
    assert mlflow_pages.show(Layout(tmp_path), 5001, browser=True) == 0
    assert opened == ["https://mlflow.example"]
    assert capsys.readouterr().out == "MLflow: https://mlflow.example\n"


def test_the_page_opens_once_the_server_answers(
    layout: Layout, taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mlflow_pages, "_check", lambda layout, port: None)
    monkeypatch.setattr(mlflow_pages, "command", lambda port: ["sleep", "2"])
    assert mlflow_pages.show(layout, taken, browser=False) == 0
    assert capsys.readouterr().out == f"MLflow: http://127.0.0.1:{taken}\n"
