"""Every setting of the tracker, declared once.

The node declares its ROS parameters from here, the command line its flags, and ``config/tracker.yaml``
is checked against it by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


def _setting(default: Any, description: str, *, choices: tuple = (), low: float | None = None,
             high: float | None = None) -> Any:
    return field(default=default, metadata={'description': description, 'choices': choices, 'low': low, 'high': high})


@dataclass(frozen=True)
class TrackerParameters:
    """Settings of a tracker. Lengths in metres.

    Raises:
        ValueError: a value is of the wrong type, outside its range or not among its choices; the message
            names the parameter, the value and what is allowed.

    """

    model: str = _setting('', 'Pose network: a name from models/manifest.yaml or the path of an .onnx file; '
                              'empty for the default one.')
    engine: str = _setting('auto', 'Inference engine; auto takes the fastest that this machine has.',
                           choices=('auto', 'openvino', 'onnxruntime'))
    threads: int = _setting(0, 'Threads for inference; 0 leaves it to the engine.', low=0, high=256)
    max_hands: int = _setting(2, 'Hands to track at once.', low=1, high=2)
    mesh: bool = _setting(True, 'Pose the hand model and publish its mesh.')
    hand_model: str = _setting('', 'Hand model: an .npz or a MANO .pkl file (or a folder with MANO_LEFT.pkl and '
                                   'MANO_RIGHT.pkl); empty for the one shipped.')
    near: float = _setting(0.15, 'Depth closer than this is ignored, metres.', low=0.0, high=10.0)
    far: float = _setting(1.5, 'Depth beyond this is ignored, metres.', low=0.1, high=10.0)
    depth_unit: float = _setting(0.001, 'Metres in one unit of a 16-bit depth image.', low=1e-6, high=1.0)
    min_score: float = _setting(0.5, 'Hands scored below this are not reported.', low=0.0, high=1.0)
    publish_tf: bool = _setting(True, 'Broadcast one TF frame a joint.')
    auto_activate: bool = _setting(True, 'Configure and activate the node by itself at start.')

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
                raise ValueError(f'parameter {setting.name}: {value!r} is not one of {", ".join(choices)}')
        if self.near >= self.far:
            raise ValueError(f'parameter near: {self.near} is not below far ({self.far})')
