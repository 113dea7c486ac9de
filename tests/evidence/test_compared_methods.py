from pathlib import Path

import pytest

from components.evidence.compared_methods import compared_methods, external_method
from components.handover import METHODS, Layout, StepError
from components.learning.datasets.pairs import rows_of


def test_ours_come_first_with_what_is_known_of_their_cost(trained: Layout) -> None:
    import torch

    rows = rows_of(trained.super_resolution, "test")
    methods, champion, left_out = compared_methods(trained, rows, 4, torch.device("cpu"))
    assert [method.name for method in methods] == list(METHODS) and champion == {} and left_out == []
    assert methods[0].parameters == 0 and all(method.parameters and method.weights_bytes for method in methods[1:])


@pytest.mark.parametrize("name", ["rrdb", "RRDB", "champion", "leader", "original", "input", "a/b", "a.zoom", ""])
def test_a_name_that_would_be_mistaken_for_one_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StepError, match="expected a name"):
        external_method(name, tmp_path, [])
