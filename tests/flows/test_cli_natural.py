from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests import natural_pictures
from tests.flows.test_cli import medsr
from tests.settings import content


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "srcnn"],
        ["train", "classifier", "--images", "."],
        ["train", "srcnn", "--steps", "0"],
        ["score", "absent", "--images", "."],
        ["score", "bicubic"],
        ["score", "bicubic", "--images", ".", "--scale", "5"],
    ],
    ids=" ".join,
)
def test_training_and_scoring_on_pictures_can_be_used_wrongly(arguments: list[str]) -> None:
    assert medsr(*arguments).exit_code == 2


def test_train_without_pictures_says_what_it_needs_and_where_medical_images_are_trained() -> None:
    answer = medsr("train", "rrdb").stderr
    assert "--images, --validation and --into" in answer and "`medsr run`" in answer


def test_pictures_are_trained_on_and_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(content()))
    natural_pictures.folder(Path("some"), 2)
    natural_pictures.folder(Path("others"), 1, first=2)
    given = ["--images", "some", "--validation", "others", "--into", "into"]
    early = medsr("train", "esrgan", *given)
    assert (early.exit_code, Path("into").exists()) == (1, False)
    assert "Train rrdb first" in early.stderr
    answer = medsr("train", "srcnn", *given, "--steps", "2")
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.splitlines()[-1].startswith("into/data/models/srcnn: ")
    scored = json.loads(medsr("score", "into/data/models/srcnn", "--images", "others", "--json").stdout)
    assert [row["name"] for row in scored["images"]] == ["picture_2"]
    assert (scored["scale"], scored["low_resolution"]) == (4, "made here")
    assert medsr("score", "bicubic", "--images", "others").stdout.splitlines()[1].startswith("picture_2")
    assert medsr("score", "into/data/models/srcnn", "--images", "others", "--scale", "2").exit_code == 1
