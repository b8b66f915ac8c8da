"""How a color camera takes one picture of a reproducible set: what it does is drawn from numpy's generator.

The formulas are those of ``training.photography``, which has them for batches on a GPU.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from training import photography
from training.photography import CAMERA_MODEL, Augmentation, CameraModel, Style


def tone_map(linear: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expose linear light to an image, on a film's or a sensor's curve.

    Args:
        linear: (H, W, 3) light.
        share: (H, W) how much of a pixel shows it; the exposure goes by these.
        rng: source of the exposure, white balance and contrast.

    Returns:
        (H, W, 3) float32, 0 to 255, where ``share`` is 0 meaningless.

    """
    sample = linear[::5, ::5][share[::5, ::5] > 0.5]
    bright = np.quantile(sample, 0.8) if len(sample) else 1.0
    # Between the light's own brightness and one that makes this the middle of the picture.
    gain = (rng.uniform(0.25, 1.0) / max(bright, 1e-3)) ** rng.uniform(0.3, 1)
    image = linear * (gain * (1 + rng.normal(0, 0.06, 3))).astype(np.float32)
    levels = np.linspace(0, 1, 2048, dtype=np.float32)
    if rng.uniform() < 0.5:
        levels = levels * (1 + 0.15 * levels) / (1 + 0.15)  # a film's foot
    curve = 255 * levels ** (1 / rng.uniform(1.8, 2.6))
    return curve.astype(np.float32)[(np.clip(image, 0, 1) * np.float32(2047)).astype(np.int16)]


def _to_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]


def _to_image(images: Tensor) -> np.ndarray:
    return np.ascontiguousarray(images[0].round().byte().permute(1, 2, 0).numpy())


def draw_style(rng: np.random.Generator) -> Style:
    """Draw a style for one image."""
    size = int(rng.choice([1, 3, 5]))
    mix = rng.normal(0, 1, (3, 3))
    kernel = np.pad(rng.normal(0, 1, (size, size)), (5 - size) // 2)
    return Style(*(torch.from_numpy(np.asarray(part, np.float32))[None] for part in (mix, kernel, rng.uniform())))


def restyle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put an image (H, W, 3) uint8 into another style, see :func:`training.photography.restyled`."""
    return _to_image(photography.restyled(_to_tensor(image), draw_style(rng)))


def _line_kernel(length: int, direction: float) -> np.ndarray:
    """A kernel (L, L) of a movement along whole pixels; of an even length it is half a pixel off the middle."""
    middle = (length - 1) / 2
    reach = np.array([np.cos(direction), np.sin(direction)]) * middle
    start, end = ((middle + sign * reach).round().astype(int).tolist() for sign in (-1, 1))
    kernel = np.zeros((length, length), np.float32)
    cv2.line(kernel, start, end, 1)
    before = photography.BLUR - length // 2
    return np.pad(kernel / kernel.sum(), (before, 2 * photography.BLUR + 1 - length - before))


def draw_augmentation(
    height: int, width: int, rng: np.random.Generator, model: CameraModel = CAMERA_MODEL
) -> Augmentation:
    """Draw what a camera does to one image.

    The order is part of the validation sets: whoever draws otherwise from ``rng`` changes the hands that follow.
    """

    def tensors(*numbers: np.ndarray | float) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(np.asarray(number, np.float32))[None] for number in numbers)

    every, none = torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    coarse = [(every, rng.uniform(*model.coarse_factor))] if rng.uniform() < model.coarse_probability else []
    blurred = shaken = sharpened = compressed = (none, torch.zeros(0))
    if rng.uniform() < model.blur_probability:
        blurred = (every, *tensors(rng.uniform(*model.blur_sigma_px)))
    if rng.uniform() < model.shake_probability:
        low, high = model.shake_px
        shaken = (every, *tensors(_line_kernel(int(rng.integers(low, high + 1)), rng.uniform(0, np.pi))))
    if rng.uniform() < model.sharpening_probability:
        sharpened = (every, *tensors(rng.uniform(*model.sharpening)))
    contrast, white = np.exp(rng.normal(0, model.contrast_sigma)), 1 + rng.normal(0, model.white_sigma, 3)
    gray = rng.uniform() < model.gray_probability
    saturation = 0.0 if gray else np.exp(rng.normal(0, model.saturation_sigma))
    brightness = rng.normal(0, model.brightness_sigma)
    noise = np.float32(rng.exponential(model.noise_mean)) * rng.standard_normal((height, width, 3), np.float32)
    if rng.uniform() < model.jpeg_probability:
        low, high = model.jpeg_quality
        compressed = (every, *tensors(rng.integers(low, high + 1)))
    light = tensors(contrast, white, saturation, brightness)
    return Augmentation(coarse, blurred, shaken, sharpened, *light, _to_tensor(noise), compressed)


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, noise, colors and compression of a camera: (H, W, 3) uint8 to the same."""
    return _to_image(photography.augment(_to_tensor(image), draw_augmentation(*image.shape[:2], rng)))
