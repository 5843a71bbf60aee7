"""Device: where a network runs and in which precision."""

from __future__ import annotations

import platform
import re
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from ..core import InputError

DEVICES = "auto, cpu, cuda, cuda:N or mps"


def choose_device(name: str = "auto") -> torch.device:
    """auto | cpu | cuda | cuda:N | mps to a device. Raises InputError where the machine has no such device.

    auto: the first CUDA device, else the CPU. Not mps: Apple's GPU has no 3D grid sampling in every torch release.
    """
    text = str(name).strip().lower()
    if text == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if text == "cpu":
        return torch.device("cpu")
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("This machine has no Apple GPU (mps); choose the device auto or cpu.")
        return torch.device("mps")
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", text)
    if match is None:
        raise InputError(f"The device '{name}' is not known; choose {DEVICES}.")
    if not torch.cuda.is_available():
        raise InputError("PyTorch finds no NVIDIA GPU here; choose the device auto or cpu.")
    index = int(match.group(1) or 0)
    if index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(f"There is no device cuda:{index}; this machine has {count} (cuda:0 to cuda:{count - 1}).")
    return torch.device("cuda", index)


def half_type(device: torch.device) -> torch.dtype | None:
    """The half precision in which the device computes convolutions fast, or None."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        # without these instructions bfloat16 is emulated, several times slower than float32
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if any(getattr(torch.cpu, probe, bool)() for probe in probes):
            return torch.bfloat16
    return None


@dataclass(frozen=True)
class Precision:
    """How a network is run on a device: half precision by autocast where that is fast, else float32."""

    device: torch.device
    half: torch.dtype | None = None

    @classmethod
    def best(cls, device: torch.device) -> Precision:
        return cls(device, half_type(device))

    def full(self) -> Precision:
        """The same device in float32."""
        return Precision(self.device)

    @property
    def name(self) -> str:
        return "float32" if self.half is None else str(self.half).removeprefix("torch.")

    def autocast(self):
        """Context in which the network runs; what must stay float32 (integration of fields) opts out by itself."""
        return nullcontext() if self.half is None else torch.autocast(self.device.type, self.half)


def device_name(device: torch.device) -> str:
    """The device in words, for the report."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
