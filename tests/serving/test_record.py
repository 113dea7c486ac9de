from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from components.enhance import enhance_file
from components.handover import Layout
from components.monitoring import enhancement_log, image_statistics
from components.serving.record import record
from tests.drawing import dicom, shapes, write_dicom
from tests.serving.nodes import BICUBIC


def test_an_image_leaves_its_size_as_it_came_its_time_and_its_statistics(tmp_path: Path) -> None:
    film = np.stack([(shapes(40, 56, seed=number) * 200).astype(np.uint8) for number in range(3)])
    source = write_dicom(tmp_path / "in.dcm", dicom(film, "US"))
    made = enhance_file(source, tmp_path / "out.dcm", BICUBIC)
    record(Layout(tmp_path), made, BICUBIC.percentiles)
    (seen,) = enhancement_log.records(Layout(tmp_path), 1)
    assert (seen.modality, seen.frames, seen.rows, seen.columns) == ("US", 3, 40, 56)
    assert (seen.model, seen.version, seen.seconds) == ("sr-generator", "3", round(made.seconds, 3))
    assert seen.statistics == image_statistics.observe(source, BICUBIC.percentiles)[1]


def test_of_a_picture_only_size_and_time_are_told(tmp_path: Path) -> None:
    Image.fromarray((shapes(40, 56) * 255).astype(np.uint8)).save(tmp_path / "in.png")
    record(Layout(tmp_path), enhance_file(tmp_path / "in.png", tmp_path / "out.png", BICUBIC), BICUBIC.percentiles)
    (seen,) = enhancement_log.records(Layout(tmp_path), 1)
    assert (seen.modality, seen.rows, seen.columns, seen.statistics) == ("OT", 40, 56, {})
