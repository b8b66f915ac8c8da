"""The command's own streams: closed ones, those that lack letters, and texts that would move a terminal's cursor."""

import subprocess
import sys

import pytest
from checkout import child_environment

from hand_pose_ros.cli.streams import say

#: Opens a file after the command's start, prints, and writes to where stderr was as a native library does.
PROGRAM = """
import os, sys
from hand_pose_ros.cli.streams import prepare_streams
prepare_streams()
with open(sys.argv[1], 'w') as file:
    print('to stderr', sys.stderr.isatty(), file=sys.stderr)
    print('h\\xe4nde')
    os.write(2, b'native')
    file.write('result')
"""


def start(tmp_path, redirections, **variables):
    command = ['/bin/sh', '-c', f'exec "$0" -c "$1" "$2" {redirections}', sys.executable, PROGRAM, tmp_path / 'file']
    return subprocess.run(command, capture_output=True, env=child_environment(**variables))


@pytest.mark.parametrize('closed', ['2>&-', '<&- 2>&-', '<&- >&- 2>&-', '>&-'])
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path, closed):
    result = start(tmp_path, closed)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'file').read_text() == 'result'
    assert result.stdout == (b'' if ' >&-' in f' {closed}' else 'h\xe4nde\n'.encode())


def test_letters_that_a_terminal_lacks_are_written_out(tmp_path):
    result = start(tmp_path, '', PYTHONIOENCODING='ascii')
    assert result.returncode == 0 and result.stdout == b'h\\xe4nde\n'


def test_what_moves_a_terminals_cursor_is_written_out(capsys):
    say('a\x1b[31m\nb\x07')
    assert capsys.readouterr().out == 'a\\x1b[31m\nb\\x07\n'
