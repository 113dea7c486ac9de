"""A disk that takes no more, and two runs in one project at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components.handover import IndexRow, Layout, read_rows
from flows.stages import stale
from tests.flows.conftest import PROJECT, ending, eventually
from tests.flows.toy_runs import table
from tests.journey import draw
from tests.settings import content

pytestmark = pytest.mark.service

Toy = Callable[[str], Path]
RUN = """
import sys
from pathlib import Path

from components import register
from components.adapters import tracking
from flows import artifacts, pipeline

tracking.initialise = lambda layout: None
register.run = lambda layout, settings: []
artifacts.publish = lambda layout, decisions: None
sys.exit(pipeline.run_pipeline(Path()))
"""


def start(root: Path, server: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PREFECT_API_URL": server, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_runs_in_one_project_do_each_stage_once_and_both_end_well(toy: Toy, prefect_server: str) -> None:
    root = toy(
        """
        first: {cmd: "sleep 2; echo first >> ran; echo 1 > a.txt", outs: [a.txt]}
        second: {cmd: "sleep 2; echo second >> ran; cat a.txt > b.txt", deps: [a.txt], outs: [b.txt]}
        apart: {cmd: "sleep 2; echo apart >> ran; echo 2 > c.txt", outs: [c.txt], meta: {accelerator: true}}
        """
    )
    both = [start(root, prefect_server) for _ in range(2)]
    said = [one.communicate(timeout=300)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sorted((root / "ran").read_text().split()) == ["apart", "first", "second"]
    for text in said:
        assert set(table(text)) == {"first", "second", "apart", "register"}
    assert {table(text)[name] for text in said for name in ("first", "second", "apart")} == {"done", "cached"}
    assert stale(root) == {}
    assert (root / "b.txt").read_text() == "1\n"


def test_a_run_that_begins_while_another_is_at_work_waits_for_it_and_says_so(toy: Toy, prefect_server: str) -> None:
    root = toy(
        """
        first:
          cmd: touch begun; until test -e go; do sleep 0.1; done; echo first >> ran; echo 1 > a.txt
          outs: [a.txt]
          meta: {retries: 0}
        second: {cmd: "echo second >> ran; cat a.txt > b.txt", deps: [a.txt], outs: [b.txt]}
        """
    )
    with ending(start(root, prefect_server)) as one:
        assert eventually((root / "begun").exists, 180)
        with ending(start(root, prefect_server)) as other:
            assert other.stdout
            waits = next((line for line in other.stdout if "Waiting for process" in line), "")
            (root / "go").touch()
            said = [process.communicate(timeout=300)[0] for process in (one, other)]
    assert waits and [one.returncode, other.returncode] == [0, 0], said
    assert sorted((root / "ran").read_text().split()) == ["first", "second"]


def test_a_full_disk_is_told_by_the_stage_and_nothing_half_written_is_taken(toy: Toy, prefect_server: str) -> None:
    graph = """
        ingest:
          cmd: test -e room || ulimit -f 4; PYTHONDONTWRITEBYTECODE=1 python -m components.ingest
          outs: [data/raw]
        after: {cmd: "wc -l < data/raw/index.csv > count.txt", deps: [data/raw], outs: [count.txt]}
        """
    root = toy(graph)
    settings = content()
    settings["ingest"] |= {"super_resolution": ["dicom:archive"], "classification": ["simulated"]}
    (root / "params.yaml").write_text(yaml.safe_dump(settings))
    (root / "data").mkdir()
    (root / "data" / "reviewed_regions.csv").write_text("sha256,x0,y0,x1,y1,note\n")
    draw(root / "archive", range(2))
    full = start(root, prefect_server)
    said = full.communicate(timeout=300)[0]
    assert full.returncode == 1
    assert table(said) == {"ingest": "failed", "after": "skipped", "register": "skipped"}
    assert re.search(r"not written, .*\. Make room and run again\.", said) and "Traceback" not in said
    assert {"ingest", "after"} <= set(stale(root))
    (root / "room").touch()
    again = start(root, prefect_server)
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0, said
    kept = [row for row in read_rows(Layout(root).index, IndexRow) if row.source == "dicom:archive"]
    assert len(kept) == 2 and not any(row.quarantined for row in kept)
