"""How much of what a ray meets: path lengths through a simulated chest, from front to back, in mm.

Large organs are ellipsoids with closed chords; ribs, vessels and airways are chains of points along curves whose volume
is poured into the pixels below them and smeared to their thickness, so that a tube seen end-on is as dense as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.ndimage import gaussian_filter

from components.simulation.anatomy import Anatomy
from components.simulation.rays import Array, Grid, make_grid

SIDES = (-1, 1)  # the patient's right and left
RIBS = 10
BRANCHES, TWIGS = 13, 4  # vessels of a lung, and smaller ones on each


@dataclass(frozen=True)
class Paths:
    """Path lengths in mm, (rows, columns) each: everything soft, aerated lung, and bone."""

    soft: Array
    lung: Array
    bone: Array


def path_lengths(anatomy: Anatomy, size: int, random: Generator) -> Paths:
    """What each ray meets; `random` draws the course of vessels and the texture of the haze."""
    grid = make_grid(anatomy, size)
    trunk, heart = _trunk(grid), _heart(grid)
    space = np.maximum(_lungs(grid) - heart - _mediastinum(grid), 0)
    vessels = _vessels(grid, random) * (space > 0)
    haze = _haze(grid, random)
    lung = np.maximum(space - vessels, 0) * (1 - haze)
    air = np.minimum(_airways(grid), np.maximum(trunk - lung, 0))
    soft = np.maximum(trunk - lung - air, 0) + _breasts(grid) * (trunk > 0)
    return Paths(soft, lung, np.minimum(_ribs(grid) + _spine(grid) + _girdle(grid), 0.7 * trunk))


def _trunk(grid: Grid) -> Array:
    body, aside = grid.anatomy, np.abs(grid.x)
    width = (body.half_width + body.wall) * (1 + 0.5 * _step(grid.z, 110, 14))  # shoulders and arms widen the top
    thickness = 2 * body.depth * np.sqrt(np.clip(1 - (aside / width) ** 3, 0, None))
    neck = 75 * np.exp(-((aside / 58) ** 4))
    outline = body.lung_height + 4 + neck - 0.33 * np.clip(aside - 50, 0, None)
    above = np.clip((outline - grid.z) / 60, 0, 1)
    return np.asarray(thickness * np.sqrt(above) * (1 - 0.36 * _step(grid.z, 120, 18)))


def _step(value: Array, middle: float, width: float) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip((value - middle) / width, -30, 30))))


def _lungs(grid: Grid) -> Array:
    return sum((_lung(grid, side) for side in SIDES), np.zeros_like(grid.x))


def _lung(grid: Grid, side: int) -> Array:
    body, width = grid.anatomy, grid.anatomy.half_width
    widest = -45.0
    up = (grid.z - widest) / np.where(grid.z > widest, body.lung_height - 15 - widest, 260)
    centre = side * width * (0.53 - 0.17 * np.clip(up, 0, 1) ** 2)
    across = (grid.x - centre) / (width * 0.485)
    chord = 1.62 * body.depth * np.sqrt(np.clip(1 - np.abs(across) ** 2.3 - np.abs(up) ** 2.6, 0, None))
    return chord * _above_diaphragm(grid, side) * _above_fluid(grid, side)


def _floor(grid: Grid, side: int, x: Array) -> Array:
    body = grid.anatomy
    lateral = side * x / body.half_width - 0.42
    fall = np.where(lateral > 0, (np.abs(lateral) / 0.58) ** 2.2, 0.35 * (lateral / 0.42) ** 2)
    return body.diaphragm[(side + 1) // 2] - body.dome_drop * fall


def _above_diaphragm(grid: Grid, side: int) -> Array:
    """A sharp dome, and behind it the lung that grows thicker with height."""
    height = grid.z - _floor(grid, side, grid.x)
    return np.clip(height / grid.spacing + 0.5, 0, 1) * (0.5 + 0.5 * np.sqrt(np.clip(height / 45, 0, 1)))


def _above_fluid(grid: Grid, side: int) -> Array:
    """Fluid fills the costophrenic angle first and climbs the chest wall: the meniscus of a pleural effusion."""
    body = grid.anatomy
    fluid = body.effusion[(side + 1) // 2]
    angle = body.diaphragm[(side + 1) // 2] - body.dome_drop
    climb = np.exp(-np.clip(body.half_width - side * grid.x, 0, None) / 28)
    surface = angle + fluid * (0.75 + 1.1 * climb)
    return _step(grid.z - surface, 0, 4) if fluid else np.ones_like(grid.x)


def _heart(grid: Grid) -> Array:
    """Left ventricle and right atrium, lying on the diaphragm; together they span the heart's width exactly."""
    body, width = grid.anatomy, grid.anatomy.heart_width
    floor, middle = min(body.diaphragm), body.turn / 2
    reach = 0.36 * width  # half of the left ventricle's extent across
    long, short = _axes(reach, body.heart_tilt, body.heart_roundness)
    rise = float(np.hypot(long * np.sin(body.heart_tilt), short * np.cos(body.heart_tilt)))
    left = middle + (1 - body.right_share) * width - reach
    ventricle = grid.chord(left, floor - 16 + rise, long, short, 0.33 * width, -body.heart_tilt)
    right = middle + (0.30 - body.right_share) * width
    atrium = grid.chord(right, floor - 10 + 0.42 * width, 0.30 * width, 0.42 * width, 0.27 * width)
    return np.asarray(np.maximum(ventricle, atrium))


def _axes(reach: float, tilt: float, roundness: float) -> tuple[float, float]:
    """Half axes of an ellipse of that roundness whose shadow, tilted, reaches `reach` to each side."""
    long = reach / np.hypot(np.cos(tilt), roundness * np.sin(tilt))
    return float(long), float(long * roundness)


def _mediastinum(grid: Grid) -> Array:
    body, top = grid.anatomy, grid.anatomy.lung_height
    column = grid.chord(body.turn / 2, 40, 25, 200, 46)
    knob = grid.chord(20 + body.turn, top - 98, body.aorta, body.aorta + 3, 34)
    trunk = grid.chord(24 + body.turn / 2, top - 126, 18, 24, 32)
    cava = grid.chord(-20 + body.turn / 2, top - 105, 14, 60, 18)
    return column + knob + trunk + cava


def _vessels(grid: Grid, random: Generator) -> Array:
    """Arteries and veins of both lungs, wider and longer in the upper lobes the more congested they are."""
    body = grid.anatomy
    total = np.zeros_like(grid.x)
    trees = [_tree(body, side, random) for side in SIDES]
    x, z, radius = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    step = np.hypot(np.diff(x, axis=1, prepend=x[:, :1]), np.diff(z, axis=1, prepend=z[:, :1]))
    volume = np.pi * radius**2 * step * 1.25  # vessels also run to the front and the back
    for low, high in ((0.0, 1.3), (1.3, 2.6), (2.6, np.inf)):
        band = (radius >= low) & (radius < high)
        if band.any():
            total += grid.pour(x[band], z[band], volume[band], 0.55 * float(radius[band].mean()))
    swollen = 1 + 0.35 * body.congestion
    for side in SIDES:
        hilum = side * 0.24 * body.half_width, body.lung_height - 135
        total += grid.chord(*hilum, 11 * swollen, 19 * swollen, 12 * swollen)
    return total


def _tree(body: Anatomy, side: int, random: Generator) -> tuple[Array, Array, Array]:
    """Centre lines and radii of the vessels of one lung, (vessels, points) each."""
    along = np.linspace(0, 1, 36)
    angle = np.linspace(-1.45, 1.35, BRANCHES) + random.normal(0, 0.12, BRANCHES)
    length = body.half_width * random.uniform(0.5, 0.85, BRANCHES)
    start = np.zeros((2, BRANCHES))
    calibre = random.uniform(2.4, 3.9, BRANCHES) * _calibre(body, angle)
    main = _curves(start, angle, length, calibre, along, random)
    which, point = np.repeat(np.arange(BRANCHES), TWIGS), random.integers(6, 28, BRANCHES * TWIGS)
    twigs = _curves(
        np.stack([main[0][which, point], main[1][which, point]]),
        angle[which] + random.choice([-1, 1], which.size) * random.uniform(0.35, 0.9, which.size),
        length[which] * random.uniform(0.3, 0.5, which.size),
        0.75 * main[2][which, point],
        along,
        random,
    )
    across, up, radius = (np.concatenate(pair) for pair in zip(main, twigs, strict=True))
    return side * (0.22 * body.half_width + across), body.lung_height - 135 + up, radius


def _calibre(body: Anatomy, angle: Array) -> Array:
    """Upright and healthy, the lower lobes' vessels are the wider ones; congestion reverses it (cephalisation)."""
    return np.asarray(np.where(angle > 0, 0.8 + 0.75 * body.congestion, 1.0 + 0.25 * body.congestion))


def _curves(
    start: Array, angle: Array, length: Array, calibre: Array, along: Array, random: Generator
) -> tuple[Array, Array, Array]:
    bend = random.normal(0, 0.5, angle.size)[:, None] * along**2
    course = angle[:, None] + bend
    x = start[0][:, None] + length[:, None] * along * np.cos(course)
    z = start[1][:, None] + length[:, None] * along * np.sin(course)
    return x, z, calibre[:, None] * (1 - 0.8 * along)


def _haze(grid: Grid, random: Generator) -> Array:
    """Share of the air that oedema replaces: clouds around both hila, (rows, columns) in [0, 0.6]."""
    body = grid.anatomy
    noise = random.standard_normal(grid.x.shape, np.float32)
    texture = gaussian_filter(noise, 7 / grid.spacing, truncate=3)
    texture = 1 + 0.5 * texture / (texture.std() + 1e-9)
    near = np.zeros_like(grid.x)
    for side in SIDES:
        far = ((grid.x - side * 0.36 * body.half_width) / 46) ** 2 + ((grid.z - body.lung_height + 150) / 62) ** 2
        near += np.exp(-far / 2)
    return np.asarray(np.clip(0.20 * body.congestion * near * texture + 0.03 * (texture - 1), 0, 0.6))


def _airways(grid: Grid) -> Array:
    """Windpipe and both main bronchi."""
    body, along = grid.anatomy, np.linspace(0, 1, 50)
    top, fork = body.lung_height + 60, body.lung_height - 108
    area = np.pi * 8.5**2
    x = [3 + body.turn * (1 - along), *(side * 34 * along for side in SIDES)]
    z = [fork + (top - fork) * along, *(fork - 26 * along for _ in SIDES)]
    volume = [np.full(50, area * (top - fork) / 50), *(np.full(50, 0.45 * area * 43 / 50) for _ in SIDES)]
    return grid.pour(np.concatenate(x), np.concatenate(z), np.concatenate(volume), 4.2)


def _ribs(grid: Grid) -> Array:
    """Ten pairs: each a tilted half loop from the spine, around the side, to where its cartilage begins in front."""
    body = grid.anatomy
    turn = np.linspace(0.05, 0.74, 90)[None, None, :] * np.pi
    number = np.arange(RIBS)[None, :, None]
    side = np.array(SIDES)[:, None, None]
    reach = body.half_width * np.clip(0.46 + 0.155 * number, None, 1.0) * (1 - 0.012 * (number - 5) ** 2 * (number > 5))
    height = body.lung_height - 22 - 24.5 * number
    fall = np.clip(42 + 9 * number, None, 92)
    x = side * reach * np.sin(turn) + body.turn * np.cos(turn)
    y = -0.72 * body.depth * np.clip(0.6 + 0.1 * number, None, 1) * np.cos(turn)
    z = height + 6 * np.sin(2 * turn) - fall * (1 - np.cos(turn)) / 2
    step = np.sqrt(sum(np.gradient(part, axis=2) ** 2 for part in np.broadcast_arrays(x, y, z)))
    volume = 0.5 * body.bone_density * np.pi * body.rib_radius**2 * step
    shape = (x.ravel(), np.broadcast_to(z, x.shape).ravel(), volume.ravel())
    rim = 1.5 * grid.pour(*shape, 0.55 * body.rib_radius) - 0.5 * grid.pour(*shape, 0.30 * body.rib_radius)
    return np.maximum(rim, 0)  # a cortex around a thinner core


def _spine(grid: Grid) -> Array:
    """Vertebral bodies, thinner at the discs, and the arches behind them."""
    body = grid.anatomy
    across = np.square((grid.x - body.turn) / 18)
    level = np.cos(2 * np.pi * (grid.z - body.lung_height) / 23)
    bodies = 13 * np.sqrt(np.clip(1 - across * across, 0, None)) * (0.55 + 0.45 * _step(level, -0.5, 1 / 6))
    at = body.lung_height - 6 - 23.0 * np.arange(-4, 18)
    arches = grid.pour(np.full(at.size, body.turn), at, np.full(at.size, 900.0), 3.5)
    return np.asarray(body.bone_density * (bodies + arches))


def _girdle(grid: Grid) -> Array:
    """Collar bones, and the edges of the shoulder blades beside the lungs."""
    body, along = grid.anatomy, np.linspace(0, 1, 80)
    side = np.array(SIDES)[:, None]
    reach = body.half_width + 5
    collar_z = body.lung_height - 48 + 26 * along + 9 * np.sin(2 * np.pi * along)
    collar = 0.55 * np.pi * 36 * np.hypot(reach / 79, np.gradient(collar_z))
    blade_z = 95 - 125 * along
    blade = np.full(80, 0.35 * np.pi * 30 * 125 / 79)
    x = [side * (16 + reach * along) + body.turn / 2, side * (body.half_width * (0.98 - 0.08 * along) + 8)]
    z, volume = np.concatenate([collar_z, collar_z, blade_z, blade_z]), np.concatenate([collar, collar, blade, blade])
    return grid.pour(np.concatenate(x).ravel(), z, body.bone_density * volume, 3.3)


def _breasts(grid: Grid) -> Array:
    body = grid.anatomy
    if not body.breast:
        return np.zeros_like(grid.x)
    size = 45 + 0.6 * body.breast
    return sum(
        (grid.chord(side * 0.55 * body.half_width, -45, size, size, body.breast / 2) for side in SIDES),
        np.zeros_like(grid.x),
    )
