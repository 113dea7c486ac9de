from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from components.dicom.read import read_dicom
from components.handover import StepError
from components.imaging.decoding import UnreadableImage
from components.sources import medmnist_set, nifti, npz, simulated
from tests.settings import content, small

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)  # right, anterior, superior


def medmnist_file(path: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    parts = {"train": slice(0, 2), "val": slice(2, 3), "test": slice(3, None)}
    arrays: dict[str, Any] = {f"{name}_images": images[part] for name, part in parts.items()}
    np.savez(path, **arrays, **{f"{name}_labels": labels[part] for name, part in parts.items()})
    return path


def nifti_file(path: Path, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(VOLUME, np.diag([2.0, 3.0, 4.0, 1]) if affine is None else affine), path)
    return path


def test_a_medmnist_file_gives_all_its_parts_one_patient_an_image(tmp_path: Path) -> None:
    images = np.arange(4 * 9 * 9, dtype=np.uint8).reshape(4, 9, 9)
    path = medmnist_file(tmp_path / "a.npz", images, np.array([[0], [1], [1], [0]]))
    items = list(npz.items(str(path), small()))
    assert [item.label for item in items] == ["0", "1", "1", "0"]
    assert [item.name for item in items] == ["train_000000", "train_000001", "val_000000", "test_000000"]
    assert len({item.patient for item in items}) == 4
    np.testing.assert_array_equal(items[2].read().pixels, images[2:3])


def test_labels_of_several_classes_are_joined(tmp_path: Path) -> None:
    labels = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]])
    path = medmnist_file(tmp_path / "a.npz", np.zeros((4, 9, 9), np.uint8), labels)
    assert [item.label for item in npz.items(str(path), small())] == ["none", "0+2", "1", "0+1+2"]


@pytest.mark.parametrize("shape, expected", [((9, 9, 3), (1, 9, 9, 3)), ((7, 9, 9), (7, 9, 9))])
def test_colour_and_volumes_have_the_projects_shape(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    path = medmnist_file(tmp_path / "a.npz", np.zeros((4, *shape), np.uint8), np.zeros((4, 1), int))
    assert next(iter(npz.items(str(path), small()))).read().pixels.shape == expected


def test_what_is_not_in_medmnists_format_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=np.zeros((1, 9, 9)))
    with pytest.raises(StepError, match="val_images"):
        npz.items(str(tmp_path / "a.npz"), small())
    (tmp_path / "b.npz").write_bytes(b"no zip")
    with pytest.raises(StepError, match="expected"):
        npz.items(str(tmp_path / "b.npz"), small())


def test_medmnist_reads_a_set_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medmnist.dataset.DEFAULT_ROOT", str(tmp_path))
    medmnist_file(tmp_path / "pneumoniamnist_64.npz", np.zeros((4, 64, 64), np.uint8), np.ones((4, 1), int))
    assert [item.label for item in medmnist_set.items("pneumoniamnist_64", small())] == ["1"] * 4


def test_medmnist_says_where_to_place_a_missing_set_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medmnist.dataset.DEFAULT_ROOT", str(tmp_path))
    with pytest.raises(StepError, match=str(tmp_path / "pneumoniamnist.npz")):
        medmnist_set.items("pneumoniamnist", small())
    with pytest.raises(StepError, match="expected one of"):
        medmnist_set.items("catsmnist", small())
    assert list(tmp_path.iterdir()) == []


def test_a_nifti_volume_is_seen_as_radiologists_do(tmp_path: Path) -> None:
    (item,) = nifti.items(str(nifti_file(tmp_path / "head.nii.gz")), small())
    found = item.read()
    assert found.pixels.shape == (6, 5, 4)
    assert found.pixels[0, 0, 0] == VOLUME[-1, -1, 0]  # right and front: left and top
    assert (found.spacing_mm, found.bits, item.patient) == ("3\\2", 16, "head")


def test_a_nifti_volume_in_another_orientation_is_turned(tmp_path: Path) -> None:
    (item,) = nifti.items(str(nifti_file(tmp_path / "a.nii", np.diag([-2.0, -3.0, 4.0, 1]))), small())
    assert item.read().pixels[0, 0, 0] == VOLUME[0, 0, 0]


def test_subjects_and_modalities_come_from_the_names(tmp_path: Path) -> None:
    nifti_file(tmp_path / "sub-07" / "anat" / "sub-07_T1w.nii")
    nifti_file(tmp_path / "sub-07" / "ct" / "scan_ct.nii.gz")
    nifti_file(tmp_path / "lone.nii")
    (tmp_path / "README").write_text("not a volume")
    told = [(item.name, item.patient, item.modality) for item in nifti.items(str(tmp_path), small())]
    assert told == [
        ("lone.nii", "lone", "OT"),
        ("sub-07/anat/sub-07_T1w.nii", "sub-07", "MR"),
        ("sub-07/ct/scan_ct.nii.gz", "sub-07", "CT"),
    ]


def test_a_broken_nifti_file_is_refused_by_name(tmp_path: Path) -> None:
    path = nifti_file(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:360])
    (item,) = nifti.items(str(path), small())
    with pytest.raises(UnreadableImage, match=r"a\.nii"):
        item.read()


def test_simulated_patients_are_dicom_and_say_what_they_are() -> None:
    for item in simulated.items("", small()):
        image = read_dicom(item.path)
        assert item.simulated and item.label in ("normal", "heart_failure")
        assert "SIMULATED" in image.header.SeriesDescription and image.header.Modality == "DX"
        assert image.pixels.shape == (1, 48, 48)
        assert (image.header.PatientID, item.name) == ("SIM0001", "simulated_0001.dcm")
        break


def test_simulated_files_lie_on_disk_one_at_a_time_and_follow_the_seed() -> None:
    items = simulated.items("", small())
    first = next(items)
    content_of_first = first.path.read_bytes()
    next(items)
    assert not first.path.exists()
    assert next(simulated.items("", small())).path.name == first.path.name
    assert content()["seed"] == small().seed
    again = simulated.items("", small())
    assert next(again).path.read_bytes() == content_of_first
