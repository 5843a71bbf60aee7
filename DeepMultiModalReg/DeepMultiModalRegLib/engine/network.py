"""Network: running a model's method over a working lattice, in batches, within the memory there is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import Image, MemoryShortage, RegistrationError, Transform, resample
from ..methods.base import Method
from .device import Precision
from .foreground import CT_BELOW
from .intensity import BRAIN_WINDOW, intensity_range
from .masks import Mask
from .memory import is_shortage, release
from .reduce import averaged
from .working import Working

BATCH_VOXELS = {"cpu": 1 << 19, "cuda": 1 << 22, "mps": 1 << 20}  # voxels of all slices a network sees at once
COARSER = 1.3  # factor of the spacing when memory ran out: less than half the voxels
ATTEMPTS = 4
ORDERS = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass
class NetworkInput:
    """What the network sees: (1, *shape) float32 in [0, 1], both on the working lattice; and the fixed image's
    range."""

    fixed: Tensor
    moving: Tensor
    fixed_range: tuple[float, float]


@dataclass
class NetworkRun:
    """displacement: (N, D, *network shape) float32, voxels. translated: (1, *shape) in [0, 1] or None."""

    working: Working
    seen: NetworkInput
    displacement: Tensor
    translated: Tensor | None
    precision: Precision


@dataclass
class Pair:
    """The images, their masks and backgrounds: all a working lattice is filled from."""

    fixed: Image
    moving: Image
    fixed_mask: Mask | None
    moving_mask: Mask | None
    fixed_fill: float
    moving_fill: float

    def exchanged(self) -> Pair:
        """The moving image as the fixed one."""
        return Pair(self.moving, self.fixed, self.moving_mask, self.fixed_mask, self.moving_fill, self.fixed_fill)

    def windowed(self) -> Pair:
        """The same with CT cut to a window of the brain: for a model that has seen CT so."""
        low, high = BRAIN_WINDOW
        changes = {}
        for side in ("fixed", "moving"):
            image = getattr(self, side)
            if float(image.tensor.min()) < CT_BELOW:
                fill = min(high, max(low, getattr(self, f"{side}_fill")))
                changes |= {side: image.with_tensor(image.tensor.clamp(low, high)), f"{side}_fill": fill}
        return replace(self, **changes)

    def on(self, working: Working, start: Transform) -> NetworkInput:
        """Both images read on the working lattice, the moving one through the start; outside a mask is background."""
        fixed, fixed_range = _seen(self.fixed, working, None, self.fixed_mask, self.fixed_fill)
        moving, _ = _seen(self.moving, working, start, self.moving_mask, self.moving_fill)
        return NetworkInput(fixed, moving, fixed_range)


def _seen(image: Image, working: Working, transform: Transform | None, mask: Mask | None, fill: float):
    grid = working.grid
    tensor = resample(averaged(image, grid), grid, transform, "linear", fill).tensor
    inside = None if mask is None else mask.on(grid, transform)
    if inside is not None:
        tensor = torch.where(inside, tensor, torch.full_like(tensor, fill))
    bottom, top = intensity_range(tensor)
    tensor = ((tensor - bottom) / max(top - bottom, 1e-12)).clamp(0, 1)
    return (tensor if inside is None else tensor * inside), (bottom, top)


def run_network(
    method: Method,
    pair: Pair,
    start: Transform,
    working: Working,
    precision: Precision,
    seed: int,
    translate: bool,
    tick: Callable[[float], None],
    rough: bool = False,
) -> tuple[NetworkRun, list[str]]:
    """The method's displacement on the working lattice, and warnings about what had to be changed to get it.

    Where memory runs out, slices go in smaller batches and volumes on a coarser lattice, at last on the CPU; where half
    precision overflows, everything is computed again in float32. Raises MemoryShortage where nothing helps. `tick`
    takes the share done. rough: a field that will be refined is asked for.
    """
    device = precision.device
    batch = 1
    if working.slices:
        plane = working.grid.size[0] * working.grid.size[1]
        batch = min(working.grid.size[2], max(1, BATCH_VOXELS[device.type] // plane))
    warnings: list[str] = []
    wanted, attempts = working, 0
    while True:
        try:
            seen = pair.on(working, start)
            used = _sound(precision, working, method.multiple)
            with torch.no_grad(), _seeded(seed, device):
                displacement, translated = _batches(method, working, seen, used, batch, translate, tick, rough)
        except Exception as error:
            if not is_shortage(error):
                raise
            release(device)
            attempts += 1
            if working.slices and batch > 1:
                batch = max(1, batch // 2)
                warnings.append(f"Memory was short: slices went through the network {batch} at a time.")
            elif attempts < ATTEMPTS:
                working = working.coarser(COARSER, method.multiple)
                spacing = working.grid.spacing[0]
                warnings.append(f"Memory was short: the network worked at {spacing:.2f} mm.")
            elif device.type != "cpu":
                precision, working, attempts = _cpu(), wanted, 0
                device = precision.device
                warnings = ["The device's memory was short even for a coarse lattice: the network ran on the CPU."]
            else:
                raise MemoryShortage(
                    f"Memory does not suffice for the network on {device} even on a coarse lattice; "
                    "close other programs, crop the fixed image, give a fixed mask, or use another device."
                ) from error
            continue
        if float(displacement.abs().amax()) < sum(working.grid.size):  # false of what is not a number, too
            return NetworkRun(working, seen, displacement, translated, used), warnings
        if used.half is None:
            raise RegistrationError(
                "The model returned a field that is not finite, or wider than the image: it does not suit these images."
            )
        precision = precision.full()
        warnings.append("Half precision overflowed: the network was run again in float32.")


def laid_out(method: Method, device: torch.device) -> Method:
    """The method on the device, each kernel in the order that its dimension is quickest in: a method of volumes may
    hold a network of slices."""
    method = method.to(device)
    for parameter in method.parameters():
        if parameter.dim() in ORDERS:
            parameter.data = parameter.data.contiguous(memory_format=ORDERS[parameter.dim()])
    return method


def _sound(precision: Precision, working: Working, multiple: int) -> Precision:
    """float32 where the network's deepest level would be one voxel long along its last axis, else as it is.

    The bfloat16 convolutions of oneDNN for processors with AMX (torch 2.13) that shrink an image to such a row read
    memory that nobody wrote: the field is then anything at all, 1e33 voxels or a little wrong.
    """
    narrow = precision.device.type == "cpu" and working.grid.size[0] < 2 * multiple
    return precision.full() if narrow else precision


def _cpu() -> Precision:
    return Precision.best(torch.device("cpu"))


def _batches(
    method: Method, working: Working, seen: NetworkInput, precision: Precision, batch: int, translate: bool, tick,
    rough: bool,
):  # fmt: skip
    """(N, D, *network shape) displacement and (1, *shape) translated or None, on the CPU."""
    device = precision.device
    method = laid_out(method, device).eval()
    fixed, moving = working.batch(seen.fixed), working.batch(seen.moving)
    count = fixed.shape[0]
    displacements, translations = [], []
    with precision.autocast():
        common = {} if rough else method.prepared(fixed.to(device), moving.to(device), translate)
    for first in range(0, count, batch):
        part = slice(first, first + batch)
        with precision.autocast():
            images = fixed[part].to(device).contiguous(), moving[part].to(device).contiguous()
            out = method.rough(*images) if rough else method(*images, translate, **common)
        displacements.append(out.displacement.float().cpu())
        if translate and out.translated is not None:
            translations.append(out.translated.float().cpu())
        tick(min(1.0, (first + batch) / count))
    translated = working.unbatch(torch.cat(translations)) if translations else None
    return torch.cat(displacements), translated


@contextmanager
def _seeded(seed: int, device: torch.device):
    """One seed for whatever a method draws, deterministic kernels; the caller's own state is as before afterwards."""
    cudnn = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.benchmark)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before
