"""The rows of the tables on classifiers. Standard library only.

A classifier gives the probability of the positive class.
"""

from __future__ import annotations

from dataclasses import dataclass

CURVES = ("roc", "precision_recall", "reliability")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One classifier on one held-out image (`data/reports/predictions.csv`)."""

    classifier: str
    image_id: str
    patient_id: str
    label: str
    probability: float  # of the positive class, calibrated on validation patients
    threshold: float  # chosen on validation patients
    called: bool  # probability >= threshold


@dataclass(frozen=True, kw_only=True)
class ClassifierSummary:
    """One classifier over all held-out images (`data/reports/classifiers.csv`), with intervals over patients."""

    classifier: str
    n: int
    patients: int
    threshold: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    auroc: float
    auroc_low: float
    auroc_high: float
    average_precision: float
    average_precision_low: float
    average_precision_high: float
    calibration_error: float  # expected, ten bins of equal width (Guo et al. 2017)
    calibration_error_low: float
    calibration_error_high: float
    auroc_gain: float  # over `classifier`, paired: the same patients drawn for both
    auroc_gain_low: float
    auroc_gain_high: float
    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    train_seconds: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A point of a classifier's curve (`data/reports/classifier_curves.csv`).

    roc: false against true positive rate; precision_recall: recall against precision; reliability: mean probability
    of a bin against the share of positives in it.
    """

    classifier: str
    curve: str
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class SharpenedClassification:
    """The classifier on held-out images as one method restores them (`data/reports/sr_classification.csv`)."""

    shown: str  # original, downsampled, or a method
    n: int
    patients: int
    scale: int
    auroc: float
    auroc_low: float
    auroc_high: float
    auroc_cost: float  # of the original's AUROC, paired; negative where it gains
    auroc_cost_low: float
    auroc_cost_high: float
    agreement: float  # share of images called as their original is
    agreement_low: float
    agreement_high: float
    probability_shift: float  # mean absolute difference from the original's probability


@dataclass(frozen=True, kw_only=True)
class DenoisingRow:
    """One denoiser, before a classical classifier and by itself (`data/reports/denoising.csv`)."""

    method: str  # of components/classical/denoising.py
    n: int  # held-out images
    patients: int
    auroc: float  # of the classifier trained on images so denoised
    auroc_low: float
    auroc_high: float
    auroc_gain: float  # over the classifier trained without, paired
    auroc_gain_low: float
    auroc_gain_high: float
    noise_removed_db: float  # noise removed from held-out images to which noise was added
    seconds_per_image: float
