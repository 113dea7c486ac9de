from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.adapters import tracking, training_runs
from components.adapters.pyfunc_model import Network
from components.handover import Layout, read_record


@pytest.mark.parametrize(("name", "shape"), [("rrdb", (2, 1, 36, 52)), ("classifier", (2, 2))])
def test_generators_give_images_and_the_classifier_probabilities(
    trained: Layout, name: str, shape: tuple[int, ...]
) -> None:
    model = Network()
    model.load_context(SimpleNamespace(artifacts={"model": str(trained.model(name))}))
    height, width = (9, 13) if name == "rrdb" else (32, 32)
    found = model.predict(None, np.random.default_rng(0).random((2, 1, height, width)))
    assert found.shape == shape and found.dtype == np.float32
    if name == "classifier":
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_what_makes_images_takes_labels_and_is_served_as_its_signature_says(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = training_runs.restore(project, read_record(project.model("dcgan") / "run.json"))
    served = tracking.connect(project).pyfunc.load_model(f"models:/{record.model_id}")
    images = served.predict(np.array([0, 1, 1]))
    assert images.shape == (3, 1, 32, 32) and images.dtype == np.float32
    np.testing.assert_array_equal(served.predict(np.array([0, 1, 1])), images)


# loads the model and asks it where these modules cannot be imported
BARE = """
import sys
from pathlib import Path

folder, absent = Path(sys.argv[1]), set(sys.argv[2].split(","))

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import numpy as np
from mlflow.pyfunc import load_model
inputs = np.array([0, 1]) if sys.argv[3] == "dcgan" else np.random.default_rng(0).random((2, 1, 32, 40), np.float32)
np.save(sys.argv[4], load_model(str(folder)).predict(inputs))
import components
assert Path(components.__file__).is_relative_to(folder), components.__file__
"""


def others(requirements: Iterable[str]) -> set[str]:
    """What can be imported here, and not where only these are installed and whatever they want themselves."""
    wanted, found = [Requirement(line) for line in requirements], set[str]()
    while wanted:
        one = wanted.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            wanted += [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # of another platform
            continue
    return {
        module
        for module, distributions in packages_distributions().items()
        if not any(canonicalize_name(distribution) in found for distribution in distributions)
    }


@pytest.mark.parametrize("name", ["esrgan", "srcnn", "classifier", "dcgan", "classical_svm"])
def test_a_model_loads_where_there_is_nothing_but_what_it_requires(
    project: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = training_runs.restore(project, read_record(project.model(name) / "run.json"))
    tracking.connect(project)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{record.model_id}", dst_path=str(tmp_path / "model")))
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9.]+", line) for line in lines), lines
    absent = {*others(lines), "flows"}
    assert {"prefect", "pydicom", "dvc"} <= absent
    command = [sys.executable, "-c", BARE, str(folder), ",".join(absent), name, str(tmp_path / "answer.npy")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(np.load(tmp_path / "answer.npy")).all()


def test_no_file_of_a_model_is_a_pickle(project: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = training_runs.restore(project, read_record(project.model("esrgan") / "run.json"))
    tracking.connect(project)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{record.model_id}", dst_path=str(tmp_path / "model")))
    kept = [path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(folder / "code")]
    assert {path.suffix for path in kept} <= {"", ".json", ".safetensors", ".yaml", ".txt", ".py", ".csv", ".md"}
    with pytest.MonkeyPatch.context() as patch:
        for module in ("pickle", "cloudpickle", "joblib"):
            for function in ("load", "loads"):
                patch.setattr(
                    f"{module}.{function}", lambda *_, **__: pytest.fail("a pickle was loaded"), raising=False
                )
        patch.setattr("torch.load", lambda *_, **__: pytest.fail("a pickle"))
        served = mlflow.pyfunc.load_model(str(folder))
    assert served.predict(np.zeros((1, 1, 16, 16), np.float32)).shape[:2] == (1, 1)
