"""Evaluations by name: what each measures, of which models, and the table that its figures are in.

``python -m training evaluate --list`` prints them. An evaluation is a function ``run(subject, samples)`` that yields
:class:`training.evaluation.figures.Measurement`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass

from hand_pose_ros.inference.models import CENTER, COLOR_POSE, DETECTOR, POSE
from training.evaluation.figures import Measurement


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        what: it measures.
        place: of its function, ``module:function``.
        table: name of the CSV that its figures are in.
        samples: that it measures by default.
        kinds: tasks of the models that it measures; without any, its subjects are ``subjects``.
        subjects: what it measures where that is no model.

    """

    what: str
    place: str
    table: str
    samples: int
    kinds: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()

    def run(self, subject: str, samples: int) -> Iterable[Measurement]:
        """Measure a subject on so many samples."""
        module, _, function = self.place.partition(':')
        return getattr(importlib.import_module(f'{__name__}.{module}'), function)(subject, samples)


EVALUATIONS = {
    'depth_validation': Evaluation(
        'error of a depth pose network on rendered crops, one view each',
        'validation:evaluate',
        'depth_models',
        4096,
        (POSE,),
    ),
    'depth_handedness': Evaluation(
        'handedness of a depth pose network, by one view and with the mirror image',
        'validation:evaluate_handedness',
        'depth_models',
        4096,
        (POSE,),
    ),
    'depth_views': Evaluation(
        'error by the number of views, merged as the tracker merges them',
        'depth_views:evaluate',
        'depth_models',
        4096,
        (POSE,),
    ),
    'hard_crops': Evaluation(
        'error on crops of hands that hide many of their own joints',
        'comparison:evaluate',
        'depth_models',
        1024,
        (POSE,),
    ),
    'articulated_icp': Evaluation(
        "error after the hand model was fitted to the depth image's points",
        'articulated_icp:evaluate',
        'depth_models',
        1024,
        (POSE,),
    ),
    'articulated_icp_moving': Evaluation(
        'the same of hands that move before a time-of-flight camera',
        'articulated_icp:evaluate_moving',
        'depth_models',
        1024,
        (POSE,),
    ),
    'gestures': Evaluation(
        "gestures of a network's joints against those of the true joints",
        'gestures:evaluate',
        'gestures',
        8192,
        (POSE,),
    ),
    'center_validation': Evaluation(
        'center, size and presence of the center refinement', 'validation:evaluate', 'depth_models', 4096, (CENTER,)
    ),
    'color_validation': Evaluation(
        "error of a color pose network on renders, by one view of a detector's crop",
        'validation:evaluate',
        'color_models',
        2048,
        (COLOR_POSE,),
    ),
    'color_views': Evaluation(
        'error of new and followed hands as the tracker sees them; mask, handedness',
        'color_pose:evaluate',
        'color_models',
        2048,
        (COLOR_POSE,),
    ),
    'detector_validation': Evaluation(
        'what the color detector misses and takes for hands at its validation score',
        'validation:evaluate',
        'color_models',
        1024,
        (DETECTOR,),
    ),
    'detector_scores': Evaluation('the same by score', 'color_detector:evaluate', 'color_models', 1024, (DETECTOR,)),
    'inverse_kinematics': Evaluation(
        'how well and how fast the hand model fits joints of people that it was not made from',
        'inverse_kinematics:evaluate',
        'hand_model',
        1600,
        subjects=('hand_model',),
    ),
    'precision_error': Evaluation(
        'what each number format costs on the validation set',
        'precision:evaluate_errors',
        'precision',
        1024,
        (POSE, CENTER, COLOR_POSE, DETECTOR),
    ),
    'precision_time': Evaluation(
        "time of a network's call by engine and number format, one thread and one image",
        'precision:evaluate_times',
        'performance',
        150,
        (POSE, CENTER, COLOR_POSE, DETECTOR),
    ),
    'clip': Evaluation(
        'the tracker on the bundled clips: hand-pose evaluate',
        'commands:evaluate_clip',
        'clips',
        225,
        subjects=(
            'depth',
            'depth --views 4',
            'depth --articulated-icp',
            'depth --views 4 --articulated-icp',
            'depth --model jgr_p2o',
            'depth --model hourglass_compact',
            'depth --model srn',
            'depth --model residual_attention',
            'color',
            'color --model color_light',
            'color --model color_light --views 4',
            'rgbd',
            'rgbd --articulated-icp',
        ),
    ),
    'photographs': Evaluation(
        'color on labeled photographs that no training of ours learns from',
        'photographs:evaluate',
        'photographs',
        300,
        subjects=tuple(
            f'photographs --detector {detector} --estimator {estimator}'
            for estimator in ('mediapipe_landmarks', 'color_network')
            for detector in ('palms_and_squares', 'mediapipe_palms', 'color_detector')
        ),
    ),
    'bench': Evaluation(
        'latency and memory on this machine: hand-pose bench',
        'commands:evaluate_bench',
        'performance',
        300,
        subjects=(
            'depth',
            'depth --max-hands 1',
            'depth --model jgr_p2o_large',
            'color',
            'color --model color_light',
            'rgbd',
        ),
    ),
}
