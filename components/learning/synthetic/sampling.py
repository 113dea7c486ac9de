"""Images that a trained generator makes from noise and labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

BATCH = 64


@torch.inference_mode()
def sample_images(generator: nn.Module, labels: Tensor, seed: int, device: torch.device) -> Tensor:
    """One image for each of `labels` (N,): (N, 1, size, size) in [0, 1] on the CPU, the same for the same seed."""
    generator.eval()
    noise = draw_noise(np.random.default_rng(seed), len(labels), generator.latent, device)  # type: ignore[arg-type]
    batches = zip(torch.split(noise, BATCH), torch.split(labels.to(device), BATCH), strict=True)
    return torch.cat([generator(*noise_and_labels).float().cpu() for noise_and_labels in batches])


def draw_noise(random: np.random.Generator, count: int, latent: int, device: torch.device) -> Tensor:
    """Input of a generator: (count, latent), standard normal."""
    return torch.from_numpy(random.standard_normal((count, latent), np.float32)).to(device)
