"""`make setup`: pins for every supported Python, and what it decides with and without a sourced ROS."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from checkout import ROOT

SCRIPT = ROOT / 'scripts' / 'setup_environment.py'

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason='needs the checkout')


@pytest.fixture
def setup():
    """The set-up script as a module."""
    spec = importlib.util.spec_from_file_location('setup_environment', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('minor', range(10, 15))
def test_every_requirement_is_pinned_once_for_every_python(minor):
    markers = pytest.importorskip('packaging.requirements')
    for file in (ROOT / 'requirements').glob('*.txt'):
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith('#')]
        wanted = [markers.Requirement(line) for line in lines]
        assert all(re.fullmatch(r'==[\w.]+', str(each.specifier)) for each in wanted), file
        environment = {'python_version': f'3.{minor}'}
        active = [each.name for each in wanted if each.marker is None or each.marker.evaluate(environment)]
        assert sorted(active) == sorted({each.name for each in wanted}), (file, minor)


class Machine:
    """A machine on which pip only takes notes; the virtual environment is this Python's own."""

    def __init__(self, setup, monkeypatch, folder: Path) -> None:
        self.setup, self.folder, self.pip, self.commands = setup, folder, [], []
        monkeypatch.setattr(setup, 'run', self.run)
        monkeypatch.setattr(setup.Environment, 'pip', self.note)
        monkeypatch.setattr(setup, 'build_overlay', lambda environment: self.commands.append('overlay'))

    def run(self, command, environment=None):
        self.commands.append([str(part) for part in command])
        if '-m' in command and 'venv' in command:
            (self.folder / 'bin').mkdir(parents=True, exist_ok=True)
            (self.folder / 'bin' / 'python').unlink(missing_ok=True)
            (self.folder / 'bin' / 'python').symlink_to(sys.executable)

    def note(self, environment, *arguments):
        arguments = [str(part) for part in arguments]
        constraints = arguments[arguments.index('-c') + 1] if '-c' in arguments else None
        self.pip.append(
            (
                [Path(part).stem for part in arguments if part.endswith('.txt') and part != constraints],
                Path(constraints).read_text() if constraints else '',
            )
        )

    @property
    def networks(self):
        return [str(self.folder / 'bin' / 'hand-pose'), 'models', 'get', 'mediapipe']

    def set_up(self, **options):
        self.pip, self.commands = [], []
        self.setup.set_up(self.folder, **options)


@pytest.fixture
def machine(setup, monkeypatch, tmp_path):
    for name in ('ROS_DISTRO', 'AMENT_PREFIX_PATH'):
        monkeypatch.delenv(name, raising=False)
    return Machine(setup, monkeypatch, tmp_path / '.venv')


@pytest.fixture
def jazzy(monkeypatch, tmp_path, setup):
    """A sourced ROS distribution of empty modules, with NumPy 1 as Ubuntu 24.04 has it."""
    packages = tmp_path / 'opt' / 'lib' / 'site-packages'
    for name in setup.DISTRIBUTION_MODULES:
        (packages / name).mkdir(parents=True)
        (packages / name / '__init__.py').touch()
    for name, version in {'numpy': '1.26.4', 'PyYAML': '6.0.1'}.items():
        (packages / f'{name}-{version}.dist-info').mkdir()
        (packages / f'{name}-{version}.dist-info' / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        )
    monkeypatch.setenv('PYTHONPATH', str(packages))

    def source():
        monkeypatch.setenv('ROS_DISTRO', 'jazzy')
        monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path / 'opt'))

    return source


def test_without_ros_it_comes_from_pip_once(machine, capsys):
    machine.set_up()
    assert [names for names, _ in machine.pip] == [['build', 'ros', 'inference'], []]
    assert 'overlay' in machine.commands
    assert '--system-site-packages' not in machine.commands[0]
    assert 'is ready' in capsys.readouterr().out
    machine.set_up()
    assert machine.pip == [] and machine.commands == []
    assert 'is up to date' in capsys.readouterr().out


def test_with_ros_nothing_of_the_distribution_is_installed_or_replaced(machine, jazzy):
    jazzy()
    machine.set_up(wanted=('training', 'checks'))
    assert [names for names, _ in machine.pip] == [['build', 'inference'], [], ['training'], ['checks']]
    assert all('numpy==1.26.4\nPyYAML==6.0.1\n' == held for names, held in machine.pip if names)
    assert machine.commands[0][1:4] == ['-m', 'venv', '--system-site-packages']
    assert 'overlay' not in machine.commands


def test_sourcing_ros_makes_the_environment_anew(machine, jazzy):
    machine.set_up()
    jazzy()
    machine.set_up()
    assert 'venv' in machine.commands[0] and '--clear' in machine.commands[0]
    assert machine.pip[0][0] == ['build', 'inference']


def test_an_environment_of_somebody_else_is_left_alone(machine, setup):
    machine.folder.mkdir()
    (machine.folder / 'precious').touch()
    with pytest.raises(setup.SetupError, match='was not made by `make setup`'):
        machine.set_up()
    assert (machine.folder / 'precious').is_file() and machine.commands == []


def test_changed_requirements_are_installed_again(machine, setup, monkeypatch, tmp_path):
    copy = tmp_path / 'checkout'
    for name in ('requirements', 'overlay/tf2_msgs'):
        (copy / name).mkdir(parents=True)
    for name in ('build', 'ros', 'inference', 'overlay', 'training', 'view'):
        (copy / 'requirements' / f'{name}.txt').write_text('numpy==1\n')
    for name in ('setup.py', 'package.xml'):
        (copy / name).touch()
    monkeypatch.setattr(setup, 'ROOT', copy)
    machine.set_up()
    (copy / 'requirements' / 'inference.txt').write_text('numpy==2\n')
    machine.set_up()
    assert machine.pip == [(['build', 'ros', 'inference'], '')]
    assert machine.commands == []


def test_a_failed_step_is_tried_again(machine, setup, monkeypatch):
    def fail(environment):
        raise setup.SetupError('no compiler')

    working = setup.build_overlay
    monkeypatch.setattr(setup, 'build_overlay', fail)
    with pytest.raises(setup.SetupError, match='no compiler'):
        machine.set_up()
    monkeypatch.setattr(setup, 'build_overlay', working)
    machine.set_up()
    assert machine.commands[0] == 'overlay' and machine.commands[1:] == [machine.networks]
    assert [names for names, _ in machine.pip] == [[]]


def test_networks_of_others_may_be_left_out_and_are_tried_again(machine, setup, monkeypatch, capsys):
    run = machine.run

    def unreachable(command, environment=None):
        run(command, environment)
        if 'models' in command:
            raise setup.SetupError('pip cannot get mediapipe')

    monkeypatch.setattr(setup, 'run', unreachable)
    machine.set_up()
    assert 'is ready' in (said := capsys.readouterr().out) and 'color is tracked by the shipped ones' in said
    monkeypatch.setattr(setup, 'run', run)
    machine.set_up()
    assert machine.commands == [machine.networks] and machine.pip == []
    machine.set_up()
    assert machine.commands == []


def test_training_may_be_left_out_where_it_cannot_be_installed(machine, setup, monkeypatch, capsys):
    install = setup.install

    def refuse(environment, names):
        if 'training' in names:
            raise setup.SetupError('no torch for this Python')
        install(environment, names)

    monkeypatch.setattr(setup, 'install', refuse)
    machine.set_up(wanted=('checks',), optional=('training', 'view'))
    assert 'its tests will be skipped' in capsys.readouterr().out
    assert [names for names, _ in machine.pip][-2:] == [['checks'], ['view']]
    with pytest.raises(setup.SetupError, match='no torch'):
        machine.set_up(wanted=('training',))


@pytest.mark.parametrize(
    'flags, wanted, optional',
    [
        ([], (), ()),
        (['--checks'], ('checks',), ()),
        (['--tests'], ('checks',), ('training', 'view')),
        (['--training', '--tests'], ('training', 'checks'), ('view',)),
    ],
)
def test_the_flags_name_requirements(setup, monkeypatch, flags, wanted, optional):
    asked = []
    monkeypatch.setattr(setup, 'set_up', lambda folder, *names: asked.append(names))
    monkeypatch.setattr(setup.sys, 'argv', ['setup_environment.py', *flags])
    assert setup.main() == 0 and asked == [(wanted, optional)]
    assert all((ROOT / 'requirements' / f'{name}.txt').is_file() for name in (*wanted, *optional))


def test_a_lacking_distribution_is_named(machine, jazzy, setup, monkeypatch):
    jazzy()
    monkeypatch.setattr(setup, 'DISTRIBUTION_MODULES', (*setup.DISTRIBUTION_MODULES, 'made_up_msgs'))
    with pytest.raises(setup.SetupError, match='made_up_msgs.*rosdep install'):
        machine.set_up()


@pytest.mark.parametrize('system, machine_name', [('linux', 'aarch64'), ('darwin', 'x86_64')])
def test_where_pip_has_no_ros_that_is_said(machine, setup, monkeypatch, system, machine_name):
    monkeypatch.setattr(setup.sys, 'platform', system)
    monkeypatch.setattr(setup.platform, 'machine', lambda: machine_name)
    with pytest.raises(setup.SetupError, match=f'this is {system} on {machine_name}'):
        machine.set_up()


def test_an_unsupported_python_is_named(machine, setup, monkeypatch):
    monkeypatch.setattr(setup, 'NEWEST', (3, 9))
    with pytest.raises(setup.SetupError, match='not supported: name one from 3.10 to 3.9'):
        machine.set_up()


def test_the_overlay_is_the_message_that_other_machines_know():
    described = Path(sys.prefix) / 'share' / 'tf2_msgs' / 'msg' / 'TFMessage.json'
    if not described.is_file():
        pytest.skip('tf2_msgs comes from a ROS distribution, or from nowhere')
    hashes = {each['type_name']: each['hash_string'] for each in json.loads(described.read_text())['type_hashes']}
    # The hash that Jazzy, Kilted and Lyrical announce; a receiver matches it against its own.
    assert hashes['tf2_msgs/msg/TFMessage'] == (
        'RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087'
    )
