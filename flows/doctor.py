"""What this machine has and lacks, and how to get what it lacks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from components.handover import StepError
from components.handover.names import REQUIREMENTS

PYTHON = (3, 11)
FREE_GB = 5.0  # data, cache and runs of the quick profile, with room
MEMORY_GB = 6.0
SLOW_TO_COMPILE = ("torch", "torchvision", "mlflow", "prefect", "dvc", "great_expectations")
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """A check of this machine. `remedy` says how to get what is missing."""

    name: str
    ok: bool
    found: str
    remedy: str
    required: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(root: Path) -> list[Check]:
    """Checks everything that a run needs, then what it can use."""
    checks: tuple[Callable[[Path], Check], ...] = (
        _python,
        _packages,
        _bytecode,
        _fastapi,
        _git,
        _graph,
        _writable,
        _disk,
        _memory,
        _stray_runs,
        _remote,
        _accelerator,
        _dciodvfy,
    )
    return [check(root) for check in checks]


def _python(root: Path) -> Check:
    installed = ".".join(map(str, sys.version_info[:3]))
    required = ".".join(map(str, PYTHON))
    return Check(
        "python", sys.version_info >= PYTHON, installed, f"Install Python {required} or newer, then `make clean setup`."
    )


def _packages(root: Path) -> Check:
    """Every package of the lock that is meant for this platform, in the locked version."""
    name, lock = "packages", root / REQUIREMENTS
    if not lock.is_file():
        return Check(name, False, f"no {lock}", "Change to the project's root; `git checkout requirements.lock`.")
    pinned = list(locked(lock.read_text(encoding="utf-8")))
    wrong = [problem for package, pin in pinned if (problem := _differs(package, pin))]
    summary = "; ".join(wrong) if wrong else f"{len(pinned)} in their locked versions"
    return Check(name, not wrong, summary, "`make clean setup` installs what the lock names.")


def locked(text: str) -> Iterator[tuple[str, str]]:
    """Name and version of each package that a lock file asks for on this platform."""
    from packaging.markers import Marker

    for line in _PINNED.finditer(text):
        if line["marker"] is None or Marker(line["marker"].strip()).evaluate():
            yield line["name"], line["version"]


def _differs(package: str, locked_version: str) -> str:
    try:
        installed = version(package)
    except PackageNotFoundError:
        return f"{package} is not installed, {locked_version} is locked"
    matches = installed.split("+")[0] == locked_version.split("+")[0]  # what follows `+` is only how it was built
    return "" if matches else f"{package} is {installed}, {locked_version} is locked"


def _bytecode(root: Path) -> Check:
    """Whether imports are compiled. Where Python cannot write bytecode, each process compiles its imports again."""
    specs = {name: find_spec(name) for name in SLOW_TO_COMPILE}
    missing = [name for name, spec in specs.items() if spec and spec.cached and not Path(spec.cached).is_file()]
    state = f"none of {', '.join(missing)}: each stage takes about 10 s longer to start" if missing else "all packages"
    return Check("bytecode", not missing, state, "`make clean setup` compiles what it installs.", required=False)


def _fastapi(root: Path) -> Check:
    """Prefect declares `fastapi<1`, and its server breaks from 0.151 on; pip does not notice."""
    name, remedy = "fastapi for prefect", "`pip install 'fastapi<0.151'` in .venv, or `make clean setup`."
    try:
        installed = version("fastapi")
    except PackageNotFoundError:
        return Check(name, False, "not installed", remedy)
    return Check(name, tuple(map(int, installed.split(".")[:2])) < (0, 151), installed, remedy)


def _git(root: Path) -> Check:
    remedy = "Install git (Debian: `apt-get install git`)."
    if shutil.which("git") is None:
        return Check("git", False, "no such command", remedy)
    process = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    return Check("git", process.returncode == 0, (process.stdout or process.stderr).strip(), remedy)


def _graph(root: Path) -> Check:
    from flows.stages import read_graph

    try:
        stages = read_graph(root)
    except StepError as error:
        return Check("pipeline", False, str(error), "Run from the root of a git clone of the project.")
    return Check("pipeline", bool(stages), f"{len(stages)} stages in dvc.yaml", "`git checkout dvc.yaml`.")


def _writable(root: Path) -> Check:
    folders = [root / name for name in (".", ".dvc", "data", "mlruns") if (root / name).exists()]
    closed = [str(path) for path in folders if not os.access(path, os.W_OK | os.X_OK)]
    summary = f"not: {', '.join(closed)}" if closed else "all folders a run writes to"
    return Check("writable", not closed, summary, "Make them yours: `chown -R $USER .`")


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free / 1e9
    remedy = f"Free {FREE_GB:.0f} GB; `dvc gc --workspace` drops cached results that nothing names."
    return Check("disk", free >= FREE_GB, f"{free:.1f} GB free", remedy)


def _memory(root: Path) -> Check:
    gigabytes = _memory_bytes() / 1e9
    remedy = f"The quick profile is made for {MEMORY_GB:.0f} GB; with less, lower `batch_size` in params.yaml."
    return Check("memory", gigabytes >= 0.95 * MEMORY_GB, f"{gigabytes:.1f} GB", remedy, required=False)


def _memory_bytes() -> int:
    """The memory of the machine, or of the container where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text)) if text.isdigit() else machine


def _stray_runs(root: Path) -> Check:
    """Looks for experiments of the old file store: a single one makes MLflow take `mlruns` for such a store."""
    stray = sorted(str(path) for path in (root / "mlruns").glob("*/meta.yaml") if path.parent.name.isdigit())
    remedy = f"Move {', '.join(path.removesuffix('/meta.yaml') for path in stray)} out of mlruns." if stray else ""
    return Check("mlruns", not stray, ", ".join(stray) or "no remains of the old file store", remedy)


def _remote(root: Path) -> Check:
    """The remote of `dvc push`, and whether its client is installed. Nothing is sent over the network."""
    from dvc.config import Config
    from dvc.fs import get_fs_cls

    config = Config(str(root / ".dvc"))
    name = config["core"].get("remote")
    if name not in config["remote"]:
        return Check("remote", True, "none, results stay in .dvc/cache", "", required=False)
    url = config["remote"][name]["url"]
    try:
        get_fs_cls({"url": url})
    except ImportError as error:
        remedy = "Install it in .venv, S3's with `make clean setup`. Only `dvc push` and `dvc pull` need it."
        return Check("remote", False, f"{url}: {error}", remedy, required=False)
    return Check("remote", True, url, "", required=False)


def _accelerator(root: Path) -> Check:
    import torch

    from components.learning.device import best_device

    cuda = best_device().type == "cuda"
    summary = torch.cuda.get_device_name() if cuda else "none, training runs on the CPU"
    remedy = "The quick profile needs none; the full one does: an NVIDIA GPU and its driver."
    return Check("accelerator", cuda, summary, remedy, required=False)


def _dciodvfy(root: Path) -> Check:
    path = shutil.which("dciodvfy")
    remedy = "Checks the DICOM we write, in tests only (Debian: `apt-get install dicom3tools`)."
    return Check("dciodvfy", path is not None, path or "no such command", remedy, required=False)
