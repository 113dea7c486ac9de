from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.handover import StepError
from components.serving.settings import load
from tests.flows.conftest import PROJECT

SHIPPED = PROJECT / "infra/serve.yaml"


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    content = yaml.safe_load(SHIPPED.read_text())
    change(content)
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_settings_that_come_with_the_project_listen_to_this_machine_alone() -> None:
    found = load(SHIPPED)
    assert found.node.host == "127.0.0.1" and {peer.address for peer in found.node.peers} == {"127.0.0.1"}
    assert found.node.routes[0].destination == found.node.destinations[0].name
    assert not found.node.tls
    assert found.http.host == "127.0.0.1" and found.http.tokens == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all_: all_["node"].update(port=0), "node.port: expected a port from 1 to 65535, found 0"),
        (lambda all_: all_["node"].update(ae_title="A" * 17), "node.ae_title: expected an AE title"),
        (lambda all_: all_["node"]["peers"][0].update(address="pacs.local"), "address: expected an IP address"),
        (lambda all_: all_["node"]["routes"][0].update(destination="moon"), "MEDSR goes to moon"),
        (lambda all_: all_["node"].update(routes=[]), "node.routes: expected at least one"),
        (
            lambda all_: all_["node"]["destinations"].append(all_["node"]["destinations"][0]),
            "archive stands there twice",
        ),
        (lambda all_: all_["node"]["destinations"][0].update(tls=True), "because a destination wants them"),
        (lambda all_: all_["node"]["destinations"][0].pop("commits"), "destinations.commits: missing"),
        (lambda all_: all_["node"]["tls"].update(key="key.pem"), "certificate, key and authorities, or none"),
        (lambda all_: all_["node"].update(association_gib=0.0), "association_gib: expected more than 0"),
        (lambda all_: all_["http"].update(port=70000), "http.port: expected a port from 1 to 65535, found 70000"),
        (lambda all_: all_["http"].update(tokens=[{"name": "ward", "sha256": "secret"}]), "made by `medsr token NAME`"),
        (lambda all_: all_["http"].update(tokens=[{"name": "a b", "sha256": "0" * 64}]), "found 'a b'"),
        (
            lambda all_: all_["http"].update(tokens=[{"name": "ward", "sha256": "0" * 64}] * 2),
            "ward stands there twice",
        ),
        (lambda all_: all_["http"].update(key="key.pem"), "http.certificate: expected it and its key"),
        (lambda all_: all_["http"].update(stow_to="moon"), "http.stow_to: moon is no destination"),
        (lambda all_: all_["limits"].update(frames=0), "limits.frames: expected 1 or more, found 0"),
        (lambda all_: all_.update(at_once=0), "at_once: expected 1 or more, found 0"),
        (lambda all_: all_.update(colour="red"), "colour: unknown"),
        (lambda all_: all_["spool"].pop("folder"), "spool.folder: missing"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    with pytest.raises(StepError) as refused:
        load(changed(tmp_path, change))
    assert said in str(refused.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda all_: (all_["node"].update(port="x"), all_.update(retry_s="y")))
    with pytest.raises(StepError, match=r"node\.port.*retry_s"):
        load(path)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"serve\.yaml: expected the service's settings, found no file"):
        load(tmp_path / "serve.yaml")
    (tmp_path / "broken.yaml").write_text("node: {")
    with pytest.raises(StepError, match=r"broken\.yaml: not YAML"):
        load(tmp_path / "broken.yaml")
