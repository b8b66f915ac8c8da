"""The package: its manifest, what it may import, what an installation holds, and the `hand-pose` command."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from checkout import ROOT

import hand_pose_ros
from hand_pose_ros import resources
from hand_pose_ros.cli import main as command
from hand_pose_ros.gestures.library import load_library, own_gestures_file, shipped_library
from hand_pose_ros.inference.mediapipe_files import candidate_folders
from hand_pose_ros.resources import resource_path

SOURCES = sorted((ROOT / 'hand_pose_ros').rglob('*.py'))
INSTALLED = ('launch', 'config', 'models', 'demo')
ROSDEP = {
    'matplotlib': 'python3-matplotlib',
    'numpy': 'python3-numpy',
    'cv2': 'python3-opencv',
    'yaml': 'python3-yaml',
    'transforms3d': 'python3-transforms3d',
}
#: The last ones come with extras: for NVIDIA's GPUs, imported only to build for them, and for `hand-pose view`.
FROM_PIP = {'backports', 'compression', 'openvino', 'onnxruntime', 'rosbags', 'onnx', 'rerun', 'mediapipe'}

pytestmark = pytest.mark.skipif(not (ROOT / 'setup.py').is_file(), reason='needs the checkout')


def imports(path: Path, anywhere: bool = True) -> set[str]:
    """Return the full names of the modules that a file imports: anywhere in it, or as soon as it is imported."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: imports are absolute here'
            names |= {f'{node.module}.{alias.name}' for alias in node.names} | {node.module}
    return names


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def test_manifest_says_what_colcon_and_users_need():
    package = manifest()
    assert package.get('format') == '3'
    assert package.findtext('export/build_type') == 'ament_python'
    assert package.findtext('license') == 'Apache-2.0'
    assert package.findtext('version') == hand_pose_ros.__version__
    assert package.findtext('name') == hand_pose_ros.__name__
    assert (ROOT / 'resource' / package.findtext('name')).is_file()
    assert 'Version 2.0, January 2004' in (ROOT / 'LICENSE').read_text()


def test_every_import_is_declared():
    declared = {element.text for element in manifest().findall('exec_depend')}
    used = {name.split('.')[0] for path in [*SOURCES, *(ROOT / 'launch').glob('*.py')] for name in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - {'hand_pose_ros'} - FROM_PIP
    assert {ROSDEP.get(name, name) for name in foreign} <= declared


def test_no_torch_at_run_time_and_no_ros_outside_the_nodes():
    packages = {element.text for element in manifest().findall('exec_depend')}
    for path in SOURCES:
        assert not {name.split('.')[0] for name in imports(path)} & {'torch', 'anny', 'scipy', 'training'}, path
        if path.parent.name != 'nodes':
            # The commands that run nodes may load ROS when they do; `hand-pose track` and all below live without.
            used = imports(path, anywhere=path.parent.name != 'cli')
            assert not {name.split('.')[0] for name in used} & packages, path


@pytest.fixture(scope='module')
def installation(tmp_path_factory) -> dict[str, Path]:
    """Install a copy of the checkout as colcon does it, and as pip does; return where the three are."""
    folder = tmp_path_factory.mktemp('installation')
    copy = folder / 'checkout'
    copy.mkdir()
    for name in ('hand_pose_ros', 'resource', *INSTALLED):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('package.xml', 'setup.py', 'setup.cfg', 'pyproject.toml'):
        shutil.copy(ROOT / name, copy)
    places = {'checkout': copy, 'colcon': folder / 'colcon', 'pip': folder / 'pip'}
    for line in (
        [
            'setup.py',
            '--quiet',
            'install',
            '--prefix',
            places['colcon'],
            '--no-compile',
            '--single-version-externally-managed',
            '--record',
            folder / 'record',
        ],
        [
            '-m',
            'pip',
            '--quiet',
            '--disable-pip-version-check',
            'install',
            '--no-deps',
            '--no-build-isolation',
            '--ignore-installed',
            '--no-compile',
            '--no-warn-script-location',
            '--prefix',
            places['pip'],
            '.',
        ],
    ):
        result = subprocess.run([sys.executable, *map(str, line)], cwd=copy, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-2000:]
    return places


@pytest.mark.parametrize('way', ['colcon', 'pip'])
def test_an_installation_finds_its_files(installation, way, tmp_path):
    checkout, prefix = installation['checkout'], installation[way]
    packages = next(path for path in prefix.rglob('hand_pose_ros') if (path / '__init__.py').is_file()).parent
    script = 'import sys; from hand_pose_ros.resources import resource_path; print(resource_path(*sys.argv[1:]))'
    for folder in INSTALLED:
        for source in (checkout / folder).rglob('*'):
            if source.is_file():
                parts = source.relative_to(checkout)
                assert (prefix / 'share' / 'hand_pose_ros' / parts).read_bytes() == source.read_bytes()
    found = subprocess.run(
        [
            sys.executable,
            '-S',
            '-c',
            f'import sys; sys.path.insert(0, {str(packages)!r}); {script}',
            'config',
            'tracker.yaml',
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()) == prefix / 'share' / 'hand_pose_ros' / 'config' / 'tracker.yaml', found.stderr
    assert (prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'hand_pose_ros').is_file()


def test_executables_lie_where_ros2_run_and_the_shell_look(installation):
    for name in ('hand-pose', 'tracker', 'playback'):
        first = (installation['colcon'] / 'lib' / 'hand_pose_ros' / name).read_text().splitlines()[0]
        assert first == '#!/usr/bin/env python3'  # the Python of an activated .venv
        assert (installation['pip'] / 'bin' / name).is_file()


def test_resources_of_a_checkout():
    assert resource_path('config', 'tracker.yaml') == ROOT / 'config' / 'tracker.yaml'
    assert resource_path('config') == ROOT / 'config'
    with pytest.raises(FileNotFoundError, match=r'models/none\.onnx is missing from the checkout.*git checkout'):
        resource_path('models', 'none.onnx')


def test_a_missing_resource_of_an_installation(monkeypatch, tmp_path):
    package = tmp_path / 'lib' / 'python3.12' / 'site-packages' / 'hand_pose_ros'
    monkeypatch.setattr(resources, '_PACKAGE', package)
    # A folder of that name beside the installed package belongs to somebody else: ROS's `launch` is one.
    (package.parent / 'launch').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='launch is missing from the installation.*colcon build'):
        resource_path('launch')
    (tmp_path / 'share' / 'hand_pose_ros' / 'launch').mkdir(parents=True)
    assert resource_path('launch') == tmp_path / 'share' / 'hand_pose_ros' / 'launch'


def test_help_is_light():
    code = (
        'import sys\nfrom hand_pose_ros.cli.main import main\n'
        'try:\n    main(["--help"])\nexcept SystemExit as end:\n    assert end.code == 0\n'
        'print("loaded:", *sorted({"rclpy", "openvino", "onnxruntime", "cv2", "rosbags"} & set(sys.modules)))'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == 'loaded:'
    assert all(f'\n    {name}' in result.stdout for name in command.COMMANDS)


@pytest.mark.parametrize('name', command.COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        command.main([name, '--help'])
    assert end.value.code == 0
    assert f'usage: hand-pose {name}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'error, code, line',
    [
        (
            FileNotFoundError(2, 'No such file or directory', 'clip.mcap'),
            2,
            "hand-pose: error: [Errno 2] No such file or directory: 'clip.mcap'",
        ),
        (ValueError('camera.yaml: width\nis 0'), 2, 'hand-pose: error: camera.yaml: width is 0'),
        (
            ModuleNotFoundError("No module named 'rclpy'", name='rclpy'),
            2,
            f'hand-pose: error: this Python ({sys.executable}) has no module rclpy; '
            '`hand-pose doctor` says how to get what is missing',
        ),
        (KeyboardInterrupt(), 130, ''),
    ],
)
def test_errors_end_as_one_line(monkeypatch, capsys, error, code, line):
    def fail(arguments):
        raise error

    monkeypatch.setattr('hand_pose_ros.cli.doctor.run', fail)
    assert command.main(['doctor']) == code
    assert capsys.readouterr().err.strip() == line
    if code == 2:
        with pytest.raises(type(error)):
            command.main(['--traceback', 'doctor'])


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(arguments):
        raise AssertionError

    monkeypatch.setattr('hand_pose_ros.cli.doctor.run', fail)
    with pytest.raises(AssertionError):
        command.main(['doctor'])


def test_a_reader_that_leaves_ends_the_command_quietly():
    process = subprocess.Popen(
        [sys.executable, '-m', 'hand_pose_ros.cli.main', 'doctor', '--help'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.close()
    assert process.wait(timeout=60) != 2
    assert b'Traceback' not in process.stderr.read()


def test_a_user_without_a_home_has_no_folders(monkeypatch, tmp_path, capsys):
    for name in ('HOME', 'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME'):
        monkeypatch.delenv(name, raising=False)

    def unknown(number):
        raise KeyError(f'getpwuid(): uid not found: {number}')

    monkeypatch.setattr('pwd.getpwuid', unknown)
    assert resources.user_folder('XDG_CACHE_HOME', '.cache') is None and resources.cache_folder('times') is None
    assert candidate_folders() == (Path(sys.prefix, 'share', 'hand_pose_ros', 'models', 'mediapipe'),)
    assert own_gestures_file() is None and load_library() == shipped_library()
    assert command.main(['gesture', 'list']) == 0
    assert command.main(['gesture', 'record', 'mine', 'demo/clip']) == 2
    assert '--gestures-file' in capsys.readouterr().err
    assert command.main(['gesture', 'list', '--gestures-file', '~/mine.yaml']) == 2
    assert 'no home folder' in capsys.readouterr().err
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert resources.cache_folder('times') == tmp_path / 'hand_pose_ros' / 'times'


def test_little_is_imported_before_an_error_can_be_said():
    code = (
        'import sys; before = set(sys.modules); import hand_pose_ros.cli.main; '
        'print(*sorted(name for name in set(sys.modules) - before if name.startswith(("hand_pose_ros", "yaml"))))'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.split() == [
        'hand_pose_ros',
        'hand_pose_ros.cli',
        'hand_pose_ros.cli.main',
        'hand_pose_ros.cli.streams',
    ]


def test_arguments_that_are_not_known_do_not_color_the_terminal(capsys):
    for arguments in (['track', 'a', 'b\x1b[31m', '--out', 'o'], ['models', 'list', '\x1b[2J'], ['doctor', '--x\x07']):
        with pytest.raises(SystemExit):
            command.main(arguments)
        assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())
