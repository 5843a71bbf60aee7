"""Two modalities taken apart into content and style, and put together again in either's (the RDM of disentangled)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .content import ContentEncoder
from .decoder import StyledDecoder
from .style import StyleEncoder
from .unet import INTERPOLATION

MEMORY = 0.99  # of the stored styles, a step


class Disentangler(nn.Module):
    """Content encoder, style encoder and decoder of each of two modalities; their number is 0 or 1.

    Every method takes images of both modalities side by side; `which` (N,) bool says of each whether it is of the
    second. width, halvings, blocks, code, style: see networks.content, networks.style, networks.decoder.
    stored: (2, style), the mean style of each modality over training.
    """

    def __init__(
        self, dimension: int, width: int = 64, halvings: int = 2, blocks: int = 4, code: int = 256, style: int = 8
    ) -> None:
        super().__init__()
        shape = (dimension, width, halvings, blocks, code)
        self.content_encoders = nn.ModuleList(ContentEncoder(*shape) for _ in range(2))
        self.style_encoders = nn.ModuleList(StyleEncoder(dimension, width, halvings + 1, style) for _ in range(2))
        self.decoders = nn.ModuleList(StyledDecoder(*shape, style) for _ in range(2))
        self.register_buffer("stored", torch.zeros(2, style))

    def content(self, images: Tensor, which: Tensor, heads: Tensor | None = None) -> Tensor:
        """(N, code, *shape / 2 ** halvings), float32, standardised; heads: see networks.content."""
        return _each(self.content_encoders, which, images, *(() if heads is None else (heads,)))

    def style(self, images: Tensor, which: Tensor) -> Tensor:
        """(N, style) float32."""
        return _each(self.style_encoders, which, images)

    def usual_style(self, which: Tensor) -> Tensor:
        """(N, style): the stored one of each modality."""
        return self.stored.float()[which.long()]

    def decoded(self, content: Tensor, style: Tensor, which: Tensor) -> Tensor:
        """(N, 1, *shape) float32 in the modality `which`."""
        return _each(self.decoders, which, content, style)

    @torch.no_grad()
    def remember(self, styles: Tensor, which: int) -> None:
        """Adds styles (N, style) of one modality to its stored one."""
        self.stored[which].lerp_(styles.detach().float().mean(0).to(self.stored), 1 - MEMORY)


def enlarged(content: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Content brought to a lattice of `shape` of the same extent."""
    if tuple(content.shape[2:]) == tuple(shape):
        return content
    return F.interpolate(content, size=shape, mode=INTERPOLATION[len(shape)], align_corners=False)


def _each(networks: nn.ModuleList, which: Tensor, *inputs: Tensor) -> Tensor:
    """Every row through the network of its modality."""
    if bool(which.all()) or not bool(which.any()):
        return networks[int(which[0])](*inputs)
    places = [(which == bool(number)).nonzero()[:, 0] for number in range(2)]
    parts = [network(*(x[place] for x in inputs)) for network, place in zip(networks, places, strict=True)]
    return torch.cat(parts)[torch.cat(places).argsort()]
