"""Files of gestures: what is wrong in one is said in a line; people's own replace and add; recording makes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from posed_hands import FIST, posed

from hand_pose_ros.cli.main import main
from hand_pose_ros.gestures.describe import describe_library
from hand_pose_ros.gestures.library import GestureError, load_library, read_library, shipped_library
from hand_pose_ros.gestures.recognition import recognize
from hand_pose_ros.gestures.recording import make_form, save_form
from hand_pose_ros.gestures.shape import ANGLE_NAMES

#: The closed list of names.
FORMS = [
    'none',
    'open',
    'stop',
    'four',
    'three',
    'three_thumb',
    'two',
    'point',
    'fist',
    'thumb_up',
    'thumb_down',
    'thumb_index',
    'little_finger',
    'call',
    'horns',
    'pinch',
    'ok',
    'grab',
]
MOVEMENTS = ['wave', 'come', 'swipe_left', 'swipe_right', 'swipe_up', 'swipe_down', 'clap', 'no_no', 'flap']


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No gestures of whoever runs the tests."""
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))


def test_the_shipped_gestures_are_the_closed_list():
    library = shipped_library()
    assert sorted(library.names) == sorted(FORMS) and sorted(library.movements) == sorted(MOVEMENTS)
    assert set(library.pairs) == {'heart', 'timeout'} and not library.recorded
    described = describe_library(library)
    assert [len(rows) for rows in described.values()] == [len(FORMS), 2, len(MOVEMENTS)]
    assert all(what for rows in described.values() for _, what in rows)


ANGLES = dict.fromkeys(ANGLE_NAMES, 10)


@pytest.mark.parametrize(
    'text, says',
    [
        ('forms: [', 'gestures.yaml: not a file of gestures'),
        ('[1, 2]', 'is not a mapping'),
        ('shapes: {}', "no section 'shapes'"),
        ('forms: {peace: {indx: straight}}', "forms: peace: there is no field 'indx'; did you mean index"),
        ('forms: {peace: {index: strait}}', "peace: index: there is no state 'strait'; did you mean straight"),
        ('forms: {peace: {thumb: curled}}', "peace: thumb: there is no state 'curled'"),
        ('forms: {Peace: {index: straight}}', "'Peace' is no name"),
        ('forms: {none: {index: straight}}', "'none' is no name"),
        ('forms: {peace: {}}', 'peace: says nothing of the hand'),
        ('forms: {peace: {index: straight, hollow: 3}}', 'hollow: 3 is neither true nor false'),
        ('forms: {peace: {index: straight, unless: thre}}', "peace: there is no form 'thre'; did you mean three"),
        (yaml.safe_dump({'recorded': {'mine': {'angles_deg': ANGLES}}}), 'tolerance_deg: None is not a number from 1'),
        (
            yaml.safe_dump({'recorded': {'mine': {'angles_deg': ANGLES, 'tolerance_deg': 90}}}),
            'tolerance_deg: 90 is not a number from 1 to 60',
        ),
        (
            yaml.safe_dump({'recorded': {'mine': {'angles_deg': {**ANGLES, 'index_pip_flexion': 999}}}}),
            'index_pip_flexion: 999 is not a number from -180 to 180',
        ),
        (yaml.safe_dump({'recorded': {'mine': {'angles_deg': {'thumb_ip_flexion': 1}}}}), 'lacks thumb_cmc_flexion'),
        ('movements: {bow: {follow: palms}}', "bow: follow: there is no part 'palms'; did you mean palm"),
        ('movements: {bow: {follow: palm, axis: sideways, within: 1, amplitude: 1}}', "no axis 'sideways'"),
        ('movements: {bow: {follow: palm, axis: up, within: .nan, amplitude: 1}}', 'within: nan is not a number'),
        ('movements: {bow: {follow: gap, within: 1, amplitude: 1}}', 'gap needs reversals'),
        ('pairs: {box: {touch: [thumb], within: 1}}', 'touch is not a list of pairs'),
        ('pairs: {box: {touch: [[thumb, toe]], within: 1}}', "no point 'toe'"),
        ('pairs: {box: {touch: [[thumb, palm]], within: 1, angle: [90, 20]}}', 'angle is not [smallest, greatest]'),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_line(text, says, tmp_path):
    path = tmp_path / 'gestures.yaml'
    path.write_text(text)
    with pytest.raises(GestureError) as caught:
        load_library(str(path))
    assert says in str(caught.value) and 'gestures.yaml' in str(caught.value) and '\n' not in str(caught.value)


def test_a_file_that_is_named_must_be_there(tmp_path):
    with pytest.raises(GestureError, match=r'nowhere\.yaml: .*No such file'):
        load_library(str(tmp_path / 'nowhere.yaml'))
    assert load_library() == shipped_library()


def test_own_gestures_add_to_the_shipped_ones_and_replace_those_of_their_name(tmp_path):
    path = tmp_path / 'config' / 'hand_pose_ros' / 'gestures.yaml'
    path.parent.mkdir(parents=True)
    path.write_text('forms:\n  fist: {index: curled}\n  peace: {index: straight, middle: straight, fingers: apart}\n')
    library = load_library()
    assert 'peace' in library.names and list(library.forms['fist'].fingers) == ['index']
    assert set(library.names) == {*FORMS, 'peace'}


def test_a_recorded_form_is_recognized_of_either_hand(tmp_path):
    rng = np.random.default_rng(0)
    angles = FIST | dict.fromkeys(('middle_mcp_flexion', 'middle_pip_flexion', 'middle_dip_flexion'), 0.0)
    hands = [posed(angles) + rng.normal(0, 0.001, (21, 3)) for _ in range(20)]
    path = tmp_path / 'mine.yaml'
    path.write_text('forms: {peace: {index: straight}}\n')
    form = make_form('middle_finger', hands, 'right')
    assert not save_form(path, form) and save_form(path, form), 'the second time it is replaced'
    assert 'peace' in read_library(path).forms
    library = load_library(str(path))
    left = posed(angles, 'left', size=0.7)
    assert recognize(left, 'left', library=library).name == 'middle_finger'
    assert recognize(left, 'left').name != 'middle_finger'
    assert recognize(posed(FIST, 'left'), 'left', library=library).name != 'middle_finger'


def test_a_recording_that_is_none_is_refused():
    still, moving = [posed()] * 5, [posed(angles) for angles in (FIST, None or dict.fromkeys(FIST, 0.0))] * 10
    with pytest.raises(GestureError, match='seen in 5 frames'):
        make_form('mine', still, 'right')
    with pytest.raises(GestureError, match='hold the form still'):
        make_form('mine', moving, 'right')
    with pytest.raises(GestureError, match='is no name'):
        make_form('No Name', still, 'right')


def test_the_command_records_from_a_recording(tmp_path, monkeypatch, capsys):
    """The tracker is a stand-in: what it would find in the bundled clip is known."""
    from known_hands import KnownTracker

    monkeypatch.setattr('hand_pose_ros.tracking.factory.make_tracker', lambda settings: KnownTracker())
    path = tmp_path / 'mine.yaml'
    assert (
        main(['gesture', 'record', 'start_of_clip', 'demo/clip', '--seconds', '0.4', '--gestures-file', str(path)]) == 0
    )
    assert 'added in' in capsys.readouterr().out
    assert main(['gesture', 'list', '--gestures-file', str(path)]) == 0
    assert 'start_of_clip  recorded, within' in capsys.readouterr().out
    assert main(['gesture', 'record', 'Mine', 'demo/clip', '--gestures-file', str(path)]) == 2
    assert 'is no name' in capsys.readouterr().err
    assert json.dumps(yaml.safe_load(path.read_text()))
