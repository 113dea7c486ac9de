import numpy as np

from components.sources.intake import content_hash


def test_one_value_changed_or_another_shape_is_other_content() -> None:
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    other = pixels.copy()
    other[0, 0, 0] += 1
    assert content_hash(pixels) == content_hash(pixels.copy())
    assert len({content_hash(pixels), content_hash(other), content_hash(pixels.reshape(1, 4, 3))}) == 3


def test_how_values_lie_in_memory_is_no_content() -> None:
    pixels = np.random.default_rng(0).random((2, 5, 7), np.float32)
    assert content_hash(np.asfortranarray(pixels)) == content_hash(pixels)
