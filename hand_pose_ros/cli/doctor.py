"""`hand-pose doctor`: what this machine has, what will be used, what is missing and how to get it.

Whatever could end the process (native libraries, a bridge built for another NumPy) is tried in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hand_pose_ros.cli.streams import say
from hand_pose_ros.files import reason
from hand_pose_ros.machine import instruction_sets, processor_name, usable_cores

PYTHONS = ((3, 10), (3, 14))
DISTRIBUTIONS = ('jazzy', 'kilted', 'lyrical')
LIBRARIES = {
    'numpy': 'numpy',
    'cv2': 'opencv-python-headless',
    'yaml': 'PyYAML',
    'transforms3d': 'transforms3d',
    'rosbags': 'rosbags',
}
INTERFACES = (
    'builtin_interfaces',
    'diagnostic_msgs',
    'geometry_msgs',
    'lifecycle_msgs',
    'rcl_interfaces',
    'sensor_msgs',
    'std_msgs',
    'tf2_msgs',
    'visualization_msgs',
)
#: What a failed import of an extension built for NumPy 1 says under NumPy 2.
NUMPY_ABI = ('_ARRAY_API', 'compiled using NumPy 1', 'numpy.core.multiarray failed')

#: What begins the line of a probe's answer: whatever else is loaded may print as well, even at its end.
_ANSWER = 'hand-pose doctor: '
#: Runs before each probe's code, which gives its answer by it.
_PRELUDE = f"""
import json
def answer(value):
    print({_ANSWER!r} + json.dumps(value), flush=True)
"""
_ENGINE = 'from hand_pose_ros.inference.engines import survey; answer(survey({!r}))'
#: Engines that the package installs; the others are an NVIDIA GPU's, and their own messages say how to get them.
INSTALLED_ENGINES = ('openvino', 'onnxruntime')
_TRACKER = (
    'from hand_pose_ros.settings import TrackerSettings; '
    'from hand_pose_ros.tracking.factory import make_tracker; '
    'answer(make_tracker(TrackerSettings()).description)'
)
_CHOICE = (
    'from hand_pose_ros.settings import TrackerSettings, compose; '
    'from hand_pose_ros.tracking.model_choice import choose_models; '
    'answer(choose_models(compose(TrackerSettings, {{"modality": {!r}}}), anew={}).reason)'
)
_RCLPY = 'import rclpy; answer({"rmw": rclpy.get_rmw_implementation_identifier(), "path": rclpy.__file__})'
# A message is of use only where the library that serializes it loads as well.
_INTERFACES = f"""
import importlib
errors = {{}}
for name in {INTERFACES!r}:
    try:
        messages = importlib.import_module(name + '.msg')
        next(m for m in vars(messages).values() if isinstance(m, type)).__class__.__import_type_support__()
    except Exception as error:
        errors[name] = f'{{type(error).__name__}}: {{error}}'
answer(errors)
"""
# A Bayer image, because only a conversion of colors reaches the compiled half of cv_bridge.
_CV_BRIDGE = (
    'import numpy, cv_bridge; b = cv_bridge.CvBridge(); '
    'm = b.cv2_to_imgmsg(numpy.zeros((4, 4), numpy.uint8)); m.encoding = "bayer_rggb8"; '
    'answer(b.imgmsg_to_cv2(m, "bgr8").shape)'
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    ``state`` is ``ok``, ``note`` (worth knowing, nothing depends on it) or ``missing``; ``needed_by`` says what a
    missing one stops: ``track`` (everything) or ``node`` (the ROS nodes), empty for nothing.
    """

    name: str
    state: str
    detail: str
    remedy: str = ''
    needed_by: str = ''


@dataclass(frozen=True)
class Answer:
    """What a probe answered (``value``), or how it failed (``error``, one line; ``output``, all of it)."""

    value: Any = None
    error: str = ''
    output: str = ''


Probe = Callable[[str], Answer]


def probe(code: str) -> Answer:
    """Run Python code in a process of its own; it calls ``answer`` with what JSON can hold."""
    try:
        result = subprocess.run(
            [sys.executable, '-c', _PRELUDE + code], capture_output=True, text=True, errors='replace', timeout=120
        )
    except subprocess.TimeoutExpired:
        return Answer(error='no answer within 120 s')
    output = result.stderr.strip()
    if result.returncode < 0:
        return Answer(error=f'crashes (signal {-result.returncode})', output=output)
    answers = [line.removeprefix(_ANSWER) for line in result.stdout.splitlines() if line.startswith(_ANSWER)]
    if result.returncode or not answers:
        return Answer(error=output.splitlines()[-1] if output else f'exit code {result.returncode}', output=output)
    return Answer(json.loads(answers[-1]))


def remedy_for(packages: str, ros: str, from_ros: bool = False) -> str:
    """Return the command that installs something: pip packages, or (``from_ros``) what the ROS side provides."""
    checkout = (Path(__file__).resolve().parents[2] / 'Makefile').is_file()
    if from_ros and ros:
        return 'rosdep install --from-paths . --ignore-src   (in the checkout)'
    if checkout:
        return 'make setup   (in the checkout; then use .venv/bin/hand-pose, or source .venv/bin/activate)'
    if from_ros:
        return 'source /opt/ros/<distribution>/setup.bash, or where no ROS is installed: `make setup` in a checkout'
    return f'{sys.executable} -m pip install {packages}'


def sourced_ros(environment: Mapping[str, str]) -> str:
    """Return the ROS distribution that this environment has sourced, or an empty string."""
    return environment.get('ROS_DISTRO', '') if environment.get('AMENT_PREFIX_PATH') else ''


def version(distribution: str) -> str:
    """Return the version of an installed Python distribution, or an empty string."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def examine_machine() -> Iterator[Finding]:
    """Yield processor, GPU and Python."""
    able = ' '.join(instruction_sets()) or 'instruction sets unknown'
    where = f'{platform.system()} {platform.machine()}, {processor_name()}, {able}, {usable_cores()} cores'
    yield Finding('machine', 'ok', where)
    yield examine_gpu()
    found = sys.version_info[:2]
    low, high = ('.'.join(map(str, limit)) for limit in PYTHONS)
    where = f'{platform.python_version()} at {sys.executable}'
    if PYTHONS[0] <= found <= PYTHONS[1]:
        yield Finding('Python', 'ok', where)
    else:
        yield Finding(
            'Python',
            'missing',
            f'{where}; {low} to {high} is supported',
            f'make setup PYTHON=<a Python of {low} to {high}>',
            'track',
        )


def examine_gpu() -> Finding:
    """Return what NVIDIA's own tool says of a GPU."""
    tool = shutil.which('nvidia-smi')
    if not tool:
        return Finding('GPU', 'note', 'no NVIDIA driver; inference runs on the CPU')
    try:
        result = subprocess.run(
            [tool, '--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=30,
        )
    except OSError as error:
        return Finding('GPU', 'note', f'{tool} cannot be run: {reason(error)}', 'reinstall the NVIDIA driver')
    except subprocess.TimeoutExpired:
        return Finding('GPU', 'note', f'{tool} does not answer', 'restart the machine, or reinstall its NVIDIA driver')
    if result.returncode:
        return Finding(
            'GPU',
            'note',
            f'{tool}: {" ".join((result.stdout + result.stderr).split())}',
            'reinstall the NVIDIA driver, if this machine has an NVIDIA GPU',
        )
    return Finding('GPU', 'ok', '; '.join(result.stdout.strip().splitlines()))


def examine_libraries(ask: Probe, ros: str) -> Iterator[Finding]:
    """Yield the Python libraries that every command needs."""
    for module, distribution in LIBRARIES.items():
        answer = ask(f'import {module} as m; answer(getattr(m, "__version__", ""))')
        if answer.error:
            remedy = remedy_for(distribution, ros, from_ros=bool(ros) and module != 'rosbags')
            if foreign := os.environ.get('PYTHONPATH'):
                remedy = f"unset PYTHONPATH   (it is {foreign}: another Python's libraries?); or {remedy}"
            yield Finding(module, 'missing', answer.error, remedy, 'track')
        else:
            yield Finding(module, 'ok', answer.value or version(distribution))


def examine_ros(ask: Probe, ros: str) -> Iterator[Finding]:
    """Yield ROS 2, its interfaces, cv_bridge and the launch system."""
    answer = ask(_RCLPY)
    named = os.environ.get('RMW_IMPLEMENTATION', '')
    if answer.error and named and not ask(f'import os; os.environ.pop("RMW_IMPLEMENTATION"); {_RCLPY}').error:
        yield Finding(
            'ROS',
            'missing',
            f'RMW_IMPLEMENTATION names {named}, a middleware that is not here',
            f'unset RMW_IMPLEMENTATION   (or install {named.replace("_", "-")})',
            'node',
        )
        return
    if answer.error:
        detail = f'{ros} is sourced, but this Python ({sys.executable}) cannot use it: ' if ros else 'none: '
        yield Finding('ROS', 'missing', detail + answer.error, remedy_for('', ros, from_ros=True), 'node')
        return
    wheel = version('ros-rclpy')
    origin = f'{ros}, sourced' if ros else f'from pip (rclpy {wheel})' if wheel else 'found'
    settings = [
        f'{name}={os.environ[name]}'
        for name in ('ROS_DOMAIN_ID', 'RMW_IMPLEMENTATION', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY')
        if os.environ.get(name)
    ]
    yield Finding('ROS', 'ok', ', '.join([f'{origin}, {answer.value["rmw"]}', answer.value['path'], *settings]))
    if ros and ros not in DISTRIBUTIONS:
        yield Finding('ROS distribution', 'note', f'{ros} is not among the tested ones: {", ".join(DISTRIBUTIONS)}')
    interfaces = ask(_INTERFACES)
    errors = {'interfaces': interfaces.error} if interfaces.error else interfaces.value
    for package, error in errors.items():
        yield Finding(package, 'missing', error, remedy_for('', ros, from_ros=True), 'node')
    if not errors:
        yield Finding('interfaces', 'ok', ', '.join(INTERFACES))
    yield examine_cv_bridge(ask(_CV_BRIDGE), ros)
    launch = ask('import launch_ros; answer(launch_ros.__file__)')
    if launch.error:
        yield Finding(
            'launch',
            'note',
            'no launch system; `hand-pose node` runs the same nodes without it',
            f'sudo apt install ros-{ros}-ros2launch' if ros else '',
        )
    else:
        yield Finding('launch', 'ok', launch.value)


def examine_cv_bridge(answer: Answer, ros: str) -> Finding:
    """Return what cv_bridge does here; only unusual image encodings depend on it."""
    rest = 'all encodings that OpenCV converts are read without it, the rarest others are refused'
    if not answer.error:
        return Finding('cv_bridge', 'ok', 'works')
    if any(sign in answer.output for sign in NUMPY_ABI):
        return Finding(
            'cv_bridge',
            'note',
            f'built for NumPy 1, breaks under this NumPy ({version("numpy")}); {rest}',
            f"{sys.executable} -m pip uninstall numpy   (back to the distribution's NumPy), "
            f"or {sys.executable} -m pip install 'numpy<2'",
        )
    if 'No module named' in answer.error and 'cv_bridge' in answer.error:
        return Finding(
            'cv_bridge',
            'note',
            f'not installed; {rest}',
            f'sudo apt install ros-{ros}-cv-bridge' if ros else 'comes with a ROS distribution only',
        )
    return Finding(
        'cv_bridge',
        'note',
        f'fails: {answer.error}; {rest}',
        f'sudo apt install --reinstall ros-{ros}-cv-bridge' if ros else '',
    )


def examine_engines(ask: Probe, ros: str) -> tuple[list[Finding], str]:
    """Return the inference engines, and the one that ``engine: auto`` takes (empty for none): the first that is there.

    An engine that finds what it needs missing says so (``EngineError``) and is passed over; one that breaks is not.
    """
    from hand_pose_ros.inference.engines import AUTO

    answers = {name: ask(_ENGINE.format(name)) for name in AUTO}
    absent = {
        name: answer.error.split('EngineError: ', 1)[1]
        for name, answer in answers.items()
        if 'EngineError: ' in answer.error
    }
    chosen = next((name for name in answers if name not in absent), '')
    findings = []
    for name, answer in answers.items():
        needed_by = 'track' if name == chosen or (not chosen and name in INSTALLED_ENGINES) else ''
        if not answer.error:
            version_, devices = answer.value
            use = '; used by default' if name == chosen else ''
            findings.append(Finding(name, 'ok', ', '.join([version_, *devices]) + use))
        elif name in absent:
            remedy = remedy_for(name, ros) if name in INSTALLED_ENGINES else ''
            findings.append(Finding(name, 'missing' if needed_by else 'note', absent[name], remedy, needed_by))
        else:
            repair = f'{sys.executable} -m pip install --force-reinstall --no-deps {name}'
            if name == chosen:
                repair += f'; or {sys.executable} -m pip uninstall {name}, and the other engine is used'
            findings.append(Finding(name, 'missing' if needed_by else 'note', answer.error, repair, needed_by))
    return findings, chosen


def examine_models() -> Iterator[Finding]:
    """Yield each shipped model and the hand model: there and whole, or not."""
    from hand_pose_ros.hand_model.model import load_hand_model
    from hand_pose_ros.inference.mediapipe_files import mediapipe_models
    from hand_pose_ros.inference.models import find_model, read_manifest

    try:
        entries = read_manifest()
    except (OSError, ValueError) as error:
        yield Finding('models', 'missing', str(error), needed_by='track')
        entries = {}
    for name, entry in entries.items():
        try:
            path = find_model(name, entry.get('task', '')).path
        except ValueError as error:
            yield Finding(name, 'missing', str(error), needed_by='track')
        else:
            default = ', the default' if entry.get('default') else ''
            yield Finding(name, 'ok', f'{entry.get("task")} network{default}, {path}, sha256 right')
    yield examine_mediapipe(mediapipe_models())
    try:
        hand = load_hand_model()
    except ValueError as error:
        yield Finding('hand model', 'missing', str(error), needed_by='track')
    else:
        yield Finding('hand model', 'ok', f'{len(hand.vertices)} vertices, {hand.shape_size} shape parameters')


def examine_mediapipe(folder: Path | None) -> Finding:
    """Return whether MediaPipe's networks are here; color does without them, by the shipped ones."""
    if folder is None:
        return Finding(
            'MediaPipe',
            'note',
            'its networks are not on this machine; color is tracked by the shipped ones',
            'hand-pose models get mediapipe',
        )
    return Finding('MediaPipe', 'ok', f'palms and landmarks in {folder}')


def examine_tracker(ask: Probe) -> Finding:
    """Return whether the tracker starts, which loads every model into the engine."""
    answer = ask(_TRACKER)
    if answer.error:
        return Finding('tracker', 'missing', f'does not start: {answer.error}', needed_by='track')
    return Finding('tracker', 'ok', f'starts: {answer.value}')


def examine_choice(ask: Probe, modality: str, anew: bool = False) -> Finding:
    """Return how long the networks that ``model: auto`` may take do here, and which it takes.

    Args:
        ask: runs code.
        modality: what is tracked in.
        anew: time all of them again, whatever is cached.

    """
    answer = ask(_CHOICE.format(modality, anew))
    if answer.error:
        return Finding(f'auto, {modality}', 'note', f'the networks cannot be timed: {answer.error}')
    return Finding(f'auto, {modality}', 'ok', answer.value or 'there is one network only, which a node takes')


def examined(name: str, part: Callable[[], Iterable[Finding]], needed_by: str = 'track') -> list[Finding]:
    """Return what is found in a part of the machine, or how that fails: a broken library must not end the report."""
    try:
        return list(part())
    # Some end the process where they do not like it.
    except (Exception, SystemExit) as error:
        return [Finding(name, 'missing', f'cannot be examined: {reason(error)}', needed_by=needed_by)]


def examine(environment: Mapping[str, str] = os.environ, ask: Probe = probe, anew: bool = False) -> dict[str, Any]:
    """Find out what the machine has.

    Args:
        environment: variables of the process.
        ask: runs code in a process of its own.
        anew: time the networks again.

    Returns:
        ``can_track`` (``hand-pose track`` works), ``can_run_node`` (the ROS nodes work too), ``engine`` (that
        ``auto`` takes) and ``findings`` (of :class:`Finding`), as ``--json`` prints them.

    """
    ros = sourced_ros(environment)
    engine = ''

    def engines() -> list[Finding]:
        nonlocal engine
        findings, engine = examine_engines(ask, ros)
        return findings

    with ThreadPoolExecutor() as pool:
        libraries = pool.submit(examined, 'libraries', lambda: examine_libraries(ask, ros))
        robot = pool.submit(examined, 'ROS', lambda: examine_ros(ask, ros), 'node')
        able = examined('engines', engines)
        machine, models = examined('machine', examine_machine), examined('models', examine_models)
        findings = [*machine, *libraries.result(), *robot.result(), *able, *models]
    if not any(finding.needed_by == 'track' for finding in findings):
        findings += [examine_tracker(ask), *(examine_choice(ask, modality, anew) for modality in ('depth', 'color'))]
    can_track = not any(finding.needed_by == 'track' for finding in findings)
    can_run_node = can_track and not any(finding.needed_by for finding in findings)
    return {
        'can_track': can_track,
        'can_run_node': can_run_node,
        'engine': engine,
        'findings': [asdict(finding) for finding in findings],
    }


def report(result: Mapping[str, Any]) -> str:
    """Return the findings as text for a person, the verdict last."""
    marks = {'ok': ' ok ', 'note': 'note', 'missing': 'MISS'}
    width = max(len(finding['name']) for finding in result['findings'])
    lines = []
    for finding in result['findings']:
        lines.append(f'[{marks[finding["state"]]}] {finding["name"]:{width}}  {finding["detail"]}')
        if finding['remedy']:
            lines.append(f'{"":{width + 9}}-> {finding["remedy"]}')
    lines.append('')
    if result['can_run_node']:
        lines.append(f'The tracker runs here, on {result["engine"]}.')
    else:
        missing = ', '.join(finding['name'] for finding in result['findings'] if finding['needed_by'])
        able = (
            '`hand-pose track` works here; the ROS nodes do not: '
            if result['can_track']
            else ('The tracker cannot run here: ')
        )
        lines.append(f'{able}{missing} missing, see above.')
    return '\n'.join(lines)


def add_parser(subparsers: Any) -> None:
    """Add ``hand-pose doctor``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        'doctor', help='what this machine has, what will be used, what is missing and how to get it'
    )
    parser.add_argument('--json', action='store_true', help='print the findings as one JSON object')
    parser.add_argument(
        '--time', action='store_true', help='time all networks that model: auto may take again, and cache what it finds'
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 where the nodes can run, 1 where something that they need is missing."""
    result = examine(anew=arguments.time)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        say(report(result))
    return 0 if result['can_run_node'] else 1
