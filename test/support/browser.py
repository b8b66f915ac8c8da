"""A headless Chromium, driven through its DevTools protocol over a pair of pipes: no port, no library."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from hand_pose_ros.visualization.drawing import FINGER_COLORS, HOLE_COLOR

#: The browser reads from descriptor 3 and writes to 4.
_PLACE = (
    'import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])'
)


def find_chromium() -> str | None:
    """Return the browser to drive, or None."""
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)


class Browser:
    """One page of a headless browser without a network; as a context manager it is closed at the end."""

    def __init__(self, executable: str, width: int, height: int) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]
        self._process = subprocess.Popen(
            [
                sys.executable,
                '-c',
                _PLACE,
                *map(str, ends),
                executable,
                '--headless',
                '--no-sandbox',
                '--remote-debugging-pipe',
                f'--user-data-dir={self._profile.name}',
                f'--window-size={width},{height}',
                # WebGL without a GPU.
                '--use-gl=angle',
                '--use-angle=swiftshader',
                '--enable-unsafe-swiftshader',
                '--ignore-gpu-blocklist',
                # No machine but this one.
                '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost',
                '--no-first-run',
                '--disable-background-networking',
                '--disable-component-update',
                '--disable-sync',
                '--disable-dev-shm-usage',
                '--hide-scrollbars',
                'about:blank',
            ],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self._buffer, self._number, self._session, self._loaded = b'', 0, None, False
        page = next(target for target in self.call('Target.getTargets')['targetInfos'] if target['type'] == 'page')
        self._session = self.call('Target.attachToTarget', targetId=page['targetId'], flatten=True)['sessionId']
        self.call('Page.enable')

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._profile.cleanup()

    def call(self, method: str, **parameters: object) -> dict:
        """Run a command of the protocol and return its result."""
        self._number += 1
        command: dict = {'id': self._number, 'method': method, 'params': parameters}
        if self._session:
            command['sessionId'] = self._session
        os.write(self._commands, json.dumps(command).encode() + b'\0')
        while True:
            message = self._read()
            if message.get('id') == self._number:
                assert 'error' not in message, f'{method}: {message["error"]}'
                return message['result']

    def _read(self) -> dict:
        while b'\0' not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            assert data, 'the browser ended'
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        self._loaded |= message.get('method') == 'Page.loadEventFired'
        return message

    def open(self, address: str) -> None:
        """Go to an address and wait until the page is loaded."""
        self._loaded = False
        self.call('Page.navigate', url=address)
        while not self._loaded:
            self._read()

    def picture(self, save: Path | None = None) -> np.ndarray:
        """Return what the page looks like, (H, W, 3) uint8 in bgr order."""
        png = base64.b64decode(self.call('Page.captureScreenshot', format='png')['data'])
        if save is not None:
            save.write_bytes(png)
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(('', 0))
        return one.getsockname()[1]


def pixels_seen(picture: np.ndarray) -> dict[tuple[str, str], int]:
    """Count the pixels in each finger's color, in the views of the image and of space, and in that of holes."""
    height, width = picture.shape[:2]
    image, space = picture[60 : int(0.69 * height), : width // 2], picture[60:-60, width // 2 :]
    wanted = [(view, name, color) for view in ('image', 'space') for name, color in FINGER_COLORS.items()]
    return {
        (view, name): int((np.abs((image if view == 'image' else space).astype(int) - color) < 24).all(-1).sum())
        for view, name, color in [*wanted, ('image', 'holes', HOLE_COLOR)]
    }
