"""A headless Chromium, driven through its DevTools protocol over a pair of pipes: no port, no library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np


def find_chromium() -> str | None:
    """Return the browser to drive, or None."""
    return next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome', 'chrome'))), None)


class Browser:
    """One page of a headless browser without a network; as a context manager it is closed at the end."""

    def __init__(self, executable: str, width: int, height: int) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4; a shell puts them there.
        self._process = subprocess.Popen(
            ['sh', '-c', f'exec "$@" 3<&{to_browser} 4>&{from_browser}', 'sh', executable, '--headless', '--no-sandbox',
             '--remote-debugging-pipe', f'--user-data-dir={self._profile.name}', f'--window-size={width},{height}',
             # WebGL without a GPU.
             '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist',
             # No machine but this one.
             '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
             '--disable-dev-shm-usage', '--hide-scrollbars', 'about:blank'],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._number, self._session = b'', 0, None
        page = next(target for target in self.call('Target.getTargets')['targetInfos'] if target['type'] == 'page')
        self._session = self.call('Target.attachToTarget', targetId=page['targetId'], flatten=True)['sessionId']
        self.call('Page.enable')

    def __enter__(self) -> 'Browser':
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
            if message.get('id') == self._number:   # The rest tells of events.
                assert 'error' not in message, f'{method}: {message["error"]}'
                return message['result']

    def _read(self) -> dict:
        while b'\0' not in self._buffer:
            data = os.read(self._answers, 1 << 20)
            assert data, 'the browser ended'
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b'\0')
        return json.loads(message)

    def open(self, address: str) -> None:
        """Go to an address."""
        self.call('Page.navigate', url=address)

    def picture(self, save: Path | None = None) -> np.ndarray:
        """Return what the page looks like, (H, W, 3) uint8 in bgr order."""
        png = base64.b64decode(self.call('Page.captureScreenshot', format='png')['data'])
        if save is not None:
            save.write_bytes(png)
        return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
