from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest

from components.serving.spool import QUARANTINE, SENT
from tests.serving.fuzzing import fuzz


@pytest.mark.parametrize("seed", [3, 4])
def test_of_broken_real_images_each_is_sharpened_or_set_aside(tmp_path: Path, seed: int) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fuzz(tmp_path, 150, seed)
    finally:
        logging.disable(logging.NOTSET)
    assert sum(found.values()) == 150 and found[SENT] >= 10 and found[QUARANTINE] >= 50
