"""Stepping down: which networks a tracker has, and with how many views, whatever is changed meanwhile."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
from hand_pose_ros.nodes import adaptation
from hand_pose_ros.nodes.adaptation import Adaptation
from hand_pose_ros.settings import ModelSettings
from hand_pose_ros.tracking.model_choice import Level, ModelChoice

BEST, QUICK = (replace(ModelSettings(), model=name) for name in ('best', 'quick'))


class Control:
    """Stands in for the control of the load: the level is the one that a test sets."""

    def __init__(self, levels):
        self.level = 0

    def frame(self, busy_s):
        pass


@pytest.fixture
def tracker():
    made = SimpleNamespace(estimator=BEST, timer=None)
    made.replace_estimator = lambda estimator: setattr(made, 'estimator', estimator)
    return made


@pytest.fixture
def adapted(monkeypatch, tracker):
    """Of two networks, which are their own estimators here, the first with two views at first."""
    monkeypatch.setattr(adaptation, 'LoadControl', Control)
    monkeypatch.setattr(adaptation, 'make_estimator', lambda models, timer: models)
    logger = SimpleNamespace(warning=lambda line: None, error=lambda line: None)
    choice = ModelChoice((Level(BEST, 2), Level(BEST, 1), Level(QUICK, 1)), 'of two')
    return Adaptation(tracker, choice, logger)


def step(adapted, level):
    """Go to a level, by as many frames as loading its network takes; True if the tracker changed."""
    adapted._control.level = level
    changed = adapted.after_frame(0.0)
    if not changed and adapted._loading is not None:
        adapted._loading.join(10)
        changed = adapted.after_frame(0.0)
    return changed


def test_it_steps_down_and_up_again(adapted, tracker):
    assert adapted.describe()['stepped down to'] == 'nothing' and not step(adapted, 0)
    assert step(adapted, 1) and (adapted.views, tracker.estimator) == (1, BEST)
    assert step(adapted, 2) and (adapted.views, tracker.estimator) == (1, QUICK)
    assert adapted.describe()['stepped down to'].startswith('quick')
    assert step(adapted, 0) and (adapted.views, tracker.estimator) == (2, BEST)


@pytest.mark.parametrize('level', [0, 1, 2])
def test_new_views_begin_with_the_first_networks(adapted, tracker, level):
    step(adapted, level)
    adapted.set_views(4)
    assert (adapted.views, tracker.estimator) == (4, BEST) and adapted.describe()['stepped down to'] == 'nothing'
    assert step(adapted, 3) and (adapted.level, tracker.estimator) == (Level(QUICK, 1), QUICK)
    assert step(adapted, 2) and (adapted.level, tracker.estimator) == (Level(BEST, 1), BEST)
