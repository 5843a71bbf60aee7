"""An invertible translator: one modality becomes the other, and the exact inverse leads back (INNReg, Guo 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .depthwise import depthwise
from .unet import CONVOLUTION

CHANNELS = 2  # the image twice: a coupling changes one half by the other
LARGEST = 0.8  # of the logarithm of a coupling's factor


class InvertibleMix(nn.Module):
    """Invertible 1x1 convolution W = P L (U + diag(s)), L and U unit triangular (Kingma and Dhariwal 2018, Glow).

    P and the signs of s stay as drawn; |s| lies between exp(-0.5) and exp(0.5), so that W is never nearly singular and
    the inverse loses no digits.
    """

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        drawn = torch.linalg.qr(torch.randn(channels, channels, generator=torch.Generator().manual_seed(channels)))[0]
        permutation, lower, upper = torch.linalg.lu(drawn)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.scale = nn.Parameter(torch.atanh((2 * upper.diagonal().abs().log()).clamp(-0.9, 0.9)))

    def matrix(self) -> Tensor:
        """(channels, channels) float32."""
        diagonal = torch.diag(self.sign * torch.exp(0.5 * torch.tanh(self.scale)))
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), device=self.sign.device)
        return self.permutation @ lower @ (self.upper.triu(1) + diagonal)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("oc,nc...->no...", self.matrix(), x)

    def undo(self, y: Tensor) -> Tensor:
        return torch.einsum("oc,nc...->no...", torch.linalg.inv(self.matrix()), y)


class DynamicDepthwise(nn.Module):
    """A depthwise convolution whose kernels are made from the image's own means: the paper's local attention."""

    def __init__(self, dimension: int, channels: int, side: int = 7, reduced: int = 32) -> None:
        super().__init__()
        self.dimension, self.side = dimension, side
        self.kernel = nn.Sequential(
            nn.Linear(channels, reduced), nn.ReLU(inplace=True), nn.Linear(reduced, channels * side**dimension)
        )
        with torch.no_grad():  # begins near the identity: the middle of each kernel is one
            self.kernel[-1].weight.mul_(0.1)
            self.kernel[-1].bias.zero_()
            self.kernel[-1].bias.view(channels, -1)[:, side**dimension // 2] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel(x.flatten(2).mean(2))
        return depthwise(x, kernel.reshape(*x.shape[:2], *[self.side] * self.dimension))


class DenseBlock(nn.Module):
    """Four convolutions, each on all before it (growth `growth`), the attention, and one more; begins at zero."""

    def __init__(self, dimension: int, growth: int, side: int, inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        conv = CONVOLUTION[dimension]
        self.layers = nn.ModuleList(conv(inputs + i * growth, growth, 3, 1, 1) for i in range(4))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, 0.2)
            nn.init.zeros_(layer.bias)
        self.attention = DynamicDepthwise(dimension, 4 * growth, side, max(4, growth)) if side else nn.Identity()
        self.last = conv(4 * growth, outputs, 1)
        nn.init.normal_(self.last.weight, 0, 1e-3)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for layer in self.layers:
            found.append(F.leaky_relu(layer(torch.cat(found, 1)), 0.2))
        return self.last(self.attention(torch.cat(found[1:], 1)))


class InvertibleBlock(nn.Module):
    """The mix, then y1 = x1 + F(x2); s = 0.8 (2 sigmoid(H(y1)) - 1); y2 = x2 exp(s) + G(y1)."""

    def __init__(self, dimension: int, growth: int, side: int) -> None:
        super().__init__()
        self.mix = InvertibleMix()
        self.f, self.g, self.h = (DenseBlock(dimension, growth, side) for _ in "fgh")

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = self.mix(x.float()).chunk(2, 1)
        y1 = x1 + self.f(x2).float()
        return torch.cat([y1, x2 * torch.exp(self._scale(y1)) + self.g(y1).float()], 1)

    def undo(self, y: Tensor) -> Tensor:
        y1, y2 = y.float().chunk(2, 1)
        x2 = (y2 - self.g(y1).float()) * torch.exp(-self._scale(y1))
        return self.mix.undo(torch.cat([y1 - self.f(x2).float(), x2], 1))

    def _scale(self, y1: Tensor) -> Tensor:
        return LARGEST * (2 * torch.sigmoid(self.h(y1).float()) - 1)


class InvertibleTranslator(nn.Module):
    """T as blocks of `InvertibleBlock` on the image doubled into two channels.

    growth, side: of the dense blocks and of the attention's kernels (0: without attention); blocks: how many. The
    paper: 8 blocks, growth 32, side 7. frugal: the backward pass makes each block's input again from its output
    instead of keeping it, so that memory does not grow with the number of blocks (Gomez et al. 2017); meant for
    float32, in half precision the inputs come back rounded.
    """

    def __init__(self, dimension: int, blocks: int = 8, growth: int = 32, side: int = 7, frugal: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(InvertibleBlock(dimension, growth, side) for _ in range(blocks))
        self.frugal = frugal

    def pair(self, x: Tensor, inverse: bool = False) -> Tensor:
        """(N, 2, *shape) to the same: T, or its exact inverse. float32."""
        if self.frugal and torch.is_grad_enabled():
            return _Frugal.apply(x, self.blocks, inverse, *self.blocks.parameters())
        return _run(self.blocks, x, inverse)

    def forward(self, image: Tensor, inverse: bool = False) -> Tensor:
        """(N, 1, *shape) in [0, 1] to the other modality, (N, 1, *shape): the mean of both channels."""
        return self.pair(image.float().repeat(1, CHANNELS, *[1] * (image.dim() - 2)), inverse).mean(1, keepdim=True)


def _run(blocks: nn.ModuleList, x: Tensor, inverse: bool) -> Tensor:
    for block in reversed(blocks) if inverse else blocks:
        x = block.undo(x) if inverse else block(x)
    return x


class _Frugal(torch.autograd.Function):
    """The blocks with nothing kept but their output."""

    @staticmethod
    def forward(ctx, x, blocks, inverse, *parameters):
        kind = x.device.type
        ctx.blocks, ctx.inverse = blocks, inverse
        ctx.autocast = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        with torch.no_grad():
            y = _run(blocks, x, inverse)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        (y,) = ctx.saved_tensors
        enabled, kind = ctx.autocast
        found: dict[int, Tensor | None] = {}
        with torch.autocast(y.device.type, dtype=kind, enabled=enabled):
            for block in ctx.blocks if ctx.inverse else reversed(ctx.blocks):
                with torch.no_grad():
                    x = block(y) if ctx.inverse else block.undo(y)
                x.requires_grad_(True)
                with torch.enable_grad():
                    out = block.undo(x) if ctx.inverse else block(x)
                own = list(block.parameters())
                gradient, *theirs = torch.autograd.grad(out, [x, *own], gradient, allow_unused=True)
                found.update((id(p), g) for p, g in zip(own, theirs, strict=True))
                y = x.detach()
        return gradient, None, None, *(found.get(id(p)) for p in ctx.blocks.parameters())
