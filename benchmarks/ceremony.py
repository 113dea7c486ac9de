"""The cost of the workflow itself where nothing is stale: `python -m benchmarks.ceremony`, after `make pipeline`.

Whole commands as somebody types them, each in a process of its own, from the start to the exit, in turns. The floors:
Python that does nothing, and DVC that looks at the same graph and finds it up to date.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.servers import HOST, free_port, started
from benchmarks.timing import in_turns

MEDSR = ("-m", "flows.cli")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(machine.described(torch.device("cpu")), machine.revision())
    with tempfile.TemporaryDirectory() as name:
        folder, server = Path(name), f"http://{HOST}:{free_port()}/api"
        environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
        environment["PREFECT_HOME"] = name
        command = _serve(server)
        with started(command, f"{server}/health", folder, environment):
            times_by_command = in_turns(_commands(environment, server), rounds, torch.device("cpu"))
    print("| command | seconds | range |\n|---|---|---|")
    for command_name, times in times_by_command.items():
        print(f"| {command_name} | {times.median:.2f} | {min(times.seconds):.2f} – {max(times.seconds):.2f} |")


def _serve(server: str) -> list[str]:
    port = server.removesuffix("/api").rpartition(":")[2]
    return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port]


def _commands(environment: Mapping[str, str], server: str) -> dict[str, Callable[[int], None]]:
    return {
        "`python -c pass`": _command(environment, "-c", "pass"),
        "`medsr --help`": _command(environment, *MEDSR, "--help"),
        "`dvc repro`": _command(environment, "-m", "dvc", "repro"),
        "`medsr plan`": _command(environment, *MEDSR, "plan"),
        "`medsr run`, with a server of its own": _command(environment, *MEDSR, "run"),
        "`medsr run`, where a server runs": _command({**environment, "PREFECT_API_URL": server}, *MEDSR, "run"),
    }


def _command(environment: Mapping[str, str], *words: str) -> Callable[[int], None]:
    def run(_: int) -> None:
        subprocess.run([sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL)

    return run


if __name__ == "__main__":
    main()
