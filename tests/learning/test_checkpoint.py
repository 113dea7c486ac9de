from pathlib import Path

import pytest
import torch

from components.learning.checkpoint import fingerprint, load_checkpoint, remove_checkpoint, save_checkpoint


def test_only_the_owner_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_checkpoint(tmp_path, "me", {"step": 3, "weights": torch.ones(2)})
    assert load_checkpoint(tmp_path, "me")["step"] == 3  # type: ignore[index]
    assert load_checkpoint(tmp_path, "you") is None
    assert "other settings" in capsys.readouterr().out


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, "me", {"step": 3})

    def full(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, "me", {"step": 4})
    assert load_checkpoint(tmp_path, "me") == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_torn_checkpoint_is_said_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_checkpoint(tmp_path, "me", {"weights": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:500])
    assert load_checkpoint(tmp_path, "me") is None
    assert "not a readable checkpoint" in capsys.readouterr().out


def test_an_ended_training_leaves_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "srcnn", "me", {})
    remove_checkpoint(tmp_path / "srcnn")
    assert not (tmp_path / "srcnn").exists()


def test_any_changed_setting_is_another_training() -> None:
    assert fingerprint({"rate": 1e-3}, 1) == fingerprint({"rate": 1e-3}, 1) != fingerprint({"rate": 2e-3}, 1)
