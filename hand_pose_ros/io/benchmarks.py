"""The public hand pose benchmarks: their joints, cameras and customs, declared here for training and for scoring.

Joints carry the names of ``geometry.joints.JOINTS`` where they are the same joint, and names of their own where they
lie elsewhere (a palm's center is no wrist).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hand_pose_ros.geometry.camera import Camera
from hand_pose_ros.geometry.joints import BONES, JOINTS

Bones = tuple[tuple[int, int], ...]

_LONG = ('index', 'middle', 'ring', 'pinky')


@dataclass(frozen=True)
class Benchmark:
    """Facts of one benchmark.

    Attributes:
        name: what commands and recipes call it.
        title: what people call it.
        joints: names of the joints that are scored, in the benchmark's own order.
        bones: pairs of joints that make them one skeleton.
        center: the joint that is the center of the hand (palm or wrist), which some papers leave out of the mean.
        camera: intrinsics that published evaluations use; None where every image has its own.
        axes: signs that turn the benchmark's own xyz into the camera optical frame (x right, y down, z forward).
        cubes: side in meters of the cube that papers cut out, by subject; '' is everyone else's.
        annotated: joints in the labels, of which ``source`` are scored; files may hold all of them.
        source: index of each scored joint among those annotated.
        align: how estimates are aligned before errors are taken, by the benchmark's custom.
        auc: range in mm of the threshold over which the area under the PCK curve is taken, by its custom.
        home: where it comes from.

    """

    name: str
    title: str
    joints: tuple[str, ...]
    bones: Bones
    center: int | None
    camera: Camera | None
    home: str
    axes: tuple[int, int, int] = (1, 1, 1)
    cubes: Mapping[str, float] = field(default_factory=lambda: {'': 0.3})
    annotated: int = 0
    source: tuple[int, ...] = ()
    align: str = 'none'
    auc: tuple[float, float] = (0.0, 50.0)

    @property
    def ours(self) -> tuple[int | None, ...]:
        """Index in our own order of each joint; None where ours have no such joint."""
        return tuple(JOINTS.index(joint) if joint in JOINTS else None for joint in self.joints)

    def half(self, subject: str = '') -> float:
        """Half side in meters of the cube around a subject's hand."""
        return self.cubes.get(subject, self.cubes['']) / 2


def _fingers(joints: tuple[str, ...], order: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f'{finger}_{joint}' for finger in order for joint in joints)


def _reordered(joints: tuple[str, ...]) -> Bones:
    """Our skeleton's bones between joints in another order."""
    return tuple((joints.index(JOINTS[a]), joints.index(JOINTS[b])) for a, b in BONES)


_MSRA = ('wrist', *_fingers(('mcp', 'pip', 'dip', 'tip'), _LONG), *_fingers(('cmc', 'mcp', 'ip', 'tip'), ('thumb',)))
_HANDS17 = (
    'wrist',
    'thumb_cmc',
    *_fingers(('mcp',), _LONG),
    *_fingers(('mcp', 'ip', 'tip'), ('thumb',)),
    *_fingers(('pip', 'dip', 'tip'), _LONG),
)
_RHD = ('wrist', *_fingers(('tip', 'ip', 'mcp', 'cmc'), ('thumb',)), *_fingers(('tip', 'dip', 'pip', 'mcp'), _LONG))
_STB = (
    'palm_center',
    *_fingers(('mcp', 'pip', 'dip', 'tip'), _LONG[::-1]),
    *_fingers(('cmc', 'mcp', 'ip', 'tip'), ('thumb',)),
)
#: Two a finger, three of the thumb, both sides of the wrist, and the palm's center: 14 of 36.
_NYU = (
    *_fingers(('tip', 'pip'), _LONG[::-1]),
    'thumb_tip',
    'thumb_ip',
    'thumb_mcp',
    'wrist_pinky_side',
    'wrist_thumb_side',
    'palm_center',
)
_ICVL = ('palm_center', *_fingers(('mcp', 'ip', 'tip'), ('thumb',)), *_fingers(('mcp', 'pip', 'tip'), _LONG))

#: The benchmarks by name.
BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            'nyu',
            'NYU',
            _NYU,
            (
                (1, 0),
                (13, 1),
                (3, 2),
                (13, 3),
                (5, 4),
                (13, 5),
                (7, 6),
                (13, 7),
                (9, 8),
                (10, 9),
                (13, 10),
                (13, 11),
                (13, 12),
            ),
            13,
            Camera(640, 480, 588.03, 587.07, 320, 240),
            'https://jonathantompson.github.io/NYU_Hand_Pose_Dataset.htm',
            axes=(1, -1, 1),
            # The second of the two test subjects has a smaller hand (Oberweger and Lepetit, DeepPrior++, 2017).
            cubes={'': 0.3, 'test_2': 0.25},
            annotated=36,
            source=(0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32),
        ),
        Benchmark(
            'icvl',
            'ICVL',
            _ICVL,
            tuple((0 if i % 3 == 1 else i - 1, i) for i in range(1, 16)),
            0,
            Camera(320, 240, 240.99, 240.96, 160, 120),
            'https://labicvl.github.io/hand.html',
            cubes={'': 0.25},
        ),
        Benchmark(
            'msra',
            'MSRA',
            _MSRA,
            _reordered(_MSRA),
            0,
            Camera(320, 240, 241.42, 241.42, 160, 120),
            'https://jimmysuen.github.io',
            axes=(1, -1, -1),
            cubes={'': 0.2, 'P3': 0.18, 'P4': 0.18, 'P5': 0.18, 'P6': 0.17, 'P7': 0.16, 'P8': 0.15},
        ),
        Benchmark(
            'hands17',
            'HANDS17',
            _HANDS17,
            _reordered(_HANDS17),
            0,
            Camera(640, 480, 475.065948, 475.065857, 315.944855, 245.287079),
            'http://icvl.ee.ic.ac.uk/hands17/challenge/',
            cubes={'': 0.25},
        ),
        Benchmark(
            'freihand',
            'FreiHAND',
            JOINTS,
            BONES,
            0,
            None,
            'https://lmb.informatik.uni-freiburg.de/projects/freihand/',
            align='procrustes',
        ),
        Benchmark(
            'rhd',
            'RHD',
            _RHD,
            _reordered(_RHD),
            0,
            None,
            'https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html',
            align='root',
            auc=(20.0, 50.0),
        ),
        Benchmark(
            'stb',
            'STB',
            _STB,
            tuple((0 if i % 4 == 1 else i - 1, i) for i in range(1, 21)),
            0,
            None,
            'https://github.com/zhjwustc/icip17_stereo_hand_pose_dataset',
            align='root',
            auc=(20.0, 50.0),
        ),
        Benchmark(
            'dexter',
            'Dexter+Object',
            _fingers(('tip',), ('thumb', *_LONG)),
            (),
            None,
            None,
            'https://handtracker.mpi-inf.mpg.de/projects/RealtimeHO/dexter+object.htm',
            axes=(-1, -1, 1),
            auc=(0.0, 100.0),
        ),
    )
}


def find_benchmark(name: str) -> Benchmark:
    """Find a benchmark by its name.

    Raises:
        ValueError: there is none of that name; the message lists those that there are.

    """
    if name not in BENCHMARKS:
        raise ValueError(f'benchmark {name!r} is not one of {", ".join(BENCHMARKS)}')
    return BENCHMARKS[name]
