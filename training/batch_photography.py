"""What a colour camera does to many images at once, on a GPU: as ``training.synthesis.photography`` does to one.

Images are (B, 3, S, S) float32, red green blue, 0 to 255.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

#: Of the images that a smaller picture is enlarged of, so many groups have one size each.
SIZES = 4
#: Half the pixels along a side of the widest blur.
BLUR = 5
#: Quantization of brightness and of colour at quality 50, and the colours that are compressed: ITU-T T.81, annex K, and
#: JFIF.
_LUMINANCE = torch.tensor([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99], dtype=torch.float32).view(8, 8)
_CHROMINANCE = torch.full((8, 8), 99.0)
_CHROMINANCE[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]])
_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def change_some(images: Tensor, share: float, change: Callable[[Tensor], Tensor], groups: int = 1) -> None:
    """Change a random ``share`` of images, in place, in ``groups`` that are changed one after the other."""
    # How many is drawn where nothing waits for a GPU.
    chosen = int(len(images) * share + torch.rand(()).item())
    for part in torch.randperm(len(images), device=images.device)[:chosen].tensor_split(groups):
        if len(part):
            images[part] = change(images[part])


def _uniform(low: float, high: float, images: Tensor) -> Tensor:
    """A number for each image."""
    return low + (high - low) * torch.rand(len(images), device=images.device)


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter each image with a kernel of its own (B, K, L), both odd."""
    count, colours, height, width = images.shape
    rows, columns = kernels.shape[1:]
    padded = F.pad(images, (columns // 2, columns // 2, rows // 2, rows // 2), mode='reflect')
    weight = kernels[:, None].repeat_interleave(colours, 0)
    return F.conv2d(padded.view(1, -1, *padded.shape[2:]), weight, groups=count * colours).view_as(images)


def blur(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each image by a Gaussian of its own sigma (B,), pixels."""
    line = torch.arange(-BLUR, BLUR + 1, device=images.device)
    kernel = torch.exp(-line.square() / (2 * sigmas[:, None].square()))
    kernel = kernel / kernel.sum(1, keepdim=True)
    return filtered(filtered(images, kernel[:, None]), kernel[:, :, None])


def shake(images: Tensor, lengths: Tensor, ways: Tensor) -> Tensor:
    """Move each image while it is exposed, by (B,) pixels in directions (B,), radians."""
    line = torch.arange(-BLUR, BLUR + 1, device=images.device).float()
    v, u = torch.meshgrid(line, line, indexing='ij')
    cos, sin = (part[:, None, None] for part in (ways.cos(), ways.sin()))
    along, beside = (u * cos + v * sin).abs(), (v * cos - u * sin).abs()
    kernels = ((lengths[:, None, None] + 1) / 2 - along).clamp(0, 1) * (1 - beside).clamp_min(0)
    return filtered(images, kernels / kernels.sum((1, 2), keepdim=True))


def mixed(images: Tensor, mixes: Tensor, plus: Tensor) -> Tensor:
    """Mix each image's colours by a matrix (B, 3, 3) from old to new, and add (B, 3)."""
    return torch.baddbmm(plus[..., None], mixes, images.flatten(2)).view_as(images)


def compress(images: Tensor, qualities: Tensor) -> Tensor:
    """What JPEG leaves of images at qualities (B,), 1 to 100, colours at half the size; sides are multiples of 16."""
    count, _, height, width = images.shape
    device = images.device
    scale = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities)[:, None, None]
    at = torch.arange(8, device=device)
    cosines = torch.cos((2 * at + 1) * at[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)

    def quantized(planes: Tensor, table: Tensor) -> Tensor:
        steps = ((table.to(device) * scale + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
        blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # (B, C, rows, columns, 8, 8)
        waves = ((cosines @ blocks @ cosines.T) / steps).round() * steps
        return (cosines.T @ waves @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)

    to_ycc = _TO_YCC.to(device)
    planes = torch.einsum('dc,bchw->bdhw', to_ycc, images)
    bright = quantized(planes[:, :1] - 128, _LUMINANCE) + 128
    colour = quantized(F.avg_pool2d(planes[:, 1:], 2), _CHROMINANCE)
    colour = F.interpolate(colour, scale_factor=2.0, mode='bilinear', align_corners=False)
    return torch.einsum('dc,bchw->bdhw', torch.linalg.inv(to_ycc), torch.cat([bright, colour], 1)).clamp(0, 255)


def restyle(images: Tensor) -> Tensor:
    """Change what surfaces and colours look like and leave shapes, see :func:`training.synthesis.photography.restyle`."""
    count, device = len(images), images.device
    # Kernels of 1, 3 or 5 pixels, each in the middle of one of 5.
    reach = torch.randint(3, (count, 1, 1), device=device)
    far = (torch.arange(5, device=device) - 2).abs()
    kernels = torch.randn(count, 5, 5, device=device) * (torch.maximum(far[:, None], far) <= reach)
    mixes = torch.randn(count, 3, 3, device=device)
    after = filtered(mixed(images, mixes, torch.zeros(count, 3, device=device)), kernels)
    mean, goal = after.mean((2, 3), keepdim=True), images.mean((2, 3), keepdim=True)
    gain = images.std((2, 3), keepdim=True) / after.std((2, 3), keepdim=True).clamp_min(1e-3)
    share = torch.rand(count, 1, 1, 1, device=device)
    return images.lerp((after - mean) * gain + goal, share).clamp(0, 255)


def spoil(images: Tensor) -> Tensor:
    """Blur, noise, colours and compression of a camera, see :func:`training.synthesis.photography.spoil`.

    Returns:
        Whole numbers 0 to 255.

    """
    count, device, size = len(images), images.device, images.shape[-1]

    def coarse(some: Tensor) -> Tensor:
        small = max(16, int(size * (0.3 + 0.6 * torch.rand(()).item())))
        return F.interpolate(F.interpolate(some, (small, small), mode='bilinear', antialias=True), (size, size),
                             mode='bilinear')

    def soft(some: Tensor) -> Tensor:
        return blur(some, _uniform(0.3, 1.6, some))

    def shaken(some: Tensor) -> Tensor:
        return shake(some, _uniform(3, 8, some), _uniform(0, math.pi, some))

    def sharp(some: Tensor) -> Tensor:
        return some.lerp(blur(some, torch.full_like(some[:, 0, 0, 0], 1.2)), -_uniform(0.3, 1.5, some)[:, None, None, None])

    images = images.clone()
    change_some(images, 0.35, coarse, SIZES)
    change_some(images, 0.25, soft)
    change_some(images, 0.15, shaken)
    change_some(images, 0.15, sharp)
    contrast = (0.15 * torch.randn(count, 1, device=device)).exp()
    white = 1 + 0.05 * torch.randn(count, 3, device=device)
    vivid = (0.2 * torch.randn(count, device=device)).exp() * (torch.rand(count, device=device) >= 0.04)
    mixes = ((1 - vivid) / 3)[:, None, None] + vivid[:, None, None] * torch.eye(3, device=device)
    plus = (128 * (1 - contrast) + 10 * torch.randn(count, 1, device=device)) * white
    images = mixed(images, (contrast * white)[..., None] * mixes, plus)
    noise = -3.5 * torch.rand(count, 1, 1, 1, device=device).clamp_min(1e-6).log()
    images = (images + noise * torch.randn_like(images)).clamp(0, 255).floor()
    change_some(images, 0.4, lambda some: compress(some, _uniform(25, 96, some).floor()).round())
    return images
