"""The rows of the super-resolution tables that `evaluate` writes for the report and registration."""

from __future__ import annotations

from dataclasses import dataclass

SIGNIFICANT = 0.05  # a corrected p below this is significant


@dataclass(frozen=True, kw_only=True)
class SampleScore:
    """One method on one held-out image (`data/reports/sr_samples.csv`); `DEFINITIONS` explains each measure."""

    sample: str  # S1, S2, …
    image_id: str
    frame: int
    patient_id: str
    modality: str
    scale: int
    method: str
    psnr_db: float
    ssim: float
    psnr_body_db: float
    ssim_body: float
    ms_ssim: float | None  # empty where a side is too short for five scales
    lpips: float | None  # empty where its weights are not at hand
    edge_error: float
    error_low: float
    error_middle: float
    error_beyond: float
    error_beyond_worst: float
    energy_beyond: float
    consistency_db: float
    consistency_worst_db: float
    degradation: str  # that made the input
    held_out_sha256: str  # of all held-out images: scores under the same one may stand in one table


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One method over all held-out images (`data/reports/sr_summary.csv`); intervals are patient-level bootstraps."""

    method: str
    n: int
    patients: int
    psnr_db_n: (
        int  # images whose PSNR is finite; on the others the method gave back the original, and means leave them out
    )
    psnr_db_min: float
    psnr_db_mean: float
    psnr_db_max: float
    psnr_db_low: float  # the 95 % interval of the mean
    psnr_db_high: float
    ssim_min: float
    ssim_mean: float
    ssim_max: float
    ssim_low: float
    ssim_high: float
    psnr_body_db_n: int
    psnr_body_db_mean: float
    ssim_body_n: int  # images that have a body where windows of SSIM have their centres
    ssim_body_mean: float
    ms_ssim_mean: float | None  # over the images that have one
    lpips_mean: float | None
    edge_error_mean: float
    error_low_mean: float
    error_middle_mean: float
    error_beyond_mean: float
    error_beyond_max: float  # of the worst image
    error_beyond_worst_max: float  # of the worst part of any image
    energy_beyond_mean: float
    consistency_db_mean: float
    consistency_worst_db_min: float
    consistency_gain_db_min: float  # over bicubic in the worst part, the least of all images
    psnr_gain_db: float  # over bicubic, mean of paired differences
    psnr_gain_db_low: float
    psnr_gain_db_high: float


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """One method over the images of one patient (`sr_patients.csv`) or one modality (`sr_modalities.csv`)."""

    group: str
    modality: str  # all that the group has
    method: str
    n: int
    patients: int
    psnr_db_mean: float
    ssim_mean: float
    psnr_gain_db: float  # over bicubic


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One method against another on the same images (`data/reports/sr_comparisons.csv`)."""

    measure: str  # psnr_db | ssim
    method: str
    against: str  # bicubic | leader | champion
    against_method: str  # who that is
    n: int
    patients: int
    patients_better: int
    difference: float  # mean over images, paired
    difference_low: float  # 95 %, bootstrap over patients
    difference_high: float
    rank_biserial: float  # effect size of the test, over patients: 1 where each is better, -1 where each is worse
    p: float  # Wilcoxon's signed-rank test, two-sided, over patients
    p_holm: float  # corrected for all methods under one measure and opponent
    p_holm_least: float  # the smallest `p_holm` possible with so many patients


@dataclass(frozen=True, kw_only=True)
class SpectrumPoint:
    """Mean radial power of one method's images (`data/reports/sr_spectrum.csv`)."""

    method: str  # or original
    frequency: float  # cycles a pixel, the middle of a ring
    power_db: float  # mean over images, of the power over the mean power of the original image


@dataclass(frozen=True, kw_only=True)
class ProfilePoint:
    """Values along one line through a shown image (`data/reports/sr_profiles.csv`)."""

    sample: str
    method: str  # or original
    column: int  # of the image, at the row that pictures.json names
    value: float  # in [0, 1]


@dataclass(frozen=True, kw_only=True)
class CostLine:
    """What a method costs (`data/reports/sr_cost.csv`)."""

    method: str
    device: str
    parameters: int
    weights_mb: float
    train_seconds: float
    seconds_per_megapixel: float  # of the sharpened image
    peak_memory_mb: float  # growth while it sharpened
    train_wh: float  # estimates: seconds times the watts in `params.yaml`
    sharpen_wh_per_image: float
