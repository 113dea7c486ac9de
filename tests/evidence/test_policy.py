from dataclasses import replace

import pytest
import torch

from components.evidence.contestants import Contestant, bicubic
from components.evidence.policy import generator_lines
from components.evidence.scoring import Protocol, score_all
from components.evidence.summarising import summarise
from components.reader_rows import SharpenedReading
from tests.evidence import drawn
from tests.settings import small

READ = SharpenedReading(
    **dict.fromkeys(SharpenedReading.__dataclass_fields__, 0.0) | {"shown": "rrdb", "agreement": 1.0}
)
INVENTED = {
    "error beyond the input at most",
    "faithfulness over bicubic in the worst part (dB) at least",
}


def failed(contestant: Contestant) -> set[str]:
    """The lines of the project's own policy that `contestant` fails on four drawn patients."""
    pairs = [drawn.pair(192, 200, seed=seed) for seed in range(4)]
    protocol = Protocol(4, "bicubic", torch.device("cpu"))
    rows = [row for scored in score_all(pairs, [bicubic(4), contestant], protocol) for row in scored.rows]
    summary = {line.method: line for line in summarise(rows, 100, 0)}
    policy = replace(
        small().promote, floor_psnr_db=0.0, floor_ssim=0.0, gain_over_bicubic_db=-99.0, gain_over_bicubic_ssim=-1.0
    )
    lines = generator_lines(summary["rrdb"], summary["bicubic"], READ, policy)
    return {line.rule for line in lines if not line.holds}


def test_an_honest_generator_passes() -> None:
    assert not failed(drawn.honest())


@pytest.mark.parametrize("invents", [drawn.pasting(), drawn.drawing_a_blob()], ids=["texture", "lesion"])
def test_a_generator_that_invents_is_refused_for_that(invents: Contestant) -> None:
    found = failed(invents)
    assert found and found <= INVENTED


def test_bicubic_itself_invents_nothing() -> None:
    plain = bicubic(4)
    assert not failed(Contestant("rrdb", plain.sharpen)) & INVENTED
