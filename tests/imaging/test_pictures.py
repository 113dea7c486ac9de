from pathlib import Path

import numpy as np
from PIL import Image

from components.imaging.pictures import save_error, save_grey, save_heat, zoom_window


def test_the_zoom_lands_on_the_edges_inside_the_body() -> None:
    image = np.zeros((300, 400), np.float32)
    image[100:120, 250:270] = 1
    image[290:, :40] = 1  # an edge outside the body
    body = np.zeros(image.shape, bool)
    body[50:250, 200:350] = True
    window = zoom_window(image, body, side=64)
    assert window.cut(image).shape == (64, 64) and window.cut(image).sum() == 400


def test_an_image_smaller_than_the_zoom_is_shown_whole() -> None:
    window = zoom_window(np.random.default_rng(0).random((40, 200)).astype(np.float32), np.ones((40, 200), bool))
    assert (window.row, window.height, window.width) == (0, 40, 128)


def test_pictures_are_eight_bits_clipped_and_not_too_large(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", np.array([[-1.0, 0.5, 2.0]], np.float32))
    assert np.asarray(Image.open(tmp_path / "a.png")).tolist() == [[0, 128, 255]]
    save_error(tmp_path / "e.png", np.array([[0.0, 0.05, 0.5]], np.float32))
    assert np.asarray(Image.open(tmp_path / "e.png")).tolist() == [[0, 128, 255]]
    save_grey(tmp_path / "big.png", np.zeros((2000, 1000), np.float32))
    assert Image.open(tmp_path / "big.png").size == (256, 512)


def test_heat_lies_over_the_picture_and_nowhere_else(tmp_path: Path) -> None:
    image, heat = np.full((20, 30), 0.5, np.float32), np.zeros((20, 30), np.float32)
    heat[5:8, 9:12] = 1
    save_heat(tmp_path / "heat.png", image, heat)
    found = np.asarray(Image.open(tmp_path / "heat.png")).astype(int)
    assert found.shape == (20, 30, 3)
    assert (found[heat == 0] == 128).all()
    red, green, blue = found[6, 10]
    assert red == green > 128 > blue
