import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from components.learning.training.optimisation import MovingAverage, is_finite, rate_factor


def test_cosine_falls_from_one_to_nothing_and_halving_halves_four_times() -> None:
    assert rate_factor("cosine", 0, 100) == 1
    assert rate_factor("cosine", 50, 100) == pytest.approx(0.5)
    assert rate_factor("cosine", 99, 100) < 0.001
    assert [rate_factor("halving", step, 400) for step in (49, 50, 100, 200, 300)] == [1, 0.5, 0.25, 0.125, 0.0625]
    assert [round(rate_factor("cosine_restarts", s, 400), 3) for s in (0, 50, 100, 250)] == [1, 0.5, 1, 0.5]
    assert rate_factor("cosine_restarts", 399, 400) == pytest.approx(5e-4, abs=3e-4)
    assert [rate_factor("tenth", step, 400) for step in (199, 200)] == [1, 0.1]
    with pytest.raises(ValueError, match="cosine"):
        rate_factor("linear", 0, 1)


def test_an_average_without_decay_follows_and_with_decay_lags() -> None:
    network = nn.Linear(1, 1)
    following, lagging = MovingAverage(network, 0.0), MovingAverage(network, 0.999)
    with torch.no_grad():
        network.weight += 1
    following.update()
    lagging.update()
    torch.testing.assert_close(following.state["weight"], network.weight.detach())
    assert 0 < float(network.weight.detach() - lagging.state["weight"]) < 1


def test_an_average_counts_batches_as_its_network_does_and_keeps_what_torch_keeps() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = MovingAverage(network, 0.5)
    own = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    own.update_parameters(network)
    average.updates = 100  # past the start, where the decay still grows
    for _ in range(3):
        network(torch.randn(4, 3))
        with torch.no_grad():
            network[0].weight += torch.randn(2, 3)
        average.update()
        own.update_parameters(network)
    torch.testing.assert_close(average.state["0.weight"], own.module[0].weight.detach())
    torch.testing.assert_close(average.state["1.running_mean"], own.module[1].running_mean)
    assert int(average.state["1.num_batches_tracked"]) == 3


def test_one_bad_loss_is_noticed() -> None:
    assert bool(is_finite([torch.tensor(1.0), torch.tensor(2.0)]))
    assert not bool(is_finite([torch.tensor(1.0), torch.tensor(float("nan"))]))
