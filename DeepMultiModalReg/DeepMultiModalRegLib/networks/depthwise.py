"""Depthwise convolution with a kernel of its own for every image and channel, and a quick gradient of the kernels."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

CONVOLVE = {2: F.conv2d, 3: F.conv3d}


def depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """x (N, C, *shape) with kernel (N, C, *odd sides), zeros outside: (N, C, *shape), of x's kind."""
    return _Depthwise.apply(x, kernel.to(x.dtype))


class _Depthwise(torch.autograd.Function):
    """As convolution with N C groups, whose own gradient of the kernels takes three times as long on a processor as
    the sums over shifted images that it is."""

    @staticmethod
    def forward(ctx, x, kernel):
        ctx.save_for_backward(x, kernel)
        return _convolved(x, kernel)

    @staticmethod
    def backward(ctx, gradient):
        x, kernel = ctx.saved_tensors
        dimension = x.dim() - 2
        turned = kernel.flip(tuple(range(2, 2 + dimension)))
        onto_x = _convolved(gradient.to(x.dtype), turned) if ctx.needs_input_grad[0] else None
        onto_kernel = None
        if ctx.needs_input_grad[1]:
            sides = kernel.shape[2:]
            padded = F.pad(x, [side // 2 for side in reversed(sides) for _ in "lr"])
            onto_kernel = torch.empty(kernel.shape, dtype=torch.float32, device=x.device)
            every = tuple(range(2, 2 + dimension))
            for shift in product(*(range(side) for side in sides)):
                window = [slice(s, s + n) for s, n in zip(shift, x.shape[2:], strict=True)]
                seen = padded[(slice(None), slice(None), *window)]
                onto_kernel[(slice(None), slice(None), *shift)] = (seen * gradient).sum(every, dtype=torch.float32)
            onto_kernel = onto_kernel.to(kernel.dtype)
        return onto_x, onto_kernel


def _convolved(x: Tensor, kernel: Tensor) -> Tensor:
    n, channels, *shape = x.shape
    one = CONVOLVE[len(shape)](
        x.reshape(1, n * channels, *shape),
        kernel.reshape(n * channels, 1, *kernel.shape[2:]),
        padding=[side // 2 for side in kernel.shape[2:]],
        groups=n * channels,
    )
    return one.reshape(x.shape)
