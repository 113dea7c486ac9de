import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from components.handover import fingerprint
from components.learning.training.checkpoint import Checkpoints, load_checkpoint, remove_checkpoint, save_checkpoint

pytestmark = pytest.mark.service


def test_only_the_owner_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path, "me", {"step": 3, "weights": torch.ones(2)})
    assert load_checkpoint(tmp_path, "me")["step"] == 3  # type: ignore[index]
    assert load_checkpoint(tmp_path, "you") is None
    assert "other settings" in capsys.readouterr().out


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, "me", {"step": 3})

    def half(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_bytes", half)
        save_checkpoint(tmp_path, "me", {"step": 4})
    assert load_checkpoint(tmp_path, "me") == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_torn_checkpoint_is_said_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_checkpoint(tmp_path, "me", {"weights": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:500])
    assert load_checkpoint(tmp_path, "me") is None
    assert "not a readable checkpoint" in capsys.readouterr().out


def test_a_disk_that_takes_no_more_is_said_and_stops_no_training(tmp_path: Path) -> None:
    """The system itself refuses here: files may not grow beyond what the second checkpoint needs."""
    program = f"""
import resource, torch
import errno
import subprocess
import sys
from pathlib import Path
from components.learning.training.checkpoint import Checkpoints
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
with Checkpoints(Path({str(tmp_path)!r}), "me") as checkpoints:
    for step, size in ((1, 1_000), (2, 100_000), (3, 2_000)):
        checkpoints.save(step, {{"step": step, "weights": torch.zeros(size)}})
        checkpoints.wait()
        print("kept", torch.load(Path({str(tmp_path)!r}) / "last.pt")["state"]["step"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said = [line for line in done.stdout.splitlines() if line.startswith("kept")]
    assert said == ["kept 1", "kept 1", "kept 3"]
    assert "checkpoint of step 2: not written" in done.stdout and "the last good one is of step 1" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_what_is_kept_is_the_state_of_that_step_though_training_goes_on(tmp_path: Path) -> None:
    weights = torch.zeros(3)
    with Checkpoints(tmp_path, "me") as checkpoints:
        checkpoints.save(1, {"deep": [{"weights": weights}], "note": "as it was"})
        weights += 1
    assert torch.equal(load_checkpoint(tmp_path, "me")["deep"][0]["weights"], torch.zeros(3))  # type: ignore[index]


def test_a_process_that_does_not_write_reads(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "me", {"step": 3})
    with Checkpoints(tmp_path, "me", writes=False) as checkpoints:
        checkpoints.save(4, {"step": 4})
        assert checkpoints.load() == {"step": 3}


def test_an_ended_training_leaves_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "srcnn", "me", {})
    remove_checkpoint(tmp_path / "srcnn")
    assert not (tmp_path / "srcnn").exists()


def test_any_changed_setting_is_another_training() -> None:
    assert (
        fingerprint({"learning_rate": 1e-3}, 1)
        == fingerprint({"learning_rate": 1e-3}, 1)
        != fingerprint({"learning_rate": 2e-3}, 1)
    )
