"""What a color camera does to images: one set of formulas, for a batch on a GPU and for one picture as it is drawn.

Images are (B, 3, H, W) float32, red green blue, 0 to 255. How a batch changes is drawn on its device
(:func:`draw_augmentation`, :func:`draw_styles`); how one picture of a reproducible set does, from numpy's generator, by
the same :class:`CameraModel` (``training.synthesis.photography``). Both are applied here; on a CPU, OpenCV resizes,
filters and compresses several times faster than torch, which does the same on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Array = TypeVar('Array', np.ndarray, Tensor)

#: Half the pixels along a side of the widest blur.
BLUR = 5
#: Pixels along a side of the smallest picture that one is enlarged of.
SMALLEST = 16


@dataclass(frozen=True)
class CameraModel:
    """How often and how much cameras change images. Lengths in pixels of the image, light in its 256 levels."""

    coarse_probability: float = 0.35  # a smaller picture was enlarged
    coarse_factor: tuple[float, float] = (0.3, 0.9)
    blur_probability: float = 0.25
    blur_sigma_px: tuple[float, float] = (0.3, 1.6)
    shake_probability: float = 0.15
    shake_px: tuple[int, int] = (3, 8)
    sharpening_probability: float = 0.15
    sharpening: tuple[float, float] = (0.3, 1.5)
    sharpening_sigma_px: float = 1.2
    contrast_sigma: float = 0.15  # of its logarithm
    white_sigma: float = 0.05  # of each color's gain
    gray_probability: float = 0.04
    saturation_sigma: float = 0.2  # of its logarithm
    brightness_sigma: float = 10.0
    noise_mean: float = 3.5  # of the noise's standard deviation, which is exponentially distributed
    jpeg_probability: float = 0.4
    jpeg_quality: tuple[int, int] = (25, 95)


CAMERA_MODEL = CameraModel()
#: The images of a batch that are coarse have so many sizes: those of one size are resized at once.
COARSE_SIZES = 4


@dataclass(frozen=True)
class Augmentation:
    """What cameras do to B images. What happens to some of them begins with their indices (K,).

    Attributes:
        coarse: indices, and the share of the pixels along a side that a smaller picture has.
        blurred: indices and sigmas (K,), pixels.
        shaken: indices, and kernels (K, L, L) of the movements, L odd, see :func:`shake_kernels`.
        sharpened: indices and amounts (K,).
        contrast: (B,) factors about the middle gray.
        white: (B, 3) gains of the colors.
        saturation: (B,) factors, see :func:`saturation_matrix`.
        brightness: (B,) levels.
        noise: (B, 3, H, W) levels.
        compressed: indices and JPEG's qualities (K,).

    """

    coarse: list[tuple[Tensor, float]]
    blurred: tuple[Tensor, Tensor]
    shaken: tuple[Tensor, Tensor]
    sharpened: tuple[Tensor, Tensor]
    contrast: Tensor
    white: Tensor
    saturation: Tensor
    brightness: Tensor
    noise: Tensor
    compressed: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Style:
    """Another style for B images: mixtures of colors (B, 3, 3), kernels (B, 5, 5), how much of it (B,), 0 to 1."""

    mixes: Tensor
    kernels: Tensor
    shares: Tensor


def choose(count: int, probability: float, device: torch.device) -> Tensor:
    """Indices (K,) of a random ``probability`` of ``count`` images."""
    # How many is drawn on the CPU, where nothing waits for a GPU.
    return torch.randperm(count, device=device)[: int(count * probability + torch.rand(()).item())]


def _uniform(bounds: tuple[float, float], like: Tensor) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(len(like), device=like.device)


def draw_augmentation(images: Tensor, model: CameraModel = CAMERA_MODEL) -> Augmentation:
    """Draw what cameras do to a batch of images."""
    count, device = len(images), images.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    coarse, blurred, shaken, sharpened, compressed = (
        choose(count, probability, device)
        for probability in (
            model.coarse_probability,
            model.blur_probability,
            model.shake_probability,
            model.sharpening_probability,
            model.jpeg_probability,
        )
    )
    low, high = model.coarse_factor
    factors = [low + (high - low) * torch.rand(()).item() for _ in range(COARSE_SIZES)]
    vivid = torch.rand(count, device=device) >= model.gray_probability
    noise = -model.noise_mean * torch.rand(count, 1, 1, 1, device=device).clamp_min(1e-6).log()
    return Augmentation(
        list(zip(coarse.tensor_split(COARSE_SIZES), factors)),
        (blurred, _uniform(model.blur_sigma_px, blurred)),
        (shaken, shake_kernels(_uniform(model.shake_px, shaken), _uniform((0, math.pi), shaken))),
        (sharpened, _uniform(model.sharpening, sharpened)),
        (model.contrast_sigma * normal()).exp(),
        1 + model.white_sigma * normal(3),
        (model.saturation_sigma * normal()).exp() * vivid,
        model.brightness_sigma * normal(),
        noise * torch.randn_like(images),
        (compressed, _uniform(model.jpeg_quality, compressed).floor()),
    )


def augment(images: Tensor, augmentation: Augmentation, model: CameraModel = CAMERA_MODEL) -> Tensor:
    """Blur, noise, colors and compression of cameras; returns whole numbers 0 to 255."""
    images = images.clone()
    for which, factor in augmentation.coarse:
        if len(which):
            images[which] = coarsened(images[which], factor)
    which, sigmas = augmentation.blurred
    if len(which):
        images[which] = blurred(images[which], sigmas)
    which, kernels = augmentation.shaken
    if len(which):
        images[which] = filtered(images[which], kernels)
    which, amounts = augmentation.sharpened
    if len(which):
        some = images[which]
        soft = blurred(some, torch.full_like(amounts, model.sharpening_sigma_px))
        images[which] = some + (some - soft) * amounts[:, None, None, None]
    images = (with_colors(images, augmentation) + augmentation.noise).clamp(0, 255).floor()
    which, qualities = augmentation.compressed
    if len(which):
        images[which] = compressed(images[which], qualities)
    return images


def _each_plane(images: Tensor, change: Callable[[np.ndarray, int], np.ndarray]) -> Tensor:
    """Change each image's planes (H, W) on a CPU, by a function of one and of the image's number."""
    planes = images.numpy()
    return torch.from_numpy(np.stack([[change(plane, n) for plane in image] for n, image in enumerate(planes)]))


def coarsened(images: Tensor, factor: float) -> Tensor:
    """Images as enlarged of a picture with a ``factor`` of their pixels along each side."""
    height, width = images.shape[2:]
    fewer = tuple(max(SMALLEST, int(length * factor)) for length in (height, width))
    if images.device.type != 'cpu':
        return coarsened_by_torch(images, fewer)

    def change(plane: np.ndarray, _: int) -> np.ndarray:
        small = cv2.resize(plane, fewer[::-1], interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    return _each_plane(images, change)


def coarsened_by_torch(images: Tensor, fewer: tuple[int, int]) -> Tensor:
    """:func:`coarsened` to so many rows and columns, as a GPU does it."""
    rows, columns = (_box_means(length, few, images) for length, few in zip(images.shape[2:], fewer))
    small = rows @ images @ columns.mT
    return F.interpolate(small, images.shape[2:], mode='bilinear', align_corners=False)


def _box_means(length: int, fewer: int, like: Tensor) -> Tensor:
    """Matrix (fewer, length) that makes of a row of pixels the means over as many equal parts of it."""
    edges = torch.arange(fewer + 1, device=like.device) * (length / fewer)
    pixels = torch.arange(length, device=like.device)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp_min(0) * (fewer / length)).to(like.dtype)


def filtered(images: Tensor, kernels: Tensor) -> Tensor:
    """Filter each image with a kernel of its own (B, K, L), both odd."""
    if images.device.type != 'cpu':
        return filtered_by_torch(images, kernels)
    weights = kernels.numpy()
    return _each_plane(images, lambda plane, n: cv2.filter2D(plane, -1, weights[n]))


def filtered_by_torch(images: Tensor, kernels: Tensor) -> Tensor:
    """:func:`filtered`, as a GPU does it."""
    count, colors = images.shape[:2]
    rows, columns = kernels.shape[1:]
    padded = F.pad(images, (columns // 2, columns // 2, rows // 2, rows // 2), mode='reflect')
    weight = kernels[:, None].repeat_interleave(colors, 0)
    return F.conv2d(padded.view(1, -1, *padded.shape[2:]), weight, groups=count * colors).view_as(images)


def blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each image by a Gaussian of its own sigma (B,), pixels."""
    line = torch.arange(-BLUR, BLUR + 1, device=images.device)
    kernel = torch.exp(-line.square() / (2 * sigmas[:, None].square()))
    kernel = kernel / kernel.sum(1, keepdim=True)
    return filtered(filtered(images, kernel[:, None]), kernel[:, :, None])


def shake_kernels(lengths: Tensor, directions: Tensor) -> Tensor:
    """Kernels (B, L, L) of cameras that move while they expose, by (B,) pixels in directions (B,), radians."""
    line = torch.arange(-BLUR, BLUR + 1, device=lengths.device).float()
    v, u = torch.meshgrid(line, line, indexing='ij')
    cos, sin = (part[:, None, None] for part in (directions.cos(), directions.sin()))
    along, across = (u * cos + v * sin).abs(), (v * cos - u * sin).abs()
    kernels = ((lengths[:, None, None] + 1) / 2 - along).clamp(0, 1) * (1 - across).clamp_min(0)
    return kernels / kernels.sum((1, 2), keepdim=True)


def saturation_matrix(amount: Array | float, identity: Array) -> Array:
    """Matrices (..., 3, 3) that make colors more or, below 1, less vivid; 0 makes them gray.

    Args:
        amount: a number, or (..., 1, 1).
        identity: (3, 3) of the kind of array that is wanted.

    """
    return (1 - amount) / 3 + amount * identity


def with_colors(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Change contrast about the middle gray, saturation, white balance and brightness."""
    contrast, white = augmentation.contrast[:, None], augmentation.white
    mixes = saturation_matrix(augmentation.saturation[:, None, None], torch.eye(3, device=images.device))
    plus = (128 * (1 - contrast) + augmentation.brightness[:, None]) * white
    return mixed(images, (contrast * white)[..., None] * mixes, plus)


def mixed(images: Tensor, mixes: Tensor, plus: Tensor) -> Tensor:
    """Mix each image's colors by a matrix (B, 3, 3) from old to new, and add (B, 3)."""
    return torch.baddbmm(plus[..., None], mixes, images.flatten(2)).view_as(images)


def draw_styles(count: int, device: torch.device) -> Style:
    """Draw styles for a batch of images: kernels of 1, 3 or 5 pixels, each in the middle of one of 5."""
    reach = torch.randint(3, (count, 1, 1), device=device)
    far = (torch.arange(5, device=device) - 2).abs()
    kernels = torch.randn(count, 5, 5, device=device) * (torch.maximum(far[:, None], far) <= reach)
    return Style(torch.randn(count, 3, 3, device=device), kernels, torch.rand(count, device=device))


def restyled(images: Tensor, style: Style) -> Tensor:
    """Change what surfaces and colors look like and leave shapes.

    A random convolution, mixed with the image at random (Xu et al., "Robust and Generalizable Visual Representation
    Learning via Random Convolutions", ICLR 2021); here colors are mixed first, and one kernel serves all three.
    Brightness and contrast of each color stay.
    """
    if not len(images):
        return images
    after = filtered(mixed(images, style.mixes, torch.zeros_like(style.mixes[..., 0])), style.kernels)
    (deviation, mean), (wanted, goal) = (
        torch.std_mean(part, (2, 3), correction=0, keepdim=True) for part in (after, images)
    )
    after = (after - mean) * (wanted / deviation.clamp_min(1e-3)) + goal
    return images.lerp(after, style.shares[:, None, None, None]).clamp(0, 255)


#: Quantization of brightness and of color at quality 50: ITU-T T.81, annex K.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
#: From the three colors to what is compressed: JFIF, for blue, green, red. Validation sets have always been compressed
#: as if their red were blue; that is as good an augmentation, and leaves them as they are.
_TO_YCC = ((0.114, 0.587, 0.299), (0.5, -0.331264, -0.168736), (-0.081312, -0.418688, 0.5))


def _quantized(planes: Tensor, table: Tensor, scale: Tensor) -> Tensor:
    """Quantize blocks of 8 by 8 pixels of planes (B, C, H, W) about zero, by a table (8, 8) and scales (B, 1, 1)."""
    at = torch.arange(8, device=planes.device)
    cosines = torch.cos((2 * at + 1) * at[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # (B, C, rows, columns, 8, 8)
    waves = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    return (cosines.T @ waves @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3).round().clamp(-128, 127)


def compressed(images: Tensor, qualities: Tensor) -> Tensor:
    """What JPEG leaves of images at qualities (B,), 1 to 100, with colors at half the size, see ``_TO_YCC``."""
    if images.device.type != 'cpu':
        return compressed_by_torch(images, qualities)
    out = torch.empty_like(images)
    for n, image in enumerate(images.byte().permute(0, 2, 3, 1).contiguous().numpy()):
        data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, int(qualities[n])])[1]
        out[n] = torch.from_numpy(cv2.imdecode(data, cv2.IMREAD_COLOR)).permute(2, 0, 1)
    return out


def compressed_by_torch(images: Tensor, qualities: Tensor) -> Tensor:
    """:func:`compressed`, as a GPU does it."""
    height, width = images.shape[2:]
    device = images.device
    scale = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities)[:, None, None]
    to_ycc = torch.tensor(_TO_YCC, device=device)
    padded = F.pad(images, (0, -width % 16, 0, -height % 16), mode='replicate')
    planes = torch.einsum('dc,bchw->bdhw', to_ycc, padded).round()
    light = _quantized(planes[:, :1] - 128, torch.tensor(_LUMINANCE, device=device), scale) + 128
    table = torch.full((8, 8), 99, device=device)
    table[:4, :4] = torch.tensor(_CHROMINANCE, device=device)
    color = _quantized(F.avg_pool2d(planes[:, 1:], 2).round(), table, scale)
    color = F.interpolate(color, scale_factor=2.0, mode='bilinear', align_corners=False)
    back = torch.einsum('dc,bchw->bdhw', torch.linalg.inv(to_ycc), torch.cat([light, color], 1))
    return back[:, :, :height, :width].round().clamp(0, 255)
