"""A registered version made again from what it was made of: does the same come out? `medsr models reproduce`.

It happens in a clone of the commit, in a temporary folder, with the project's DVC cache: nothing here is changed.
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
    """How a version that was made again compares with the one registered."""

    model: str
    version: str
    method: str
    same: bool  # bit for bit
    wanted_sha256: str
    found_sha256: str
    largest_difference: float  # between two weights; infinite where the networks have other layers
    environment: dict[str, tuple[str, str]]  # what is other than then: version then, version now
    seconds: float

    def lines(self) -> list[str]:
        """For the terminal."""
        about = f"{self.model} {self.version} ({self.method})"
        if self.same:
            return [f"{about}: the same weights, bit for bit, {self.wanted_sha256[:12]}; made in {self.seconds:.0f} s"]
        wanted, found = self.wanted_sha256[:12], self.found_sha256[:12]
        return [
            f"{about}: other weights, {found} instead of {wanted}; made in {self.seconds:.0f} s",
            f"  no weight differs by more than {self.largest_difference:.3g}",
            *(
                f"  {name}: {then or 'absent'} then, {now or 'absent'} now"
                for name, (then, now) in sorted(self.environment.items())
            ),
        ]


def reproduce(layout: Layout, version: Version, say: Callable[[str], None]) -> Reproduction:
    """Trains `version` again and compares; `say` gets the training's lines.

    Raises `StepError` where something that it was made of is not there any more, naming it.
    """
    kept = registry.folder_of(layout, version).parents[1] / lineage.FOLDER
    about = lineage.trace(layout, version).run
    revision, name = about.get("git_revision", "").removesuffix("-dirty"), about.get("dvc_stage", "")
    if not (kept / LOCK).is_file() or not revision or not name:
        raise StepError(
            f"{version.name} {version.number}: expected the commit and dvc.lock that it was made from, found none. "
            "It was registered outside git or without a run of the pipeline."
        )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="medsr-reproduce-") as place:
        root = Path(place) / "clone"
        _clone(layout, root, revision)
        for file in (LOCK, GRAPH, PARAMS):
            (root / file).write_bytes((kept / file).read_bytes())
        _share_cache(layout, root)
        stage = next((one for one in stages.read_graph(root) if one.name == name), None)
        if stage is None:
            raise StepError(f"{version.name} {version.number}: its dvc.yaml has no stage {name}.")
        _fetch(root, _inputs(root, name), say)
        _check(root, stage, revision)
        _train(root, stage, say)
        made = root / "data" / "models" / version.method / WEIGHTS
        then = read_json(kept / lineage.ENVIRONMENT) if (kept / lineage.ENVIRONMENT).is_file() else {}
        return Reproduction(
            model=version.name,
            version=version.number,
            method=version.method,
            same=sha256_of(made) == version.weights_sha256,
            wanted_sha256=version.weights_sha256,
            found_sha256=sha256_of(made),
            largest_difference=_largest_difference(registry.folder_of(layout, version) / WEIGHTS, made),
            environment=_differences(then, lineage.environment()),
            seconds=time.monotonic() - began,
        )


def _clone(layout: Layout, root: Path, revision: str) -> None:
    for arguments in (
        ("clone", "--quiet", "--no-checkout", str(layout.root.resolve()), str(root)),
        ("-C", str(root), "checkout", "--quiet", "--detach", revision),
    ):
        done = subprocess.run(("git", *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepError(
                f"{layout.root.resolve()}: expected commit {revision[:12]}, git says: {done.stderr.strip()}"
            )


def _share_cache(layout: Layout, root: Path) -> None:
    """Lets the clone read the project's cache, and its remote where it has one of its own."""
    from dvc.repo import Repo

    with Repo(str(layout.root)) as repository:
        cache = repository.cache.local_cache_dir
    own = layout.root / ".dvc" / "config.local"
    if own.is_file():
        (root / ".dvc" / "config.local").write_bytes(own.read_bytes())
    said: list[str] = []
    if _dvc(root, ("cache", "dir", "--local", str(cache)), said.append):
        raise StepError(f"{cache}: DVC cannot use this cache: {' '.join(said)}")


def _inputs(root: Path, name: str) -> list[str]:
    """What the stage needs of other stages' outputs."""
    kept = yaml.safe_load((root / LOCK).read_text(encoding="utf-8"))["stages"]
    outputs = [row["path"] for stage in kept.values() for row in stage.get("outs", ())]
    needed = [row["path"] for row in kept[name].get("deps", ())]
    return sorted({out for out in outputs for path in needed if out == path or path.startswith(f"{out}/")})


def _fetch(root: Path, paths: list[str], say: Callable[[str], None]) -> None:
    """From the cache, else from the remote."""
    said: list[str] = []
    if not paths or not _dvc(root, ("checkout", *paths), said.append):
        return
    say("not all of it is in the cache: asking the remote")
    if _dvc(root, ("pull", *paths), said.append):
        last = "".join(f"\n  {line}" for line in said[-6:])
        raise StepError(
            f"{', '.join(paths)}: expected in DVC's cache or remote as they were when the version was made, "
            f"not found.{last}"
        )


def _check(root: Path, stage: Stage, revision: str) -> None:
    """That code, data and settings are those which the kept dvc.lock names."""
    others = [reason for reason in stages.stale(root).get(stage.name, ()) if not reason.startswith("data/models/")]
    if others:
        raise StepError(
            f"{stage.name}: expected what it was made of, found {'; '.join(others)} at commit {revision[:12]}. It was "
            "made from files that were never committed: it cannot be made again from this repository alone."
        )


def _train(root: Path, stage: Stage, say: Callable[[str], None]) -> None:
    """In the clone, which has an MLflow of its own."""
    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        say(line)

    code = _dvc(root, ("repro", "--single-item", "--force", "--no-commit", stage.name), told)
    if code:
        last = "".join(f"\n  {line}" for line in said[-stages.LAST_LINES :])
        raise StepError(f"{stage.name}: could not be trained again, exit code {code}.{last}")


def _dvc(root: Path, arguments: tuple[str, ...], on_line: Callable[[str], Any]) -> int:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    environment |= {"PATH": path, "SHELL": "/bin/sh", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(root)}
    return process_group.run([sys.executable, "-m", "dvc", *arguments], root, environment, on_line, threading.Event())


def _largest_difference(one: Path, other: Path) -> float:
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(other)
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        return math.inf
    gaps = [float((first[name].double() - second[name].double()).abs().max()) for name in first if first[name].numel()]
    return max(gaps, default=0.0)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, str]]:
    before = {"python": then.get("python", ""), "platform": then.get("platform", "")} | then.get("packages", {})
    after = {"python": now["python"], "platform": now["platform"]} | now["packages"]
    return {
        name: (str(before.get(name, "")), str(after.get(name, "")))
        for name in {*before, *after}
        if before.get(name) != after.get(name)
    }
