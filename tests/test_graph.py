"""The code that each stage of `dvc.yaml` declares, against what its module imports."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from dvc.repo import Repo

from components.handover import GENERATORS
from components.handover.methods import CLASSIFIERS, GENERATIVE, training_stage

PROJECT = Path(__file__).parents[1]
# no result depends on these alone: where files lie, how settings are read (DVC follows the settings themselves), and
# what MLflow is told
MLFLOW = tuple(f"components.adapters.{name}" for name in ("logged_models", "tracking", "training_runs"))
SHARED = ("components.handover", "components.params", *MLFLOW)


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("components", exclude_type_checking_imports=True, cache_dir=None)


@cache
def declared() -> dict[str, list[str]]:
    """The code among the dependencies of each stage, by its module."""
    with Repo(str(PROJECT)) as repository:
        stages = [stage for stage in repository.index.stages if stage.cmd]
    found: dict[str, list[str]] = {}
    for stage in stages:
        places = [Path(dep.fs_path) for dep in stage.deps if "params.yaml" not in str(dep.fs_path)]
        code = [str(place.relative_to(PROJECT)) for place in places if place.is_relative_to(PROJECT / "components")]
        found[stage.cmd.split()[2]] = code
    return found


def undeclared(module: str, code: Collection[str]) -> Iterator[str]:
    """The files that `module` imports, by whatever way, and that lie below none of `code`."""
    for name in sorted({module, *graph().find_upstream_modules(module)}):
        place = Path(*name.split("."))
        if (PROJECT / place).is_dir() or any(name == one or name.startswith(f"{one}.") for one in SHARED):
            continue
        file = place.with_suffix(".py")
        if not any(file == Path(one) or file.is_relative_to(one) for one in code):
            yield str(file)


@pytest.mark.parametrize("module", sorted(declared()))
def test_a_stage_declares_all_the_code_that_it_imports(module: str) -> None:
    assert list(undeclared(module, declared()[module])) == []


@pytest.mark.parametrize("module", sorted(declared()))
def test_a_stage_declares_no_code_that_it_does_not_import(module: str) -> None:
    for one in declared()[module]:
        assert list(undeclared(module, [other for other in declared()[module] if other != one])), one


def test_an_edit_of_the_published_protocol_trains_nothing_again() -> None:
    assert not [one for one in declared()["components.train"] if one.startswith("components/natural_images")]


def test_a_model_names_the_stage_that_trains_it() -> None:
    from flows.stages import read_graph

    names = {stage.name for stage in read_graph(PROJECT) if stage.name.startswith("train")}
    assert {training_stage(name) for name in (*GENERATORS, *CLASSIFIERS, GENERATIVE)} == names


def unused(graph: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The lines that `graph`, a `dvc.yaml`, lacks for a model of `handover/methods.py` to be used everywhere."""
    wanted = dict.fromkeys(GENERATORS, ("evaluate", "evaluate_classifiers", "report"))
    wanted |= dict.fromkeys((*CLASSIFIERS, GENERATIVE), ("evaluate_classifiers",))
    for name, stages in wanted.items():
        for stage in stages:
            if f"data/models/{name}" not in graph["stages"][stage]["deps"]:
                yield f"stages.{stage}.deps: - data/models/{name}"
    curves = next(plot["PSNR on validation images while training"] for plot in graph["plots"] if "PSNR" in str(plot))
    for name in GENERATORS:
        if f"data/models/{name}/history.csv" not in curves["y"]:
            yield f"plots: data/models/{name}/history.csv"


def test_every_model_is_evaluated_reported_and_plotted() -> None:
    graph = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    assert list(unused(graph)) == []
    graph["stages"]["evaluate"]["deps"].remove("data/models/rrdb")
    assert list(unused(graph)) == ["stages.evaluate.deps: - data/models/rrdb"]
