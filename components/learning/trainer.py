"""One training loop for every network: resumable at any step, stopped at the first number that is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from components.handover import StepError
from components.learning.checkpoint import load_checkpoint, save_checkpoint
from components.learning.optimisation import MovingAverage, is_finite, rate_factor

REPORTS = 100  # how often losses are read from the device in a whole training: reading waits for it


class Phase(Protocol):
    """What is trained, and how one step of it goes."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    average: MovingAverage  # of the network that is kept
    criterion: str  # the validation score that decides which weights are kept, higher is better; empty: the last

    def step(self, step: int) -> dict[str, Tensor]:
        """Takes step number `step` and gives its losses, still on the device."""

    def validate(self) -> dict[str, float]:
        """Scores of the averaged weights on validation patients."""


class Reporter(Protocol):
    """Who is told how the training goes."""

    def losses(self, step: int, steps: int, losses: dict[str, float]) -> None: ...

    def scores(self, step: int, scores: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How long, and how often what is done."""

    steps: int
    schedule: str
    validate_every: int
    checkpoint_every: int


@dataclass
class Progress:
    """Where a training stands, besides its weights."""

    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_step: int = -1
    best_scores: dict[str, float] = field(default_factory=dict)
    best_state: dict[str, Tensor] = field(default_factory=dict)


class TrainingDiverged(StepError):
    """A loss became infinite or not a number."""


def fit(phase: Phase, plan: Plan, folder: Path, owner: str, reporter: Reporter) -> Progress:
    """Trains to the end, from the checkpoint that `owner` left in `folder` if there is one.

    The result holds the kept weights (`best_state`), their validation scores and the history. Raises
    `TrainingDiverged` naming the step, the losses and the last good checkpoint.
    """
    progress = _resume(phase, folder, owner)
    base_rates = {name: [group["initial_lr"] for group in o.param_groups] for name, o in phase.optimisers.items()}
    report_every = max(1, plan.steps // REPORTS)
    while progress.step < plan.steps:
        _set_rates(phase, base_rates, rate_factor(plan.schedule, progress.step, plan.steps))
        losses = phase.step(progress.step)
        progress.step += 1
        last = progress.step == plan.steps
        if last or progress.step % report_every == 0 or progress.step % plan.checkpoint_every == 0:
            _report(losses, progress, plan, folder, reporter)
        if last or progress.step % plan.validate_every == 0:
            _validate(phase, progress, reporter)
        if last or progress.step % plan.checkpoint_every == 0:
            save_checkpoint(folder, owner, _state(phase, progress))
    return progress


def prepare_rates(optimiser: Optimizer) -> Optimizer:
    """Remembers each group's rate as the one that schedules multiply."""
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimiser


def _set_rates(phase: Phase, base: dict[str, list[float]], factor: float) -> None:
    for name, optimiser in phase.optimisers.items():
        for group, rate in zip(optimiser.param_groups, base[name], strict=True):
            group["lr"] = rate * factor


def _report(losses: dict[str, Tensor], progress: Progress, plan: Plan, folder: Path, reporter: Reporter) -> None:
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    if not bool(is_finite(list(losses.values()))):
        raise TrainingDiverged(
            f"step {progress.step}: expected finite losses, found {values}. The last good checkpoint is in {folder}; "
            "lower the rate, or set precision to 32-true, and run again."
        )
    progress.history.append({"step": progress.step, **values})
    reporter.losses(progress.step, plan.steps, values)


def _validate(phase: Phase, progress: Progress, reporter: Reporter) -> None:
    scores = phase.validate()
    progress.history.append({"step": progress.step, **scores})
    reporter.scores(progress.step, scores)
    keep = phase.criterion
    if not keep or scores[keep] >= progress.best_scores.get(keep, float("-inf")):
        progress.best_step, progress.best_scores = progress.step, scores
        progress.best_state = {key: value.detach().cpu().clone() for key, value in phase.average.state.items()}


def _state(phase: Phase, progress: Progress) -> dict[str, Any]:
    return {
        "progress": vars(progress),
        "modules": {name: module.state_dict() for name, module in phase.modules.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in phase.optimisers.items()},
        "average": {"state": phase.average.state, "updates": phase.average.updates},
        "random": torch.get_rng_state(),
    }


def _resume(phase: Phase, folder: Path, owner: str) -> Progress:
    state = load_checkpoint(folder, owner)
    if state is None:
        return Progress()
    for name, module in phase.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimiser in phase.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    for key, value in state["average"]["state"].items():
        phase.average.state[key].copy_(value)
    phase.average.updates = state["average"]["updates"]
    torch.set_rng_state(state["random"])
    progress = Progress(**state["progress"])
    print(f"resuming after step {progress.step}")
    return progress
