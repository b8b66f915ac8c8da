"""The process's own streams: there, able to take every text, and given none that would move a terminal's cursor."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Give the process the streams that it was started without, and have stdout and stderr take every text.

    A file opened later would otherwise get the number of a closed one, and with it what native libraries print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, 'w', closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, 'w', closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what replaces them in a test need not be one
            stream.reconfigure(errors='backslashreplace')


def say(text: str) -> None:
    """Print lines for people; what they name, such as files, may hold whatever moves a terminal's cursor."""
    from hand_pose_ros.files import printable  # here, since the command's start imports this module and little else

    print('\n'.join(map(printable, text.split('\n'))), flush=True)
