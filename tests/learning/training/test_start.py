import shutil
from pathlib import Path

import pytest
import torch

from components.handover import Layout, PreparedRow, StepError, read_json, read_rows, write_json
from components.learning.models import build
from components.learning.training.start import start_from

NETWORK = {"name": "rrdb", "channels": 8, "blocks": 1, "growth_channels": 4, "scale": 4}


def rows(layout: Layout) -> list[PreparedRow]:
    return read_rows(layout.super_resolution / "index.csv", PreparedRow)


def test_weights_come_over_with_what_they_saw(trained: Layout) -> None:
    network = build(NETWORK)
    seen = start_from(network, trained.model("rrdb"), "start", rows(trained))
    assert seen == sorted(row.image_id for row in rows(trained) if row.split == "train")
    first, second = torch.rand(2, 1, 1, 8, 8)
    other = build(NETWORK)
    start_from(other, trained.model("rrdb"), "start", rows(trained))
    torch.testing.assert_close(network(first), other(first))
    assert not torch.equal(network(first), network(second))


@pytest.mark.parametrize("side", ["validation", "test"])
def test_weights_that_saw_a_held_out_image_are_refused(trained: Layout, tmp_path: Path, side: str) -> None:
    folder = tmp_path / "leaky"
    shutil.copytree(trained.model("rrdb"), folder)
    held_out = next(row.image_id for row in rows(trained) if row.split == side)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"trained_on": [*config["trained_on"], held_out]})
    with pytest.raises(StepError, match=f"leaky: expected weights that saw no.*{held_out}.*or empty start"):
        start_from(build(NETWORK), folder, "start", rows(trained))


def test_weights_that_do_not_say_what_they_saw_are_refused(trained: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "silent"
    shutil.copytree(trained.model("rrdb"), folder)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {key: value for key, value in config.items() if key != "trained_on"})
    with pytest.raises(StepError, match="silent: does not say which images"):
        start_from(build(NETWORK), folder, "start", rows(trained))


def test_weights_of_another_network_are_refused(trained: Layout) -> None:
    with pytest.raises(StepError, match=r"start: expected weights of the network in params\.yaml.*'channels': 8"):
        start_from(build(NETWORK | {"channels": 16}), trained.model("rrdb"), "start", rows(trained))


def test_a_folder_without_weights_is_named(trained: Layout, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"nowhere/config\.json"):
        start_from(build(NETWORK), tmp_path / "nowhere", "start", rows(trained))
