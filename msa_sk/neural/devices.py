"""Which device computes, and how precisely."""

from typing import Any

import torch

from msa_sk.exceptions import ParameterError


def resolve_device(device: str) -> str:
    """Return the torch device for a name; "auto" takes cuda, then mps, then cpu.

    Raises
    ------
    ParameterError
        If torch does not know the device, or it is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()  # "meta" is a device that holds no numbers
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            "device",
            "'auto' or a torch device that is there",
            repr(device),
            "Use 'cpu' or 'auto'.",
        ) from error
    return device


def resolve_precision(precision: str, device: str) -> str:
    """Return "float32" or "bfloat16"; "auto" takes what the device multiplies faster."""
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    if kind == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = kind == "cpu" and (able.get("avx512_bf16") or able.get("amx_bf16"))
    return "bfloat16" if fast else "float32"
