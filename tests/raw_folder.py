"""What ingest, validation and the split leave to prepare, drawn image by image."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from components import prepare
from components.handover import IndexRow, Layout, SplitRow, write_json, write_rows
from tests.drawing import dicom, shapes, write_dicom
from tests.settings import small

SIDES = ("train", "validation", "test")


@dataclass
class Raw:
    """A raw folder that is filled image by image."""

    layout: Layout
    index: list[IndexRow]
    splits: list[SplitRow]

    def add(self, stored, side, task="super_resolution", label="", modality="CT", **attributes):
        image_id = f"{len(self.index):016x}"
        path = write_dicom(self.layout.raw / "images" / f"{image_id}.dcm", dicom(stored, modality, **attributes))
        patient = f"P{len(self.index):012x}"
        row = IndexRow(
            image_id=image_id, source="drawn", patient_id=patient, study="1.2", series="1.3", modality=modality,
            body_part="", rows=stored.shape[-2], columns=stored.shape[-1], frames=1, bits_stored=16,
            photometric="MONOCHROME2", pixel_spacing_mm="", transfer_syntax="", sha256=image_id, label=label,
            quarantined=False, reason="", task=task, simulated=task == "classification", minimum=0.0, maximum=1.0,
            file_name=path.name, path=f"images/{path.name}",
        )  # fmt: skip
        self.index.append(row)
        reason = "" if side else "too small"
        about = {"image_id": image_id, "patient_id": patient, "task": task, "modality": modality, "label": label}
        self.splits.append(SplitRow(**about, split=side, reason=reason))
        return image_id

    def run(self, channels=1, **change):
        write_rows(self.layout.index, IndexRow, self.index)
        write_rows(self.layout.splits, SplitRow, self.splits)
        settings = small()
        settings.train["classifier"].network["input_channels"] = channels
        return prepare.run(self.layout, replace(settings, prepare=replace(settings.prepare, **change)))

    def arrays(self, sample):
        return np.load(self.layout.super_resolution / f"{sample}.npz", allow_pickle=False)


def quantised(image):
    return (image * 4000).astype(np.uint16)


@pytest.fixture
def raw(tmp_path):
    """One image to sharpen and two labelled ones a side."""
    made = Raw(Layout(tmp_path), [], [])
    write_json(made.layout.validation, {"passed": True, "critical_failures": []})
    for number, side in enumerate(SIDES):
        made.add(quantised(shapes(70 + number, 83, seed=number)), side)
        for label in ("normal", "heart_failure"):
            made.add(quantised(shapes(50, 41, seed=number)), side, "classification", label, "DX")
    return made


def colour_image():
    return np.random.default_rng(0).integers(0, 256, (50, 42, 3), np.uint8)
