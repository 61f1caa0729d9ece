"""A patch critic for tokenizers (PatchGAN as in VQGAN, arXiv 2012.09841): hinge losses, adaptive weight.

Tokenizer and critic are trained in one backward pass: what teaches the tokenizer runs through a frozen copy
of the critic's weights, what teaches the critic sees detached pictures. Group norm stands where the official
code has batch norm, so that a picture's score does not depend on its neighbours.
Shapes: B pictures, C channels, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from genstudio.processes import Processes

LARGEST = 1e4


class Critic(nn.Module):
    """Three strided convolutions and a score per patch; `width` channels after the first."""

    def __init__(self, channels: int, width: int, layers: int = 2) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for layer in range(layers):
            inside, outside = width * 2**layer, width * 2 ** (layer + 1)
            stride = 1 if layer == layers - 1 else 2
            parts += [nn.Conv2d(inside, outside, 4, stride, 1, bias=False), nn.GroupNorm(8, outside)]
            parts.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*parts, nn.Conv2d(width * 2**layers, 1, 4, 1, 1))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Scores [B,1,h,w], high for real patches."""
        return self.layers(x_BCHW)


def critic_loss(critic: Critic, real_BCHW: Tensor, fake_BCHW: Tensor) -> Tensor:
    """Hinge loss of the critic; no gradient reaches what made the pictures if they are detached."""
    real, fake = critic(real_BCHW).float(), critic(fake_BCHW).float()
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def fooling_loss(critic: Critic, fake_BCHW: Tensor) -> Tensor:
    """How little the critic believes the pictures; its weights get no gradient from this."""
    frozen = {name: value.detach() for name, value in critic.named_parameters()}
    return -functional_call(critic, frozen, (fake_BCHW,)).float().mean()


def adaptive_weight(
    pixels: Tensor, fooling: Tensor, last: Tensor, processes: Processes = Processes()
) -> Tensor:
    """|d pixels / d last| / |d fooling / d last|, at most 1e4 (arXiv 2012.09841, equation 7).

    The losses are means over the pictures of all processes (official code: each process has its own weight).
    """
    wanted, given = (torch.autograd.grad(loss, last, retain_graph=True)[0] for loss in (pixels, fooling))
    processes.mean_([wanted, given])
    return (wanted.norm() / (given.norm() + 1e-4)).clamp(max=LARGEST).detach()
