import pytest

from components.adapters import registry, tracking
from components.adapters.registry import GENERATOR
from components.handover import Layout, StepError, read_record


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
    records = [tracking.restore(layout, read_record(layout.model(name) / "run.json")) for name in ("srcnn", "rrdb")]
    versions = [registry.register(layout, GENERATOR, record, {"note": "drawn"}) for record in records]
    assert [version.method for version in registry.list_versions(layout, GENERATOR)] == ["srcnn", "rrdb"]
    assert registry.by_weights(layout, GENERATOR, records[1].weights_sha256) == versions[1]
    for version in versions:
        registry.point(layout, version, "champion")
    assert registry.aliases(layout, GENERATOR) == {"champion": "2"}
    generator = registry.load_generator(layout)
    assert (generator.scale, generator.version, generator.percentiles) == (4, "2", (0.1, 99.9))
