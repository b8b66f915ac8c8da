"""``hand-pose models``: what it lists, and where it gets what it gets."""

from __future__ import annotations

from hand_pose_ros.cli import models
from hand_pose_ros.cli.main import main
from hand_pose_ros.inference import mediapipe_files
from hand_pose_ros.inference.models import read_manifest


def test_list_names_every_network_and_says_where_those_of_others_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(mediapipe_files, 'candidate_folders', lambda: (tmp_path,))
    assert main(['models', 'list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(':')[0] for line in lines] == [
        *read_manifest(),
        'palm_detection_full',
        'palm_detection_lite',
        'hand_landmark_full',
        'hand_landmark_lite',
    ]
    assert all('models get mediapipe' in line for line in lines[-4:])
    for name in mediapipe_files.FILES:
        (tmp_path / name).touch()
    main(['models', 'list'])
    assert all(str(tmp_path) in line for line in capsys.readouterr().out.splitlines()[-4:])


def test_get_prints_the_folder_and_an_error_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(models.SETS, 'mediapipe', lambda folder: folder)
    assert main(['models', 'get', 'mediapipe', '--folder', str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out

    def refuse(folder):
        raise mediapipe_files.ModelError('pip cannot get mediapipe')

    monkeypatch.setitem(models.SETS, 'mediapipe', refuse)
    assert main(['models', 'get', 'mediapipe']) == 2
    assert capsys.readouterr().err == 'hand-pose: error: pip cannot get mediapipe\n'
