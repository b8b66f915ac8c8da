"""Make the pictures of the documents from real output: ``python scripts/make_pictures.py`` writes docs/demo.png."""

from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.drawing import side_by_side
from hand_pose_ros.images import depth_in_metres
from hand_pose_ros.io.recording import open_recording
from hand_pose_ros.pipeline.tracker import HandTracker
from hand_pose_ros.resources import resource_path

#: Frames of the bundled clip that are shown, and the first row of them: above it there is nothing.
SHOWN, TOP = (36, 92, 120), 200


def main() -> None:
    """Track the bundled clip and draw the chosen frames."""
    tracker, rows = HandTracker(), []
    for number, frame in enumerate(open_recording(resource_path('demo', 'clip'))):
        depth = depth_in_metres(frame.image, 0.001)
        hands = tracker.process(depth, frame.camera)
        if number in SHOWN:
            rows.append(side_by_side(depth, hands, frame.camera)[TOP:])
    picture = np.vstack(rows)
    Path('docs').mkdir(exist_ok=True)
    cv2.imwrite('docs/demo.png', picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f'docs/demo.png: {picture.shape[1]}x{picture.shape[0]}')


if __name__ == '__main__':
    main()
