"""The settings of every step: one frozen dataclass for each.

Types, units and meaning are here, values in `params.yaml`. A setting that is missing, unknown, of the wrong type or out
of range is refused; one error names them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from components.params.sections import at_least, share
from components.params.trainings import Denoiser, Training


@dataclass(frozen=True)
class Ingest:
    super_resolution: tuple[str, ...]  # sources of images to sharpen, each `kind` or `kind:place`
    train_only: tuple[str, ...]  # more images to sharpen, never held out: other bodies, simulated ones
    classification: tuple[str, ...]  # sources of labelled images
    max_bad_share: float  # share of a source's files that may be broken before the run stops
    find_text: bool  # whether text inside the regions that an image keeps is looked for; wants the extra `ocr`

    def problems(self) -> Iterator[str]:
        if not self.super_resolution:
            yield "super_resolution: expected at least one source"
        for source in sorted({*self.super_resolution} & {*self.train_only}):
            yield f"train_only: {source} stands in super_resolution too"
        yield from share(self, "max_bad_share")


@dataclass(frozen=True)
class Simulate:
    patients: int  # simulated people, half of them with heart failure
    size: int  # pixels a side

    def problems(self) -> Iterator[str]:
        yield from at_least(self, 8, "patients")
        yield from at_least(self, 32, "size")


@dataclass(frozen=True)
class Split:
    test_share: float  # of the patients
    validation_share: float
    modalities: tuple[str, ...]  # what super-resolution is trained and scored on; others are left out by name
    min_side: int  # pixels; smaller images are left out by name

    def problems(self) -> Iterator[str]:
        yield from share(self, "test_share", "validation_share")
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
        yield from share(self, "max_quarantined_share", "min_label_share")
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
    min_reduced_side: int  # pixels; what would be smaller is not made

    @property
    def percentiles(self) -> tuple[float, float]:
        return self.percentile_low, self.percentile_high

    def problems(self) -> Iterator[str]:
        if not set(self.scales) <= {2, 3, 4, 8} or not self.scales:
            yield f"scales: expected some of 2, 3, 4, 8, found {list(self.scales)}"
        if not 0 <= self.percentile_low < self.percentile_high <= 100:
            yield "percentile_low, percentile_high: expected 0 <= low < high <= 100"
        yield from at_least(self, 1, "frames_per_image")
        if any(reduction < 2 for reduction in self.training_reductions):
            yield f"training_reductions: expected 2 or more, found {list(self.training_reductions)}"


@dataclass(frozen=True)
class Evaluate:
    bootstrap_samples: int
    pictures: int  # held-out images shown side by side, from the best to the worst; an odd count has the median in it
    lpips_alexnet: str  # torchvision's AlexNet, for LPIPS; empty: where torchvision keeps it, if it is there
    watts: float  # assumed for estimates of energy: what the processor, or the GPU where there is one, draws at work
    denoisers: tuple[Denoiser, ...]  # compared before a classical classifier

    def problems(self) -> Iterator[str]:
        yield from at_least(self, 100, "bootstrap_samples")
        yield from at_least(self, 1, "pictures", "watts")
        if self.denoisers[:1] != ("none",):
            yield f"denoisers: expected none first, to compare with, found {list(self.denoisers)}"


@dataclass(frozen=True)
class Promote:
    """The written policy: a candidate that fails any line is registered and not promoted.

    `mode`: automatic, what passes is promoted; approval, what passes waits for a person; dry_run, the decision is told
    and nothing is registered; disabled, candidates are registered and nothing is promoted.
    """

    mode: Literal["automatic", "approval", "dry_run", "disabled"]
    floor_psnr_db: float  # mean over held-out images
    floor_ssim: float
    gain_over_bicubic_db: float
    gain_over_bicubic_ssim: float
    gain_over_champion_db: float  # on the same held-out images
    classifier_floor_auroc: float
    error_beyond: float  # most error beyond the input's frequencies, mean over images; 1: as wrong as no detail at all
    error_beyond_image: (
        float  # most of it in any image; 1.5: half as much detail as there is, none of it the original's
    )
    error_beyond_part: float  # most of it in any part of any image; 4: the original's own, all in the wrong place
    consistency_gain_db: float  # least consistency over bicubic's, in the worst part of any image
    classifier_auroc_cost: float  # AUROC that the classifier may lose on sharpened images, against their originals
    classifier_agreement: float  # least share of images that the classifier calls as it calls their originals

    def problems(self) -> Iterator[str]:
        yield from share(self, "floor_ssim", "classifier_floor_auroc", "classifier_auroc_cost", "classifier_agreement")


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
