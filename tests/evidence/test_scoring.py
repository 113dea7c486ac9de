import torch

from components.evidence.compared_methods import bicubic_method
from components.evidence.cost import Meter
from components.evidence.scoring import Protocol, score_all
from tests.evidence import drawn


def test_images_are_scored_one_at_a_time_and_clipped_to_their_range() -> None:
    taken: list[int] = []

    def pairs():  # type: ignore[no-untyped-def]
        for seed in range(3):
            taken.append(seed)
            yield drawn.pair(seed=seed)

    meter = Meter(torch.device("cpu"))
    loud = drawn.pasting(5.0)
    results = score_all(pairs(), [bicubic_method(4), loud], Protocol(4, "bicubic", torch.device("cpu")), meter)
    first = next(results)
    assert taken == [0] and [row.method for row in first.rows] == ["bicubic", "rrdb"] and first.sample == "S1"
    assert first.images.shape == (2, 1, 96, 120) and first.images.min() >= 0 and first.images.max() <= 1
    assert [scored.sample for scored in results] == ["S2", "S3"]
