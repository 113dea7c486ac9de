"""`dciodvfy`, which holds an image against the DICOM standard."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.programs import needed


@pytest.fixture
def dciodvfy() -> str:
    return needed("dciodvfy", "dicom3tools", "what is written is not checked against the standard")


def errors(validator: str, image: Path) -> set[str]:
    answer = subprocess.run([validator, "-new", image], capture_output=True, text=True, errors="replace", check=False)
    lines = (answer.stdout + answer.stderr).splitlines()
    assert lines, "a validator that says nothing has not looked"
    return {line for line in lines if line.startswith("Error")}
