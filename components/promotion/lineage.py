"""The lineage of a registered version: everything that it was made from, as it was then.

The version keeps `dvc.lock`, `dvc.yaml`, `params.yaml`, the locked requirements and a record of the environment in
`lineage/` among its files. No later commit can change them.
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
KEPT_FILES = (LOCK, GRAPH, PARAMS, REQUIREMENTS)
ENVIRONMENT = "environment.json"


@dataclass(frozen=True)
class Lineage:
    """The lineage of one version; digests are empty where they were not kept."""

    version: Version
    aliases: tuple[str, ...]
    run: dict[str, str]  # MLflow: id, when it began, git revision, data digest
    parameters: dict[str, str]
    stage: dict[str, str]  # of the kept dvc.lock: every dependency and output of the training, with its digest
    environment: dict[str, Any]
    promotions: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        summary = {"model": self.version.name, "version": self.version.number, "method": self.version.method}
        summary |= {"weights_sha256": self.version.weights_sha256, "withdrawn": self.version.withdrawn}
        return summary | {
            name: getattr(self, name) for name in ("aliases", "run", "parameters", "stage", "environment", "promotions")
        }

    def lines(self) -> list[str]:
        """For the terminal."""
        serves = f" · {', '.join(self.aliases)}" if self.aliases else ""
        packages = self.environment.get("packages", {})
        fields = {
            "weights": self.version.weights_sha256,
            "withdrawn": self.version.withdrawn,
            **{f"run: {key}": value for key, value in self.run.items()},
            **{f"dvc.lock: {key}": value for key, value in self.stage.items()},
            **{f"environment: {key}": str(self.environment.get(key, "")) for key in ("python", "platform")},
            **{f"environment: {name}": packages.get(name, "") for name in ("torch", "numpy")},
            "parameters": ", ".join(f"{key} {value}" for key, value in sorted(self.parameters.items())),
        }
        width = max(len(key) for key in fields)
        lines = [f"{self.version.name} {self.version.number} ({self.version.method}){serves}"]
        lines += [f"  {key:<{width}}  {value}" for key, value in fields.items() if value]
        for entry in self.promotions:
            by = f" by {entry['by']}" if entry.get("by") else ""
            because = f": {entry['reason']}" if entry.get("reason") else ""
            lines.append(f"  {entry['at']}  {entry['outcome']} {entry['version']}{by}{because}")
        return lines


def keep(layout: Layout, model_id: str) -> dict[str, str]:
    """Stores the lineage with a logged model, from the project's folder as it is now.

    Gives the tags for the version. The version is registered afterwards, so none exists without its lineage.
    """
    with tempfile.TemporaryDirectory(prefix="medsr-lineage-") as folder:
        write_json(Path(folder, ENVIRONMENT), environment())
        registry.attach(layout, model_id, [Path(folder, ENVIRONMENT), *_files_to_keep(layout)], FOLDER)
    lock = layout.root / LOCK
    return {"dvc_lock_sha256": sha256_of(lock)} if lock.is_file() else {}


def complete(layout: Layout, version: Version) -> None:
    """Stores the lineage of `version`, the one the folder holds, if none is stored yet."""
    if not version.traced:
        for key, value in keep(layout, version.model_id).items():
            registry.tag(layout, version, key, value)


def trace(layout: Layout, version: Version) -> Lineage:
    """The lineage of `version`, from MLflow, the kept files and the ledger."""
    client = tracking.connect(layout).MlflowClient()
    run = client.get_run(version.run_id)
    folder = registry.folder_of(layout, version).parents[1] / FOLDER
    aliases = registry.aliases(layout, version.name)
    tags = ("git_revision", "data_sha256", "dvc_stage", "restored_from")
    return Lineage(
        version=version,
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == version.number)),
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
    """Name and version of each. Cached: it takes a quarter of a second, and a running process keeps its packages."""
    return tuple(sorted({package.name: package.version for package in distributions() if package.name}.items()))


def _files_to_keep(layout: Layout) -> list[Path]:
    return [layout.root / name for name in KEPT_FILES if (layout.root / name).is_file()]


def _stage(lock: Path, name: str) -> dict[str, str]:
    if not lock.is_file():
        return {}
    stage = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}).get(name, {})
    rows = [*stage.get("deps", ()), *stage.get("outs", ())]
    return {row["path"]: str(row.get("md5", "")) for row in rows}
