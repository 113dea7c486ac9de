from dataclasses import replace
from pathlib import Path

import pytest
import torch

from components.evidence.compared_methods import Method, bicubic_method
from components.evidence.policy import generator_criteria
from components.evidence.scoring import Protocol, score_all
from components.evidence.summarising import summarise
from components.handover.classifier_rows import SharpenedClassification
from components.learning.inference.upscaling import network_upscale
from components.learning.weights import load_weights
from tests.evidence import drawn
from tests.settings import small

SHARED = Path(__file__).parents[2] / "data" / "shared"
READ = SharpenedClassification(
    **dict.fromkeys(SharpenedClassification.__dataclass_fields__, 0.0) | {"shown": "rrdb", "agreement": 1.0}
)
WORST_IMAGE, WORST_PART = (
    f"error beyond the input {where} at most" for where in ("of the worst image", "in the worst part")
)
INVENTED = {
    "error beyond the input at most",
    WORST_IMAGE,
    WORST_PART,
    "consistency over bicubic in the worst part (dB) at least",
}


def failed(contestant: Method, patients: int = 4) -> set[str]:
    """The lines of the project's own policy that `contestant` fails on so many drawn patients."""
    pairs = [drawn.pair(192, 200, seed=seed) for seed in range(patients)]
    protocol = Protocol(4, "bicubic", torch.device("cpu"))
    rows = [row for scored in score_all(pairs, [bicubic_method(4), contestant], protocol) for row in scored.rows]
    summary = {line.method: line for line in summarise(rows, 100, 0)}
    policy = replace(
        small().promote, floor_psnr_db=0.0, floor_ssim=0.0, gain_over_bicubic_db=-99.0, gain_over_bicubic_ssim=-1.0
    )
    lines = generator_criteria(summary["rrdb"], summary["bicubic"], READ, policy)
    return {line.rule for line in lines if not line.holds}


def test_an_honest_generator_passes() -> None:
    assert not failed(drawn.honest())


@pytest.mark.parametrize("invents", [drawn.pasting(), drawn.drawing_a_blob()], ids=["texture", "lesion"])
def test_a_generator_that_invents_is_refused_for_that(invents: Method) -> None:
    rules = failed(invents)
    assert rules and rules <= INVENTED


@pytest.mark.parametrize("row", [4, 80, 156], ids=["first corner", "middle", "last row"])
def test_texture_in_one_place_of_each_image_is_refused_for_that_place_alone(row: int) -> None:
    square = slice(row, row + 32), slice(4, 36)
    assert failed(drawn.pasting_into(square, 0.15)) == {WORST_PART}


def test_texture_over_one_patient_of_twelve_is_refused_for_that_patient() -> None:
    patient = drawn.pair(seed=0).row.patient_id
    assert failed(drawn.pasting_over(patient, 0.06), patients=12) == {WORST_IMAGE}


def test_trained_weights_that_are_better_than_bicubic_are_not_refused_for_inventing() -> None:
    network, _ = load_weights(SHARED / "esrgan-x4")
    upscale = network_upscale(network, 4, torch.device("cpu"))
    assert not failed(Method("rrdb", lambda pair: upscale(pair.low[None]))) & INVENTED


def test_bicubic_itself_invents_nothing() -> None:
    plain = bicubic_method(4)
    assert not failed(Method("rrdb", plain.sharpen)) & INVENTED
