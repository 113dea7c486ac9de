"""A hundred files as broken as those of `make fuzz`: each is a row, and costs no other file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzzing import fuzz
from benchmarks.mutations import KINDS, corpus, mutated

GIB = 2**30


def test_broken_files_end_no_run_and_cost_no_other_file(tmp_path: Path) -> None:
    counts, peak = fuzz(20240, range(100), tmp_path / "crashed")
    assert not list(tmp_path.glob("crashed/*")), "each with what it said"
    assert (counts["mutated"], counts["crashed"], counts["lost"], counts["good ones lost"]) == (100, 0, 0, 0)
    assert counts["kept"] + counts["duplicate"] + counts["quarantined"] == 100
    assert counts["enhanced"] + counts["refused"] == 100
    assert min(counts["kept"], counts["quarantined"], counts["enhanced"], counts["refused"]) >= 5
    assert 0 < peak < 2 * GIB


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_mutation_changes_a_file_the_same_way_for_the_same_seed(
    kind: Callable[[bytes, np.random.Generator], bytes],
) -> None:
    _, content = corpus()[0]
    changed = [kind(content, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert changed[0] == changed[1] != content
    assert changed[2] != changed[0]


def test_mutated_files_are_the_same_each_time_and_not_each_other() -> None:
    first, again, other = (dict(mutated(seed, range(40))) for seed in (1, 1, 2))
    assert first == again and first != other and len(set(first.values())) > 35
