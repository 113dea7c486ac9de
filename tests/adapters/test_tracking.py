import os
import subprocess
import sys
from pathlib import Path

from components.handover import Layout
from flows import mlflow_pages
from flows.prefect_server import DEFAULTS


def test_mlflow_tells_its_makers_nothing(tmp_path: Path) -> None:
    asked = "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    connected = f"from components.adapters import tracking as t; t.connect(t.Layout()); {asked}"
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}  # it is silent, too, where CI or a test is named
    for command, own in ((connected, {}), (asked, mlflow_pages.environment(Layout(tmp_path))), (asked, DEFAULTS)):
        done = subprocess.run(
            [sys.executable, "-c", command], cwd=tmp_path, env=bare | own, capture_output=True, text=True
        )
        assert done.stdout == "True\n", done.stderr
