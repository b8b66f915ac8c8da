"""Folders of images: which files are images, in which order, and whether they are of depth or of color.

What a file holds its bytes tell: names are often wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hand_pose_ros.files import LIMITS, open_regular, read_bytes
from hand_pose_ros.imaging.compressed import holds_depth
from hand_pose_ros.imaging.sizes import image_format
from hand_pose_ros.io.frame import RecordingError, in_order

#: Files that are images by their names: those that are read, and those that are refused instead of left out.
READ_SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp')
REFUSED_SUFFIXES = {'.heic': 'HEIC', '.heif': 'HEIC', '.avif': 'HEIC', '.gif': 'GIF'}
#: Formats that are not decoded.
REFUSED_FORMATS = ('HEIC', 'GIF')
#: Bytes that tell the format and, of a PNG, the kind.
_HEAD_BYTES = 40


def folder_images(path: Path) -> list[Path]:
    """List the image files of a folder in the order of the numbers in their names, hidden ones left out."""
    suffixes = (*READ_SUFFIXES, *REFUSED_SUFFIXES)
    return in_order(p for p in path.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith('.'))


def kind_of_images(path: Path, files: Sequence[Path], modality: str | None = None) -> str:
    """Tell what the images of a folder are of: ``depth`` or ``color``; where all are damaged, by their names.

    Args:
        path: the folder, for messages.
        files: its images.
        modality: what is asked for: one channel of 16 bits is depth or, where ``color`` is asked for, infrared.

    Raises:
        RecordingError: they are of several kinds, of a format that is not decoded, or cannot be read.

    """
    kinds: dict[str, list[str]] = {}
    for file in files:
        kinds.setdefault(_kind(file), []).append(file.name)
    for refused in REFUSED_FORMATS:
        if refused in kinds:
            raise RecordingError(
                f'{path}: holds {refused} images ({_some(kinds[refused])}), which are not read; convert them to JPEG '
                'or PNG, or put them into a folder of their own'
            )
    # Damage is reported where the image is read.
    damaged = kinds.pop('', [])
    if len(kinds) > 1:
        each = ' and of '.join(f'{kind} ({_some(names)})' for kind, names in sorted(kinds.items()))
        raise RecordingError(f'{path}: holds images of {each}; put each kind into a folder of its own')
    if not kinds:
        return 'depth' if all(Path(name).suffix.lower() == '.png' for name in damaged) else 'color'
    kind = next(iter(kinds)).split()[0]
    return 'color' if modality == 'color' else kind


def _kind(file: Path) -> str:
    """``depth`` or ``color``, with a format that is neither PNG nor JPEG; a refused format; empty for damage."""
    try:
        with open_regular(file) as stream:
            data = stream.read(_HEAD_BYTES)
        form = image_format(data)
        if form == 'TIFF':  # Its header may be at its end.
            data = read_bytes(file, LIMITS.image_bytes)
    except OSError as error:
        raise RecordingError(f'{file}: {error.strerror or error}') from error
    if not form:
        return REFUSED_SUFFIXES.get(file.suffix.lower(), '')
    if form in REFUSED_FORMATS:
        return form
    kind = 'depth' if holds_depth(data) else 'color'
    return kind if form in ('PNG', 'JPEG') else f'{kind} in {form}'


def _some(names: Sequence[str]) -> str:
    return f'{names[0]} and {len(names) - 1} others'
