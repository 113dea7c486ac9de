"""Which device computes, and what it is good at."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def usable_precision(wanted: str, device: torch.device) -> str:
    """`wanted`, or full precision on a device that cannot compute in bfloat16."""
    return "32-true" if wanted == "bf16-mixed" and not half_is_fast(device) else wanted


def half_is_fast(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; a processor that only imitates it is faster in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    on_x86 = torch.cpu._is_avx2_supported()
    return bool(not on_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
