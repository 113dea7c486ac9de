"""Reads and checks `params.yaml`; one error names every problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from components.handover import StepError
from components.handover.names import PARAMS
from components.params.sections import build_section
from components.params.steps import Params
from components.params.trainings import RECIPES, AdversarialTraining, PixelTraining, Training

PROFILES = ("quick", "full")
SHARED = "shared"  # settings that trainings take over by YAML anchors


class ParamsError(ValueError):
    """Invalid settings; the message lists every problem."""


def load(path: Path, profile: str | None = None) -> Params:
    """The settings in `path` of `profile`, by default the one it names. Raises `ParamsError` with every problem."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: expected the settings, found no file. Run from the project's root.") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {error}") from error
    if profile and isinstance(content, Mapping):
        content = {**content, "profile": profile}
    return parse(content, str(path))


def load_here() -> Params:
    """The settings of the project in the working folder."""
    return load(Path(PARAMS))


def parse(content: Any, name: str = PARAMS) -> Params:
    """The settings held in `content`, as `yaml.safe_load` gives it."""
    problems: list[str] = []
    profile = content.get("profile") if isinstance(content, Mapping) else None
    if profile not in PROFILES:
        raise ParamsError(f"{name}: profile: expected one of {', '.join(PROFILES)}, found {profile!r}")
    section = dict(content.get(profile) or {})
    merged = {key: value for key, value in content.items() if key not in (*PROFILES, SHARED)} | {
        key: section.get(key) for key in ("simulate", "train")
    }
    unknown = sorted(set(section) - {"simulate", "train"})
    problems += [f"{profile}.{key}: unknown" for key in unknown]
    trainings = merged.pop("train") or {}
    parsed = {
        key: training
        for key, value in dict(trainings).items()
        if (training := _training_of(value, f"{profile}.train.{key}", problems)) is not None  # else among the problems
    }
    problems += _without_start(parsed, f"{profile}.train")
    params = build_section(Params, merged | {"train": {}}, "", problems)
    if problems or params is None:
        raise ParamsError(f"{name}: {len(problems)} problem(s)\n  " + "\n  ".join(problems))
    return replace(params, train=parsed)


def _training_of(value: Any, location: str, problems: list[str]) -> Training | None:
    recipe = value.get("recipe") if isinstance(value, Mapping) else None
    if recipe not in RECIPES:
        problems.append(f"{location}.recipe: expected one of {', '.join(RECIPES)}, found {recipe!r}")
        return None
    return build_section(RECIPES[recipe], value, location, problems)


def _without_start(trainings: Mapping[str, Training], location: str) -> Iterator[str]:
    """A line for each adversarial training that starts from no pixel training."""
    starts = [name for name, training in trainings.items() if isinstance(training, PixelTraining)]
    for name, training in trainings.items():
        if isinstance(training, AdversarialTraining) and training.generator not in starts:
            yield f"{location}.{name}.generator: expected one of {', '.join(starts)}, found {training.generator!r}"


def scale_of(params: Params) -> int:
    """The one scale of every generator. Raises `StepError` where there are several."""
    trainings = [t for t in params.train.values() if isinstance(t, PixelTraining | AdversarialTraining)]
    scales = {training.scale for training in trainings}
    if len(scales) != 1:
        raise StepError(f"train: expected one scale for every generator, found {sorted(scales)}. Set them alike.")
    return scales.pop()
