"""Chooses the device that computes, and its precision."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def usable_precision(precision: str, device: torch.device) -> str:
    """`precision`, or full precision in place of bfloat16 on a device that is not fast at it."""
    return "32-true" if precision == "bf16-mixed" and not half_is_fast(device) else precision


def half_is_fast(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; a processor that emulates it is faster in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    on_x86 = torch.cpu._is_avx2_supported()
    return bool(not on_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
