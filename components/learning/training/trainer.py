"""One training loop for every network: it resumes from checkpoints and stops at losses that are not finite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from components.handover import StepError
from components.learning.training.checkpoint import Checkpoints, copied
from components.learning.training.optimisation import MovingAverage, is_finite, rate_factor

REPORTS = 100  # readings of the losses in a whole training: each waits for the device


class Phase(Protocol):
    """The networks of a training, its training step and its validation."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    average: MovingAverage  # of the network that is kept
    criterion: str  # the validation score that decides which weights are kept, higher is better; empty: the last

    def step(self, step: int) -> dict[str, Tensor]:
        """Trains for step `step`; returns its losses, still on the device."""

    def validate(self) -> dict[str, float]:
        """Scores of the averaged weights on validation patients."""


class Reporter(Protocol):
    """Receives the losses and scores of a training."""

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None: ...

    def scores(self, step: int, scores: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Plan:
    """The length of a training, its learning rate schedule, and its intervals in steps."""

    steps: int
    schedule: str
    validate_every: int
    checkpoint_every: int


@dataclass
class Progress:
    """The state of a training besides its networks and optimisers."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = -1
    best_scores: dict[str, float] = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)


class TrainingDiverged(StepError):
    """A loss became infinite or not a number."""


def fit(phase: Phase, plan: Plan, checkpoints: Checkpoints, reporter: Reporter) -> Progress:
    """Trains to the end, from the checkpoint if there is one.

    The result holds the kept weights (`best_state`), their validation scores and the history. Raises
    `TrainingDiverged` naming the step, the losses and the last good checkpoint.
    """
    progress = _resume(phase, checkpoints)
    base_rates = {name: [group["initial_lr"] for group in o.param_groups] for name, o in phase.optimisers.items()}
    report_every, monitor = max(1, plan.steps // REPORTS), FiniteLossMonitor()
    with checkpoints:
        while progress.step < plan.steps:
            _set_rates(phase, base_rates, rate_factor(plan.schedule, progress.step, plan.steps))
            losses = phase.step(progress.step)
            progress.step += 1
            monitor.update(progress.step, losses)
            last = progress.step == plan.steps
            keeps = last or progress.step % plan.checkpoint_every == 0
            if keeps or progress.step % report_every == 0:
                _report(losses, monitor, progress, plan, checkpoints, reporter)
            if last or progress.step % plan.validate_every == 0:
                _validate(phase, progress, reporter)
            if keeps:
                _save_checkpoint(phase, progress, checkpoints)
    return progress


class FiniteLossMonitor:
    """Records the first step whose losses were not finite, on the device, so that the host does not wait."""

    def __init__(self) -> None:
        self._first: Tensor | None = None

    def update(self, step: int, losses: dict[str, Tensor]) -> None:
        finite = is_finite(list(losses.values()))
        if self._first is None:
            self._first = torch.zeros((), dtype=torch.int64, device=finite.device)
        self._first = torch.where((self._first == 0) & ~finite, step, self._first)

    def first(self) -> int:
        """The step, 0 where all losses were finite; waits for the device."""
        return 0 if self._first is None else int(self._first)


def prepare_rates(optimiser: Optimizer) -> Optimizer:
    """Stores each group's learning rate as the base that schedules multiply."""
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimiser


def _set_rates(phase: Phase, base: dict[str, list[float]], factor: float) -> None:
    for name, optimiser in phase.optimisers.items():
        for group, rate in zip(optimiser.param_groups, base[name], strict=True):
            group["lr"] = rate * factor


def _report(
    losses: dict[str, Tensor],
    monitor: FiniteLossMonitor,
    progress: Progress,
    plan: Plan,
    checkpoints: Checkpoints,
    reporter: Reporter,
) -> None:
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    if diverged_at := monitor.first():
        raise _diverged(diverged_at, f"losses, found {values} at step {progress.step}", checkpoints)
    progress.history.append({"step": progress.step, **values})
    reporter.losses(progress.step, plan.steps, values)


def _diverged(step: int, problem: str, checkpoints: Checkpoints) -> TrainingDiverged:
    checkpoints.wait()
    return TrainingDiverged(
        f"step {step}: expected finite {problem}. The last good checkpoint, of step {checkpoints.last_good}, is in "
        f"{checkpoints.folder}; lower learning_rate, or set precision to 32-true, and run again."
    )


def _validate(phase: Phase, progress: Progress, reporter: Reporter) -> None:
    scores = phase.validate()
    progress.history.append({"step": progress.step, **scores})
    reporter.scores(progress.step, scores)
    criterion = phase.criterion
    if not criterion or scores[criterion] >= progress.best_scores.get(criterion, float("-inf")):
        progress.best_step, progress.best_scores = progress.step, scores
        progress.best_state = copied(phase.average.state)


def _save_checkpoint(phase: Phase, progress: Progress, checkpoints: Checkpoints) -> None:
    """Saves finite weights only: an infinite gradient breaks weights a step before it breaks a loss."""
    state = _state(phase, progress)
    broken = [name for name, module in state["modules"].items() if not _all_finite(module)]
    if broken:
        raise _diverged(progress.step, f"weights, found others in {', '.join(broken)}", checkpoints)
    checkpoints.save(progress.step, state)


def _all_finite(state: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in state.values() if value.is_floating_point())


def _state(phase: Phase, progress: Progress) -> dict[str, Any]:
    """The state from which a training resumes; a step's learning rate and batch follow from its number."""
    return {
        "progress": vars(progress),
        "modules": {name: module.state_dict() for name, module in phase.modules.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in phase.optimisers.items()},
        "average": {"state": phase.average.state, "updates": phase.average.updates},
        "random": {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
    }


def _resume(phase: Phase, checkpoints: Checkpoints) -> Progress:
    state = checkpoints.load()
    if state is None:
        return Progress()
    for name, module in phase.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimiser in phase.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for key, value in state["average"]["state"].items():
        phase.average.state[key].copy_(value)
    phase.average.updates = state["average"]["updates"]
    torch.set_rng_state(state["random"]["cpu"])
    if len(state["random"]["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    progress = Progress(**state["progress"])
    checkpoints.last_good = progress.step
    print(f"resuming after step {progress.step}")
    return progress
