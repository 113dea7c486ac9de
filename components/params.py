"""Every setting a step takes: one frozen dataclass a step, read from `params.yaml`, refused where it makes no sense.

Types, units and meaning stand here, values in `params.yaml`; a setting that is missing, unknown, of the wrong type or
out of range is refused, and one error names them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from components.sections import build_section

PROFILES = ("quick", "full")


class ParamsError(ValueError):
    """Settings that make no sense; the message lists every problem."""


@dataclass(frozen=True)
class Ingest:
    super_resolution: tuple[str, ...]  # sources of images to sharpen, each `kind` or `kind:place`
    train_only: tuple[str, ...]  # more images to sharpen, never held out: other bodies, simulated ones
    classification: tuple[str, ...]  # sources of labelled images
    max_bad_share: float  # share of a source's files that may be broken before the run stops

    def problems(self) -> Iterator[str]:
        if not self.super_resolution:
            yield "super_resolution: expected at least one source"
        for source in sorted({*self.super_resolution} & {*self.train_only}):
            yield f"train_only: {source} stands in super_resolution too"
        yield from _share(self, "max_bad_share")


@dataclass(frozen=True)
class Simulate:
    patients: int  # simulated people, half of them with heart failure
    size: int  # pixels a side

    def problems(self) -> Iterator[str]:
        yield from _at_least(self, 8, "patients")
        yield from _at_least(self, 32, "size")


@dataclass(frozen=True)
class Split:
    test_share: float  # of the patients
    validation_share: float
    modalities: tuple[str, ...]  # what super-resolution is trained and scored on; others are left out by name
    min_side: int  # pixels; smaller images are left out by name

    def problems(self) -> Iterator[str]:
        yield from _share(self, "test_share", "validation_share")
        if self.test_share + self.validation_share >= 1:
            yield "test_share + validation_share: expected less than 1, or nothing is left to train on"


@dataclass(frozen=True)
class Validate:
    modalities: tuple[str, ...]
    min_side: int
    max_side: int
    min_spacing_mm: float
    max_spacing_mm: float
    max_quarantined_share: float  # of all files, damaged or unusable; a duplicate is neither
    min_label_share: float  # of the rarest label

    def problems(self) -> Iterator[str]:
        yield from _share(self, "max_quarantined_share", "min_label_share")
        if not self.min_side <= self.max_side:
            yield "min_side: expected at most max_side"
        if not 0 < self.min_spacing_mm <= self.max_spacing_mm:
            yield "min_spacing_mm: expected above 0 and at most max_spacing_mm"


@dataclass(frozen=True)
class Prepare:
    scales: tuple[int, ...]  # each gives one low-resolution image beside the original
    degradation: Literal["bicubic", "kspace", "blur_noise"]
    percentile_low: float  # the value at this percentile becomes 0
    percentile_high: float  # the value at this percentile becomes 1
    frames_per_image: int  # taken evenly from a multi-frame image
    training_reductions: tuple[int, ...]  # training frames are there also this much smaller
    least_reduced_side: int  # pixels; what would be smaller is not made

    def problems(self) -> Iterator[str]:
        if not set(self.scales) <= {2, 3, 4, 8} or not self.scales:
            yield f"scales: expected some of 2, 3, 4, 8, found {list(self.scales)}"
        if not 0 <= self.percentile_low < self.percentile_high <= 100:
            yield "percentile_low, percentile_high: expected 0 <= low < high <= 100"
        yield from _at_least(self, 1, "frames_per_image")
        if any(reduction < 2 for reduction in self.training_reductions):
            yield f"training_reductions: expected 2 or more, found {list(self.training_reductions)}"


@dataclass(frozen=True)
class Evaluate:
    bootstrap_samples: int
    pictures: int  # held-out images shown side by side

    def problems(self) -> Iterator[str]:
        yield from _at_least(self, 100, "bootstrap_samples")
        yield from _at_least(self, 1, "pictures")


@dataclass(frozen=True)
class Promote:
    """The written policy: a candidate that fails any line is registered and not promoted."""

    floor_psnr_db: float  # mean over held-out images
    floor_ssim: float
    gain_over_bicubic_db: float
    gain_over_bicubic_ssim: float
    gain_over_champion_db: float  # on the same held-out images
    classifier_floor_auroc: float

    def problems(self) -> Iterator[str]:
        yield from _share(self, "floor_ssim", "classifier_floor_auroc")


Precision = Literal["32-true", "bf16-mixed"]
Schedule = Literal["constant", "cosine", "cosine_restarts", "halving", "tenth"]


@dataclass(frozen=True)
class PixelTraining:
    """SRCNN, SRResNet and RRDB: the distance between pixels, nothing else."""

    recipe: Literal["pixel"]
    network: dict[str, Any]  # name and sizes; see components/learning/models
    scale: int
    loss: Literal["mse", "l1"]
    steps: int
    batch: int
    patch: int  # high-resolution pixels a side
    rate: float
    last_layer_rate: float  # as a share of `rate`; SRCNN trains its last layer ten times slower
    beta2: float
    schedule: Schedule
    ema: float  # decay of the averaged weights; 0 turns averaging off
    precision: Precision
    validate_every: int  # steps
    checkpoint_every: int  # steps
    start: str = ""  # folder of weights to go on from, such as one of data/shared; empty: fresh ones
    accumulate: int = 1  # turns that a batch is taken in, where the device cannot hold it at once
    compile: bool = False  # torch.compile: pays on a GPU over many steps; wants a C++ compiler

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from _patch(self)


@dataclass(frozen=True)
class AdversarialTraining:
    """SRGAN and ESRGAN: from a generator's pixel phase, with a content and an adversarial loss."""

    recipe: Literal["adversarial"]
    generator: Literal["srresnet", "rrdb"]  # whose pixel phase is the start
    discriminator: dict[str, Any]
    relativistic: bool  # Jolicoeur-Martineau's average loss (ESRGAN) instead of the plain one (SRGAN)
    pixel_weight: float
    content_weight: float
    adversarial_weight: float
    features: Literal["vgg19", "classifier", "random"]  # what the content loss compares
    features_path: str  # VGG19 weights; empty: torchvision's cache
    features_substitute: Literal["classifier", "random"]  # used, and said, where VGG19's weights are not there
    interpolation: tuple[float, ...]  # alphas tried on validation patients: (1 - alpha) pixel + alpha adversarial
    interpolation_cost_db: float  # PSNR that a sharper network may cost on validation patients
    scale: int
    steps: int
    batch: int
    patch: int
    rate: float
    beta2: float
    schedule: Schedule
    ema: float
    precision: Precision
    validate_every: int
    checkpoint_every: int
    accumulate: int = 1  # a relativistic loss then compares within a turn
    compile: bool = False

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from _patch(self)
        if any(not 0 <= alpha <= 1 for alpha in self.interpolation):
            yield "interpolation: expected weights from 0 to 1"
        if self.interpolation_cost_db < 0:
            yield "interpolation_cost_db: expected 0 or more"


@dataclass(frozen=True)
class ClassifierTraining:
    """DenseNet-201 on labelled images."""

    recipe: Literal["classifier"]
    network: dict[str, Any]
    weights: str  # ImageNet weights to start from; empty: torchvision's cache, or from scratch, and it is said which
    size: int  # pixels a side
    steps: int
    batch: int
    rate: float
    weight_decay: float
    beta2: float
    schedule: Schedule
    ema: float
    precision: Precision
    sensitivity: float  # wanted on validation patients; decides the threshold
    validate_every: int
    checkpoint_every: int
    accumulate: int = 1
    compile: bool = False

    def problems(self) -> Iterator[str]:
        yield from _training(self)
        yield from _at_least(self, 32, "size")
        yield from _share(self, "sensitivity")


Training = PixelTraining | AdversarialTraining | ClassifierTraining
RECIPES: dict[str, type[Training]] = {
    "pixel": PixelTraining,
    "adversarial": AdversarialTraining,
    "classifier": ClassifierTraining,
}


@dataclass(frozen=True)
class Params:
    """All of `params.yaml`, for the profile it names."""

    profile: str
    seed: int
    ingest: Ingest
    simulate: Simulate
    split: Split
    validate: Validate
    prepare: Prepare
    evaluate: Evaluate
    promote: Promote
    train: dict[str, Training]


def load(path: Path) -> Params:
    """The settings of the profile that `path` names. Raises `ParamsError` with every problem at once."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path}: expected the settings, found no file. Run from the project's root.") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {error}") from error
    return parse(content, str(path))


def load_here() -> Params:
    """The settings of the project in the working folder."""
    return load(Path("params.yaml"))


def parse(content: Any, name: str = "params.yaml") -> Params:
    """The settings held in `content`, as `yaml.safe_load` gives it."""
    problems: list[str] = []
    profile = content.get("profile") if isinstance(content, Mapping) else None
    if profile not in PROFILES:
        raise ParamsError(f"{name}: profile: expected one of {', '.join(PROFILES)}, found {profile!r}")
    own = dict(content.get(profile) or {})
    merged = {key: value for key, value in content.items() if key not in PROFILES} | {
        key: own.get(key) for key in ("simulate", "train")
    }
    unknown = sorted(set(own) - {"simulate", "train"})
    problems += [f"{profile}.{key}: unknown" for key in unknown]
    trainings = merged.pop("train") or {}
    parsed = {key: _training_of(value, f"{profile}.train.{key}", problems) for key, value in dict(trainings).items()}
    params = build_section(Params, merged | {"train": {}}, "", problems)
    if problems or params is None:
        raise ParamsError(f"{name}: {len(problems)} problem(s)\n  " + "\n  ".join(problems))
    return Params(**{f.name: getattr(params, f.name) for f in fields(params)} | {"train": parsed})


def _training_of(value: Any, where: str, problems: list[str]) -> Training | None:
    recipe = value.get("recipe") if isinstance(value, Mapping) else None
    if recipe not in RECIPES:
        problems.append(f"{where}.recipe: expected one of {', '.join(RECIPES)}, found {recipe!r}")
        return None
    return build_section(RECIPES[recipe], value, where, problems)


def _share(section: Any, *names: str) -> Iterator[str]:
    for name in names:
        if not 0 <= getattr(section, name) <= 1:
            yield f"{name}: expected a share from 0 to 1, found {getattr(section, name)}"


def _at_least(section: Any, least: int, *names: str) -> Iterator[str]:
    for name in names:
        if getattr(section, name) < least:
            yield f"{name}: expected {least} or more, found {getattr(section, name)}"


def _training(section: Any) -> Iterator[str]:
    yield from _at_least(section, 1, "steps", "batch", "validate_every", "checkpoint_every", "accumulate")
    if section.accumulate > 0 and section.batch % section.accumulate:
        yield f"batch: expected a multiple of accumulate ({section.accumulate}), found {section.batch}"
    if section.rate <= 0:
        yield f"rate: expected above 0, found {section.rate}"
    if not 0 <= section.ema < 1:
        yield f"ema: expected from 0 to below 1, found {section.ema}"


def _patch(section: Any) -> Iterator[str]:
    if section.scale not in (2, 3, 4, 8):
        yield f"scale: expected 2, 3, 4 or 8, found {section.scale}"
    elif section.patch % section.scale or section.patch < 4 * section.scale:
        yield f"patch: expected a multiple of scale ({section.scale}), at least {4 * section.scale}"
