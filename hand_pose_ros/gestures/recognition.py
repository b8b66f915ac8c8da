"""Names of a hand's form: how well its 21 joints fit each form of a library; nothing is learned.

Every condition of a form is a number from 0 to 1, which changes softly about its threshold, the more softly the less
the joints that it rests on are trusted. A form's score is the product of its conditions', so that what is between two
forms, or unlike any, is ``none``. Side, size and orientation do not matter but for thumbs that point up or down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, FINGERS
from hand_pose_ros.gestures.library import (
    APART,
    AT_SIDE,
    BENT,
    CURLED,
    NONE,
    OUT,
    OVER,
    STRAIGHT,
    UP,
    Form,
    GestureLibrary,
    RecordedForm,
    shipped_library,
)
from hand_pose_ros.gestures.shape import CAMERA_UP, HandShape, Point, cosine, measure, measure_angles


@dataclass(frozen=True)
class RecognitionConfiguration:
    """Thresholds between states of fingers, and over how wide a range each changes."""

    straight: float = 0.91  # a finger is straight from this straightness on
    straight_width: float = 0.012
    curled: float = 0.78  # and curled below this; between the two it is bent
    curled_width: float = 0.022
    knuckle_bend_deg: float = 60.0  # a straight finger bent more at its knuckle is bent
    knuckle_width_deg: float = 8.0
    thumb_out_widths: float = 0.5  # the thumb's tip is out so far outside the index knuckle, in palm widths
    thumb_over_widths: float = 0.08  # and over the palm below this
    thumb_width_widths: float = 0.06
    touch_lengths: float = 0.31  # tips touch within this, in palm lengths
    touch_width_lengths: float = 0.03
    touching_straightness: float = 0.62  # of a finger that touches the thumb: in a fist it is less
    apart_deg: float = 11.5  # fingers are apart from this mean angle between neighbors on
    apart_width_deg: float = 1.5
    thumb_tilt_deg: float = 50.0  # a thumb points up or down within this of the vertical
    thumb_tilt_width: float = 0.08  # of the cosine
    # The hand is hollow, as about a ball, with its fingers alike and neither straight nor curled in the mean, and the
    # thumb before the palm and clear of the index finger.
    hollow_least: float = 0.75
    hollow_greatest: float = 0.905
    hollow_width: float = 0.01
    hollow_unlike: float = 0.17  # between the straightest finger and the least straight
    hollow_unlike_width: float = 0.02
    hollow_gap_lengths: float = 0.5
    hollow_height_lengths: float = 0.55
    hollow_width_lengths: float = 0.06
    # A network that does not see a finger puts it between straight and curled. What its least trusted joint lacks in
    # confidence widens every range by this share, and narrows what counts as bent.
    doubt: float = 2.0
    straight_doubt: float = 0.07
    curled_doubt: float = 0.075
    least: float = 0.4  # a form's score is at least this, or there is none
    keep: float = 0.2  # a form that was there stays so long as its score is at least this
    surely: float = 0.7  # a finger is counted, or not, where its state is at least so clear


_DEFAULT = RecognitionConfiguration()
_SURE = (1.0,) * len(FINGERS)
_LEAST_SCORE = 0.01


@dataclass(frozen=True)
class Recognized:
    """The form of a hand.

    Attributes:
        name: of the gesture, or ``none``.
        confidence: its score, or for ``none`` what the best one lacks to 1.
        straight: whether each finger, thumb first, is held out to be counted; None where that cannot be said of one.

    """

    name: str
    confidence: float
    straight: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class _Conditions:
    """How far each condition of a hand holds, 0 to 1."""

    fingers: Mapping[str, Mapping[str, float]]
    thumb: Mapping[str, float]
    apart: float
    touch: Mapping[str, float]
    thumb_up: float
    thumb_down: float
    hollow: float


def recognize(
    joints: np.ndarray,
    side: str,
    *,
    confidence: np.ndarray | None = None,
    up: Point = CAMERA_UP,
    before: str = NONE,
    library: GestureLibrary | None = None,
    configuration: RecognitionConfiguration = _DEFAULT,
) -> Recognized:
    """Recognize a hand's form.

    Args:
        joints: (21, 3), camera optical frame, in any unit.
        side: ``left`` or ``right``.
        confidence: (21,) of the joints; all are trusted where there is none.
        up: direction (3,) in the same frame.
        before: the form that the hand had; it stays for less than another needs to begin (hysteresis).
        library: the gestures that there are; those shipped by default.
        configuration: the thresholds.

    """
    if not np.isfinite(joints).all():
        return Recognized(NONE, 1.0)
    library = shipped_library() if library is None else library
    trust = _SURE if confidence is None else _finger_confidence(confidence)
    conditions = _conditions(measure(joints, side), trust, up, configuration)
    scores = _score_forms(library, conditions)
    if library.recorded:
        _score_recorded(library.recorded, measure_angles(joints, side), scores)
    best = max(scores, key=scores.__getitem__, default=NONE)
    straight = _straight(conditions, configuration)
    if scores.get(best, 0.0) >= configuration.least:
        return Recognized(best, scores[best], straight)
    if scores.get(before, 0.0) >= configuration.keep:
        return Recognized(before, scores[before], straight)
    return Recognized(NONE, 1 - scores.get(best, 0.0), straight)


def _score_forms(library: GestureLibrary, conditions: _Conditions) -> dict[str, float]:
    """Scores of the forms that have one worth mentioning, by name."""
    touched = [conditions.touch[finger] for finger in {form.touch for form in library.forms.values()} - {''}]
    free = 1 - max(touched, default=0.0)
    scores: dict[str, float] = {}
    for form in library.forms.values():
        score = _score(form, conditions, free)
        if score > _LEAST_SCORE:
            scores[form.name] = score
    for form in library.forms.values():
        for other in form.unless:
            if form.name in scores:
                scores[form.name] *= 1 - scores.get(other, 0.0)
    return scores


def _straight(conditions: _Conditions, config: RecognitionConfiguration) -> tuple[bool, ...] | None:
    states = [conditions.fingers[finger] for finger in FINGERS[1:]]
    if any(max(state[STRAIGHT], state[CURLED]) < config.surely for state in states):
        return None
    straight = [state[STRAIGHT] >= config.surely for state in states]
    # A thumb that lies beside the palm is held out only together with all fingers.
    thumb = conditions.thumb[OUT] + (conditions.thumb[AT_SIDE] if all(straight) else 0.0) >= config.surely
    return thumb, *straight


def _finger_confidence(confidence: np.ndarray) -> tuple[float, ...]:
    values = np.asarray(confidence, float).tolist()
    return tuple(min(values[joint] for joint in finger) for finger in FINGER_JOINTS.values())


def _rise(value: float, threshold: float, width: float) -> float:
    """From 0 well below the threshold to 1 well above it."""
    return 1 / (1 + math.exp(max(-30.0, min(30.0, (threshold - value) / width))))


def _conditions(shape: HandShape, trust: Sequence[float], up: Point, config: RecognitionConfiguration) -> _Conditions:
    thumb_wide, *wide = (1 + config.doubt * (1 - one) for one in trust)
    fingers = {}
    for finger, ratio, bend, width, sure in zip(
        FINGERS[1:], shape.straightness, shape.knuckle_bends_deg, wide, trust[1:]
    ):
        straight = _rise(
            ratio, config.straight - config.straight_doubt * (1 - sure), config.straight_width * width
        ) * _rise(-bend, -config.knuckle_bend_deg, config.knuckle_width_deg * width)
        curled = _rise(-ratio, -config.curled - config.curled_doubt * (1 - sure), config.curled_width * width)
        fingers[finger] = {STRAIGHT: straight, CURLED: curled, BENT: max(0.0, 1 - straight - curled)}
    width = config.thumb_width_widths * thumb_wide
    out = _rise(shape.thumb_place, config.thumb_out_widths, width)
    over = _rise(-shape.thumb_place, -config.thumb_over_widths, width)
    touch = {
        finger: _rise(-gap, -config.touch_lengths, config.touch_width_lengths * thumb_wide)
        * _rise(ratio, config.touching_straightness, config.curled_width)
        * (1 - fingers[finger][STRAIGHT])
        for finger, gap, ratio in zip(FINGERS[1:], shape.gaps, shape.straightness)
    }
    tilt = cosine(shape.thumb_direction, up)
    steep = math.cos(math.radians(config.thumb_tilt_deg))
    return _Conditions(
        fingers,
        {OUT: out, OVER: over, AT_SIDE: max(0.0, 1 - out - over)},
        apart=_rise(shape.spread_deg, config.apart_deg, config.apart_width_deg),
        touch=touch,
        thumb_up=_rise(tilt, steep, config.thumb_tilt_width),
        thumb_down=_rise(-tilt, steep, config.thumb_tilt_width),
        hollow=_hollow(shape, thumb_wide, max(wide), config),
    )


def _hollow(shape: HandShape, thumb_wide: float, wide: float, config: RecognitionConfiguration) -> float:
    ratios = shape.straightness
    mean, unlike = sum(ratios) / len(ratios), max(ratios) - min(ratios)
    width = config.hollow_width_lengths * thumb_wide
    return (
        _rise(mean, config.hollow_least, config.hollow_width * wide)
        * _rise(-mean, -config.hollow_greatest, config.hollow_width * wide)
        * _rise(-unlike, -config.hollow_unlike, config.hollow_unlike_width * wide)
        * _rise(shape.gaps[0], config.hollow_gap_lengths, width)
        * _rise(shape.thumb_height, config.hollow_height_lengths, width)
    )


def _score(form: Form, conditions: _Conditions, free: float) -> float:
    """Product of what a form asks for; ``free`` is how far the thumb touches no finger that a form has it touch."""
    score = conditions.touch[form.touch] if form.touch else free
    for finger, states in form.fingers.items():
        weights = conditions.fingers[finger]
        score *= weights[states[0]] if len(states) == 1 else sum(weights[state] for state in states)
        if score < _LEAST_SCORE:
            return 0.0
    if form.thumb:
        score *= sum(conditions.thumb[state] for state in form.thumb)
    if form.spread:
        score *= conditions.apart if form.spread == APART else 1 - conditions.apart
    if form.thumb_points:
        score *= conditions.thumb_up if form.thumb_points == UP else conditions.thumb_down
    if form.hollow:
        score *= conditions.hollow
    return score


def _score_recorded(
    recorded: Mapping[str, RecordedForm], angles: Mapping[str, float], scores: dict[str, float]
) -> None:
    """Add the scores of recorded forms: 0.5 at their tolerance. What fits one of them fits the others less."""
    for form in recorded.values():
        differences = [angles[name] - value for name, value in form.angles_deg.items()]
        rms = math.sqrt(sum(one * one for one in differences) / len(differences))
        score = 0.5 ** ((rms / form.tolerance_deg) ** 2)
        if score > _LEAST_SCORE:
            for name in scores:
                if name not in recorded:
                    scores[name] *= 1 - score
            scores[form.name] = score
