"""Where ``hand-pose view`` listens: on this machine alone, unless the user names a host. Needs no Rerun."""

import argparse

import pytest

from hand_pose_ros.cli import view


class Stream:
    """Stands in for a Rerun recording: keeps where it was connected."""

    connected = ''

    def connect_grpc(self, address):
        self.connected = address


class Viewer:
    """Stands in for Rerun's program."""

    ended = False

    def terminate(self):
        self.ended = True


@pytest.fixture
def started(monkeypatch):
    """The options of the program, and the program, once it is started."""
    seen = {}

    def start(options, ports, ends):
        seen.update(options=options, ports=ports, ends=ends, viewer=Viewer())
        return seen['viewer']

    monkeypatch.setattr(view, '_start_viewer', start)
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    return seen


@pytest.mark.parametrize(
    'host, bind', [('localhost', '127.0.0.1'), ('127.0.0.1', '127.0.0.1'), ('robot.local', '0.0.0.0')]
)
@pytest.mark.parametrize('web', [True, False], ids=['asked for', 'no display'])
def test_a_page_is_seen_by_this_machine_alone_unless_a_host_is_named(started, capsys, host, bind, web):
    stream = Stream()
    with view._opened(stream, argparse.Namespace(save=None, web=web, host=host, port=1, data_port=2)) as page:
        assert page == f'http://{host}:1/?url=rerun%2Bhttp://{host}:2/proxy'
        assert started['options'][:2] == ['--bind', bind] and started['ends']
        assert stream.connected == 'rerun+http://127.0.0.1:2/proxy'
        assert ('without a password' in capsys.readouterr().err) == (bind != '127.0.0.1')
    assert started['viewer'].ended


def test_a_window_listens_on_this_machine_alone_and_stays(started, monkeypatch):
    monkeypatch.setenv('DISPLAY', ':0')
    arguments = argparse.Namespace(save=None, web=False, host='robot.local', port=1, data_port=2)
    with view._opened(Stream(), arguments) as page:
        assert page == '' and started['options'][:2] == ['--bind', '127.0.0.1'] and not started['ends']
    assert not started['viewer'].ended
