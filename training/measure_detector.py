"""What the hand detector misses and what it takes for hands, by score: ``python -m training.measure_detector``."""

from __future__ import annotations

import argparse

from hand_pose_ros.estimation.engines import open_engine
from hand_pose_ros.estimation.models import DETECTOR, find_model
from hand_pose_ros.localization.detector import read_cells
from training.detector_task import compare, validation_frames
from training.measure_precision import color_input, run_in_batches

SCORES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?', default='', help='an .onnx file; default the shipped one')
    arguments = parser.parse_args()
    network = open_engine(find_model(arguments.model, DETECTOR), 'onnxruntime', precision='f32')
    images, labels = validation_frames()
    cells = run_in_batches(network, color_input(images))[0]
    print('score  missed  false  side wrong  centre   size, %')
    for score in SCORES:
        found = compare([read_cells(one, score) for one in cells], labels, score)
        print(f'{score:5.2f}' + ''.join(f'{found[f"{name}_percent"]:{width}.1f}' for name, width in (
            ('missed', 8), ('false', 7), ('side_wrong', 12), ('centre', 8), ('size', 7))))


if __name__ == '__main__':
    main()
