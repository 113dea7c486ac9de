"""The written policy of `params.yaml`, line by line: what the report shows and registration acts on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from components.handover import GENERATORS
from components.handover.classifier_rows import SharpenedClassification
from components.handover.sr_rows import MethodSummary
from components.params import Promote


@dataclass(frozen=True)
class Criterion:
    """One line of the policy, applied to one candidate."""

    rule: str
    wanted: float
    found: float
    holds: bool


def generator_criteria(
    generator: MethodSummary, bicubic: MethodSummary, classification: SharpenedClassification, policy: Promote
) -> tuple[Criterion, ...]:
    """The generator's criteria that need no champion; `classification` is that of its sharpened images."""
    return (
        at_least("mean PSNR (dB)", policy.floor_psnr_db, generator.psnr_db_mean),
        at_least("mean SSIM", policy.floor_ssim, generator.ssim_mean),
        at_least("PSNR over bicubic (dB)", policy.gain_over_bicubic_db, generator.psnr_gain_db),
        at_least("SSIM over bicubic", policy.gain_over_bicubic_ssim, generator.ssim_mean - bicubic.ssim_mean),
        at_most("error beyond the input", policy.error_beyond, generator.error_beyond_mean),
        at_most("error beyond the input of the worst image", policy.error_beyond_image, generator.error_beyond_max),
        at_most("error beyond the input in the worst part", policy.error_beyond_part, generator.error_beyond_worst_max),
        at_least(
            "consistency over bicubic in the worst part (dB)",
            policy.consistency_gain_db,
            generator.consistency_gain_db_min,
        ),
        at_most("AUROC lost by sharpening", policy.classifier_auroc_cost, classification.auroc_cost),
        at_least("agreement with the reading of the original", policy.classifier_agreement, classification.agreement),
    )


def at_least(rule: str, wanted: float, found: float) -> Criterion:
    return Criterion(f"{rule} at least", wanted, found, found >= wanted)


def at_most(rule: str, wanted: float, found: float) -> Criterion:
    return Criterion(f"{rule} at most", wanted, found, found <= wanted)


def above(rule: str, wanted: float, found: float) -> Criterion:
    return Criterion(f"{rule} above", wanted, found, found > wanted)


def best_generator(summary: Iterable[MethodSummary]) -> MethodSummary:
    """The network with the highest mean PSNR, the simpler of equal ones. Registration proposes it for promotion."""
    by_method = {line.method: line for line in summary}
    return max((by_method[name] for name in GENERATORS), key=lambda line: line.psnr_db_mean)
