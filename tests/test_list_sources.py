"""DVC, by hand, on sources that lie outside the project and on sources that everybody has."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import yaml
from PIL import Image

from components.handover import IndexRow, Layout, read_rows
from components.handover.names import REVIEWED
from tests.drawing import dicom, shapes, write_dicom
from tests.journey import PROJECT, drawn, run
from tests.origins import name_of
from tests.sources.test_sets import medmnist_file

__all__ = ["drawn"]

SOURCES = ("dicom:archive", "pictures:pictures", "npz:set.npz", "nifti:volumes")
LISTING = "list_sources@folders"


def dvc(root: Path, *arguments: str) -> str:
    return run(root, sys.executable, "-m", "dvc", *arguments)


def stages_run(root: Path, target: str = "split") -> list[str]:
    return re.findall(r"Running stage '(.*)'", dvc(root, "repro", target))


def status(root: Path, target: str = "split") -> dict[str, object]:
    answer: dict[str, object] = json.loads(dvc(root, "status", "--json", "--with-deps", target))
    return answer


def with_sources(drawn: Path, root: Path, **sources: list[str]) -> Layout:
    shutil.copytree(drawn, root)
    settings = yaml.safe_load((root / "params.yaml").read_text())
    settings["ingest"] |= {"super_resolution": [], "train_only": [], "classification": []} | sources
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    return Layout(root)


def numbers(seed: int) -> np.ndarray:
    return (shapes(137, 121, seed) * 4000).astype(np.uint16)


def kept(layout: Layout) -> set[tuple[str, str]]:
    """Source and name of every image in `data/raw`, each of which has its file."""
    rows = [row for row in read_rows(layout.index, IndexRow) if not row.quarantined and row.source in SOURCES]
    assert all((layout.raw / row.path).is_file() for row in rows)
    return {(row.source, name_of(layout, row.file_name)) for row in rows}


def test_repro_follows_every_change_of_every_source_and_runs_no_more_than_that(drawn: Path, tmp_path: Path) -> None:
    layout = with_sources(drawn, tmp_path / "project", super_resolution=list(SOURCES), classification=["simulated"])
    root = layout.root
    (root / "pictures" / "ill").mkdir(parents=True)
    (root / "volumes").mkdir()
    for number in range(3):
        Image.fromarray(numbers(number + 20)).save(root / "pictures" / "ill" / f"{number}.png")
        volume = nibabel.Nifti1Image(numbers(number + 30)[..., None].astype(np.int16), np.eye(4))
        nibabel.save(volume, root / "volumes" / f"sub-{number}_T1w.nii")
    images = np.random.default_rng(0).integers(0, 255, (4, 28, 28), np.uint8)
    medmnist_file(root / "set.npz", images, np.array([[0], [1], [1], [0]]))
    assert stages_run(root) == ["ingest", "split"]
    before = kept(layout)
    assert {source for source, _ in before} == set(SOURCES)
    assert list(status(root)) == [LISTING] and stages_run(root) == [LISTING]

    write_dicom(root / "archive" / "new.dcm", dicom(numbers(40), "MR", PatientID="MRN-40"))
    assert stages_run(root) == [LISTING, "ingest", "split"]
    assert kept(layout) == before | {("dicom:archive", "new.dcm")}

    ids = {row.image_id for row in read_rows(layout.index, IndexRow)}
    Image.fromarray(numbers(41)).save(root / "pictures" / "ill" / "0.png")
    assert stages_run(root) == [LISTING, "ingest", "split"]
    after = {row.image_id for row in read_rows(layout.index, IndexRow)}
    assert len(ids - after) == len(after - ids) == 1

    gone = read_rows(layout.index, IndexRow)
    (root / "volumes" / "sub-0_T1w.nii").unlink()
    medmnist_file(root / "set.npz", images[::-1] // 2, np.array([[0], [1], [1], [0]]))
    (root / "archive" / "new.dcm").unlink()
    assert stages_run(root) == [LISTING, "ingest", "split"]
    assert kept(layout) == before - {("nifti:volumes", "sub-0_T1w.nii")}
    left = {path.stem for path in (layout.raw / "images").iterdir()}
    assert left == {row.image_id for row in read_rows(layout.index, IndexRow) if not row.quarantined}
    assert len({row.image_id for row in gone} - left) >= 6, "a volume, a file and four images of the set"
    assert stages_run(root) == [LISTING], "nothing changed since"


def test_everybody_gets_the_same_of_public_sources_and_dvc_has_nothing_to_do_then(drawn: Path, tmp_path: Path) -> None:
    outputs = []
    for name in ("one", "other"):
        layout = with_sources(drawn, tmp_path / name, super_resolution=["pydicom-data"], classification=["simulated"])
        (layout.data / ".salt").unlink()
        shutil.copy(PROJECT / "data" / REVIEWED, layout.data)
        assert stages_run(layout.root, "prepare") == ["ingest", "split", "validate", "prepare"]
        lock = yaml.safe_load((layout.root / "dvc.lock").read_text())["stages"]
        outputs.append(
            {out["path"]: out["md5"] for stage in ("ingest", "split", "prepare") for out in lock[stage]["outs"]}
        )
        assert status(layout.root, "prepare") == {}
        assert not (layout.data / ".salt").exists()
    assert outputs[0] == outputs[1]
    assert {"data/raw", "data/splits.csv", "data/prepared"} <= outputs[0].keys()
