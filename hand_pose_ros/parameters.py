"""Every setting of the nodes, declared once.

The nodes declare their ROS parameters from here, the command line its flags, and ``config/tracker.yaml``
is checked against it by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from hand_pose_ros.estimation.engines import ENGINES, PRECISIONS

#: What a camera sees.
MODALITIES = ('depth', 'rgb')

#: How a camera's images travel: as they are, or as image transport's ``compressedDepth`` and ``compressed`` pack them.
IMAGE_TRANSPORTS = ('raw', 'compressedDepth', 'compressed')

#: How many looks a hand may get, and the quarter turns that its crop is shown in for them in a depth image.
LOOKS = {1: (0,), 2: (0, 2), 4: (0, 1, 2, 3)}


def _setting(default: Any, description: str, *, choices: tuple = (), low: float | None = None,
             high: float | None = None, live: bool = False) -> Any:
    """Declare a setting; ``live`` ones may change while a node works, the others are read when it configures."""
    return field(default=default, metadata={'description': description, 'choices': choices, 'low': low, 'high': high,
                                            'live': live})


@dataclass(frozen=True)
class Settings:
    """Base of the settings below: checks every value against its declaration.

    Raises:
        ValueError: a value is of the wrong type, outside its range or not among its choices; the message
            names the parameter, the value and what is allowed.

    """

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            kind = type(setting.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, setting.name, float(value))
            elif type(value) is not kind:
                raise ValueError(f'parameter {setting.name}: {value!r} is not a {kind.__name__}')
            low, high, choices = (setting.metadata[key] for key in ('low', 'high', 'choices'))
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                raise ValueError(f'parameter {setting.name}: {value} is outside {low} to {high}')
            if choices and value not in choices:
                raise ValueError(f'parameter {setting.name}: {value!r} is not one of {", ".join(map(str, choices))}')


@dataclass(frozen=True)
class TrackerParameters(Settings):
    """Settings of a tracker. Lengths in metres."""

    modality: str = _setting('depth', 'What is tracked in: depth images, or rgb for colour images.', choices=MODALITIES)
    model: str = _setting('', 'Pose network: a name from models/manifest.yaml or the path of an .onnx file; '
                              'empty for the default one.')
    engine: str = _setting('auto', 'Inference engine; auto takes the fastest that this machine has.',
                           choices=('auto', *ENGINES))
    precision: str = _setting('auto', 'Number format that networks are computed in; auto takes the fastest that costs '
                                      'less than 0.1 mm.', choices=('auto', *PRECISIONS))
    threads: int = _setting(0, 'Threads for inference; 0 leaves it to the engine.', low=0, high=256)
    max_hands: int = _setting(2, 'Hands to track at once.', low=1, high=2, live=True)
    looks: int = _setting(1, 'Looks at each hand in each frame, every one turned another way and all averaged; in depth two '
                             'are 6 % more accurate than one, four 8 %, in colour four 3 %, and take so many times the '
                             'network\'s time.',
                          choices=tuple(LOOKS), live=True)
    fit_surface: bool = _setting(False, 'Depth, and colour with aligned_depth: bring the joints to the points of the depth '
                                        'image by the surface of the hand model, its shape included; a fifth more accurate, '
                                        'in a clip of hands seen well by half and more, for about 6 ms a hand.',
                                 live=True)
    mesh: bool = _setting(True, 'Pose the hand model and publish its mesh.')
    hand_model: str = _setting('', 'Hand model: an .npz or a MANO .pkl file (or a folder with MANO_LEFT.pkl and '
                                   'MANO_RIGHT.pkl); empty for the one shipped.')
    near: float = _setting(0.15, 'Depth closer than this is ignored, metres.', low=0.0, high=10.0, live=True)
    far: float = _setting(1.5, 'Depth beyond this is ignored, metres.', low=0.1, high=10.0, live=True)
    depth_unit: float = _setting(0.001, 'Metres in one unit of a 16-bit depth image.', low=1e-6, high=1.0, live=True)
    image_transport: str = _setting('raw', 'Form of the images; compressedDepth, and compressed for colour, are read '
                                           'from the image topic with that suffix.', choices=IMAGE_TRANSPORTS)
    hand_size: float = _setting(0.09, 'Size of the hands in colour images, wrist to knuckles, which distances follow '
                                      'from: 0.09 to 0.1 for grown people, 0.07 for a child of six; metres.',
                                low=0.03, high=0.2, live=True)
    aligned_depth: bool = _setting(False, 'Colour: take the hands\' distances and sizes from the depth image too, which '
                                          'must be registered to the colour image, pixel for pixel.')
    min_score: float = _setting(0.4, 'Hands scored below this are not reported.', low=0.0, high=1.0, live=True)
    smoothing: bool = _setting(False, 'Steady the joints with a One Euro filter.', live=True)
    gesture_hold: float = _setting(0.2, 'A gesture must be held for so long before it is reported, seconds.', low=0.0,
                                   high=5.0, live=True)
    publish_tf: bool = _setting(True, 'Broadcast one TF frame a joint.', live=True)
    auto_activate: bool = _setting(True, 'Configure and activate the node by itself at start.')

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.near >= self.far:
            raise ValueError(f'parameter near: {self.near} is not below far ({self.far})')
        wrong = 'compressedDepth' if self.modality == 'rgb' else 'compressed'
        if self.image_transport == wrong:
            raise ValueError(f'parameter image_transport: {wrong!r} does not carry {self.modality} images')


@dataclass(frozen=True)
class PlaybackParameters(Settings):
    """Settings of the playback of a recording."""

    input: str = _setting('', 'What to publish: a rosbag2, a folder of images, a video, or a webcam such as /dev/video0.')
    topic: str = _setting('', 'Image topic of the bag; needed only where it holds several.')
    camera: str = _setting('', 'Camera calibration YAML; empty for the one recorded with the images.')
    depth_unit: float = _setting(0.001, 'Metres in one unit of a 16-bit image. Images in another unit than '
                                        'millimetres are published as 32FC1 metres.', low=1e-6, high=1.0)
    rate: float = _setting(0.0, 'Images a second; 0 for the pace of the recording.', low=0.0, high=1000.0)
    loop: bool = _setting(False, 'Start again at the end.')
    use_original_stamps: bool = _setting(False, 'Stamp images as recorded, not with the time of publishing.')
    frame_id: str = _setting('', 'Camera frame; empty for the recorded one.')
    aligned_depth: bool = _setting(False, 'Publish a bag\'s colour images and the depth images registered to them.')
    image_transport: str = _setting('raw', 'Form of the images.', choices=IMAGE_TRANSPORTS)
    wait_for_subscriber: bool = _setting(True, 'Hold the first image until someone subscribes to the images.')
