"""Every setting of the nodes, declared once.

The nodes declare their ROS parameters from here, the command line its flags, the launch files their arguments; the
page of parameters and ``config/tracker.yaml`` are generated from it. Settings are grouped by what they configure, and
a group of groups is as flat for users as one: names are unique.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

#: What a tracker sees: a depth image, a color image, or both, depth registered to color.
MODALITIES = ('depth', 'color', 'rgbd')

#: How a camera's images travel: as they are, or as image transport's ``compressedDepth`` and ``compressed`` pack them.
IMAGE_TRANSPORTS = ('raw', 'compressedDepth', 'compressed')

#: Inference engines that the package brings, by name, and number formats that a network can be computed in. ``int8``
#: is a quantized graph of its own, see ``docs/engines.md``.
ENGINE_NAMES = ('tensorrt', 'onnxruntime-cuda', 'openvino', 'onnxruntime', 'openvino-gpu', 'openvino-npu')
PRECISIONS = ('f32', 'bf16', 'f16', 'int8')

#: How many views of a hand an estimate may be made of.
VIEWS = (1, 2, 4)

#: Takes whatever the modality's configuration names.
AUTO = 'auto'


def setting(
    default: Any,
    description: str,
    *,
    choices: tuple = (),
    low: float | None = None,
    high: float | None = None,
    live: bool = False,
) -> Any:
    """Declare a setting; ``live`` ones may change while a node works, the others are read when it configures."""
    metadata = {'description': description, 'choices': choices, 'low': low, 'high': high, 'live': live}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Base of the settings below: checks every value against its declaration.

    Raises:
        ValueError: a value is of the wrong type, outside its range or not among its choices; the message
            names the parameter, the value and what is allowed.

    """

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = getattr(self, declared.name)
            kind = type(declared.default)
            if kind is float and type(value) is int:
                object.__setattr__(self, declared.name, float(value))
            elif type(value) is not kind:
                raise ValueError(f'parameter {declared.name}: {value!r} is not a {kind.__name__}')
            low, high, choices = (declared.metadata[key] for key in ('low', 'high', 'choices'))
            if (low is not None and not value >= low) or (high is not None and not value <= high):
                raise ValueError(f'parameter {declared.name}: {value} is outside {low} to {high}')
            if choices and value not in choices:
                raise ValueError(f'parameter {declared.name}: {value!r} is not one of {", ".join(map(str, choices))}')


@dataclass(frozen=True)
class ModelSettings(Settings):
    """Which parts and networks a tracker is made of, and what runs them."""

    modality: str = setting(
        'depth',
        'What is tracked in: depth images, color images, or rgbd for color with depth registered to it.',
        choices=MODALITIES,
    )
    detector: str = setting(
        AUTO, 'Part that finds new hands, by its registered name; auto takes the one of the modality.'
    )
    estimator: str = setting(
        AUTO, 'Part that estimates poses, by its registered name; auto takes the one of the modality.'
    )
    model: str = setting(
        AUTO,
        'Pose network: a name from models/manifest.yaml or the path of an .onnx file; for rgbd two may be named, '
        'separated by a comma. auto takes the most accurate; a node times them at start and takes the most accurate '
        'that keeps up with the camera here, and a smaller one while the machine is too busy.',
    )
    engine: str = setting(
        AUTO, 'Inference engine; auto takes the fastest that this machine has.', choices=(AUTO, *ENGINE_NAMES)
    )
    precision: str = setting(
        AUTO,
        'Number format that networks are computed in; auto takes the fastest that costs less than 0.1 mm.',
        choices=(AUTO, *PRECISIONS),
    )
    threads: int = setting(0, 'Threads for inference; 0 leaves it to the engine.', low=0, high=256)
    hand_model: str = setting(
        '',
        'Hand model: an .npz or a MANO .pkl file (or a folder with MANO_LEFT.pkl and MANO_RIGHT.pkl); empty for the '
        'one shipped.',
    )


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """What a tracker does with each frame. Lengths in meters."""

    max_hands: int = setting(2, 'Hands to track at once; over two: of several people.', low=1, high=8, live=True)
    views: int = setting(
        1,
        'Views of each hand in each frame, every one turned another way and all averaged: more accurate, and as many '
        'times the time of the network.',
        choices=VIEWS,
        live=True,
    )
    articulated_icp: bool = setting(
        False,
        'With depth: bring the hand model to the points of the depth image (articulated iterative closest point); more '
        'accurate where a hand is seen well, for some milliseconds a hand.',
        live=True,
    )
    smoothing: bool = setting(False, 'Steady the joints with a One Euro filter.', live=True)
    mesh: bool = setting(True, 'Pose the hand model and publish its mesh.')
    near: float = setting(0.15, 'Depth closer than this is ignored, meters.', low=0.0, high=10.0, live=True)
    far: float = setting(1.5, 'Depth beyond this is ignored, meters.', low=0.1, high=10.0, live=True)
    image_rotation: int = setting(
        0,
        'Degrees clockwise by which images must be turned to be upright, where the camera stands on its side or upside '
        "down; results stay in the camera's own frame.",
        choices=(0, 90, 180, 270),
        live=True,
    )
    hand_size: float = setting(
        0.09,
        'Size of the hands where no depth measures it, wrist to knuckles, which distances follow from: 0.09 to 0.1 for '
        'grown people, 0.07 for a child of six; meters.',
        low=0.03,
        high=0.2,
        live=True,
    )
    min_score: float = setting(0.4, 'Hands scored below this are not reported.', low=0.0, high=1.0, live=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.near >= self.far:
            raise ValueError(f'parameter near: {self.near} is not below far ({self.far})')


@dataclass(frozen=True)
class NodeSettings(Settings):
    """How the tracker node takes images and gives hands."""

    depth_unit: float = setting(0.001, 'Meters in one unit of a 16-bit depth image.', low=1e-6, high=1.0, live=True)
    image_transport: str = setting(
        'raw',
        'Form of the images; compressedDepth for depth and compressed for color are read from the image topic with '
        'that suffix; for rgbd compressed stands for both.',
        choices=IMAGE_TRANSPORTS,
    )
    pairing_tolerance: float = setting(
        0.017,
        'With color and depth: stamps of two images of one moment are no further apart, seconds.',
        low=0.0,
        high=1.0,
        live=True,
    )
    mirrored: bool = setting(
        False, "The images are mirrored, left and right, as a selfie camera's; results are as without that.", live=True
    )
    tf_prefix: str = setting(
        AUTO,
        'Put before the names of TF frames, so that several trackers can share one tree, e.g. front_; auto takes the '
        "node's namespace, and nothing where it has none.",
    )
    expected_rate_hz: float = setting(
        30.0, 'Images a second that the model chosen by auto must keep up with.', low=1.0, high=1000.0
    )
    gesture_hold: float = setting(
        0.2, 'A gesture must be held for so long before it is reported, seconds.', low=0.0, high=5.0, live=True
    )
    gestures_file: str = setting(
        '',
        "People's own gestures, added to those shipped; empty for hand_pose_ros/gestures.yaml in the user's "
        'configuration folder (~/.config), where there is one.',
    )
    up_frame: str = setting(
        '',
        'TF frame whose z is up, for thumbs, waves and swipes; empty where the camera stands upright.',
    )
    ray_frame: str = setting(
        '', 'TF frame that the rays of pointing hands are in; empty for the camera frame of the image.'
    )
    angle_confidence: float = setting(
        0.8,
        'A joint angle whose joints are trusted less than this follows more slowly, by its confidence; 0: never.',
        low=0.0,
        high=1.0,
        live=True,
    )
    angle_speed: float = setting(
        7.5, 'Joint angles change no faster, radians a second; 0: no limit.', low=0.0, high=100.0, live=True
    )
    publish_tf: bool = setting(True, 'Broadcast one TF frame a joint, and one of the palm.', live=True)
    auto_activate: bool = setting(True, 'Configure and activate the node by itself at start.')


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of the tracker node, by what they configure.

    Raises:
        ValueError: two of them do not go together; the message names both.

    """

    models: ModelSettings = ModelSettings()
    tracking: TrackingSettings = TrackingSettings()
    node: NodeSettings = NodeSettings()

    def __post_init__(self) -> None:
        wrong = 'compressed' if self.models.modality == 'depth' else 'compressedDepth'
        if self.node.image_transport == wrong:
            raise ValueError(f'parameter image_transport: {wrong!r} does not carry {self.models.modality} images')


@dataclass(frozen=True)
class PlaybackSettings(Settings):
    """Settings of the playback of a recording."""

    input: str = setting(
        '', 'What to publish: a rosbag2, a folder of images, a video, or a webcam such as /dev/video0.'
    )
    topic: str = setting('', 'Image topic of the bag; needed only where it holds several.')
    camera: str = setting('', 'Camera calibration YAML; empty for the one recorded with the images.')
    depth_unit: float = setting(
        0.001,
        'Meters in one unit of a 16-bit image. Images in another unit than millimeters are published as 32FC1 meters.',
        low=1e-6,
        high=1.0,
    )
    rate: float = setting(0.0, 'Images a second; 0 for the pace of the recording.', low=0.0, high=1000.0)
    loop: bool = setting(False, 'Start again at the end.')
    use_original_stamps: bool = setting(False, 'Stamp images as recorded, not with the time of publishing.')
    frame_id: str = setting('', 'Camera frame; empty for the recorded one.')
    modality: str = setting(
        AUTO,
        'Images of a bag that are published: depth, color, or rgbd for color with the depth registered to it; auto '
        'takes depth where there is depth.',
        choices=(AUTO, *MODALITIES),
    )
    image_transport: str = setting('raw', 'Form of the images.', choices=IMAGE_TRANSPORTS)
    wait_for_subscriber: bool = setting(True, 'Hold the first image until someone subscribes to the images.')


S = TypeVar('S')


def declared(kind: type) -> tuple[Field, ...]:
    """Every single setting of a class of settings, those of its groups included, in order."""
    found: list[Field] = []
    for one in fields(kind):
        found.extend(declared(type(one.default)) if isinstance(one.default, Settings) else (one,))
    return tuple(found)


def compose(kind: type[S], values: Mapping[str, Any]) -> S:
    """Make settings of ``kind`` from flat values by name; what is not named keeps its default.

    Raises:
        ValueError: a value is not allowed, or a name is of no setting; the message names it.

    """
    unknown = set(values) - {one.name for one in declared(kind)}
    if unknown:
        raise ValueError(f'parameter {min(unknown)}: there is no such parameter')
    given: dict[str, Any] = {}
    for one in fields(kind):  # type: ignore[arg-type]
        if isinstance(one.default, Settings):
            names = {part.name for part in declared(type(one.default))} & set(values)
            given[one.name] = compose(type(one.default), {name: values[name] for name in names})
        elif one.name in values:
            given[one.name] = values[one.name]
    return kind(**given)


def flat(settings: Any) -> dict[str, Any]:
    """The values of settings and of their groups by name, as :func:`compose` takes them."""
    values: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        values.update(flat(value) if isinstance(value, Settings) else {one.name: value})
    return values


def changed(settings: S, **values: Any) -> S:
    """The same settings but for ``values``, given flat by name; raises ValueError as :func:`compose` does."""
    return compose(type(settings), {**flat(settings), **values})
