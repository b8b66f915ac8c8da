"""How well gestures survive a network's errors: those of found joints, one view each, against those of true joints.

Two sets of rendered crops: the validation set, and as many hands that count, pinch and grasp, so that every name has
hands. A hand shows a form where the rules say so of its true joints; it does so clearly where they score it 0.9 or
more, or every form 0.1 or less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from hand_pose_ros.core.hand import HandEstimate
from hand_pose_ros.estimation.depth import DepthPoseEstimator
from hand_pose_ros.geometry.joints import FINGER_JOINTS
from hand_pose_ros.gestures.library import NONE, shipped_library
from hand_pose_ros.gestures.recognition import Recognized, recognize
from hand_pose_ros.settings import ModelSettings
from training.evaluation.depth_views import estimate_views, view_validation
from training.evaluation.figures import Measurement
from training.validation_sets import counting_source

#: A score of a form from which on a hand shows it clearly, and of a finger's least trusted joint, that it is seen.
CLEAR, SEEN = 0.9, 0.5
#: A name of fewer hands counts in no mean.
LEAST_HANDS = 20


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Of each gesture that true joints show clearly: hands recognized rightly, as none, as another name, in percent.

    Then the means over the names: of those hands, of all hands, and of those hands whose joints the network trusts.
    """
    found, truth = _estimates(subject, samples)
    # The camera's up means nothing in these crops: thumbs up and down are as likely. They are all right hands.
    true = [recognize(joints, 'right') for joints in truth]
    names = [recognize(one.joints, 'right', confidence=one.confidence).name for one in found]
    clear = [one.confidence >= CLEAR for one in true]
    seen = [_least_trust(one) >= SEEN for one in found]
    yield from _by_name(true, names, clear)
    for prefix, kept in (
        ('mean', clear),
        ('mean_all', [True] * len(true)),
        ('mean_seen', [a and b for a, b in zip(clear, seen)]),
    ):
        yield from _means(prefix, true, names, kept)


def _estimates(subject: str, samples: int) -> tuple[list[HandEstimate], np.ndarray]:
    """Estimates of both sets' crops, half of the samples each, and the true joints."""
    views, truth = view_validation(subject, samples // 2, (0,))
    estimator = DepthPoseEstimator(ModelSettings(model=subject, precision='f32'))
    crops, joints, halves = next(counting_source(estimator.input_size).batches(samples - samples // 2))
    crops = crops.astype(np.float16).astype(np.float32)  # as the validation set holds its own
    more, more_truth = estimate_views(estimator, crops, joints, halves, (0,))
    return [one for (one,) in (*views, *more)], np.concatenate([truth, more_truth])


def _least_trust(estimate: HandEstimate) -> float:
    return min(float(estimate.confidence[list(finger)].min()) for finger in FINGER_JOINTS.values())


def _by_name(true: list[Recognized], names: list[str], kept: list[bool]) -> Iterator[Measurement]:
    pairs = Counter((a.name, b) for a, b, keep in zip(true, names, kept) if keep)
    for name in shipped_library().names:
        total = sum(count for (shown, _), count in pairs.items() if shown == name)
        if total:
            right, none = pairs[name, name], pairs[name, NONE] if name != NONE else 0
            for kind, count in (('right', right), ('none', none), ('another', total - right - none)):
                yield Measurement(f'{name}_{kind}', 100 * count / total, '%', total)


def _means(prefix: str, true: list[Recognized], names: list[str], kept: list[bool]) -> Iterator[Measurement]:
    """Means over the names but ``none``, and the share of hands without a gesture that get a name."""
    shares: dict[str, list[tuple[bool, bool]]] = {}
    for one, name, keep in zip(true, names, kept):
        if keep:
            shares.setdefault(one.name, []).append((name == one.name, name not in (one.name, NONE)))
    named = [np.mean(rows, axis=0) for name, rows in shares.items() if name != NONE and len(rows) >= LEAST_HANDS]
    hands = sum(len(rows) for name, rows in shares.items() if name != NONE)
    if named:
        right, another = 100 * np.mean(named, axis=0)
        yield Measurement(f'{prefix}_right', float(right), '%', hands)
        yield Measurement(f'{prefix}_another', float(another), '%', hands)
    if NONE in shares:
        spurious = 100 * np.mean([wrong for _, wrong in shares[NONE]])
        yield Measurement(f'{prefix}_none_named', float(spurious), '%', len(shares[NONE]))
