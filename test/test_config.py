"""config/tracker.yaml says what the parameters are."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from hand_pose_ros.parameters import TrackerParameters

FILE = Path(__file__).resolve().parents[1] / 'config' / 'tracker.yaml'
TEXT = FILE.read_text()
VALUES = yaml.safe_load(TEXT)['/**/hand_tracker']['ros__parameters']


def test_every_parameter_is_there_in_order_with_its_default():
    defaults = {setting.name: setting.default for setting in fields(TrackerParameters)}
    assert VALUES == defaults and list(VALUES) == list(defaults)
    assert all(type(VALUES[name]) is type(default) for name, default in defaults.items())
    assert TrackerParameters(**VALUES) == TrackerParameters()


@pytest.mark.parametrize('setting', fields(TrackerParameters), ids=lambda setting: setting.name)
def test_every_parameter_is_described_above_it(setting):
    lines = TEXT.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(f'{setting.name}:'))
    comment = []
    while lines[at - 1].strip().startswith('#'):
        at -= 1
        comment.insert(0, lines[at].strip('# '))
    comment = ' '.join(comment)
    assert comment.startswith(setting.metadata['description'])
    assert all(str(choice) in comment for choice in setting.metadata['choices'])
    low, high = setting.metadata['low'], setting.metadata['high']
    assert low is None or f'From {low} to {high}.' in comment
    assert comment.endswith('Live.') == setting.metadata['live']
