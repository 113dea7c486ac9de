"""What networks are given: frames and labelled squares, made from what passed validation and the split."""

from dataclasses import replace

import numpy as np
import pytest

from components import prepare
from components.handover import LabelledRow, PreparedRow, read_rows
from components.imaging.degradation import degrade
from tests.drawing import shapes
from tests.raw_folder import SIDES, colour_image, quantised, raw
from tests.settings import PARAMS

__all__ = ["raw"]  # fixtures


def test_a_frame_comes_with_its_mask_and_its_low_resolution_images(raw):
    prepared = raw.run()

    rows = read_rows(raw.layout.super_resolution / "index.csv", PreparedRow)
    assert rows == prepared.frames and [row.split for row in rows] == list(SIDES)
    for row in rows:
        arrays = raw.arrays(row.sample_id)
        assert set(arrays) == {"hr", "mask", "lr_x2", "lr_x4"}
        assert arrays["hr"].shape == (row.rows, row.columns) and arrays["hr"].dtype == np.float32
        assert row.rows % 4 == 0 and row.columns % 4 == 0
        assert arrays["hr"].min() >= 0 and arrays["hr"].max() <= 1
        assert arrays["mask"].shape == arrays["hr"].shape and arrays["mask"].dtype == bool
        np.testing.assert_array_equal(arrays["lr_x4"], degrade(arrays["hr"], 4, "bicubic", 0))
        assert arrays["lr_x2"].shape == (row.rows // 2, row.columns // 2)


def test_the_range_of_the_values_is_kept_beside_them(raw):
    row = raw.run().frames[0]
    stored = quantised(shapes(70, 83)).astype(np.float32) - 1024  # drawn with an intercept of -1024

    assert -1024 <= row.low < row.high <= stored.max()
    unit = raw.arrays(row.sample_id)["hr"]
    inside = (unit > 0) & (unit < 1)
    back = unit[inside] * (row.high - row.low) + row.low
    np.testing.assert_allclose(back, np.rint(back), atol=0.01)  # stored values were whole numbers


def test_two_runs_write_the_same_bytes(raw):
    def content():
        return {p.relative_to(raw.layout.root): p.read_bytes() for p in raw.layout.prepared.rglob("*.*")}

    raw.run(degradation="blur_noise")
    first = content()
    raw.run(degradation="blur_noise")

    assert content() == first


def test_what_an_earlier_run_left_is_removed(raw):
    stale = raw.layout.super_resolution / "stale.npz"
    stale.parent.mkdir(parents=True)
    stale.touch()

    raw.run()

    assert not stale.exists()


@pytest.mark.parametrize("kind", ["kspace", "blur_noise"])
def test_the_degradation_is_a_setting(raw, kind):
    row = raw.run(degradation=kind).frames[0]

    arrays = raw.arrays(row.sample_id)
    assert not np.allclose(arrays["lr_x2"], degrade(arrays["hr"], 2, "bicubic", 0), atol=1e-3)


def test_sides_are_a_multiple_of_every_scale(raw):
    for row in raw.run(scales=(3, 4)).frames:
        assert row.rows % 12 == 0 and row.columns % 12 == 0
        assert raw.arrays(row.sample_id)["lr_x3"].shape == (row.rows // 3, row.columns // 3)


def test_frames_are_taken_evenly_and_share_one_range(raw):
    film = np.stack([quantised(shapes(64, 64, seed=1) * (1 + n) / 8) for n in range(8)])
    image = raw.add(film, "train", modality="US")

    rows = [row for row in raw.run(frames_per_image=2).frames if row.image_id == image]

    assert [row.frame for row in rows] == [2, 6]
    assert [row.sample_id for row in rows] == [f"{image}-2", f"{image}-6"]
    assert len({(row.low, row.high) for row in rows}) == 1
    assert raw.arrays(rows[0].sample_id)["hr"].mean() < raw.arrays(rows[1].sample_id)["hr"].mean()


def test_colour_becomes_luma(raw):
    colours = np.random.default_rng(0).integers(0, 256, (64, 72, 3), np.uint8)
    image = raw.add(colours, "train", modality="US")

    (row,) = (row for row in raw.run(percentile_low=0.0, percentile_high=100.0).frames if row.image_id == image)

    brightness = colours @ np.array([0.299, 0.587, 0.114])
    found = raw.arrays(row.sample_id)["hr"] * (row.high - row.low) + row.low
    np.testing.assert_allclose(found, brightness, atol=0.01)


def test_a_blanked_surround_is_cut_off(raw):
    stored = np.zeros((120, 140), np.uint16)
    stored[30:94, 20:120] = 100 + quantised(shapes(64, 100, seed=4))
    stored[30:94, 20:120] += np.random.default_rng(0).integers(0, 200, (64, 100), np.uint16)
    image = raw.add(stored, "train", modality="US")

    (row,) = (row for row in raw.run().frames if row.image_id == image)

    assert (row.rows, row.columns) == (64, 100)


def test_a_frame_of_almost_nothing_is_left_out_by_name(raw):
    stored = np.zeros((80, 80), np.uint16)
    stored[40:50, 40:50] = quantised(shapes(10, 10)) + 5
    image = raw.add(stored, "train", modality="NM")

    prepared = raw.run()

    assert image not in {row.image_id for row in prepared.frames}
    assert any(image in line and "blank" in line for line in prepared.left_out)


def test_images_on_no_side_are_not_touched(raw):
    image = raw.add(quantised(shapes(64, 64)), "")
    (raw.layout.raw / "images" / f"{image}.dcm").write_bytes(b"broken")

    assert image not in {row.image_id for row in raw.run().frames}


def test_a_quarantined_twin_does_not_take_an_images_place(raw):
    raw.index.append(replace(raw.index[0], quarantined=True, reason="duplicate", path=""))
    raw.splits.append(replace(raw.splits[0], split="", reason="quarantined: duplicate"))

    assert len(raw.run().frames) == 3


def test_labelled_images_are_squares_in_the_order_of_their_rows(raw):
    prepared = raw.run()

    images = np.load(raw.layout.classification / "images.npy")
    rows = read_rows(raw.layout.classification / "index.csv", LabelledRow)
    assert rows == prepared.labelled and len(rows) == 6
    assert [row.image_id for row in rows] == sorted(row.image_id for row in rows)
    assert images.shape == (6, 1, 32, 32) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    assert not images[0, 0, :, 0].any() and images[0, 0, :, 16].any()  # 50 x 41: the sides are padded
    assert all(row.simulated for row in rows)


def test_three_channels_keep_colour_in_one_range_and_repeat_grey(raw):
    stored = colour_image()
    stored[..., 2] //= 2  # darker than the others: a range of its own would undo it
    colour = raw.add(stored, "test", "classification", "normal", "US")

    rows = raw.run(channels=3, percentile_low=0.0, percentile_high=100.0).labelled

    images = np.load(raw.layout.classification / "images.npy")
    assert images.shape == (7, 3, 32, 32)
    place = [row.image_id for row in rows].index(colour)
    assert (images[:place] == images[:place, :1]).all()
    kept = np.load(raw.layout.held_out_labelled / f"{colour}.npy")
    np.testing.assert_allclose(kept, stored / 255, atol=0.01)
    assert images[place, 2].max() < 0.6 < images[place, 0].max()


def test_the_command_says_what_it_made(raw, monkeypatch, capsys):
    raw.run()
    (raw.layout.root / "params.yaml").write_text(PARAMS.read_text())
    monkeypatch.chdir(raw.layout.root)

    assert prepare.main() == 0

    out = capsys.readouterr().out
    assert "super-resolution train: 1 frames of 1 images (CT 1)" in out
    assert "classification test: heart_failure 1, normal 1" in out


def test_the_command_fails_without_a_traceback(tmp_path, monkeypatch, capsys):
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    monkeypatch.chdir(tmp_path)

    assert prepare.main() == 1
    assert "validation.json" in capsys.readouterr().err
