"""Simulated chest radiographs: normal, or with heart failure. Not one pixel comes from a person.

A parametric chest (`anatomy`, `thorax`) is projected by Beer-Lambert attenuation; scatter, the detector's blur and
photon noise follow, then the logarithm and the display curve of a digital radiography unit. They are a stand-in to run
and to test a pipeline on: what a classifier scores on them says nothing about patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from components.simulation.anatomy import Anatomy, Label, draw_anatomy, label_of
from components.simulation.thorax import Paths, path_lengths

BITS_STORED = 12
FINER = 2  # rays along each side of a pixel
DETECTOR_BLUR = 0.45  # standard deviation of the detector's point spread, in pixels
SCATTER_MM = 30.0  # standard deviation of the cloud of scattered photons

# Mass attenuation in cm²/g at 50, 60 and 80 keV: ICRU-44 tissues, Hubbell and Seltzer, NISTIR 5632, table 4
# (https://physics.nist.gov/PhysRefData/XrayMassCoef/tab4.html); the weights stand for a filtered 110 kVp beam.
SPECTRUM = (0.35, 0.40, 0.25)
SOFT_CM2_G, SOFT_G_CM3 = (0.2264, 0.2048, 0.1823), 1.06
LUNG_CM2_G, LUNG_G_CM3 = (0.2270, 0.2053, 0.1826), 0.26  # inflated
BONE_CM2_G, BONE_G_CM3 = (0.4242, 0.3148, 0.2229), 1.92


@dataclass(frozen=True)
class SimulatedImage:
    """One film: `pixels` uint16 (size, size), 12 bits, MONOCHROME2 with dense tissue bright."""

    pixels: NDArray[np.uint16]
    label: Label
    patient_number: int
    pixel_spacing_mm: float


def simulate(seed: int, patients: int, size: int) -> Iterator[SimulatedImage]:
    """One film a patient, half of them with heart failure; patient n looks the same however many there are."""
    for number in range(patients):
        random, anatomy = _patient(seed, number)
        pixels = _film(anatomy, size, random)
        yield SimulatedImage(pixels, anatomy.label, number, anatomy.field / size)


def anatomy_of(seed: int, patient_number: int) -> Anatomy:
    """The chest behind a film of `simulate`: the truth that a reading can be held against."""
    return _patient(seed, patient_number)[1]


def _patient(seed: int, number: int) -> tuple[Generator, Anatomy]:
    random = np.random.default_rng((seed, number))
    return random, draw_anatomy(random, label_of(number))


def _film(anatomy: Anatomy, size: int, random: Generator) -> NDArray[np.uint16]:
    paths = path_lengths(anatomy, size * FINER, random)
    beam = _binned(np.exp(-_attenuation(paths)))
    counted = random.poisson(anatomy.quanta * _detected(beam, anatomy, anatomy.field / size))
    return _display(-np.log((counted + 0.5) / anatomy.quanta), anatomy)


def _per_mm(mass_attenuation: tuple[float, ...], density: float) -> float:
    return float(np.dot(SPECTRUM, mass_attenuation)) * density / 10


def _attenuation(paths: Paths) -> NDArray[np.floating]:
    soft, bone = _per_mm(SOFT_CM2_G, SOFT_G_CM3), _per_mm(BONE_CM2_G, BONE_G_CM3)
    lung = _per_mm(LUNG_CM2_G, LUNG_G_CM3)
    # bone takes soft tissue's place
    return np.asarray(soft * paths.soft + lung * paths.lung + (bone - soft) * paths.bone)


def _binned(beam: NDArray[np.floating]) -> NDArray[np.floating]:
    size = beam.shape[0] // FINER
    return np.asarray(beam.reshape(size, FINER, size, FINER).mean((1, 3)))


def _detected(beam: NDArray[np.floating], anatomy: Anatomy, spacing: float) -> NDArray[np.floating]:
    sharp = gaussian_filter(beam, DETECTOR_BLUR, mode="nearest")
    return np.asarray(sharp + anatomy.scatter * _cloud(np.minimum(beam, 0.2), SCATTER_MM / spacing))


def _cloud(beam: NDArray[np.floating], pixels: float) -> NDArray[np.floating]:
    return np.asarray(gaussian_filter(beam, pixels, mode="nearest", truncate=2.5))


def _display(density: NDArray[np.floating], anatomy: Anatomy) -> NDArray[np.uint16]:
    """Automatic window between the bright and the dark end of the body, then the film-like S curve."""
    shift, stretch, gamma = anatomy.window
    body = density[density > 0.5]
    low, high = np.percentile(body, (2, 98)) if body.size else (0.0, 1.0)
    unit = 0.5 + ((density - low) / (high - low) - 0.5 + shift) * stretch
    curve = 1 / (1 + np.exp(-5 * (unit - 0.5)))
    ends = 1 / (1 + np.exp(2.9)), 1 / (1 + np.exp(-2.9))
    grey = np.clip((curve - ends[0]) / (ends[1] - ends[0]), 0, 1) ** gamma
    return np.asarray(np.rint(grey * (2**BITS_STORED - 1)), np.uint16)
