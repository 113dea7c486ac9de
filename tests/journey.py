"""A small project on drawn DICOM, as the tests of the whole journey make it and drive it."""

from __future__ import annotations

import compileall
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.handover import Layout, sha256_of, write_json
from components.ingest import salt
from tests.conftest import Once
from tests.drawing import dicom, shapes, write_dicom
from tests.services import with_home
from tests.settings import LOW_BAR, content

PROJECT = Path(__file__).parents[1]
COPIED = ("components", "flows", "data/champion", "data/outside", "data/shared", "data/licences.csv", "dvc.yaml")
COPIED += ("data/sources.json", ".dvc/config", ".dvc/plots", ".dvcignore", ".gitignore")
DIGESTS = "undisturbed.json"
TABLES = ("raw/index.csv", "splits.csv", "reports/sr_samples.csv", "reports/predictions.csv")
MODALITIES = ("CT", "MR", "CR", "DX")


def draw(folder: Path, numbers: range) -> None:
    """One image a patient, of four modalities."""
    for number in numbers:
        modality = MODALITIES[number % 4]
        stored = (shapes(136 + 4 * number, 121, seed=number) * 4000).astype(np.uint16)
        image = dicom(stored, modality, PatientID=f"MRN-{number:05}", PatientName=f"Roe{number}^Richard")
        write_dicom(folder / f"{number}.dcm", image)


def draw_archive(folder: Path) -> None:
    """Sixteen patients, one image twice, one file that is none."""
    draw(folder, range(16))
    shutil.copy(folder / "3.dcm", folder / "again.dcm")
    whole = (folder / "5.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(whole[: len(whole) // 2])


def settings() -> dict[str, object]:
    shrunk = content()
    shrunk["ingest"]["super_resolution"] = ["dicom:archive"]
    shrunk["promote"] |= LOW_BAR
    shrunk["quick"]["train"]["rrdb"] |= {"steps": 100, "checkpoint_every": 5}
    return shrunk


@pytest.fixture(scope="session")
def drawn(once: Once) -> Path:
    """A project in which nothing has run. Copy it before changing anything."""
    return once("drawn", make)


@pytest.fixture(scope="session")
def undisturbed(once: Once, drawn: Path) -> Path:
    """The drawn project after `dvc repro`, by hand and from nothing, and in `DIGESTS` what that gave."""

    def reproduce(root: Path) -> None:
        shutil.copytree(drawn, root)
        run(root, sys.executable, "-m", "dvc", "repro", "--quiet")
        write_json(root / DIGESTS, digests(root))

    return once("undisturbed", reproduce)


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of all weights, and of tables from the first stage to the last, by place."""
    files = [*sorted((root / "data/models").rglob("*.safetensors")), *(root / "data" / name for name in TABLES)]
    return {str(path.relative_to(root)): sha256_of(path) for path in files}


def make(root: Path) -> None:
    """A clone of the project, as far as a run needs it, with a drawn archive."""
    root.mkdir()
    run(root, "git", "init", "--quiet")
    run(root, sys.executable, "-m", "dvc", "init", "--quiet")
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    for package in ("components", "flows"):
        compileall.compile_dir(root / package, quiet=1)  # not once more by each of a hundred interpreters
    draw_archive(root / "archive")
    salt(Layout(root))
    (root / "data" / "reviewed_regions.csv").write_text("sha256,x0,y0,x1,y1,note\n")
    (root / "params.yaml").write_text(yaml.safe_dump(settings(), sort_keys=False))
    hasten(root / "dvc.yaml")


def hasten(path: Path) -> None:
    """What was killed is tried again after a second."""
    graph = yaml.safe_load(path.read_text())
    for stage in graph["stages"].values():
        stage = stage.get("do", stage)
        stage["meta"] = stage.get("meta", {}) | {"retry_after_s": 1}
    path.write_text(yaml.safe_dump(graph, sort_keys=False))


def run(root: Path, *command: str, expect: int = 0) -> str:
    """What the command printed; its exit code has to be `expect`."""
    done = subprocess.run(command, cwd=root, env=with_home(root), capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def medsr(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "flows.cli", *arguments)


def commit(root: Path, message: str) -> None:
    """All of the project that belongs in git."""
    author = ("-c", "user.name=Roe", "-c", "user.email=roe@localhost")
    run(root, "git", "add", *COPIED, "params.yaml", "dvc.lock", "data", "archive", ".dvc")
    run(root, "git", *author, "commit", "--quiet", "-m", message)
