"""The measured machine: processor or GPU, torch, the project's revision, and whether other work ran on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import torch

from components.learning.device import usable_precision

QUIET = 0.5  # running processes over the last minute


def described(device: torch.device) -> str:
    """The machine in one line: names, cores and versions, no addresses."""
    processor = f"{_processor()}, {_cores()} cores, {torch.get_num_threads()} threads"
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    fast = usable_precision("bf16-mixed", device) == "bf16-mixed"
    return f"{gpu}{processor}, torch {torch.__version__}, bfloat16 {'usable' if fast else 'not usable'}{_load()}"


def revision() -> str:
    """The commit, and whether files differ from it; `unknown` outside a checkout."""
    commit, changes = (_git(*words) for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain")))
    if commit is None:
        return "unknown"
    return f"{commit} with changes" if changes else commit


def _git(*words: str) -> str | None:
    try:
        process = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpu_info.read_text(encoding="utf-8")) if cpu_info.is_file() else None
    return model[1] if model else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load() -> str:
    """A warning where other work ran on the machine, because it disturbs the times."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f", **not quiet: load {load:.1f} before the start**" if load > QUIET else ""
