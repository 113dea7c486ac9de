"""From a registered version back to everything that it was made from, as it was then.

The version keeps `dvc.lock`, `dvc.yaml`, `params.yaml` and a record of the environment in `lineage/` among its files:
a later commit, or none, does not take them away.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml

from components.adapters import registry, tracking
from components.adapters.registry import Version
from components.handover import Layout, read_json, sha256_of, write_json
from components.handover.names import GRAPH, LOCK, PARAMS, REQUIREMENTS
from components.promotion.ledger import history

FOLDER = "lineage"
KEPT = (LOCK, GRAPH, PARAMS, REQUIREMENTS)
ENVIRONMENT = "environment.json"


@dataclass(frozen=True)
class Chain:
    """What one version was made from; digests are empty where they were not kept."""

    version: Version
    aliases: tuple[str, ...]
    run: dict[str, str]  # MLflow: id, when it began, git revision, data digest
    parameters: dict[str, str]
    stage: dict[str, str]  # of the kept dvc.lock: every dependency and output of the training, with its digest
    environment: dict[str, Any]
    promotions: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        about = {"model": self.version.name, "version": self.version.number, "method": self.version.method}
        about |= {"weights_sha256": self.version.weights_sha256, "withdrawn": self.version.withdrawn}
        return about | {
            name: getattr(self, name) for name in ("aliases", "run", "parameters", "stage", "environment", "promotions")
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        serves = f" · {', '.join(self.aliases)}" if self.aliases else ""
        packages = self.environment.get("packages", {})
        told = {
            "weights": self.version.weights_sha256,
            "withdrawn": self.version.withdrawn,
            **{f"run: {key}": value for key, value in self.run.items()},
            **{f"dvc.lock: {key}": value for key, value in self.stage.items()},
            **{f"environment: {key}": str(self.environment.get(key, "")) for key in ("python", "platform")},
            **{f"environment: {name}": packages.get(name, "") for name in ("torch", "numpy")},
            "parameters": ", ".join(f"{key} {value}" for key, value in sorted(self.parameters.items())),
        }
        width = max(len(key) for key in told)
        lines = [f"{self.version.name} {self.version.number} ({self.version.method}){serves}"]
        lines += [f"  {key:<{width}}  {value}" for key, value in told.items() if value]
        for entry in self.promotions:
            by = f" by {entry['by']}" if entry.get("by") else ""
            because = f": {entry['reason']}" if entry.get("reason") else ""
            lines.append(f"  {entry['at']}  {entry['outcome']} {entry['version']}{by}{because}")
        return lines


def keep(layout: Layout, model_id: str) -> dict[str, str]:
    """Stores with a logged model what it was made from, as the project's folder has it now.

    Gives the tags of a version made of it, which is made after: there is none without its lineage.
    """
    with tempfile.TemporaryDirectory(prefix="medsr-lineage-") as place:
        write_json(Path(place, ENVIRONMENT), environment())
        registry.attach(layout, model_id, [Path(place, ENVIRONMENT), *_kept(layout)], FOLDER)
    lock = layout.root / LOCK
    return {"dvc_lock_sha256": sha256_of(lock)} if lock.is_file() else {}


def complete(layout: Layout, version: Version) -> None:
    """Keeps with `version`, which is what the folder holds, what it was made from, where nothing is kept yet."""
    if not version.traced:
        for key, value in keep(layout, version.model_id).items():
            registry.tag(layout, version, key, value)


def chain(layout: Layout, version: Version) -> Chain:
    """Everything that is known of `version`."""
    client = tracking.connect(layout).MlflowClient()
    run = client.get_run(version.run_id)
    folder = registry.folder_of(layout, version).parents[1] / FOLDER
    pointed = registry.aliases(layout, version.name)
    tags = ("git_revision", "data_sha256", "dvc_stage", "restored_from")
    return Chain(
        version=version,
        aliases=tuple(sorted(alias for alias, number in pointed.items() if number == version.number)),
        run={"id": version.run_id} | {key: run.data.tags[key] for key in tags if run.data.tags.get(key)},
        parameters=dict(run.data.params),
        stage=_stage(folder / LOCK, run.data.tags.get("dvc_stage", "")),
        environment=read_json(folder / ENVIRONMENT) if (folder / ENVIRONMENT).is_file() else {},
        promotions=[
            entry
            for entry in history(layout)
            if entry["model"] == version.name and version.number in (entry["version"], entry["replaced"])
        ],
    )


def environment() -> dict[str, Any]:
    """Python, the platform and every installed package with its version."""
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "packages": dict(_packages()),
    }


@cache
def _packages() -> tuple[tuple[str, str], ...]:
    """Name and version of each; looking takes a quarter of a second, and a running process keeps what it has loaded."""
    return tuple(sorted({found.name: found.version for found in distributions() if found.name}.items()))


def _kept(layout: Layout) -> list[Path]:
    return [layout.root / name for name in KEPT if (layout.root / name).is_file()]


def _stage(lock: Path, name: str) -> dict[str, str]:
    if not lock.is_file():
        return {}
    stage = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}).get(name, {})
    rows = [*stage.get("deps", ()), *stage.get("outs", ())]
    return {row["path"]: str(row.get("md5", "")) for row in rows}
