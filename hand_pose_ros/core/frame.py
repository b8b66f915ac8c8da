"""One moment of a camera: what trackers take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hand_pose_ros.geometry.camera import Camera
    from hand_pose_ros.imaging.images import DepthImage


class Channel(Enum):
    """What a pixel can hold."""

    COLOR = 'color'
    DEPTH = 'depth'


class FrameError(ValueError):
    """A frame whose parts do not fit one another; the message says which."""


@dataclass(frozen=True)
class CameraFrame:
    """One moment of one camera.

    Attributes:
        camera: intrinsics, of the images' size.
        stamp_s: seconds of the image's own clock; None where there is none, and frames count as 1/30 s apart.
        color: (H, W, 3) uint8 in bgr order.
        depth: (H, W) of the same camera: registered to ``color`` pixel for pixel where both are there.

    Raises:
        FrameError: there is neither image, or an image has another size or form.

    """

    camera: Camera
    stamp_s: float | None = None
    color: np.ndarray | None = None
    depth: DepthImage | None = None

    def __post_init__(self) -> None:
        if self.color is None and self.depth is None:
            raise FrameError('the frame holds neither color nor depth')
        if self.color is not None and (
            self.color.ndim != 3 or self.color.shape[2] != 3 or self.color.dtype != np.uint8
        ):
            raise FrameError(
                f'a color image has three channels of 8 bits, not {self.color.shape} {self.color.dtype}; '
                'a depth image belongs into the channel depth'
            )
        for channel, image in ((Channel.COLOR, self.color), (Channel.DEPTH, self.depth)):
            if image is not None and image.shape[:2] != (self.camera.height, self.camera.width):
                raise FrameError(
                    f'the {channel.value} image is {image.shape[1]}x{image.shape[0]}, its camera '
                    f'{self.camera.width}x{self.camera.height}'
                )

    @property
    def channels(self) -> frozenset[Channel]:
        """The channels that the frame holds."""
        held = ((Channel.COLOR, self.color), (Channel.DEPTH, self.depth))
        return frozenset(channel for channel, image in held if image is not None)

    @property
    def picture(self) -> np.ndarray:
        """What is drawn over: (H, W, 3) uint8 in bgr order, or without color (H, W) float32 depth in meters."""
        if self.color is not None:
            return self.color
        assert self.depth is not None  # a frame holds one of them
        return self.depth[:]
