from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from components.learning.training.checkpoint import Checkpoints, load_checkpoint
from components.learning.training.optimisation import MovingAverage
from components.learning.training.trainer import Plan, Progress, TrainingDiverged, fit, prepare_rates

PLAN = Plan(steps=12, schedule="cosine", validate_every=4, checkpoint_every=3)


class Line:
    """Fits a line; its batch depends on the step alone, as every phase's does."""

    criterion = "validation_score"

    def __init__(self, broken_at: int = -1) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(3, 1)
        self.modules: dict[str, nn.Module] = {"line": self.network}
        self.optimisers: dict[str, Optimizer] = {"line": prepare_rates(Adam(self.network.parameters(), 0.1))}
        self.average = MovingAverage(self.network, 0.9)
        self.broken_at, self.steps = broken_at, []

    def step(self, step: int) -> dict[str, Tensor]:
        self.steps.append(step)
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        loss = ((self.network(x) - x.sum(1, keepdim=True)) ** 2).mean()
        if step == self.broken_at:
            loss = loss * float("nan")
        self.optimisers["line"].zero_grad()
        loss.backward()
        self.optimisers["line"].step()
        self.average.update()
        return {"loss": loss}

    def validate(self) -> dict[str, float]:
        return {"validation_score": -float(((self.average.state["weight"] - 1) ** 2).sum())}


class Silent:
    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at = stop_at

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None:
        if step == self.stop_at:
            raise KeyboardInterrupt

    def scores(self, step: int, scores: dict[str, float]) -> None: ...


def end(phase: Line, folder: Path, stop_at: int = -1) -> Progress:
    return fit(phase, PLAN, Checkpoints(folder, "me"), Silent(stop_at))


def test_an_interrupted_training_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path: Path) -> None:
    straight = Line()
    wanted = end(straight, tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        end(Line(), tmp_path / "cut", stop_at=8)
    resumed = Line()
    found = end(resumed, tmp_path / "cut")
    assert resumed.steps == list(range(6, 12))
    assert torch.equal(resumed.network.weight, straight.network.weight)
    assert torch.equal(found.best_state["weight"], wanted.best_state["weight"])
    assert found.history == wanted.history


def test_a_loss_that_is_no_number_stops_at_its_step_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"step 8: .*nan.*last good checkpoint"):
        end(Line(broken_at=7), tmp_path)
    state = load_checkpoint(tmp_path, "me")
    assert state is not None and state["progress"]["step"] == 6
    assert torch.isfinite(state["modules"]["line"]["weight"]).all()


def test_the_step_is_named_that_broke_not_the_one_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.learning.training.trainer.REPORTS", 1)
    plan = Plan(steps=12, schedule="constant", validate_every=12, checkpoint_every=5)
    with pytest.raises(TrainingDiverged, match=r"step 7: .* at step 10\..* of step 5, is in"):
        fit(Line(broken_at=6), plan, Checkpoints(tmp_path, "me"), Silent())


def test_weights_that_are_no_numbers_are_never_kept(tmp_path: Path) -> None:
    """A gradient may be infinite where its loss is not: the weights break, and no loss has been seen from them yet."""

    class Breaks(Line):
        def step(self, step: int) -> dict[str, Tensor]:
            losses = super().step(step)
            if step == 5:
                self.network.weight.data.fill_(float("inf"))
            return losses

    with pytest.raises(TrainingDiverged, match=r"step 6: expected finite weights.*of step 3"):
        end(Breaks(), tmp_path)
    state = load_checkpoint(tmp_path, "me")
    assert state is not None and state["progress"]["step"] == 3


def test_the_best_validated_weights_are_kept(tmp_path: Path) -> None:
    phase = Line()
    scores = iter([-1.0, -0.2, -0.7])
    phase.validate = lambda: {"validation_score": next(scores)}  # type: ignore[method-assign]
    progress = end(phase, tmp_path)
    assert progress.best_step == 8 and progress.best_scores == {"validation_score": -0.2}
    assert not torch.equal(progress.best_state["weight"], phase.average.state["weight"])


def test_rates_follow_the_schedule(tmp_path: Path) -> None:
    phase = Line()
    end(phase, tmp_path)
    assert phase.optimisers["line"].param_groups[0]["lr"] < 0.1 * 0.02
