import errno
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import components
from components.handover import StepError
from components.params import ParamsError
from components.params.run_step import report, run_step
from tests.settings import PARAMS

THRESHOLD = "import gc, sys; print(gc.get_threshold()[0])"


def test_a_step_that_starts_collects_garbage_seldom_and_whoever_imports_it_keeps_his_own_way(tmp_path: Path) -> None:
    shutil.copytree(Path(components.__file__).parent, tmp_path / "components")
    (tmp_path / "components" / "step.py").write_text(THRESHOLD)
    for started, threshold in ((("-m", "components.step"), "10000"), (("-c", "import components.step"), "700")):
        said = subprocess.run([sys.executable, *started], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert said.stdout.split() == [threshold]


def test_what_a_step_says_is_printed_as_it_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(lambda: ["one", "two"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.parametrize("error", [StepError("a.csv: expected rows."), ParamsError("params.yaml: 1 problem(s)")])
def test_an_expected_error_is_one_message_and_exit_code_one(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def work() -> Iterator[str]:
        yield "begun"
        raise error

    assert report(work) == 1
    assert capsys.readouterr() == ("begun\n", f"{error}\n")


def test_a_full_disk_is_said_with_the_file_and_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[str]:
        raise OSError(errno.ENOSPC, "No space left on device", "data/raw/index.csv")

    assert report(work) == 1
    said = capsys.readouterr().err
    assert said == "data/raw/index.csv: not written, No space left on device. Make room and run again.\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), PermissionError(errno.EACCES, "denied")])
def test_a_fault_of_the_program_is_not_hidden(error: Exception) -> None:
    def work() -> Iterator[str]:
        raise error

    with pytest.raises(type(error)):
        report(work)


def test_a_step_gets_the_project_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    assert run_step(lambda layout, params: [f"{layout.index} {params.profile}"]) == 0
    assert capsys.readouterr().out == "data/raw/index.csv quick\n"


def test_a_full_disk_is_said_where_a_library_raised_another_error_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[str]:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "image.dcm")
        except OSError as error:
            raise OSError(f"with tag (7FE0,0010): {error}") from error

    assert report(work) == 1
    assert capsys.readouterr().err == "image.dcm: not written, No space left on device. Make room and run again.\n"
