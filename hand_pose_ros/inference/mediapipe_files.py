"""MediaPipe's networks for hands: which files they are, where they lie, how set-up gets them.

They come out of the registry package ``mediapipe``, which is neither installed nor imported: its wheel is an archive
that holds them. They are by the MediaPipe Authors under the Apache License 2.0 (Zhang et al., "MediaPipe Hands:
On-device Real-time Hand Tracking", 2020), taken as they are. Nothing here runs while hands are tracked but the look for
the folder.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hand_pose_ros.inference.models import ModelError, file_digest
from hand_pose_ros.resources import user_folder

VERSION = '0.10.21'
#: What pip is asked for, whatever Python and machine this is: the networks in all of the version's wheels are the same.
WHEEL = (
    '--no-deps',
    '--only-binary=:all:',
    '--python-version=3.12',
    '--implementation=cp',
    '--abi=cp312',
    '--platform=manylinux_2_28_x86_64',
    f'mediapipe=={VERSION}',
)
#: Names by which the parts ask for the files.
PALMS, PALMS_LITE = 'palm_detection_full.tflite', 'palm_detection_lite.tflite'
LANDMARKS, LANDMARKS_LITE = 'hand_landmark_full.tflite', 'hand_landmark_lite.tflite'
NETWORKS = (PALMS, PALMS_LITE, LANDMARKS, LANDMARKS_LITE)
LICENSE = 'LICENSE'
NOTICE = f"""MediaPipe's networks for hands
Copyright The MediaPipe Authors, https://github.com/google-ai-edge/mediapipe
Licensed under the Apache License, Version 2.0; see the file LICENSE.

The .tflite files are taken unchanged out of the package mediapipe {VERSION} (modules/palm_detection and
modules/hand_landmark) by `hand-pose models get mediapipe`.
"""


@dataclass(frozen=True)
class MediaPipeFile:
    """A file of the wheel: its path in there, and its sha256."""

    member: str
    sha256: str


FILES = {
    PALMS: MediaPipeFile(
        f'mediapipe/modules/palm_detection/{PALMS}',
        '1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54',
    ),
    PALMS_LITE: MediaPipeFile(
        f'mediapipe/modules/palm_detection/{PALMS_LITE}',
        'e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18',
    ),
    LANDMARKS: MediaPipeFile(
        f'mediapipe/modules/hand_landmark/{LANDMARKS}',
        '11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3',
    ),
    LANDMARKS_LITE: MediaPipeFile(
        f'mediapipe/modules/hand_landmark/{LANDMARKS_LITE}',
        '048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6',
    ),
    LICENSE: MediaPipeFile(
        f'mediapipe-{VERSION}.dist-info/LICENSE', '8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8'
    ),
}


def candidate_folders() -> tuple[Path, ...]:
    """Where the files may lie: in the environment, else in the data of the user, who may have no place for any."""
    below = Path('hand_pose_ros', 'models', 'mediapipe')
    shares = (Path(sys.prefix, 'share'), user_folder('XDG_DATA_HOME', '.local', 'share'))
    return tuple(share / below for share in shares if share is not None)


def mediapipe_models() -> Path | None:
    """The folder that holds all of :data:`FILES`; None where no set-up has brought them. Reads none of them."""
    return next((folder for folder in candidate_folders() if all((folder / name).is_file() for name in FILES)), None)


def find_file(name: str) -> Path:
    """Return the path of one of :data:`FILES`, its content checked.

    Raises:
        ModelError: it is not there, or is another; the message says how to get it.

    """
    folder = mediapipe_models()
    if folder is None:
        raise ModelError(
            f"MediaPipe's networks are not on this machine (none in {candidate_folders()[0]}): get them with "
            '`hand-pose models get mediapipe`, or name another detector and estimator'
        )
    if not _whole(folder / name, FILES[name]):
        raise ModelError(f'{folder / name} is damaged: get it again with `hand-pose models get mediapipe`')
    return folder / name


def get_mediapipe(folder: Path | None = None) -> Path:
    """Take the files out of the registry's package, unless they are there and whole.

    Args:
        folder: where to; by default the environment, or the user's own data where that one may not be written.

    Returns:
        The folder.

    Raises:
        ModelError: pip cannot get the package, it does not hold what it should, or the folder cannot be written.

    """
    folder = folder or _writable(candidate_folders())
    if all(_whole(folder / name, file) for name, file in FILES.items()):
        return folder
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--no-input', 'download', *WHEEL]
        result = subprocess.run([*command, '--dest', place], text=True, capture_output=True)
        wheel = next(Path(place).glob('*.whl'), None)
        if result.returncode or wheel is None:
            reason = (result.stderr.strip().splitlines() or ['no reason given'])[-1]
            raise ModelError(
                f'pip cannot get mediapipe {VERSION} ({reason}): try again where its registry can be reached'
            )
        unpack(wheel, folder)
    return folder


def unpack(wheel: Path, folder: Path) -> None:
    """Take :data:`FILES` out of a wheel; writes nothing unless all of them are what they should be.

    Raises:
        ModelError: one of them is missing or another, or the folder cannot be written.

    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = {name: archive.read(file.member) for name, file in FILES.items()}
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{wheel.name} does not hold MediaPipe's networks: {error}") from error
    for name, file in FILES.items():
        if hashlib.sha256(content[name]).hexdigest() != file.sha256:
            raise ModelError(f'{file.member} in {wheel.name} is not the file that it should be: its sha256 is another')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            (folder / name).write_bytes(data)
        (folder / 'NOTICE').write_text(NOTICE)
    except OSError as error:
        raise ModelError(f'{folder}: {error.strerror or error}') from error


def _whole(path: Path, file: MediaPipeFile) -> bool:
    return path.is_file() and file_digest(path) == file.sha256


def _writable(folders: tuple[Path, ...]) -> Path:
    """The first folder that can be made or written, else the last."""
    for folder in folders:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if os.access(there, os.W_OK):
            return folder
    return folders[-1]
