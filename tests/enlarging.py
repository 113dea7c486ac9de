"""A generator that enlarges bicubically, stored pixels for it, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from torch import nn

from components.enhance import enhance_file
from components.learning.inference.generator import Generator
from tests.drawing import shapes, write_dicom

BICUBIC = Generator(nn.Upsample(scale_factor=2, mode="bicubic"), 2, "sr-generator", "3", (0.1, 99.9))


def enhanced(tmp_path: Path, image: FileDataset, generator: Generator = BICUBIC) -> FileDataset:
    source = write_dicom(tmp_path / "in.dcm", image)
    enhance_file(source, tmp_path / "out.dcm", generator, overwrite=True)
    return dcmread(tmp_path / "out.dcm")


def drawn(levels: int, dtype: type[np.generic] = np.uint16, lowest: int = 0) -> NDArray[Any]:
    return (shapes(41, 53) * levels + lowest).round().astype(dtype)


def by_hand(stored: NDArray[Any]) -> NDArray[Any]:
    """Each pixel as four: what the nearest neighbour gives, and smooth images resemble."""
    return stored.repeat(2, -2).repeat(2, -1)
