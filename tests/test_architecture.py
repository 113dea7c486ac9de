"""The rules of the architecture, checked by machine; `pyproject.toml` states the import contracts."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SOURCES = sorted(
    path.relative_to(PROJECT)
    for package in ("components", "flows")
    for path in (PROJECT / package).rglob("*.py")
    if path.name != "__init__.py"
)
MODULES = [".".join(path.with_suffix("").parts) for path in SOURCES]

# what a bare GPU machine does not have; torch, torchvision, numpy, PyYAML, safetensors and Fabric it has
ABSENT_WHERE_TRAINING_RUNS = [
    "click",
    "dvc",
    "great_expectations",
    "matplotlib",
    "mlflow",
    "nibabel",
    "pandas",
    "prefect",
    "pydicom",
    "pylibjpeg",
    "rich",
    "scipy",
    "skimage",
    "sklearn",
]

IMPORT_ALL = """
import importlib, json, logging, os, sys
from pathlib import Path

def state():
    files = sorted(str(path) for place in (Path.cwd(), Path.home()) for path in place.rglob("*"))
    environment = [f"{key}={value}" for key, value in os.environ.items()]
    return {"files": files, "handlers": list(map(repr, logging.getLogger().handlers)), "environment": environment}

before, effects = state(), {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    now = state()
    changed = {key: sorted({*now[key]} ^ {*before[key]}) for key in now}
    if any(changed.values()):
        effects[name] = changed
    before = now
print(json.dumps(effects))
"""

IMPORT_WITHOUT = """
import importlib, json, sys

class Without:
    def __init__(self, finder, names):
        self.finder, self.names = finder, set(names)
    def find_spec(self, name, path=None, target=None):
        return None if name in self.names else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

modules, absent = map(json.loads, sys.argv[1:])
sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]
for name in modules:
    importlib.import_module(name)
"""


def python(script: str, *arguments: object, cwd: Path = PROJECT, home: Path | None = None) -> str:
    """What `script` printed, run by a new interpreter."""
    environment = os.environ | {"PYTHONPATH": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    if home:
        environment |= {"HOME": str(home), "PYTHONPATH": str(PROJECT)}
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "PREFECT_HOME"):
            environment.pop(name, None)
    command = [sys.executable, "-c", script, *(json.dumps(argument) for argument in arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def linted(root: Path) -> str:
    """What import-linter says of the packages under `root`; ends with its exit code."""
    script = "from importlinter.cli import lint_imports; print('exit code', lint_imports(no_cache=True, no_logo=True))"
    return python(script, cwd=root)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the contracts, to break."""
    for package in ("components", "flows", "benchmarks"):
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_import_contract_is_broken() -> None:
    answer = linted(PROJECT)
    assert answer.endswith("exit code 0\n"), answer


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("components/split.py", "import components.prepare", "Imports point one way"),
        ("components/handover/rows.py", "import components.train", "Imports point one way"),
        ("components/imaging/intensity.py", "import components.dicom.read", "Imports point one way"),
        ("components/learning/weights.py", "import components.learning.training.losses", "Inside learning"),
        ("components/ingest.py", "import prefect", "Components know nothing of orchestration"),
        ("components/report.py", "import flows.stages", "Components know nothing of orchestration"),
        ("components/learning/training/losses.py", "import mlflow", "Training needs only"),
        ("components/train.py", "import pandas", "Training needs only"),
        ("components/learning/device.py", "import benchmarks.machine", "Nothing depends on benchmarks"),
        ("flows/doctor.py", "import benchmarks.sizes", "Nothing depends on benchmarks"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / module
    path.write_text(path.read_text() + f"\n{line}\n")
    answer = linted(copy)
    assert answer.endswith("exit code 1\n"), answer
    broken = [line for line in answer.splitlines() if " BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), answer


def test_importing_any_module_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    effects = json.loads(python(IMPORT_ALL, MODULES, cwd=tmp_path, home=tmp_path / "home"))
    assert effects == {}


def test_an_import_with_an_effect_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "culprit.py").write_text(
        "import logging, os\nlogging.basicConfig()\nos.environ['CULPRIT'] = '1'\nopen('x', 'w')"
    )
    script = "import sys; sys.path.insert(0, '.')\n" + IMPORT_ALL
    effects = json.loads(python(script, ["culprit"], cwd=tmp_path, home=tmp_path / "home"))
    assert set(effects["culprit"]) == {"files", "handlers", "environment"}


def test_training_imports_where_only_its_own_packages_are() -> None:
    rooms = ("components.learning.", "components.natural_images.")
    training = [name for name in MODULES if name == "components.train" or name.startswith(rooms)]
    assert len(training) > 10
    python(IMPORT_WITHOUT, training, ABSENT_WHERE_TRAINING_RUNS)


def test_a_package_that_is_absent_would_be_missed() -> None:
    with pytest.raises(AssertionError, match="No module named 'pydicom'"):
        python(IMPORT_WITHOUT, ["components.dicom.read"], ABSENT_WHERE_TRAINING_RUNS)


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_every_module_is_tested_where_its_mirror_is(source: Path) -> None:
    """By a file of its own name, by its package's, or, the small ones, by a neighbour that imports it."""
    folder = PROJECT / "tests" / source.parent.relative_to("components" if source.parts[0] == "components" else ".")
    name = ".".join(source.with_suffix("").parts)
    own = folder / f"test_{source.name}"
    whole = folder / f"test_{folder.name}.py"
    neighbours = [path for path in folder.glob("test_*.py") if name in _imported(path)]
    assert own.is_file() or whole.is_file() or neighbours, f"{source}: expected {own.relative_to(PROJECT)}"


def _imported(path: Path) -> set[str]:
    """Every module that a test file imports, by full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_graph_s_stages_are_modules_with_a_test() -> None:
    """A stage's name is that of its module, with what sets it apart from the module's other stages behind it."""
    from flows.stages import read_graph

    for stage in read_graph(PROJECT):
        module = stage.command.split()[2]
        verb = module.removeprefix("components.")
        assert stage.command.startswith("python -m components.") and module in MODULES
        assert re.match(rf"{verb}(_\w+)?(@|$)", stage.name)


def test_no_file_is_longer_than_300_lines() -> None:
    """Of code, tests, templates and settings; a longer one has more than one subject."""
    kinds = (".py", ".jinja", ".css", ".js", ".yaml", ".md")
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    files = [PROJECT / name for name in listed.splitlines() if name.endswith(kinds)]
    assert len(files) > 300
    assert [str(path) for path in files if path.is_file() and len(path.read_text().splitlines()) > 300] == []
