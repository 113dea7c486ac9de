import pytest
import torch

from components.learning.models import build

TINY = {"name": "densenet201", "growth_rate": 4, "blocks": [2, 2, 2, 2], "initial_channels": 8}


@pytest.mark.parametrize(("stem", "height", "width"), [("small", 28, 28), ("small", 29, 41), ("imagenet", 33, 47)])
@pytest.mark.parametrize("channels", [1, 3])
def test_either_stem_gives_a_logit_a_class_for_odd_sizes_and_one_or_three_channels(
    stem: str, height: int, width: int, channels: int
) -> None:
    network = build(TINY | {"stem": stem, "input_channels": channels}, classes=2).eval()
    assert network(torch.rand(3, channels, height, width)).shape == (3, 2)


def test_the_small_stem_keeps_half_the_pixels_a_side_where_the_published_one_keeps_a_quarter() -> None:
    sides = {}
    for stem in ("small", "imagenet"):
        network = build(TINY | {"stem": stem}).eval()
        sides[stem] = network.features(torch.rand(1, 1, 64, 64)).shape[-1]  # type: ignore[operator]
    assert sides == {"small": 16, "imagenet": 8}  # behind the first transition, which halves once more


def test_depths_hold_every_parameter_once_and_end_with_the_head() -> None:
    network = build(TINY | {"stem": "small"})
    depths = network.by_depth()  # type: ignore[operator]
    assert len(depths) == 6  # the stem, four blocks, the head
    held = [id(parameter) for depth in depths for parameter in depth]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    assert [p.shape for p in depths[-1]] == [p.shape for p in network.network.classifier.parameters()]  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [{"stem": "cifar"}, {"input_channels": 2}])
def test_an_unknown_stem_or_number_of_channels_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected 1 or 3 input_channels and a stem of imagenet, small"):
        build(TINY | wrong)
