from pathlib import Path

import pytest
import torch

from components.handover import StepError, sha256_of
from components.learning.models import build
from components.learning.weights import load_weights, save_weights

NETWORK = {"name": "srresnet", "channels": 8, "blocks": 1, "scale": 2}


def test_a_network_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    network = build(NETWORK).eval()
    digest = save_weights(tmp_path, network.state_dict(), {"network": NETWORK})
    again, config = load_weights(tmp_path)
    image = torch.rand(1, 1, 9, 7)
    torch.testing.assert_close(again(image), network(image))
    assert config == {"network": NETWORK} and digest == sha256_of(tmp_path / "weights.safetensors")


def test_weights_that_do_not_fit_are_refused_with_the_remedy(tmp_path: Path) -> None:
    save_weights(tmp_path, build(NETWORK).state_dict(), {"network": NETWORK | {"channels": 16}})
    with pytest.raises(StepError, match="Train this model again"):
        load_weights(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(StepError, match=str(tmp_path)):
        load_weights(tmp_path)
