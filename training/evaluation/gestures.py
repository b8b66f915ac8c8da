"""How well gestures survive a network's errors: those of found joints, one view each, against those of true joints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hand_pose_ros.gestures.recognition import GESTURES, NONE, recognize
from training.evaluation.depth_views import view_validation
from training.evaluation.figures import Measurement


def evaluate(subject: str, samples: int) -> Iterator[Measurement]:
    """Of each gesture of the true joints: hands that show it, and in percent those told right, as none, as another."""
    views, truth = view_validation(subject, samples, (0,))
    # The camera's up means nothing in these crops: thumbs up and down are as likely.
    pairs = Counter((recognize(true), recognize(found.joints)) for true, (found,) in zip(truth, views))
    for name in GESTURES:
        found = {other: count for (true, other), count in pairs.items() if true == name}
        total = sum(found.values())
        if not total:
            continue
        right, none = found.get(name, 0), found.get(NONE, 0) if name != NONE else 0
        for kind, count in (('right', right), ('none', none), ('another', total - right - none)):
            yield Measurement(f'{name}_{kind}', 100 * count / total, '%', total)
