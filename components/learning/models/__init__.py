"""Networks, one a file. `build` makes any of them from the settings that its weights are stored with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import nn

from components.learning.models.dcgan_discriminator import DCGANDiscriminator
from components.learning.models.dcgan_generator import DCGANGenerator
from components.learning.models.densenet201 import DenseNet201
from components.learning.models.esrgan_discriminator import ESRGANDiscriminator
from components.learning.models.rrdb import RRDBNet
from components.learning.models.srcnn import SRCNN
from components.learning.models.srgan_discriminator import SRGANDiscriminator
from components.learning.models.srresnet import SRResNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "srcnn": SRCNN,
    "srresnet": SRResNet,
    "rrdb": RRDBNet,
    "srgan_discriminator": SRGANDiscriminator,
    "esrgan_discriminator": ESRGANDiscriminator,
    "densenet201": DenseNet201,
    "dcgan_generator": DCGANGenerator,
    "dcgan_discriminator": DCGANDiscriminator,
}


def build(settings: Mapping[str, Any], **more: Any) -> nn.Module:
    """The network of `settings` (`name` and sizes) with initial weights. Raises `ValueError` for unusable ones."""
    sizes = {**settings, **more}
    name = sizes.pop("name", None)
    if name not in NETWORKS:
        raise ValueError(f"network.name: expected one of {', '.join(NETWORKS)}, found {name!r}")
    unknown = sorted(set(sizes) - set(signature(NETWORKS[name]).parameters))
    if unknown:
        raise ValueError(f"network {name}: unknown settings {', '.join(unknown)}")
    return NETWORKS[name](**sizes)
