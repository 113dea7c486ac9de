import numpy as np
import pytest
import torch

from components.evidence.sharpened_images import shown_images
from components.handover import LabelledRow, Layout, StepError, read_rows
from components.handover.methods import SHOWN
from components.imaging.degradation import degrade
from components.imaging.geometry import fit_square
from components.learning.inference.upscaling import bicubic_upscale
from tests.settings import small


def held_out(layout: Layout) -> list[LabelledRow]:
    return [row for row in read_rows(layout.classification / "index.csv", LabelledRow) if row.split == "test"]


def test_every_method_gives_back_every_image_at_the_classifiers_size(project: Layout) -> None:
    rows = held_out(project)
    scale, by_method = shown_images(project, small(), rows, 32, 1, torch.device("cpu"))
    assert scale == 4 and tuple(by_method) == SHOWN
    assert all(images.shape == (len(rows), 1, 32, 32) and images.min() >= 0 for images in by_method.values())
    original = np.load(project.held_out_labelled / f"{rows[1].image_id}.npy")
    np.testing.assert_allclose(by_method["original"][1, 0], fit_square(original, 32))
    low = torch.from_numpy(degrade(original, 4, "bicubic", 0))[None, None]
    bicubic = bicubic_upscale(4)(low).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(by_method["bicubic"][1, 0], fit_square(bicubic, 32), atol=1e-6)


def test_a_held_out_image_that_is_gone_is_named(project: Layout) -> None:
    row = held_out(project)[0]
    (project.held_out_labelled / f"{row.image_id}.npy").unlink()
    with pytest.raises(StepError, match=rf"{row.image_id}\.npy: expected the held-out image"):
        shown_images(project, small(), [row], 32, 1, torch.device("cpu"))


def test_a_colour_image_is_given_back_channel_by_channel_and_a_grey_one_repeated(project: Layout) -> None:
    colour, grey = held_out(project)[:2]
    path = project.held_out_labelled / f"{colour.image_id}.npy"
    plane = np.load(path)
    np.save(path, np.stack([plane, 1 - plane, plane * 0.5], -1))
    _, by_method = shown_images(project, small(), [colour, grey], 32, 3, torch.device("cpu"))
    assert all(images.shape == (2, 3, 32, 32) for images in by_method.values())
    np.testing.assert_allclose(by_method["original"][0, 1], fit_square(1 - plane, 32), atol=1e-6)
    low = torch.from_numpy(degrade(plane * np.float32(0.5), 4, "bicubic", 0))[None, None]
    bicubic = bicubic_upscale(4)(low).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(by_method["bicubic"][0, 2], fit_square(bicubic, 32), atol=1e-6)
    assert all((images[1] == images[1, :1]).all() for images in by_method.values())
