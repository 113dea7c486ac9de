"""The paths of a project's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.handover.names import CHAMPION_RECORD, INDEX


@dataclass(frozen=True)
class Layout:
    """Every path of a project, from its root."""

    root: Path = Path()

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def raw(self) -> Path:
        return self.data / "raw"

    @property
    def index(self) -> Path:
        return self.raw / INDEX

    @property
    def splits(self) -> Path:
        return self.data / "splits.csv"

    @property
    def prepared(self) -> Path:
        return self.data / "prepared"

    @property
    def super_resolution(self) -> Path:
        return self.prepared / "super_resolution"

    @property
    def classification(self) -> Path:
        return self.prepared / "classification"

    @property
    def held_out_labelled(self) -> Path:
        """Held-out labelled images at their original size, `<image_id>.npy` (rows, columns) float32 in [0, 1]."""
        return self.prepared / "held_out_labelled"

    @property
    def reports(self) -> Path:
        return self.data / "reports"

    @property
    def validation(self) -> Path:
        return self.reports / "validation.json"

    @property
    def sr_samples(self) -> Path:
        return self.reports / "sr_samples.csv"

    @property
    def sr_summary(self) -> Path:
        return self.reports / "sr_summary.csv"

    @property
    def sr_metrics(self) -> Path:
        """The metrics of each method that `dvc metrics` compares between revisions; committed with the code."""
        return self.reports / "sr_metrics.json"

    @property
    def sr_comparisons(self) -> Path:
        return self.reports / "sr_comparisons.csv"

    @property
    def sr_patients(self) -> Path:
        return self.reports / "sr_patients.csv"

    @property
    def sr_modalities(self) -> Path:
        return self.reports / "sr_modalities.csv"

    @property
    def sr_spectrum(self) -> Path:
        return self.reports / "sr_spectrum.csv"

    @property
    def sr_profiles(self) -> Path:
        return self.reports / "sr_profiles.csv"

    @property
    def sr_cost(self) -> Path:
        return self.reports / "sr_cost.csv"

    @property
    def champion_report(self) -> Path:
        """The champion compared with the methods, or why it was left out; `{}` without a champion."""
        return self.reports / CHAMPION_RECORD

    @property
    def licences(self) -> Path:
        """The licence of each source of images; written by hand."""
        return self.data / "licences.csv"

    @property
    def sources(self) -> Path:
        """The contents of the outside sources when ingest last ran. It represents them in the graph."""
        return self.data / "sources.json"

    @property
    def files(self) -> Path:
        """Which file each image came from; for whoever holds the archive, never in git or DVC."""
        return self.data / ".files.sqlite"

    @property
    def champion(self) -> Path:
        """The weights in service when the run began, copied from the registry; only `.gitignore` without a champion."""
        return self.data / "champion"

    @property
    def external_images(self) -> Path:
        """Folders of images that other programs made of the held-out inputs, one a method."""
        return self.data / "outside"

    @property
    def classifier_report(self) -> Path:
        return self.reports / "classifier.json"

    @property
    def predictions(self) -> Path:
        return self.reports / "predictions.csv"

    @property
    def classifiers(self) -> Path:
        return self.reports / "classifiers.csv"

    @property
    def classifier_metrics(self) -> Path:
        """The metrics of each classifier, and of the first one on sharpened images, for `dvc metrics`."""
        return self.reports / "classifier_metrics.json"

    @property
    def classifier_curves(self) -> Path:
        return self.reports / "classifier_curves.csv"

    @property
    def classifier_pictures(self) -> Path:
        return self.reports / "classifiers"

    @property
    def sr_classification(self) -> Path:
        return self.reports / "sr_classification.csv"

    @property
    def generated_images(self) -> Path:
        return self.classifier_pictures / "generated.json"

    @property
    def denoising(self) -> Path:
        return self.reports / "denoising.csv"

    @property
    def pictures(self) -> Path:
        return self.reports / "pictures"

    @property
    def report(self) -> Path:
        return self.reports / "report.html"

    @property
    def mlruns(self) -> Path:
        return self.root / "mlruns"

    @property
    def logs(self) -> Path:
        """The logs of the programs that `medsr up` keeps running, and its own where it runs in the background."""
        return self.mlruns / "logs"

    @property
    def up_lock(self) -> Path:
        """Held by `medsr up` while it runs; says where its servers answer."""
        return self.mlruns / "up.lock"

    @property
    def run_lock(self) -> Path:
        """Held by the run that is at work on the project."""
        return self.mlruns / "run.lock"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def model(self, name: str) -> Path:
        return self.data / "models" / name

    def checkpoints(self, name: str) -> Path:
        """Outside every DVC output, because DVC empties outputs before a stage starts and checkpoints must survive."""
        return self.data / "checkpoints" / name
