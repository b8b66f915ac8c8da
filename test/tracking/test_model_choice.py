"""Which networks a tracker can afford, and when it steps down."""

from dataclasses import replace

import numpy as np
import pytest

from hand_pose_ros.settings import TrackerSettings, compose
from hand_pose_ros.tracking import model_choice
from hand_pose_ros.tracking.load import CONFIG, LoadControl
from hand_pose_ros.tracking.model_choice import EstimateTime, choose_models, time_estimator


@pytest.fixture
def slow(monkeypatch, tmp_path):
    """Networks that take known times, wall and all cores; nothing is cached."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(model_choice, 'usable_cores', lambda: 2)
    monkeypatch.setattr(model_choice, 'models_by_accuracy', lambda task: ['best', 'good', 'quick'])
    monkeypatch.setattr(model_choice, 'choose_configuration', lambda models: model_choice.MEDIAPIPE)
    asked = []

    def use(**times):
        def estimate_time(models, hands, views, anew=False):
            asked.append((models.model, models.threads))
            wall, cores = (hands * views * value for value in times[models.model])
            return EstimateTime(cores if models.threads == 1 else wall, cores)

        monkeypatch.setattr(model_choice, 'estimate_time', estimate_time)
        return asked

    return use


def settings(**values):
    return compose(TrackerSettings, values)


def names(choice):
    return [(level.models.model, level.views) for level in choice.levels]


def test_the_most_accurate_that_keeps_up_is_taken(slow):
    asked = slow(best=(30, 55), good=(4, 7), quick=(2, 3))
    choice = choose_models(settings())
    assert names(choice) == [('good', 1), ('quick', 1)]
    assert asked == [('best', 1), ('good', 1)], 'no more than needed is timed, nor what all cores could not do'
    assert [level.models.threads for level in choice.levels] == [1, 1], 'one thread keeps up too'
    assert 'good by one thread for 2 hands at 30 Hz' in choice.reason and '110.0 ms (110.0)' in choice.reason
    assert names(choose_models(settings(max_hands=1, expected_rate_hz=15)))[0] == ('best', 1)
    assert names(choose_models(settings(expected_rate_hz=300))) == [('quick', 1)], 'the last one where none keeps up'
    assert len(choose_models(settings(), anew=True).times) == 3


def test_several_threads_are_taken_where_one_does_not_keep_up(slow):
    asked = slow(best=(8, 13), good=(4, 7), quick=(2, 3))
    choice = choose_models(settings())
    assert names(choice)[0] == ('best', 1) and choice.levels[0].models.threads == 0
    assert asked == [('best', 1), ('best', 0)] and [one.models.threads for one in choice.levels[1:]] == [1, 1]
    assert choose_models(settings(threads=2)).levels[0].models.threads == 2, 'or as many as asked for'


def test_many_cores_at_once_count_too(slow):
    slow(best=(5, 60), good=(5, 8), quick=(2, 4))
    assert names(choose_models(settings()))[0] == ('good', 1)


def test_fewer_views_come_before_a_smaller_network(slow):
    slow(best=(1, 2), good=(1, 2), quick=(1, 1))
    choice = choose_models(settings(views=4))
    assert names(choice) == [('best', 4), ('best', 2), ('best', 1), ('good', 1), ('quick', 1)]
    assert names(choice.with_views(1)) == [('best', 1), ('good', 1), ('quick', 1)]
    assert names(choice.without(choice.levels[3].models))[-2:] == [('best', 1), ('quick', 1)]


def test_what_is_named_is_taken_whatever_it_takes(slow):
    asked = slow(best=(99, 99))
    choice = choose_models(settings(model='best', views=2))
    assert names(choice) == [('best', 2)] and not asked and not choice.reason


def test_color_with_depth_keeps_a_color_network_to_step_down_to(slow):
    slow(best=(20, 40), good=(5, 9), quick=(2, 4))
    levels = choose_models(settings(modality='rgbd')).levels
    assert [level.models.model for level in levels] == ['good', 'quick', 'quick']
    assert levels[-1].models.estimator == 'mediapipe_landmarks_lite'
    only = choose_models(settings(modality='color', estimator='color_network')).levels
    assert [level.models.estimator for level in only] == ['color_network']


def test_times_are_cached_by_what_they_depend_on(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    made = []
    monkeypatch.setattr(model_choice, 'make_estimator', lambda models, timer: made.append(models))
    monkeypatch.setattr(model_choice, 'time_estimator', lambda *_: EstimateTime(1.5 * len(made), 2.0))
    one = settings(model='jgr_p2o').models
    assert model_choice.estimate_time(one, 2, 1) == model_choice.estimate_time(one, 2, 1) == EstimateTime(1.5, 2.0)
    assert model_choice.estimate_time(one, 1, 1).wall_ms == 3.0, 'of another number of hands'
    monkeypatch.setattr(model_choice, 'imitated_isa', lambda: 'avx2')
    assert model_choice.estimate_time(one, 2, 1).wall_ms == 4.5, 'of another processor'
    (file, *_) = (tmp_path / 'hand_pose_ros' / 'times').iterdir()
    for cached in (tmp_path / 'hand_pose_ros' / 'times').iterdir():
        cached.write_text('{"wall_ms": ')
    assert model_choice.estimate_time(one, 2, 1).wall_ms == 6.0, 'a damaged cache is found out again'
    monkeypatch.setenv('XDG_CACHE_HOME', str(file))
    assert model_choice.estimate_time(one, 2, 1).wall_ms == 7.5, 'there is no place for a cache'


def test_a_time_that_others_disturbed_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    found = iter([EstimateTime(9.0, 6.0), EstimateTime(6.1, 6.0), EstimateTime(7.0, 6.0)])
    monkeypatch.setattr(model_choice, 'make_estimator', lambda models, timer: None)
    monkeypatch.setattr(model_choice, 'time_estimator', lambda *_: next(found))
    one = replace(settings().models, model='jgr_p2o', threads=1)
    assert [model_choice.estimate_time(one, 2, 1).wall_ms for _ in range(3)] == [9.0, 6.1, 6.1]


@pytest.mark.parametrize('modality', ['depth', 'color', 'rgbd'])
def test_an_estimator_is_timed_on_as_many_hands_as_asked(modality):
    seen = []

    class Estimator:
        def estimate(self, frame, regions, views):
            seen.append((len(regions), views, frame.channels))
            return [None] * len(regions)

    found = time_estimator(Estimator(), modality, 2, 4)
    assert found.wall_ms >= 0 and {(count, views) for count, views, _ in seen} == {(2, 4)}
    assert len(seen[0][2]) == (2 if modality == 'rgbd' else 1)
    frame, regions = model_choice._scene(modality, 2)
    assert regions[0].offset(regions[1]).shift > 0.5, 'side by side'
    assert modality != 'depth' or np.all(frame.depth[:] == 0.5)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def play(control, clock, seconds, busy, rate=30):
    """Let frames come; returns how often the level changed."""
    changes = 0
    for _ in range(int(seconds * rate)):
        clock.now += 1 / rate
        changes += control.frame(busy(control.level) if callable(busy) else busy)
    return changes


def test_it_steps_down_before_frames_are_dropped_and_up_after_ten_quiet_seconds():
    clock = Clock()
    control = LoadControl(3, clock)
    assert play(control, clock, 5, 0.020) == 0
    assert play(control, clock, 4, lambda level: 0.015 if level else 0.031) == 1 and control.level == 1
    assert play(control, clock, 6, 0.015) == 0 and control.level == 1
    assert play(control, clock, 5, 0.015) == 1 and control.level == 0


def test_what_was_raised_too_early_waits_longer_the_next_time():
    clock = Clock()
    control = LoadControl(2, clock)
    changes = [play(control, clock, 60, lambda level: 0.010 if level else 0.032) for _ in range(4)]
    assert changes[0] > changes[-1] >= 0 and sum(changes) > 3


def test_a_pause_and_a_start_say_nothing():
    clock = Clock()
    control = LoadControl(2, clock)
    assert play(control, clock, 1, 0.2, rate=5) == 0 and control.load() is None, 'too few frames'
    control.pause()
    assert play(control, clock, CONFIG.steady_s - 0.1, 0.05) == 0, 'networks warm up'
    assert play(control, clock, 1, 0.05) == 1
