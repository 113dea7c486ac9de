"""Simulated patients: the numbers that describe a chest, drawn so that health and heart failure overlap.

Lengths are in mm, angles in radians. `x` grows to the patient's left (the right of the picture), `z` towards the head,
and both are 0 in the middle of the thorax. No single number tells the two groups apart: a small heart may fail, a
healthy person may breathe in badly, have a scarred costophrenic angle or full vessels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

Label = Literal["normal", "heart_failure"]
LABELS: tuple[Label, Label] = ("normal", "heart_failure")

# mean and standard deviation; a cardiothoracic ratio above 0.5 on a PA film is the textbook sign (Danzer 1919)
CARDIOTHORACIC_RATIO = {"normal": (0.465, 0.040), "heart_failure": (0.530, 0.050)}
CONGESTION = {"normal": (0.10, 0.14), "heart_failure": (0.42, 0.26)}
EFFUSION_CHANCE = {"normal": 0.08, "heart_failure": 0.45}  # of each side
EFFUSION_MM = {"normal": (1.5, 6.0), "heart_failure": (2.0, 11.0)}  # shape and scale of a gamma distribution


@dataclass(frozen=True)
class Anatomy:
    """One chest as it stands before the detector."""

    label: Label
    half_width: float  # inner, of the thorax at its widest
    wall: float  # soft tissue outside the ribs
    depth: float  # half of the trunk's, front to back
    lung_height: float  # apex above the widest level
    diaphragm: tuple[float, float]  # height of the right and the left dome
    dome_drop: float  # from dome to costophrenic angle
    cardiothoracic_ratio: float
    right_share: float  # of the heart's width that lies right of the midline
    heart_tilt: float
    heart_roundness: float  # height over width
    congestion: float  # 0 none, 1 severe: vessel calibre, upper-lobe diversion, perihilar haze
    effusion: tuple[float, float]  # height of fluid above the right and the left costophrenic angle
    breast: float  # thickness added in front of the lower lungs
    aorta: float  # radius of the knob
    rib_radius: float
    bone_density: float  # 1 is normal
    rotation: float  # in the picture's plane
    turn: float  # shift of the spine against the sternum: the patient stands turned
    centre: tuple[float, float]  # of the picture, from the middle of the thorax
    field: float  # side of the picture
    quanta: float  # photons a pixel would count with nobody in the beam
    scatter: float  # as a share of the primary beam
    window: tuple[float, float, float]  # display: shift, stretch, gamma

    @property
    def heart_width(self) -> float:
        return 2 * self.half_width * self.cardiothoracic_ratio


def label_of(patient_number: int) -> Label:
    """Even numbers are healthy, odd ones have heart failure, so half of any cohort does."""
    return LABELS[patient_number % 2]


def draw_anatomy(random: Generator, label: Label) -> Anatomy:
    """A chest of the group `label`; everything but heart, congestion and effusion is drawn alike for both groups."""
    build = random.normal(0, 1)  # slight to large
    breast = random.gamma(4, 5) if random.random() < 0.5 else 0.0
    half_width = float(np.clip(143 + 8 * build - 0.3 * breast + random.normal(0, 6), 115, 175))
    wall = float(np.clip(24 + 6 * build + random.normal(0, 5), 10, 50))
    inspiration = random.normal(0, 10)  # a shallow breath lifts the domes and spreads the heart
    right_dome = -62 - inspiration
    return Anatomy(
        label=label,
        half_width=half_width,
        wall=wall,
        depth=float(np.clip(112 + 9 * build + random.normal(0, 6), 85, 150)),
        lung_height=random.normal(172, 8),
        diaphragm=(right_dome, right_dome - random.normal(11, 5)),
        dome_drop=random.uniform(38, 60),
        cardiothoracic_ratio=_cardiothoracic_ratio(random, label, inspiration),
        right_share=random.normal(0.32, 0.03),
        heart_tilt=random.normal(0.62, 0.10),
        heart_roundness=random.normal(0.70, 0.06),
        congestion=float(np.clip(random.normal(*CONGESTION[label]), 0, 1.2)),
        effusion=(_effusion(random, label), _effusion(random, label)),
        breast=float(breast),
        aorta=random.normal(17, 3),
        rib_radius=random.normal(6.0, 0.6),
        bone_density=random.normal(1.0, 0.15),
        rotation=random.normal(0, 0.025),
        turn=random.normal(0, 5),
        centre=(random.normal(0, 6), random.normal(8, 8)),
        field=2 * (half_width + wall) * random.uniform(0.98, 1.12),
        quanta=float(np.exp(random.normal(np.log(12000), 0.4))),
        scatter=random.uniform(0.15, 0.4),
        window=(random.normal(0, 0.03), random.normal(1, 0.06), random.uniform(0.85, 1.2)),
    )


def _cardiothoracic_ratio(random: Generator, label: Label, inspiration: float) -> float:
    mean, deviation = CARDIOTHORACIC_RATIO[label]
    return float(np.clip(random.normal(mean, deviation) - 0.0008 * inspiration, 0.34, 0.72))


def _effusion(random: Generator, label: Label) -> float:
    there, height = random.random() < EFFUSION_CHANCE[label], random.gamma(*EFFUSION_MM[label])
    return float(height) if there else 0.0
