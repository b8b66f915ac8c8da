"""Label and prediction files of the benchmarks: text, JSON, NumPy and our own ``hands.jsonl``, read into one form."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hand_pose_ros.files import parse_json, printable, read_json, reading, reason
from hand_pose_ros.geometry.joints import JOINTS
from hand_pose_ros.hand_model.arrays import LABELS, read_npy, read_npz
from hand_pose_ros.imaging.compressed import decode_mask
from hand_pose_ros.io.benchmarks import Benchmark

#: What the three numbers of a joint may be: pixels, pixels and depth; or a point.
FORMATS = ('uvd', 'xyz')
UNITS = {'mm': 1.0, 'm': 1000.0}

#: Numbers of a file below this are in meters, above it in millimeters: a depth, or a hand's extent.
METERS_BELOW = 5.0

#: No coordinate is larger, whatever its unit: a kilometer in millimeters. Beyond it sums of squares lose all meaning.
LARGEST_VALUE = 1e6

#: Vertices of a mesh: every one is compared with every true one; MANO has 778.
MAX_VERTICES = 20_000

_LABELS = 'a file of labels (text, .json, .jsonl, .npy or .npz)'


class LabelError(ValueError):
    """A label file that cannot be read or does not fit; the message names the file and what was expected."""


@dataclass(frozen=True)
class Labels:
    """Joints as a file has them.

    Attributes:
        path: the file.
        values: (N, J, 3) float64 in the file's own format and unit, NaN for what it does not know.
        frames: (N,) names of the frames, where the file has them.
        format: ``uvd`` or ``xyz`` where the kind of file says it.
        units: likewise ``mm`` or ``m``.
        ours: the joints are in our own order, the points in the camera optical frame.

    """

    path: Path
    values: np.ndarray
    frames: tuple[str, ...] | None = None
    format: str | None = None
    units: str | None = None
    ours: bool = False


def read_labels(path: str | Path) -> Labels:
    """Read joints from a file, by its suffix.

    ``.json``: a list of frames as FreiHAND has it, or such a list of joints followed by one of vertices; ``.jsonl``:
    our own results, of each frame the hand of the highest score; ``.npy``, ``.npz`` (``joints``): an array; anything
    else: text, one line a frame, numbers apart by blanks, tabs or commas, with or without the frame's name before them.

    Raises:
        LabelError: the file is missing, damaged, or a line has another number of values than the one before.

    """
    path = Path(path)
    reader = {'.json': _read_json, '.jsonl': _read_results, '.npy': _read_array, '.npz': _read_array}
    with reading(path, LabelError, _LABELS):
        labels = reader.get(path.suffix.lower(), _read_text)(path)
    if not len(labels.values):
        raise LabelError(f'{path} holds no frame')
    return labels


def _read_text(path: Path) -> Labels:
    rows, names, width = [], [], None
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        words = re.split(r'[\s,;]+', line.strip(' \t,;\r'))
        if words == ['']:
            continue
        # A frame's name, or its number: one value more than three for each joint.
        name = words.pop(0) if not _is_number(words[0]) or len(words) % 3 == 1 else ''
        try:
            row = np.array(words, float)
        except ValueError:
            bad = next(word for word in words if not _is_number(word))
            raise LabelError(f'{path}, line {number}: {bad!r} is not a number') from None
        if width is None:
            width = len(row)
        if len(row) != width or len(row) % 3 or not len(row):
            before = f' ({width})' if len(row) != width else ''
            raise LabelError(
                f'{path}, line {number} has {len(row)} numbers; expected three for each joint and as many '
                f'as in the lines before{before}: is the file cut off?'
            )
        rows.append(row)
        names.append(name)
    values = np.array(rows, float).reshape(len(rows), (width or 0) // 3, 3)
    _check_values(path, values)
    return Labels(path, values, tuple(names) if all(names) and names else None)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_json(path: Path) -> Labels:
    return Labels(path, _as_points(path, _joints_and_vertices(path)[0]), format='xyz')


def _joints_and_vertices(path: Path) -> tuple[object, object]:
    """Both lists of FreiHAND's predictions; of another file its content, twice."""
    content = read_json(path)
    if isinstance(content, list) and len(content) == 2 and _depth(content) == 4:
        return content[0], content[1]
    return content, content


def _depth(content: object) -> int:
    """How many lists are in one another, by the first of each: 3 for frames of points."""
    depth = 0
    while isinstance(content, list):
        content, depth = next(iter(content), None), depth + 1
    return depth


def _read_array(path: Path, key: str = 'joints') -> Labels:
    return Labels(path, _as_points(path, _load_array(path, key)))


def _load_array(path: Path, key: str) -> np.ndarray:
    if path.suffix.lower() == '.npy':
        return read_npy(path)
    content = read_npz(path, LABELS)
    if key not in content:
        raise LabelError(f'{path} has no array {key!r}; it has {", ".join(content) or "none"}')
    return content[key]


def _as_points(path: Path, content: object) -> np.ndarray:
    if isinstance(content, np.ndarray) and content.dtype.kind not in 'biuf':
        raise LabelError(f'{path} holds something else than real numbers')
    try:
        values = np.asarray(content, float)
    except (ValueError, TypeError) as error:
        raise LabelError(
            f'{path}: frames differ in their number of joints, or hold something else than numbers'
        ) from error
    if not values.size:
        raise LabelError(f'{path} holds no {"point" if len(values) else "frame"}')
    if values.ndim == 2 and values.shape[1] % 3 == 0:
        values = values.reshape(len(values), -1, 3)
    if values.ndim != 3 or values.shape[2] != 3:
        raise LabelError(f'{path} has shape {values.shape}; expected (frames, joints, 3)')
    _check_values(path, values)
    return values


def _check_values(path: Path, values: np.ndarray) -> None:
    """Raise LabelError where a value is infinite or larger than any coordinate; NaN is one that is not known."""
    with np.errstate(invalid='ignore'):
        wrong = (values > LARGEST_VALUE) | (values < -LARGEST_VALUE)
    if wrong.any():
        raise LabelError(
            f'{path} holds {values[wrong][0]:g}; no coordinate is larger than {LARGEST_VALUE:g}, whatever its unit: is '
            'the file damaged?'
        )


def _read_results(path: Path) -> Labels:
    values, names = [], []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        if not line.strip():
            continue
        try:
            frame = parse_json(line)
            hand = max(frame['hands'], key=lambda h: h['score'], default=None)
            values.append(
                np.full((len(JOINTS), 3), np.nan)
                if hand is None
                else np.array(hand['joints'], float).reshape(len(JOINTS), 3)
            )
            names.append(str(frame['frame']))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise LabelError(
                f'{path}, line {number} is not a line of hands.jsonl ({reason(error)}): is the file cut off?'
            ) from error
    return Labels(path, _as_points(path, values) if values else np.array(values), tuple(names), 'xyz', 'm', ours=True)


def read_vertices(path: str | Path) -> np.ndarray:
    """Read meshes (N, V, 3): ``.npy``, ``.npz`` (``vertices``), or JSON as FreiHAND has it, in the file's unit.

    Raises:
        LabelError: the file is missing, damaged or of another form, or a mesh has more than ``MAX_VERTICES``.

    """
    path = Path(path)
    with reading(path, LabelError, 'a file of vertices (.json, .npy or .npz)'):
        is_json = path.suffix.lower() == '.json'
        vertices = _as_points(path, _joints_and_vertices(path)[1] if is_json else _load_array(path, 'vertices'))
    if vertices.shape[1] > MAX_VERTICES:
        raise LabelError(
            f'{path} has {vertices.shape[1]} vertices a mesh; at most {MAX_VERTICES} are compared: score coarser meshes'
        )
    return vertices


def select_joints(labels: Labels, benchmark: Benchmark) -> Labels:
    """Take the joints that a benchmark scores, in its order, from a file that may hold more or be in our order.

    Raises:
        LabelError: the file's number of joints is neither the scored nor the annotated one.

    """
    wanted, count = len(benchmark.joints), labels.values.shape[1]
    if labels.ours and benchmark.joints != JOINTS:
        values = np.full((len(labels.values), wanted, 3), np.nan)
        for joint, own in enumerate(benchmark.ours):
            if own is not None:
                values[:, joint] = labels.values[:, own]
        return replace(labels, values=values)
    if count == wanted:
        return labels
    if benchmark.annotated and count == benchmark.annotated:
        return replace(labels, values=labels.values[:, list(benchmark.source)])
    also = f' (or all {benchmark.annotated} annotated)' if benchmark.annotated else ''
    raise LabelError(f'{labels.path} has {count} joints a frame; {benchmark.title} has {wanted}{also}')


def guess_format(labels: Labels, benchmark: Benchmark) -> str:
    """Distinguish pixels and depth from points: pixels are positive and lie about the image's middle."""
    if labels.format:
        return labels.format
    if benchmark.camera is None:
        return 'xyz'
    uv = labels.values[..., :2]
    uv = uv[np.isfinite(uv).all(-1)]
    if not len(uv):
        return 'xyz'
    middle, size = np.median(uv, 0), (benchmark.camera.width, benchmark.camera.height)
    inside = (0.1 * size[0] < middle[0] < 0.9 * size[0]) and (0.1 * size[1] < middle[1] < 0.9 * size[1])
    return 'uvd' if inside and np.mean(uv >= 0) > 0.98 else 'xyz'


def guess_units(labels: Labels, form: str) -> str:
    """Distinguish meters from millimeters: by the depth of ``uvd``, by the extent of a hand in ``xyz``."""
    if labels.units:
        return labels.units
    if form == 'uvd':
        depths = np.abs(labels.values[..., 2])
        known = depths[np.isfinite(depths)]
        return 'm' if len(known) and np.median(known) < METERS_BELOW else 'mm'
    known = labels.values[np.isfinite(labels.values).all((1, 2))]
    known = known if len(known) else np.nan_to_num(labels.values)
    return 'm' if np.median(np.ptp(known, axis=1).max(1)) < METERS_BELOW else 'mm'


def to_points(
    labels: Labels, benchmark: Benchmark, form: str, units: str, axes: tuple[int, int, int] = (1, 1, 1)
) -> np.ndarray:
    """Points (N, J, 3) in millimeters, camera optical frame.

    Args:
        labels: with the benchmark's joints.
        benchmark: whose camera turns pixels into points.
        form: ``uvd`` or ``xyz``.
        units: ``mm`` or ``m``, of the depth or of the points.
        axes: signs that turn ``xyz`` into the camera optical frame.

    Raises:
        LabelError: ``uvd`` of a benchmark without a camera of its own.

    """
    scale = UNITS[units]
    if form == 'xyz':
        return labels.values * scale * np.array(axes, float)
    if benchmark.camera is None:
        raise LabelError(f'{labels.path}: {benchmark.title} has no camera common to all images; give points (xyz)')
    # Some files count depth downwards.
    return benchmark.camera.unproject(labels.values[..., :2], np.abs(labels.values[..., 2]) * scale)


def match_frames(labels: Labels, truth: Labels) -> Labels:
    """Bring a file's frames into the truth's order, by their names where both have names, else one by one.

    Raises:
        LabelError: frames of the truth are missing, a name is there twice, or the numbers of frames differ.

    """
    wanted = len(truth.values)
    if labels.frames and truth.frames:
        place = {name: i for i, name in enumerate(labels.frames)}
        missing = [name for name in truth.frames if name not in place]
        if not missing:
            _check_names(labels)
            _check_names(truth)
            return replace(labels, values=labels.values[[place[name] for name in truth.frames]], frames=truth.frames)
        if len(missing) < wanted or len(labels.values) != wanted:
            raise LabelError(
                f'{labels.path} lacks {len(missing)} of {wanted} frames of {truth.path}, the first is '
                f'{printable(missing[0])}'
            )
    if len(labels.values) != wanted:
        raise LabelError(f'{labels.path} has {len(labels.values)} frames, {truth.path} has {wanted}')
    return labels


def _check_names(labels: Labels) -> None:
    """Raise LabelError where two frames have one name: nobody knows which of them is meant."""
    name, times = Counter(labels.frames).most_common(1)[0]
    if times > 1:
        raise LabelError(f'{labels.path} has {times} frames of the name {printable(name)}; each needs one of its own')


def read_mask(path: Path) -> np.ndarray:
    """Read a mask (H, W) of bool from an image: not zero is hand.

    Raises:
        LabelError: the file is missing or no image.

    """
    with reading(path, LabelError, 'an image'):
        return decode_mask(path.read_bytes())
