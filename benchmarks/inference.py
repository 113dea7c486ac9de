"""A whole image: their network in the tile loop people use with it, against ours as `medsr enhance` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks import contestants, drawn
from benchmarks.operations import Ceiling, forward_work
from benchmarks.results import Section
from benchmarks.sizes import ImageSize, label
from benchmarks.timing import Times, digits, in_turns, quotients, spread, typical
from benchmarks.toolbox import Toolbox, copy_weights
from components.learning.device import half_is_fast
from components.learning.inference.upscaling import network_upscale

PLAIN_TILE, PLAIN_PAD = 192, 10  # low-resolution pixels; the pad is Real-ESRGAN's default
COLUMNS = (
    "network", "image", "basicsr, ms", "medsr, ms", "times faster", "basicsr, of ceiling", "medsr, of ceiling",
    "operations' floor, ms",
)  # fmt: skip


@torch.inference_mode()
def plain_tiles(network: nn.Module, image: Tensor, scale: int) -> Tensor:
    """The network's answer to `image` (1, 1, H, W) in padded tiles that are cut and pasted hard, in float32."""
    height, width = image.shape[-2:]
    sharpened = image.new_zeros(1, 1, height * scale, width * scale)
    for top, left in product(range(0, height, PLAIN_TILE), range(0, width, PLAIN_TILE)):
        bottom, right = min(top + PLAIN_TILE, height), min(left + PLAIN_TILE, width)
        above, before = max(top - PLAIN_PAD, 0), max(left - PLAIN_PAD, 0)
        answer = network(image[..., above : bottom + PLAIN_PAD, before : right + PLAIN_PAD])
        rows = slice((top - above) * scale, (bottom - above) * scale)
        columns = slice((left - before) * scale, (right - before) * scale)
        sharpened[..., top * scale : bottom * scale, left * scale : right * scale] = answer[..., rows, columns]
    return sharpened


def timed(toolbox: Toolbox, size: ImageSize, device: torch.device) -> dict[str, Times]:
    """Seconds for the image from memory to memory, of `basicsr` and of `medsr`, with equal weights."""
    ours = contestants.network(size.settings)
    theirs = toolbox.build(size.settings).to(device).eval()
    copy_weights(ours, theirs)
    image, scale = drawn.low_resolution(size.height, size.width), size.settings.scale
    upscale = network_upscale(ours, scale, device)

    def basicsr(_: int) -> None:
        plain_tiles(theirs, image.to(device), scale).cpu()

    def medsr(_: int) -> None:
        upscale(image)

    return in_turns({"basicsr": basicsr, "medsr": medsr}, size.rounds, device)


def section(toolbox: Toolbox, sizes: Sequence[ImageSize], ceiling: Ceiling, device: torch.device) -> Section:
    """The table of whole images."""
    measured = [(size, timed(toolbox, size, device)) for size in sizes]
    computed_in = "bfloat16 between the outer layers" if half_is_fast(device) else "float32"
    method = f"""basicsr's RRDBNet in float32 over tiles of {PLAIN_TILE} pixels padded by {PLAIN_PAD}, cut and pasted,
as Real-ESRGAN does; ours through `components.learning.inference.upscaling.network_upscale`: blended tiles,
{computed_in}. From an image in memory to one in memory. Operations: the network's, once over the image, without any
overlap; the floor is theirs at the ceiling of the precision ours runs in."""
    faster = (
        f"{typical(times['basicsr'], times['medsr'])} ({label(size.settings)}, {size.width} × {size.height})"
        for size, times in measured
    )
    finding = f"inference, times faster than basicsr: {', '.join(faster)}"
    rows = [_row(toolbox, ceiling, size, times) for size, times in measured]
    return Section("Inference", method, COLUMNS, rows, finding)


def _row(toolbox: Toolbox, ceiling: Ceiling, size: ImageSize, times: dict[str, Times]) -> tuple[str, ...]:
    shape = (1, 1, size.height, size.width)
    work = forward_work(partial(toolbox.build, size.settings), shape)
    theirs, ours = times["basicsr"], times["medsr"]
    return (
        label(size.settings),
        f"{size.width} × {size.height}",
        theirs.in_milliseconds(),
        ours.in_milliseconds(),
        spread(quotients(theirs, ours)),
        f"{work.operations / theirs.median / ceiling.full:.0%}",
        f"{work.operations / ours.median / ceiling.fast:.0%}",
        digits(1000 * work.operations / ceiling.fast),
    )
