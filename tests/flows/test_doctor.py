from __future__ import annotations

import py_compile
from pathlib import Path

import pytest

from flows import doctor
from flows.doctor import Check
from tests.flows.conftest import PROJECT

LOCK = """\
# made by hand
click==8.1.0 \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via medsr
elsewhere==1.0 ; sys_platform == 'nowhere' \\
    --hash=sha256:02
here==2.0 ; python_version >= '3.11' \\
    --hash=sha256:03
"""


def check(root: Path, name: str) -> Check:
    return next(check for check in doctor.examine(root) if check.name == name)


def test_the_project_itself_lacks_nothing_it_requires() -> None:
    assert [found for found in doctor.examine(PROJECT) if found.required and not found.ok] == []


def test_the_lock_is_read_for_this_platform() -> None:
    assert list(doctor.locked(LOCK)) == [("click", "8.1.0"), ("here", "2.0")]


def test_packages_absent_or_in_another_version_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("click==0.0.1 \\\n    --hash=sha256:00\nnot-there==3.0 \\\n")
    found = doctor._packages(tmp_path)
    assert not found.ok
    assert "0.0.1 is locked" in found.found
    assert "not-there is not installed" in found.found


def test_how_a_package_was_built_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "2.13.0+cpu")
    (tmp_path / "requirements.lock").write_text("torch==2.13.0 \\\n")
    assert doctor._packages(tmp_path).ok


def test_packages_that_each_process_would_compile_anew_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("quick_to_start", "slow_to_start"):
        (tmp_path / f"{name}.py").write_text("")
    py_compile.compile(str(tmp_path / "quick_to_start.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "SLOW_TO_COMPILE", ("quick_to_start", "slow_to_start", "absent"))
    found = doctor._bytecode(tmp_path)
    assert not found.ok and not found.required and found.found.startswith("none of slow_to_start: ")
    py_compile.compile(str(tmp_path / "slow_to_start.py"))
    assert doctor._bytecode(tmp_path).ok


@pytest.mark.parametrize(("version", "ok"), [("0.150.9", True), ("0.151.0", False), ("1.0.0", False)])
def test_a_fastapi_that_prefect_cannot_use_is_found(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: version)
    assert doctor._fastapi(Path()).ok is ok


def test_a_folder_that_is_no_project_is_told_how_to_become_one(tmp_path: Path) -> None:
    assert not check(tmp_path, "pipeline").ok
    assert "git clone" in check(tmp_path, "pipeline").remedy


def test_remains_of_mlflow_s_file_store_are_found(tmp_path: Path) -> None:
    assert doctor._stray_runs(tmp_path).ok
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    found = doctor._stray_runs(tmp_path)
    assert not found.ok
    assert str(tmp_path / "mlruns" / "0") in found.remedy


@pytest.mark.parametrize(("url", "ok"), [("s3://bucket/medsr", True), ("gs://bucket/medsr", False)])
def test_a_remote_whose_package_is_not_installed_is_found(tmp_path: Path, url: str, ok: bool) -> None:
    assert "none" in doctor._remote(tmp_path).found
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n")
    found = doctor._remote(tmp_path)
    assert found.ok is ok and url in found.found and not found.required
    assert ok or "dvc-gs" in found.found


def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_GB", 1e9)
    assert not doctor._disk(tmp_path).ok


def test_a_container_s_limit_counts_as_its_memory() -> None:
    assert doctor._memory_bytes() > 0


def test_what_is_optional_never_counts_as_required(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not check(tmp_path, "dciodvfy").ok
    assert not check(tmp_path, "dciodvfy").required
    assert not check(tmp_path, "git").ok
    assert check(tmp_path, "git").required
