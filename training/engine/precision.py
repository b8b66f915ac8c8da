"""Whether a network trains in bfloat16."""

from __future__ import annotations

import torch

#: Processors' instructions for products of bfloat16, as PyTorch names them.
BF16_INSTRUCTIONS = ('amx_bf16', 'avx512_bf16', 'bf16')


def computes_bf16(device: str) -> bool:
    """Whether a device computes in bfloat16; a processor without it imitates that, nine times slower than float32."""
    if device != 'cpu':
        return True
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in BF16_INSTRUCTIONS)


def autocast(device: str, wanted: bool = True) -> torch.autocast:
    """Run what a ``with`` holds in bfloat16, where it is wanted and the device computes in it."""
    return torch.autocast(device, torch.bfloat16, enabled=wanted and computes_bf16(device))
