"""Settings small enough for a test: the project's own `params.yaml` with everything that costs time turned down."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from components.params import Params, parse

PARAMS = Path(__file__).parents[1] / "params.yaml"
DENSENET = {"name": "densenet201", "growth_rate": 4, "blocks": [2] * 4, "initial_channels": 8, "input_channels": 1}
SMALL: dict[str, dict[str, Any]] = {
    "srcnn": {"network": {"name": "srcnn", "channels": 8, "hidden_channels": 4}},
    "srresnet": {"network": {"name": "srresnet", "channels": 8, "blocks": 1}},
    "rrdb": {"network": {"name": "rrdb", "channels": 8, "blocks": 1, "growth_channels": 4}},
    "srgan": {"discriminator": {"name": "srgan_discriminator", "channels": 4}, "features": "classifier"},
    "esrgan": {"discriminator": {"name": "esrgan_discriminator", "channels": 4}, "features": "classifier"},
    "classifier": {"network": DENSENET, "size": 32},
    "dcgan": {
        "network": {"name": "dcgan_generator", "latent": 8, "channels": 4},
        "discriminator": {"name": "dcgan_discriminator", "channels": 4},
        "images": 3,
    },
    "classifier_gan": {"network": DENSENET, "size": 32},
    "classical_svm": {"select": 12},
    "classical_tree": {"select": 12, "components": 3.0},
    "classical_deep": {},
    "classical_kmeans": {"centroids": 8},
}
FEW = {"candidates": [1, 2], "folds": 2}
SHORT = {"steps": 6, "batch_size": 2, "validate_every": 3, "checkpoint_every": 2, "precision": "32-true"}
LOW_BAR = {
    "floor_psnr_db": 0.0,
    "floor_ssim": 0.0,
    "gain_over_bicubic_db": -99.0,
    "gain_over_bicubic_ssim": -1.0,
    "error_beyond": 99.0,
    "error_beyond_image": 99.0,
    "error_beyond_part": 99.0,
    "consistency_gain_db": -99.0,
    "classifier_floor_auroc": 0.0,
    "classifier_auroc_cost": 1.0,
    "classifier_agreement": 0.0,
}


def content() -> dict[str, Any]:
    """`params.yaml` as a dictionary, shrunk; change it and give it to `components.params.parse`."""
    settings: dict[str, Any] = copy.deepcopy(yaml.safe_load(PARAMS.read_text()))
    settings["profile"] = "quick"
    settings["evaluate"] |= {"bootstrap_samples": 100, "pictures": 1, "denoisers": ["none", "wavelet"]}
    settings["quick"]["simulate"] = {"patients": 24, "size": 48}
    for name, training in settings["quick"]["train"].items():
        training |= FEW if training["recipe"] == "classical" else SHORT
        training |= SMALL[name]
        if "patch_size" in training:
            training["patch_size"] = 32
    return settings


def small(**trainings: dict[str, Any]) -> Params:
    """The shrunk settings; `small(srcnn={"steps": 9})` changes a training's further."""
    settings = content()
    for name, change in trainings.items():
        settings["quick"]["train"][name] |= change
    return parse(settings)


def lenient() -> Params:
    """A policy that six steps of training can pass."""
    params = small()
    return replace(params, promote=replace(params.promote, **LOW_BAR))
