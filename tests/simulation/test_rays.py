from dataclasses import replace

import numpy as np
import pytest

from components.simulation.anatomy import draw_anatomy
from components.simulation.rays import Grid, make_grid


@pytest.fixture
def grid() -> Grid:
    return make_grid(
        replace(draw_anatomy(np.random.default_rng(0), "normal"), rotation=0.0, centre=(0.0, 0.0), field=256.0), 128
    )


def test_the_ray_through_the_middle_of_an_ellipsoid_is_its_whole_depth(grid: Grid) -> None:
    path = grid.chord(0.0, 0.0, 40.0, 60.0, 30.0)
    assert path.max() == pytest.approx(60.0, rel=0.01)
    assert path[0, 0] == 0 and path.min() == 0


def test_an_ellipsoid_s_paths_add_up_to_its_volume(grid: Grid) -> None:
    volume = grid.chord(5.0, -7.0, 40.0, 60.0, 30.0, tilt=0.4).sum() * grid.spacing**2
    assert volume == pytest.approx(4 / 3 * np.pi * 40 * 60 * 30, rel=0.01)


def test_what_is_poured_stays_the_same_volume_and_outside_the_picture_is_lost(grid: Grid) -> None:
    x, z = np.array([0.0, 10.0, 900.0]), np.array([0.0, -20.0, 0.0])
    poured = grid.pour(x, z, np.array([1000.0, 500.0, 700.0]), width=4.0)
    assert poured.sum() * grid.spacing**2 == pytest.approx(1500.0, rel=0.01)


def test_the_head_is_up_and_the_patient_s_left_is_right(grid: Grid) -> None:
    assert grid.z[0, 64] > grid.z[-1, 64] and grid.x[64, -1] > grid.x[64, 0]
