"""What the hand detector misses and what it takes for hands, by score."""

from __future__ import annotations

from collections.abc import Iterator

from hand_pose_ros.detection.color import read_cells
from hand_pose_ros.inference.engines import open_engine
from hand_pose_ros.inference.models import DETECTOR
from training.evaluation.figures import Measurement
from training.evaluation.precision import color_input, run_in_batches
from training.evaluation.subjects import open_subject
from training.evaluation.validation import measurement
from training.tasks.color_detector import compare, validation_frames

SCORES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Hands missed, false ones, errors of handedness, center and size at each of ``SCORES``, in percent."""
    network = open_engine(open_subject(subject, DETECTOR), 'onnxruntime', precision='f32')
    images, labels = (part[:samples] for part in validation_frames())
    cells = run_in_batches(network, color_input(images))[0]
    for score in SCORES:
        found = compare([read_cells(one, score) for one in cells], labels, score)
        for name in ('missed', 'false', 'side_wrong', 'center', 'size'):
            figure = measurement(f'score_{score:g}_{name}_percent', found[f'{name}_percent'], len(images))
            yield figure
