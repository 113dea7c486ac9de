import numpy as np
import pytest
import torch

from components.handover import LabelledRow, Layout, StepError, read_rows
from components.imaging.degradation import degrade
from components.imaging.geometry import fit_square
from components.learning.scoring import bicubic_upscale
from components.learning.sharpened_reading import shown_images
from components.reader_rows import SHOWN
from tests.settings import small


def held_out(layout: Layout) -> list[LabelledRow]:
    return [row for row in read_rows(layout.classification / "index.csv", LabelledRow) if row.split == "test"]


def test_every_method_gives_back_every_image_at_the_readers_size(project: Layout) -> None:
    rows = held_out(project)
    scale, found = shown_images(project, small(), rows, 32, torch.device("cpu"))
    assert scale == 4 and tuple(found) == SHOWN
    assert all(images.shape == (len(rows), 1, 32, 32) and images.min() >= 0 for images in found.values())
    original = np.load(project.held_out_readable / f"{rows[1].image_id}.npy")
    np.testing.assert_allclose(found["original"][1, 0], fit_square(original, 32))
    low = torch.from_numpy(degrade(original, 4, "bicubic", 0))[None, None]
    bicubic = bicubic_upscale(4)(low).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(found["bicubic"][1, 0], fit_square(bicubic, 32), atol=1e-6)


def test_a_held_out_image_that_is_gone_is_named(project: Layout) -> None:
    row = held_out(project)[0]
    (project.held_out_readable / f"{row.image_id}.npy").unlink()
    with pytest.raises(StepError, match=rf"{row.image_id}\.npy: expected the held-out image"):
        shown_images(project, small(), [row], 32, torch.device("cpu"))
