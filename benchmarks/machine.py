"""On what was measured: the processor or GPU, torch, the revision of the project, and whether it was quiet."""

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
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", about.read_text(encoding="utf-8")) if about.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _load() -> str:
    """Says so where others were at work: such numbers are worth less."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f", **not quiet: load {load:.1f} before the start**" if load > QUIET else ""
