"""The sizes that are measured: for a processor, for a GPU, and for a trial of the benchmark itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from components.handover import StepError
from components.params import load
from components.params.trainings import PixelTraining

PARAMS = Path(__file__).parents[1] / "params.yaml"


@dataclass(frozen=True)
class StepSize:
    """A training step, timed over `rounds` rounds."""

    name: str
    settings: PixelTraining
    rounds: int


@dataclass(frozen=True)
class ImageSize:
    """An image to sharpen, in low-resolution pixels."""

    name: str
    settings: PixelTraining
    height: int
    width: int
    rounds: int


@dataclass(frozen=True)
class Sizes:
    """All that one run measures on one kind of device."""

    steps: tuple[StepSize, ...]
    images: tuple[ImageSize, ...]
    step_curve: tuple[StepSize, ...]  # growing networks
    image_curve: tuple[ImageSize, ...]  # growing images
    products: tuple[int, ...]  # sides of the matrices that measure the ceiling
    copied_mib: int  # block that measures the memory's bandwidth
    memory: tuple[tuple[int, int], ...]  # images that `enhance` is given, rows and columns
    calls: int  # steps between two looks at the clock: a GPU works ahead of the host


def recipe(profile: str) -> PixelTraining:
    """The RRDB training of `profile` in `params.yaml`."""
    settings = load(PARAMS, profile).train["rrdb"]
    if not isinstance(settings, PixelTraining):
        raise StepError(f"{PARAMS}: {profile}.train.rrdb: expected the pixel recipe, found {settings.recipe}")
    return settings


def resized(settings: PixelTraining, network: tuple[int, int, int], patch: int, batch: int) -> PixelTraining:
    """`settings` with a network of (channels, blocks, growth channels) and other patches."""
    sizes = dict(zip(("channels", "blocks", "growth_channels"), network, strict=True))
    return replace(settings, network={**settings.network, **sizes}, patch_size=patch, batch_size=batch)


def label(settings: PixelTraining) -> str:
    """The size of a network in a few words."""
    sizes = settings.network
    return f"{sizes['channels']} channels, {sizes['blocks']} blocks, growth {sizes['growth_channels']}"


def for_processor() -> Sizes:
    quick, larger, full = recipe("quick"), *(resized(recipe("full"), (64, n, 32), 128, 4) for n in (6, 23))
    growing = ((16, 2, 8), (32, 3, 16), (48, 4, 24), (64, 6, 32))
    return Sizes(
        steps=(StepSize("quick", quick, 30), StepSize("larger", larger, 10), StepSize("published", full, 3)),
        images=(
            ImageSize("quick", quick, 768, 768, 3),
            ImageSize("quick", quick, 766, 1166, 2),
            ImageSize("larger", larger, 320, 320, 3),
        ),
        step_curve=tuple(StepSize("", resized(quick, network, 96, 4), 5) for network in growing),
        image_curve=tuple(ImageSize("", quick, side, side, 3) for side in (64, 128, 256, 448)),
        products=(1024, 2048, 4096),
        copied_mib=256,
        memory=((383, 583), (766, 1166), (3064, 4664)),
        calls=1,
    )


def for_gpu() -> Sizes:
    published = recipe("full")
    growing = ((32, 3, 16), (64, 6, 32), (64, 12, 32), (64, 23, 32))
    return Sizes(
        steps=(StepSize("published", published, 10),),
        images=(ImageSize("published", published, 768, 768, 5), ImageSize("published", published, 766, 1166, 5)),
        step_curve=tuple(StepSize("", resized(published, network, 128, 16), 5) for network in growing),
        image_curve=tuple(ImageSize("", published, side, side, 5) for side in (96, 192, 384, 768, 1536)),
        products=(2048, 4096, 8192),
        copied_mib=2048,
        memory=(),
        calls=10,
    )


def for_a_look() -> Sizes:
    """Tiny sizes for a trial of some seconds. Its numbers mean nothing."""
    tiny = resized(recipe("quick"), (8, 1, 4), 32, 2)
    step, image = StepSize("tiny", tiny, 2), ImageSize("tiny", tiny, 40, 56, 2)
    return Sizes((step,), (image,), (step,), (image,), (128,), 1, ((40, 56),), 1)
