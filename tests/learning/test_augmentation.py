from dataclasses import replace

import numpy as np
import pytest
import torch

from components.learning.augmentation import augmented, mixed, view
from components.params.trainings import Augmentation
from tests.drawing import shapes

NOTHING = Augmentation(0.0, 0.0, 0.0, False, 0.0, 0.0)
ALL = Augmentation(15.0, 0.1, 0.15, True, 0.3, 0.05)
PARTS = {
    "rotation_degrees": 15.0, "shift": 0.1, "scale": 0.15, "flip": True, "intensity": 0.3, "noise": 0.05,
}  # fmt: skip


def images(count: int = 3) -> torch.Tensor:
    return torch.stack([torch.from_numpy(shapes(33, 28, seed=n))[None] for n in range(count)]).float()


def test_augmentation_keeps_shape_and_range_and_depends_on_the_draw_alone() -> None:
    one, other = (augmented(images(), ALL, np.random.default_rng(4)) for _ in range(2))
    torch.testing.assert_close(one, other)
    assert one.shape == images().shape and 0 <= float(one.min()) <= float(one.max()) <= 1
    assert not torch.allclose(one, augmented(images(), ALL, np.random.default_rng(5)))


def test_without_any_part_an_image_stays_what_it_is() -> None:
    torch.testing.assert_close(augmented(images(), NOTHING, np.random.default_rng(0)), images(), rtol=0, atol=0)


@pytest.mark.parametrize("part", sorted(PARTS))
def test_each_part_works_alone(part: str) -> None:
    settings = replace(NOTHING, **{part: PARTS[part]})
    found = augmented(images(8), settings, np.random.default_rng(1))
    assert (found - images(8)).abs().amax((1, 2, 3)).max() > 0.01


def test_a_flip_mirrors_left_and_right_and_nothing_else() -> None:
    found = augmented(images(16), replace(NOTHING, flip=True), np.random.default_rng(2))
    same, mirrored = ((found - other).abs().amax((1, 2, 3)) < 1e-4 for other in (images(16), images(16).flip(3)))
    assert (same ^ mirrored).all() and same.any() and mirrored.any()


def test_a_view_of_an_image_does_not_depend_on_its_neighbours() -> None:
    torch.testing.assert_close(view(images(), ALL, 0, 7), images())
    alone, among = view(images()[1:2], ALL, 3, 7), view(images(), ALL, 3, 7)[1:2]
    torch.testing.assert_close(alone, among)
    assert not torch.allclose(view(images(), ALL, 1, 7), view(images(), ALL, 2, 7))


def test_mixup_blends_images_as_it_blends_targets() -> None:
    targets = torch.eye(2)[torch.tensor([0, 1, 1])]
    found, blended = mixed(images(), targets, 0.4, np.random.default_rng(3))
    torch.testing.assert_close(blended.sum(1), torch.ones(3))
    random = np.random.default_rng(3)
    share, other = random.beta(0.4, 0.4), random.permutation(3)
    torch.testing.assert_close(found, share * images() + (1 - share) * images()[other])
    untouched = mixed(images(), targets, 0.0, np.random.default_rng(3))
    assert torch.equal(untouched[0], images()) and torch.equal(untouched[1], targets)
