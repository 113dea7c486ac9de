import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import GENERATOR
from components.handover import Layout, StepError, read_json, read_record, sha256_of

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def layout(project: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.initialise(project)
    return project


def test_before_anything_is_registered_there_is_no_champion_and_it_is_said_how_to_get_one(layout: Layout) -> None:
    assert registry.list_versions(layout, GENERATOR) == []
    assert registry.by_alias(layout, GENERATOR, "champion") is None
    with pytest.raises(StepError, match="Run `make pipeline` first"):
        registry.load_generator(layout)


def test_versions_carry_their_weights_and_aliases_move(layout: Layout) -> None:
    records = [
        training_runs.restore(layout, read_record(layout.model(name) / "run.json")) for name in ("srcnn", "rrdb")
    ]
    versions = [registry.register(layout, GENERATOR, record, {"note": "drawn"}) for record in records]
    assert [version.method for version in registry.list_versions(layout, GENERATOR)] == ["srcnn", "rrdb"]
    assert registry.by_weights(layout, GENERATOR, records[1].weights_sha256) == versions[1]
    for version in versions:
        registry.point(layout, version, "champion")
    assert registry.aliases(layout, GENERATOR) == {"champion": "2"}
    generator = registry.load_generator(layout)
    assert (generator.scale, generator.version, generator.percentiles) == (4, "2", (0.1, 99.9))


def test_what_is_fetched_goes_with_the_process_that_fetched_it(layout: Layout, tmp_path: Path) -> None:
    record = training_runs.restore(layout, read_record(layout.model("srcnn") / "run.json"))
    registry.point(layout, registry.register(layout, GENERATOR, record, {}), "champion")
    script = (
        "from pathlib import Path; from components.adapters import registry; from components.handover import Layout\n"
        f"layout = Layout(Path({str(layout.root)!r}))\n"
        "for _ in range(2): print(registry.load_generator(layout).version)\n"
        "print(registry.folder_of(layout, registry.by_alias(layout, 'sr-generator', 'champion')))"
    )
    place = tmp_path / "temporary"
    place.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    *versions, folder = done.stdout.splitlines()
    assert versions == ["1", "1"] and Path(folder).is_relative_to(place), "fetched there"
    assert not list(place.iterdir())


def test_what_serves_is_put_where_it_is_compared_as_a_whole_or_not_at_all(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.champion.mkdir(exist_ok=True)
    (layout.champion / ".gitignore").write_text("*\n")
    for name in ("srcnn", "rrdb"):
        record = training_runs.restore(layout, read_record(layout.model(name) / "run.json"))
        registry.point(layout, registry.register(layout, GENERATOR, record, {}), "champion")
        if name == "srcnn":
            registry.export_champion(layout)
    before = {path.name: path.read_bytes() for path in layout.champion.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(registry, "write_json", full)
        registry.export_champion(layout)
    assert {path.name: path.read_bytes() for path in layout.champion.iterdir()} == before
    with ThreadPoolExecutor(4) as together:
        list(together.map(lambda _: registry.export_champion(layout), range(4)))
    assert read_json(layout.champion / "champion.json")["version"] == "2"
    assert sha256_of(layout.champion / "weights.safetensors") == record.weights_sha256
    registry.release(layout, GENERATOR, "champion")
    registry.export_champion(layout)
    assert [path.name for path in layout.champion.iterdir()] == [".gitignore"]
    assert not list(layout.data.glob(".champion-*"))


def test_a_card_is_stored_with_its_version_shown_there_and_replaced_where_it_changed(layout: Layout) -> None:
    record = training_runs.restore(layout, read_record(layout.model("srcnn") / "run.json"))
    version = registry.register(layout, GENERATOR, record, {})
    client = tracking.connect(layout).MlflowClient()
    for card in ("# A card\n", "# A card\n\nwith more\n"):
        registry.describe(layout, version, card)
        (version,) = registry.list_versions(layout, GENERATOR)
        assert client.get_model_version(GENERATOR, "1").description == card
        assert (registry.folder_of(layout, version).parents[1] / "model_card.md").read_text() == card
    client.update_model_version(GENERATOR, "1", "a person's words")
    registry.describe(layout, version, card)
    assert client.get_model_version(GENERATOR, "1").description == "a person's words", "the card is there already"


def test_a_card_too_long_for_the_page_is_cut_at_a_line_and_whole_in_its_file(layout: Layout) -> None:
    record = training_runs.restore(layout, read_record(layout.model("srcnn") / "run.json"))
    version = registry.register(layout, GENERATOR, record, {})
    card = "".join(f"- line {number}\n" for number in range(1000))
    registry.describe(layout, version, card)
    shown = tracking.connect(layout).MlflowClient().get_model_version(GENERATOR, "1").description
    *kept, empty, rest = shown.splitlines()
    assert len(shown) <= 5000 and len(kept) > 300 and empty == "" and "model_card.md" in rest
    assert card.startswith("\n".join(kept) + "\n")
    assert (registry.folder_of(layout, version).parents[1] / "model_card.md").read_text() == card
