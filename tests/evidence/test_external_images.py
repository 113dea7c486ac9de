from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.evidence.external_images import ExternalImages, write_inputs
from components.handover import StepError
from tests.evidence import drawn


@pytest.mark.parametrize("kind", ["npy", "8", "16", "float tiff", "rgb"])
def test_images_are_read_in_every_form_that_programs_write(tmp_path: Path, kind: str) -> None:
    pair = drawn.pair()
    image, name = pair.high[0].numpy(), tmp_path / pair.row.sample_id
    if kind == "npy":
        np.save(name, image)
    elif kind == "float tiff":
        Image.fromarray(image).save(f"{name}.tiff")
    elif kind == "16":
        Image.fromarray((image * 65535).round().astype(np.uint16)).save(f"{name}.png")
    else:
        grey = (image * 255).round().astype(np.uint8)
        Image.fromarray(grey if kind == "8" else np.stack([grey] * 3, -1)).save(f"{name}.png")
    image_read = ExternalImages(tmp_path, [pair.row])(pair)
    assert image_read.shape == (1, 1, 96, 120) and image_read.dtype == torch.float32
    np.testing.assert_allclose(image_read[0, 0].numpy(), image, atol=0.003)


def test_every_missing_and_every_needless_file_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "stray.png").write_bytes(b"")
    with pytest.raises(StepError, match=r"2 problem\(s\)") as caught:
        ExternalImages(tmp_path, [drawn.pair().row])
    assert f"{drawn.pair().row.sample_id}: missing" in str(caught.value) and "stray.png" in str(caught.value)


def test_an_image_of_another_size_or_range_is_refused_by_name(tmp_path: Path) -> None:
    pair = drawn.pair()
    np.save(tmp_path / pair.row.sample_id, pair.low[0].numpy())
    with pytest.raises(StepError, match="expected 96 x 120 pixels, found 24 x 30"):
        ExternalImages(tmp_path, [pair.row])(pair)
    np.save(tmp_path / pair.row.sample_id, 255 * pair.high[0].numpy())
    with pytest.raises(StepError, match=r"expected \(rows, columns\) in \[0, 1\]"):
        ExternalImages(tmp_path, [pair.row])(pair)
    (tmp_path / f"{pair.row.sample_id}.npy").write_bytes(b"no array")
    with pytest.raises(StepError, match="expected an array"):
        ExternalImages(tmp_path, [pair.row])(pair)


def test_two_files_of_one_frame_are_refused_by_name(tmp_path: Path) -> None:
    pair = drawn.pair()
    for suffix in ("npy", "png"):
        (tmp_path / f"{pair.row.sample_id}.{suffix}").write_bytes(b"")
    with pytest.raises(StepError, match=r"-0\.npy: \w+-0\.png is there as well; keep one"):
        ExternalImages(tmp_path, [pair.row])


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(2))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: np.save(path, np.zeros((0, 0))),
        lambda path: np.save(path, np.array(["a", "b"])),
        lambda path: np.save(path, np.zeros((96, 120), complex)),
        _archive,
    ],
    ids=["empty file", "empty array", "text", "complex", "archive"],
)
def test_an_array_that_is_no_image_is_refused_by_name(tmp_path: Path, write: Callable[[Path], object]) -> None:
    pair = drawn.pair()
    path = tmp_path / f"{pair.row.sample_id}.npy"
    write(path)
    with pytest.raises(StepError, match=rf"{path.name}: expected an array.*Write it with numpy\.save"):
        ExternalImages(tmp_path, [pair.row])(pair)


def test_the_inputs_that_another_program_is_given_are_those_that_ours_had(tmp_path: Path) -> None:
    pair = drawn.pair()
    assert write_inputs(tmp_path, [pair]) == 1
    written = np.asarray(Image.open(tmp_path / f"{pair.row.sample_id}.png")) / 65535
    np.testing.assert_allclose(written, pair.low[0].clamp(0, 1).numpy(), atol=1e-5)
