"""How well gestures survive a network's errors: ``python -m training.measure_gestures [MODEL]``.

On the first crops of the validation set, compares the gesture of the joints that are found, with one look at each, with
the gesture of the true joints.
"""

from __future__ import annotations

from collections import Counter

from hand_pose_ros.gestures import GESTURES, NONE, recognise
from training.measure_looks import look_at_validation


def main() -> None:
    """Run from the command line."""
    looks, truth = look_at_validation(__doc__.splitlines()[0], 4096, (0,))
    # The camera's up means nothing in these crops: thumbs up and down are as likely.
    pairs = Counter((recognise(true), recognise(pose.joints)) for true, (pose,) in zip(truth, looks))
    print('gesture        hands   right  none  another, %')
    for name in GESTURES:
        told = {other: count for (true, other), count in pairs.items() if true == name}
        count = max(sum(told.values()), 1)
        right, none = told.get(name, 0), told.get(NONE, 0) if name != NONE else 0
        print(f'{name:12}  {sum(told.values()):6}  {100 * right / count:6.1f}{100 * none / count:6.1f}{100 * (count - right - none) / count:9.1f}')


if __name__ == '__main__':
    main()
