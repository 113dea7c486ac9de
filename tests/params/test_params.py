from pathlib import Path
from typing import Any

import pytest
import yaml

from components.handover import GENERATORS
from components.handover.methods import CLASSIFIERS
from components.learning.models import build
from components.params import PROFILES, ParamsError, load, parse
from tests.settings import PARAMS, content


@pytest.mark.parametrize("profile", PROFILES)
def test_both_profiles_are_whole_and_name_networks_that_can_be_built(profile: str) -> None:
    params = parse(yaml.safe_load(PARAMS.read_text()) | {"profile": profile})
    assert {*GENERATORS, *CLASSIFIERS} <= set(params.train)
    for training in params.train.values():
        scale = {"scale": 4} if training.recipe == "pixel" else {}
        for network in (getattr(training, "network", None), getattr(training, "discriminator", None)):
            assert network is None or build(network, **scale)
        assert getattr(training, "scale", 4) in params.prepare.scales


def test_a_profile_may_be_asked_for_whichever_the_file_names() -> None:
    assert load(PARAMS).profile == "quick"
    for profile in PROFILES:
        assert load(PARAMS, profile) == parse(yaml.safe_load(PARAMS.read_text()) | {"profile": profile})
    with pytest.raises(ParamsError, match="expected one of quick, full, found 'fast'"):
        load(PARAMS, "fast")


def test_the_full_profile_has_the_published_sizes() -> None:
    full = load(PARAMS, "full").train
    assert full["rrdb"].network == {"name": "rrdb", "channels": 64, "blocks": 23, "growth_channels": 32}  # type: ignore[union-attr]
    assert full["srresnet"].network == {"name": "srresnet", "channels": 64, "blocks": 16}  # type: ignore[union-attr]
    assert full["srgan"].adversarial_weight == 1e-3 and full["esrgan"].adversarial_weight == 5e-3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (("profile",), "fast", "expected one of quick, full, found 'fast'"),
        (("seed",), "one", "seed: expected a whole number, found 'one'"),
        (("seed",), True, "seed: expected a whole number, found True"),
        (("split", "test_share"), 0.9, "expected less than 1"),
        (("prepare", "scales"), [5], "prepare.scales: expected some of 2, 3, 4, 8"),
        (("prepare", "degradation"), "jpeg", "expected one of bicubic, kspace, blur_noise, found 'jpeg'"),
        (("ingest", "sorces"), [], "ingest.sorces: unknown"),
        (("quick", "train", "rrdb", "patch_size"), 33, "quick.train.rrdb.patch_size: expected a multiple of scale"),
        (("quick", "train", "rrdb", "learning_rate"), 0, "quick.train.rrdb.learning_rate: expected above 0"),
        (("quick", "train", "rrdb", "recipe"), "magic", "quick.train.rrdb.recipe: expected one of pixel"),
        (("quick", "train", "esrgan", "interpolation"), [2.0], "expected weights from 0 to 1"),
        (("quick", "train", "esrgan", "generator"), "classifier", "esrgan.generator: expected one of srcnn, srresnet"),
        (("quick", "speed"), 3, "quick.speed: unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(where: tuple[str, ...], value: Any, told: str) -> None:
    settings = content()
    inner = settings
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(ParamsError) as refused:
        parse(settings)
    assert told in str(refused.value)


def test_every_problem_is_in_one_error() -> None:
    settings = content()
    settings["seed"], settings["split"]["min_side"] = "one", None
    del settings["evaluate"]["pictures"]
    settings["quick"]["train"]["srcnn"]["batch_size"] = 0
    with pytest.raises(ParamsError, match=r"4 problem\(s\)"):
        parse(settings)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="found no file"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seed: [")
    with pytest.raises(ParamsError, match="not YAML"):
        load(tmp_path / "params.yaml")
