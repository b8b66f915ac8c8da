"""config/tracker.yaml and docs/parameters.md say what the parameters are; engines are those that settings name."""

import runpy
from dataclasses import fields

import pytest
import yaml
from checkout import ROOT

from hand_pose_ros import settings as declarations
from hand_pose_ros.inference.base import PRECISIONS
from hand_pose_ros.inference.engines import ENGINES
from hand_pose_ros.settings import (
    ENGINE_NAMES,
    PlaybackSettings,
    TrackerSettings,
    changed,
    compose,
    declared,
    flat,
)

GENERATE = runpy.run_path(str(ROOT / 'scripts' / 'generate_parameters.py'))


@pytest.mark.parametrize(
    'file, make', [('config/tracker.yaml', 'tracker_yaml'), ('docs/parameters.md', 'parameters_page')]
)
def test_generated_files_are_up_to_date(file, make):
    assert (ROOT / file).read_text() == GENERATE[make](), 'run scripts/generate_parameters.py'


def test_the_file_holds_every_parameter_in_order_with_its_default():
    values = yaml.safe_load((ROOT / 'config' / 'tracker.yaml').read_text())['/**/hand_tracker']['ros__parameters']
    defaults = {one.name: one.default for one in declared(TrackerSettings)}
    assert values == defaults and list(values) == list(defaults)
    assert all(type(values[name]) is type(default) for name, default in defaults.items())
    assert compose(TrackerSettings, values) == TrackerSettings()


def test_the_page_describes_every_parameter():
    page = GENERATE['parameters_page']()
    for one in (*declared(TrackerSettings), *declared(PlaybackSettings)):
        assert any(
            line.startswith(f'| `{one.name}` |') and one.metadata['description'] in line for line in page.splitlines()
        ), one.name


def test_engines_and_precisions_are_those_that_settings_name():
    assert tuple(ENGINES) == ENGINE_NAMES
    assert PRECISIONS == declarations.PRECISIONS


def test_names_are_unique_over_the_groups():
    names = [one.name for one in declared(TrackerSettings)]
    assert len(names) == len(set(names))
    groups = [{one.name for one in fields(group.default)} for group in fields(TrackerSettings)]
    assert set().union(*groups) == set(names) and all(groups)


def test_settings_are_as_flat_as_their_groups_are_deep():
    made = compose(TrackerSettings, {'far': 2, 'engine': 'openvino', 'publish_tf': False})
    assert (made.tracking.far, made.models.engine, made.node.publish_tf) == (2.0, 'openvino', False)
    assert type(made.tracking.far) is float and compose(TrackerSettings, flat(made)) == made
    other = changed(made, far=1.0, modality='color')
    assert (other.tracking.far, other.models.modality, other.models.engine) == (1.0, 'color', 'openvino')
    assert made.tracking.far == 2.0


@pytest.mark.parametrize(
    'values, reason',
    [
        ({'looks': 4}, 'parameter looks: there is no such parameter'),
        ({'views': 3}, 'parameter views: 3 is not one of 1, 2, 4'),
        ({'near': 2.0}, 'parameter near: 2.0 is not below far'),
        ({'mesh': 1}, 'parameter mesh: 1 is not a bool'),
        ({'max_hands': 0}, 'parameter max_hands: 0 is outside 1 to 8'),
        ({'modality': 'rgb'}, "parameter modality: 'rgb' is not one of depth, color, rgbd"),
        ({'image_transport': 'compressed'}, "parameter image_transport: 'compressed' does not carry depth images"),
        (
            {'modality': 'rgbd', 'image_transport': 'compressedDepth'},
            "parameter image_transport: 'compressedDepth' does not carry rgbd images",
        ),
    ],
)
def test_what_is_wrong_is_named(values, reason):
    with pytest.raises(ValueError, match=reason):
        compose(TrackerSettings, values)


def test_the_file_names_choices_limits_and_what_is_live():
    text = ' '.join(line.strip().lstrip('# ') for line in GENERATE['tracker_yaml']().splitlines())
    assert 'One of 1, 2, 4. Live. views: 1' in text and 'From 0.15' not in text
    assert 'From 0.0 to 10.0. Live. near: 0.15' in text and 'One of raw, compressedDepth, compressed. image_t' in text
