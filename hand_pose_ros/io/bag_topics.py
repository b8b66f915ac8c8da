"""Which of a bag's topics are read: what each holds, by its name and its first message, and the calibration of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pose_ros.imaging.compressed import is_depth
from hand_pose_ros.imaging.images import COLOR_ENCODINGS, DEPTH_ENCODINGS, ENCODINGS
from hand_pose_ros.io.bag import COMPRESSED_IMAGE, IMAGE
from hand_pose_ros.io.frame import RecordingError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

#: What images can be of; where a bag holds both, the first is read.
MODALITIES = ('depth', 'color')
#: Images that are read only where they are asked for: a sensor's own light, and pictures of what is no distance.
INFRARED, OTHER = 'infrared', 'another quantity'
#: Topics that an error lists at most.
MOST_LISTED = 20

_INFRARED_NAME = re.compile(r'(^|[/_])(ir|infra|infrared)\d*([/_]|$)')
#: Depth that was turned to the view of the color camera.
_REGISTERED_NAME = re.compile(r'aligned|registered|depth_to_rgb|depth_to_color')
#: What cameras measure besides depth, often in depth's encodings and under its namespace.
_OTHER_NAME = re.compile(
    r'(?<![a-z])(confidence|intensity|intensities|masks?|disparity|amplitude|costs?|uncertainty|noise|variance|'
    r'reflectivity|reflec|nearir)(?![a-z])'
)
#: Encodings of one number a pixel, besides depth's.
_GRAY = ('mono8', '8UC1')
#: Videos, whose single messages are no pictures.
_VIDEO_FORMAT = re.compile(r'h\.?26[45]|hevc|avc|vp[89]|av1|mpeg4|theora|ffmpeg')


@dataclass(frozen=True)
class ImageTopic:
    """An image topic of a bag, with what its first message says."""

    topic: str
    msgtype: str
    count: int
    #: What it is taken for: one of ``MODALITIES``, ``INFRARED``, ``OTHER``, or empty where it cannot be read.
    modality: str
    encoding: str
    frame_id: str
    #: Width and height in pixels; 0 where only decoding would tell.
    size: tuple[int, int] = (0, 0)
    #: Whether it is of depth where ``modality`` says neither depth nor color.
    deep: bool = False

    @property
    def base(self) -> str:
        """Topic name without image transport's suffix."""
        return self.topic.rsplit('/', 1)[0] if self.msgtype == COMPRESSED_IMAGE else self.topic

    def __str__(self) -> str:
        """The topic for people."""
        return f'{self.topic} ({self.modality or "not supported"}, {self.encoding}, {self.count} images)'


def frame_of(message: Any) -> str:
    """The camera frame of a message; ROS 1 let names begin with a slash."""
    return str(message.header.frame_id).lstrip('/')


def describe(topic: str, msgtype: str, count: int, message: Any) -> ImageTopic:
    """Describe a topic by its name and its first message."""
    raw = msgtype == IMAGE
    encoding = message.encoding if raw else message.format
    deep = encoding in DEPTH_ENCODINGS or (not raw and is_depth(encoding, message.data))
    if not deep and (encoding not in COLOR_ENCODINGS if raw else bool(_VIDEO_FORMAT.search(encoding.lower()))):
        modality = ''
    else:
        modality = _modality(topic.lower(), deep, encoding.split(';')[0] in _GRAY)
    size = (message.width, message.height) if raw else (0, 0)
    return ImageTopic(topic, msgtype, count, modality, encoding, frame_of(message), size, deep)


def _modality(name: str, deep: bool, gray: bool) -> str:
    """What a topic's name says of its images; the last word counts, as in ``depth/intensity`` or ``mask/depth``."""
    other = max((found.start() for found in _OTHER_NAME.finditer(name)), default=-1)
    if (deep or gray) and other > name.rfind('depth'):
        return OTHER
    # Sixteen bits may be of an infrared image too, which no encoding tells from depth.
    if _INFRARED_NAME.search(name) and not (deep and 'depth' in name):
        return INFRARED
    return 'depth' if deep else 'color'


def list_topics(connections: Iterable[Connection]) -> str:
    """The topics of a bag and their types, for people."""
    found = list(dict.fromkeys(f'{c.topic} ({c.msgtype})' for c in connections if c.msgcount))
    more = f' and {len(found) - MOST_LISTED} more' if len(found) > MOST_LISTED else ''
    return ', '.join(found[:MOST_LISTED]) + more or 'no messages'


#: What can be read, for people.
SUPPORTED = (
    f'{IMAGE} of the encodings {", ".join(ENCODINGS)}, and {COMPRESSED_IMAGE} of single pictures (JPEG, PNG, '
    'compressedDepth)'
)


def choose(
    path: Path,
    topics: Sequence[ImageTopic],
    wanted: str | None,
    modalities: Sequence[str],
    flag: str = '--topic',
) -> ImageTopic:
    """Choose the topic to read: the one wanted, else the only one of the first of ``modalities`` that there is."""
    listing = ', '.join(map(str, topics))
    if wanted:
        return _named(path, topics, wanted, modalities, listing)
    for modality in modalities:
        candidates = _single([t for t in topics if t.modality == modality])
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            commands = ' or '.join(f'{flag} {t.topic}' for t in candidates)
            raise RecordingError(f'{path}: several {modality} topics, choose one by {commands}; there are: {listing}')
    what = f'is of {modalities[0]}' if len(modalities) == 1 else 'is known to be of depth or color'
    raise RecordingError(f'{path}: no image topic {what}; there are: {listing}; {_remedy(topics, modalities, flag)}')


def _named(
    path: Path, topics: Sequence[ImageTopic], wanted: str, modalities: Sequence[str], listing: str
) -> ImageTopic:
    """The topic of a name, read as what it can be read as."""
    named = next((t for t in topics if t.topic.strip('/') == wanted.strip('/')), None)
    if named is None:
        raise RecordingError(f'{path}: no image topic {wanted}; there are: {listing}')
    if not named.modality:
        raise RecordingError(
            f'{path}: {wanted} has encoding {named.encoding!r}, which is not supported; read are {SUPPORTED}'
        )
    named = replace(named, modality=_read_as(named))
    if named.modality not in modalities:
        raise RecordingError(f'{path}: {wanted} holds {named.modality} images; choose a topic of {modalities[0]}')
    return named


def _read_as(topic: ImageTopic) -> str:
    """The modality of a topic that is asked for: infrared becomes gray pictures."""
    if topic.modality == OTHER:
        return 'depth' if topic.deep else 'color'
    return 'color' if topic.modality == INFRARED else topic.modality


def _remedy(topics: Sequence[ImageTopic], modalities: Sequence[str], flag: str) -> str:
    """What to do where no topic is of a modality that is asked for."""
    askable = [t for t in topics if t.modality in (INFRARED, OTHER) and _read_as(t) in modalities]
    if askable:
        return f'{flag} {askable[0].topic} reads that one as {_read_as(askable[0])}'
    readable = [t for t in topics if t.modality in MODALITIES]
    if readable and flag == '--topic':
        return f'--modality {readable[0].modality} reads {readable[0].topic}'
    return f'read are {SUPPORTED}'


def _single(candidates: list[ImageTopic]) -> list[ImageTopic]:
    """Leave out what a camera sends a second time: compressed beside raw, and depth turned to another camera's view."""
    raw = {t.topic for t in candidates if t.msgtype == IMAGE}
    candidates = [t for t in candidates if t.msgtype == IMAGE or t.base not in raw]
    return [t for t in candidates if not _REGISTERED_NAME.search(t.topic)] or candidates


def registered(topics: Sequence[ImageTopic], color: ImageTopic) -> Sequence[ImageTopic]:
    """The depth topics of the color image's camera frame, those that are called registered before all; else all."""
    fitting = [t for t in topics if t.modality == 'depth' and t.frame_id == color.frame_id]
    return [t for t in fitting if _REGISTERED_NAME.search(t.topic)] or fitting or topics


def choose_info(image: ImageTopic, infos: Mapping[str, Any]) -> tuple[str, str]:
    """The topic of the CameraInfo that belongs to an image topic, empty for none; and what was assumed, for people.

    That beside it, as ROS has it, unless it says that it is of another camera; else the one of its frame and size whose
    name has the most in common; never that of another camera.

    Args:
        image: the image topic.
        infos: the first CameraInfo of each topic.

    """
    fitting = [topic for topic, info in infos.items() if frame_of(info) == image.frame_id and _same_size(image, info)]
    sibling = f'{image.base.rpartition("/")[0]}/camera_info'
    if sibling in infos and (not fitting or _may_be_of(image, infos[sibling])):
        return sibling, ''
    shared = {topic: _shared(topic, image.base) for topic in fitting}
    best = [topic for topic in fitting if shared[topic] == max(shared.values())]
    if len(best) != 1:
        return '', f'no CameraInfo is beside {image.topic}, nor one of its frame and size alone'
    return best[0], f'the CameraInfo of {image.topic} is taken from {best[0]}, which has its frame and size'


def _same_size(image: ImageTopic, info: Any) -> bool:
    return (info.width, info.height) == image.size or not any(image.size)


def _may_be_of(image: ImageTopic, info: Any) -> bool:
    """Whether nothing in a CameraInfo says that it is of another camera than the image."""
    part = max(info.binning_x, info.binning_y) > 1 or info.roi.width > 0  # its size is the whole sensor's
    unsaid = not (info.width and info.height)
    return frame_of(info) in ('', image.frame_id) and (part or unsaid or _same_size(image, info))


def _shared(one: str, other: str) -> tuple[int, int]:
    """How many namespaces two topics have in common, and how many words from their starts."""

    def common(separator: str) -> int:
        pairs = zip(re.split(separator, one), re.split(separator, other))
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return common('/'), common('[/_]')
