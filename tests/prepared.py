"""A prepared data folder drawn by code, as `prepare` leaves it: small, so that a test can train on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from components.handover import LabelledRow, Layout, PreparedRow, write_rows
from tests.drawing import shapes

SPLITS = ("train", "train", "train", "validation", "validation", "test", "test")


def super_resolution(root: Path, side: int = 64, scales: tuple[int, ...] = (2, 4)) -> Layout:
    """Seven patients with one image each, sides of `side` and a little more."""
    layout = Layout(root)
    layout.super_resolution.mkdir(parents=True)
    rows = []
    for number, split in enumerate(SPLITS):
        image = shapes(side + 4 * number, side, seed=number)
        low = {f"lr_x{scale}": _reduced(image, scale) for scale in scales}
        name = f"{number:016x}"
        np.savez(layout.super_resolution / f"{name}-0.npz", hr=image, mask=image > 0.1, **low)
        rows.append(
            PreparedRow(
                sample_id=f"{name}-0",
                image_id=name,
                frame=0,
                patient_id=f"P{number:012x}",
                modality=("CT", "MR")[number % 2],
                split=split,
                rows=image.shape[0],
                columns=image.shape[1],
                low=0.0,
                high=1.0,
                file=f"{name}-0.npz",
            )
        )
    write_rows(layout.super_resolution / "index.csv", PreparedRow, rows)
    return layout


def classification(root: Path, size: int = 32, patients: int = 24) -> Layout:
    """Half the patients have a bright disc in the middle; every third is validation, every fourth test."""
    layout = Layout(root)
    layout.classification.mkdir(parents=True)
    layout.held_out_labelled.mkdir(parents=True)
    images, rows = [], []
    for number in range(patients):
        label = ("normal", "heart_failure")[number % 2]
        image = shapes(size, size, seed=number) * 0.5
        if label == "heart_failure":
            image[size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] += 0.4
        split = ("train", "train", "validation", "test")[(number // 2) % 4]
        images.append(image[None].astype(np.float32))
        rows.append(
            LabelledRow(
                image_id=f"{4096 + number:016x}", patient_id=f"P{number:012x}", label=label, split=split, simulated=True
            )
        )
        if split == "test":
            np.save(layout.held_out_labelled / f"{rows[-1].image_id}.npy", images[-1][0].repeat(2, 0).repeat(2, 1))
    np.save(layout.classification / "images.npy", np.stack(images))
    write_rows(layout.classification / "index.csv", LabelledRow, rows)
    return layout


def _reduced(image: np.ndarray, scale: int) -> np.ndarray:
    tensor = torch.from_numpy(image)[None, None]
    small = F.interpolate(tensor, scale_factor=1 / scale, mode="bicubic", antialias=True)
    return small[0, 0].numpy()
