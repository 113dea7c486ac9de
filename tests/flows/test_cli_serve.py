from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import yaml
from click.testing import CliRunner

from components.serving import settings
from flows.cli import main
from tests.flows.conftest import PROJECT


def test_a_token_opens_once_its_line_is_in_the_settings(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["token", "ward"]).output
    token = shown.splitlines()[0].rpartition(" ")[2]
    line = shown.splitlines()[1].partition("infra/serve.yaml: ")[2]
    known = yaml.safe_load((PROJECT / "infra" / "serve.yaml").read_text())
    known["http"]["tokens"] = yaml.safe_load(line)
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(known))
    (found,) = settings.load(tmp_path / "serve.yaml").http.tokens
    assert (found.name, found.sha256) == ("ward", sha256(token.encode()).hexdigest())


def test_a_program_can_read_it_too() -> None:
    made = json.loads(CliRunner().invoke(main, ["token", "ward", "--json"]).output)
    assert sha256(made["token"].encode()).hexdigest() == made["sha256"]


def test_a_name_that_settings_would_refuse_is_refused_here() -> None:
    done = CliRunner().invoke(main, ["token", "the ward: 3"])
    assert done.exit_code == 1 and "expected 1 to 64 letters" in done.output and "Token" not in done.output
