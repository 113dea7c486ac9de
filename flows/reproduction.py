"""Trains a registered version again and compares the weights. `medsr models reproduce`.

This happens in a temporary clone of the version's commit with the project's DVC cache. It changes nothing here.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.adapters import registry
from components.adapters.registry import Version
from components.handover import Layout, StepError, read_json, sha256_of
from components.handover.names import GRAPH, LOCK, PARAMS, WEIGHTS
from components.promotion import lineage
from flows import process_group, stages
from flows.stages import Stage


@dataclass(frozen=True)
class Reproduction:
    """The comparison of a reproduced version with the registered one."""

    model: str
    version: str
    method: str
    same: bool  # bit for bit
    wanted_sha256: str
    found_sha256: str
    largest_difference: float  # between two weights; infinite where the networks have other layers
    environment: dict[str, tuple[str, str]]  # what differs: its version then, its version now
    seconds: float

    def lines(self) -> list[str]:
        """The comparison as lines for the terminal."""
        label = f"{self.model} {self.version} ({self.method})"
        if self.same:
            return [f"{label}: the same weights, bit for bit, {self.wanted_sha256[:12]}; made in {self.seconds:.0f} s"]
        registered, reproduced = self.wanted_sha256[:12], self.found_sha256[:12]
        return [
            f"{label}: other weights, {reproduced} instead of {registered}; made in {self.seconds:.0f} s",
            f"  no weight differs by more than {self.largest_difference:.3g}",
            *(
                f"  {name}: {then or 'absent'} then, {now or 'absent'} now"
                for name, (then, now) in sorted(self.environment.items())
            ),
        ]


def reproduce(layout: Layout, version: Version, say: Callable[[str], None]) -> Reproduction:
    """Trains `version` again and compares the weights. `say` gets the training's lines.

    Raises `StepError` that names a missing input of the version.
    """
    provenance = registry.folder_of(layout, version).parents[1] / lineage.FOLDER
    run = lineage.trace(layout, version).run
    revision, name = run.get("git_revision", "").removesuffix("-dirty"), run.get("dvc_stage", "")
    if not (provenance / LOCK).is_file() or not revision or not name:
        raise StepError(
            f"{version.name} {version.number}: expected the commit and dvc.lock that it was made from, found none. "
            "It was registered outside git or without a run of the pipeline."
        )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="medsr-reproduce-") as temporary:
        root = Path(temporary) / "clone"
        _clone(layout, root, revision)
        for file in (LOCK, GRAPH, PARAMS):
            (root / file).write_bytes((provenance / file).read_bytes())
        _share_cache(layout, root)
        stage = next((stage for stage in stages.read_graph(root) if stage.name == name), None)
        if stage is None:
            raise StepError(f"{version.name} {version.number}: its dvc.yaml has no stage {name}.")
        _fetch(root, _inputs(root, name), say)
        _check(root, stage, revision)
        _train(root, stage, say)
        weights = root / "data" / "models" / version.method / WEIGHTS
        trained_in = read_json(provenance / lineage.ENVIRONMENT) if (provenance / lineage.ENVIRONMENT).is_file() else {}
        return Reproduction(
            model=version.name,
            version=version.number,
            method=version.method,
            same=sha256_of(weights) == version.weights_sha256,
            wanted_sha256=version.weights_sha256,
            found_sha256=sha256_of(weights),
            largest_difference=_largest_difference(registry.folder_of(layout, version) / WEIGHTS, weights),
            environment=_differences(trained_in, lineage.environment()),
            seconds=time.monotonic() - began,
        )


def _clone(layout: Layout, root: Path, revision: str) -> None:
    for arguments in (
        ("clone", "--quiet", "--no-checkout", str(layout.root.resolve()), str(root)),
        ("-C", str(root), "checkout", "--quiet", "--detach", revision),
    ):
        process = subprocess.run(("git", *arguments), capture_output=True, text=True, check=False)
        if process.returncode:
            raise StepError(
                f"{layout.root.resolve()}: expected commit {revision[:12]}, git says: {process.stderr.strip()}"
            )


def _share_cache(layout: Layout, root: Path) -> None:
    """Lets the clone read the project's cache, and its remote where `config.local` names one."""
    from dvc.repo import Repo

    with Repo(str(layout.root)) as repository:
        cache = repository.cache.local_cache_dir
    local_config = layout.root / ".dvc" / "config.local"
    if local_config.is_file():
        (root / ".dvc" / "config.local").write_bytes(local_config.read_bytes())
    lines: list[str] = []
    if _dvc(root, ("cache", "dir", "--local", str(cache)), lines.append):
        raise StepError(f"{cache}: DVC cannot use this cache: {' '.join(lines)}")


def _inputs(root: Path, name: str) -> list[str]:
    """The outputs of other stages that the stage depends on."""
    locked = yaml.safe_load((root / LOCK).read_text(encoding="utf-8"))["stages"]
    outputs = [row["path"] for stage in locked.values() for row in stage.get("outs", ())]
    needed = [row["path"] for row in locked[name].get("deps", ())]
    return sorted({out for out in outputs for path in needed if out == path or path.startswith(f"{out}/")})


def _fetch(root: Path, paths: list[str], say: Callable[[str], None]) -> None:
    """Fetches `paths` from the cache, else from the remote."""
    lines: list[str] = []
    if not paths or not _dvc(root, ("checkout", *paths), lines.append):
        return
    say("not all of it is in the cache: asking the remote")
    if _dvc(root, ("pull", *paths), lines.append):
        shown = "".join(f"\n  {line}" for line in lines[-6:])
        raise StepError(
            f"{', '.join(paths)}: expected in DVC's cache or remote as they were when the version was made, "
            f"not found.{shown}"
        )


def _check(root: Path, stage: Stage, revision: str) -> None:
    """Checks that code, data and settings are those of the version's dvc.lock."""
    changes = [reason for reason in stages.stale(root).get(stage.name, ()) if not reason.startswith("data/models/")]
    if changes:
        raise StepError(
            f"{stage.name}: expected what it was made of, found {'; '.join(changes)} at commit {revision[:12]}. It was "
            "made from files that were never committed: it cannot be made again from this repository alone."
        )


def _train(root: Path, stage: Stage, say: Callable[[str], None]) -> None:
    """Trains in the clone, which has an MLflow of its own."""
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        say(line)

    code = _dvc(root, ("repro", "--single-item", "--force", "--no-commit", stage.name), log)
    if code:
        shown = "".join(f"\n  {line}" for line in lines[-stages.LAST_LINES :])
        raise StepError(f"{stage.name}: could not be trained again, exit code {code}.{shown}")


def _dvc(root: Path, arguments: tuple[str, ...], on_line: Callable[[str], Any]) -> int:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environment |= {"PATH": path, "SHELL": "/bin/sh", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(root)}
    return process_group.run([sys.executable, "-m", "dvc", *arguments], root, environment, on_line, threading.Event())


def _largest_difference(first: Path, second: Path) -> float:
    from safetensors.torch import load_file

    a, b = load_file(first), load_file(second)
    if {name: value.shape for name, value in a.items()} != {name: value.shape for name, value in b.items()}:
        return math.inf
    gaps = [float((a[name].double() - b[name].double()).abs().max()) for name in a if a[name].numel()]
    return max(gaps, default=0.0)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, str]]:
    before = {"python": then.get("python", ""), "platform": then.get("platform", "")} | then.get("packages", {})
    after = {"python": now["python"], "platform": now["platform"]} | now["packages"]
    return {
        name: (str(before.get(name, "")), str(after.get(name, "")))
        for name in {*before, *after}
        if before.get(name) != after.get(name)
    }
