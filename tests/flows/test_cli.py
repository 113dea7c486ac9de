from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from components.enhance import EnhancedImage
from components.handover import Layout, StepError
from components.imaging.decoding import UnreadableImage
from components.params import ParamsError, load_here
from components.sources import listing
from components.sources.file_register import FileRegister, Origin
from flows.cli import main
from flows.doctor import Check
from tests.drawing import shapes

Toy = Callable[[str], Path]


def medsr(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_help_imports_nothing_heavy() -> None:
    heavy = [
        "torch",
        "mlflow",
        "dvc",
        "prefect",
        "great_expectations",
        "pandas",
        "matplotlib",
        "scipy",
        "skimage",
        "rich",
    ]
    script = (
        "import sys; from click.testing import CliRunner; from flows.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        f"print(sorted(set(sys.modules) & set({heavy})))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("code", [0, 1])
def test_run_ends_with_the_pipeline_s_exit_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "flows.pipeline.run_pipeline", lambda *arguments, **options: asked.append((*arguments, options)) or code
    )
    assert medsr("run", "--profile", "full").exit_code == code
    assert asked == [(Path(), "full", False, {"force": False})]


@pytest.mark.parametrize("arguments", [["run", "--profile", "huge"], ["enhance", "absent.dcm", "out.dcm"], ["dance"]])
def test_wrong_use_is_2(arguments: list[str]) -> None:
    assert medsr(*arguments).exit_code == 2


@pytest.mark.parametrize("error", [StepError("no data: add some"), ParamsError("seed: missing")])
def test_an_expected_error_is_one_message_and_1(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr("flows.pipeline.run_pipeline", raising(error))
    answer = medsr("run")
    assert (answer.exit_code, answer.stderr, answer.stdout) == (1, f"Error: {error}\n", "")


def test_debug_shows_where_an_error_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.pipeline.run_pipeline", raising(StepError("no data")))
    assert isinstance(medsr("--debug", "run").exception, StepError)


def test_plan_says_what_would_run_and_why(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(
        toy(
            """
            first: {cmd: "cp in.txt a.txt", deps: [in.txt], outs: [a.txt]}
            second: {cmd: "cp a.txt b.txt", deps: [a.txt], outs: [b.txt]}
            """
        )
    )
    planned = json.loads(medsr("plan", "--json").stdout)
    assert list(planned) == ["first", "second"]
    assert planned["first"] == ["in.txt deleted", "a.txt deleted"]
    assert planned["second"][-1] == "follows first"
    assert medsr("plan").stdout.startswith("first: in.txt deleted; a.txt deleted\nsecond: ")


def test_plan_tells_of_new_files_and_leaves_the_news_to_the_run(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    root = toy('ingest: {cmd: "true", deps: [data/sources.json]}')
    settings = yaml.safe_load((root / "params.yaml").read_text())
    settings["ingest"]["super_resolution"] = ["dicom:archive"]
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    (root / "archive").mkdir()
    (root / "data").mkdir()
    (root / "archive" / "a.dcm").write_bytes(b"a")
    monkeypatch.chdir(root)
    before = listing.compare(Layout(), load_here())
    for _ in range(2):
        told = json.loads(medsr("plan", "--json").stdout)["ingest"]
        assert told[-1] == "dicom:archive: 1 files came, 0 went, 0 changed since the last run"
    assert listing.compare(Layout(), load_here()).changes == before.changes != ()


def test_plan_outside_a_project_fails_readably(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = medsr("plan")
    assert answer.exit_code == 1
    assert ".dvc" in answer.stderr


@pytest.mark.parametrize(("required", "code"), [(True, 1), (False, 0)])
def test_doctor_fails_only_where_something_required_is_missing(
    monkeypatch: pytest.MonkeyPatch, required: bool, code: int
) -> None:
    checks = [Check("git", True, "2.39", ""), Check("scanner", False, "none", "Buy one.", required)]
    monkeypatch.setattr("flows.doctor.examine", lambda root: checks)
    answer = medsr("doctor")
    assert answer.exit_code == code
    assert "Buy one." in answer.stdout
    assert [check["name"] for check in json.loads(medsr("doctor", "--json").stdout)] == ["git", "scanner"]


class Named:
    name, version, scale, percentiles = "sr-generator", "3", 4, (0.1, 99.9)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to enhance, with a stand-in for the champion."""
    monkeypatch.setattr("components.adapters.registry.load_generator", lambda layout: Named())
    path = tmp_path / "in.dcm"
    path.write_bytes(b"image")
    return path


def test_enhance_says_what_it_wrote_and_by_which_model(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = []

    def enhance(source: Path, destination: Path, generator: Named, overwrite: bool) -> EnhancedImage:
        return EnhancedImage(source, destination, generator.name, generator.version, 4, 1, 512, 400, "1.2.3", 0.5)

    monkeypatch.setattr("components.enhance.enhance_file", enhance)
    monkeypatch.setattr("components.serving.record.record", lambda layout, made, percentiles: recorded.append(made))
    out = str(image.with_name("out.dcm"))
    assert medsr("enhance", str(image), out).stdout == f"{out}: 1 × 512 × 400, ×4 by sr-generator 3, 0.5 s\n"
    assert json.loads(medsr("enhance", str(image), out, "--json").stdout)["sop_instance_uid"] == "1.2.3"
    assert [made.columns for made in recorded] == [400, 400], "monitoring hears of each"


def test_an_image_that_cannot_be_read_is_named(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.enhance.enhance_file", raising(UnreadableImage("in.dcm", "cut off.")))
    answer = medsr("enhance", str(image), "out.dcm")
    assert (answer.exit_code, answer.stderr) == (1, "Error: in.dcm: cut off. Nothing was written.\n")


def test_classify_prints_what_the_model_in_a_folder_says(project: Layout, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray((shapes(50, 40) * 255).astype("uint8")).save(source)
    arguments = ("classify", str(source), "--model", str(project.model("classifier")))
    plain, found = medsr(*arguments), json.loads(medsr(*arguments, "--json").stdout)
    assert plain.exit_code == 0 and f"Probability of heart_failure {found['probability']:.3f}" in plain.stdout
    assert "Research software" in plain.stdout and found["label"] in plain.stdout


def test_classify_without_a_champion_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    answer = medsr("classify", "a.png")
    assert answer.exit_code == 1 and "models:/classifier@champion: expected a promoted model" in answer.stderr


def test_where_names_the_file_an_image_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    origin = Origin(key="F0", image_id="a" * 16, source="dicom:in", name="Doe/1.dcm", path="/in/Doe/1.dcm")
    FileRegister(Layout().files).record([origin])
    assert medsr("where", "F0").stdout == medsr("where", "a" * 16).stdout == "dicom:in: /in/Doe/1.dcm\n"
    (told,) = json.loads(medsr("where", "F0", "--json").stdout)
    assert told == asdict(origin)
    unknown = medsr("where", "F1")
    assert unknown.exit_code == 1 and "expected a file whose key or image_id is F1, found none" in unknown.stderr
