"""Times MediaPipe Hands on a folder of images, for ``hand-pose bench --peer mediapipe``; prints one JSON object.

Run by any Python that has mediapipe (0.10.21 or another that brings ``solutions.hands`` with its models), which need
not be the one that has this package.
"""

import json
import sys
import time
from pathlib import Path

WARM_UP = 20


def main(folder: str) -> None:
    """Track the images in name order, forth and back for the warm-up, and time each."""
    import cv2
    import mediapipe

    read = [cv2.imread(str(path)) for path in sorted(Path(folder).glob('*.png'))]
    images = [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in read if image is not None]
    hands = mediapipe.solutions.hands.Hands(max_num_hands=2)
    for image in images[:WARM_UP]:
        hands.process(image)
    seconds, found = [], 0
    for image in images:
        started = time.perf_counter()
        result = hands.process(image)
        seconds.append(time.perf_counter() - started)
        found += bool(result.multi_hand_landmarks)
    seconds.sort()
    print(
        json.dumps(
            {
                'version': mediapipe.__version__,
                'frames': len(images),
                'frames_with_hands': found,
                'frame_ms': {
                    'median': round(1000 * seconds[len(seconds) // 2], 3),
                    'p95': round(1000 * seconds[int(0.95 * (len(seconds) - 1))], 3),
                },
            }
        )
    )


if __name__ == '__main__':
    main(sys.argv[1])
