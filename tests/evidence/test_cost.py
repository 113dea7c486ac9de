import time

import numpy as np
import pytest
import torch

from components.evidence.compared_methods import Method, bicubic_method
from components.evidence.cost import Meter


def test_time_memory_and_energy_are_of_the_method_that_spent_them() -> None:
    meter = Meter(torch.device("cpu"))
    held = []
    with meter.running("bicubic", 10**6):
        pass
    for _ in range(2):
        with meter.running("rrdb", 10**6):
            held.append(np.ones(8_000_000))
            time.sleep(0.03)
    network = Method("rrdb", bicubic_method(4).sharpen, parameters=10, weights_bytes=40, train_seconds=3600.0)
    outside = Method("other", bicubic_method(4).sharpen)
    lines = {line.method: line for line in meter.lines([bicubic_method(4), network, outside], watts=100)}
    assert set(lines) == {"bicubic", "rrdb"}, "what another program spent is not known"
    assert lines["rrdb"].peak_memory_mb > 50 > lines["bicubic"].peak_memory_mb
    assert lines["rrdb"].seconds_per_megapixel >= 0.03 and lines["rrdb"].train_wh == pytest.approx(100)
    per_image = lines["rrdb"].seconds_per_megapixel * 100 / 3600
    assert lines["rrdb"].sharpen_wh_per_image == pytest.approx(per_image)
