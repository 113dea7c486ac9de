"""Held-out pairs drawn by code, and networks that blur, are honest, or make things up."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from components.evidence.compared_methods import Method, bicubic_method
from components.handover import PreparedRow
from components.imaging.degradation import Kind, degrade
from components.learning.datasets.pairs import Pair
from tests.drawing import shapes

SCALE = 4


def pair(
    rows: int = 96,
    columns: int = 120,
    seed: int = 0,
    degradation: Kind = "bicubic",
    modality: str = "MR",
    **row: object,
) -> Pair:
    """One frame of one patient, with fine structure that ×4 cannot hold."""
    grid = np.add.outer(np.arange(rows), np.arange(columns))
    fine = 0.04 * np.random.default_rng(seed).normal(size=(rows, columns)) * (grid % 7 > 2)
    image = np.clip(0.15 + 0.6 * shapes(rows, columns, seed=seed) + fine, 0, 1).astype(np.float32)
    fields = {"sample_id": f"{seed:016x}-0", "image_id": f"{seed:016x}", "frame": 0, "patient_id": f"P{seed:012x}"}
    fields |= {"modality": modality, "split": "test", "rows": rows, "columns": columns, "low": 0.0, "high": 1.0}
    low = degrade(image, SCALE, degradation, seed + 1)
    tensors = (torch.from_numpy(array)[None] for array in (low, image, image > 0.2))
    return Pair(PreparedRow(**(fields | {"file": "drawn.npz"})), *tensors)  # type: ignore[arg-type]


def honest(share: float = 0.5) -> Method:
    """What a good network does: bicubic, and a share of what is missing from it."""
    plain = bicubic_method(SCALE)
    return Method("rrdb", lambda pair: plain.sharpen(pair) + share * (pair.high[None] - plain.sharpen(pair)))


def pasting(strength: float = 0.08) -> Method:
    """An honest network that pastes one texture over everything."""
    return Method("rrdb", lambda pair: honest().sharpen(pair) + strength * texture(pair.high))


def pasting_into(place: tuple[slice, slice], strength: float) -> Method:
    """An honest network that pastes the texture over one place, rows and columns, of every image."""

    def sharpen(pair: Pair) -> Tensor:
        image = honest().sharpen(pair).clone()
        image[..., *place] += strength * texture(pair.high)[..., *place]
        return image

    return Method("rrdb", sharpen)


def pasting_over(patient: str, strength: float) -> Method:
    """A network that is honest, but pastes the texture over all of one patient's images."""
    careful, careless = honest(0.2), pasting(strength)
    return Method("rrdb", lambda pair: (careless if pair.row.patient_id == patient else careful).sharpen(pair))


def drawing_a_blob(strength: float = 0.5) -> Method:
    """An honest network that puts a lesion where none is."""

    def sharpen(pair: Pair) -> Tensor:
        image = honest().sharpen(pair).clone()
        distance = torch.hypot(*torch.meshgrid(torch.arange(-8.0, 9), torch.arange(-8.0, 9), indexing="ij"))
        image[..., 40:57, 50:67] += strength * torch.exp(-((distance / 5) ** 2))
        return image

    return Method("rrdb", sharpen)


def texture(like: Tensor) -> Tensor:
    """A checkerboard of 1 and -1, as large as `like`: all of it beyond what any input holds."""
    checks = torch.from_numpy(np.indices(like.shape[-2:]).sum(0) % 2 * 2.0 - 1).float()
    return checks[None, None]
