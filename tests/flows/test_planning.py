from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.handover import StepError
from flows import planning
from flows.stages import Stage

Toy = Callable[[str], Path]
GRAPH = [Stage("a"), Stage("b", ("a",)), Stage("c", ("a",)), Stage("d", ("b", "c"))]


@pytest.mark.parametrize(
    ("last", "names"),
    [(("b",), "ab"), (("b", "c"), "abc"), (("d",), "abcd"), ((), "abcd"), (("a", "a"), "a")],
)
def test_a_part_of_the_graph_is_the_stages_named_and_all_they_need_in_order(last: tuple[str, ...], names: str) -> None:
    assert [stage.name for stage in planning.part(GRAPH, last)] == list(names)


def test_stages_that_the_graph_lacks_are_named() -> None:
    with pytest.raises(StepError, match=r"dvc\.yaml: expected the stages x, y, found none of these names"):
        planning.part(GRAPH, ("y", "a", "x"))


def test_images_are_new_until_each_stage_that_reads_them_has_run(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    root = toy(
        """
        ingest: {cmd: "mkdir -p data/raw && cp in.txt data/raw/a", deps: [in.txt], outs: [data/raw]}
        train: {cmd: "cp data/raw/a model", deps: [data/raw], outs: [model]}
        report: {cmd: "cp other.txt page", deps: [other.txt], outs: [page]}
        """
    )
    monkeypatch.chdir(root)
    (root / "in.txt").write_text("1")
    (root / "other.txt").write_text("1")
    reproduce("ingest")
    assert planning.new_images(root)
    reproduce("train")
    assert not planning.new_images(root), "what is out of date for another reason is no news"
    (root / "in.txt").write_text("2")
    assert not planning.new_images(root), "not ingested yet"
    reproduce("ingest")
    assert planning.new_images(root)
    assert set(planning.planned(root).stages) == {"train", "report"}


def reproduce(stage: str) -> None:
    from dvc.repo import Repo

    with Repo() as repository:
        repository.reproduce(stage)
