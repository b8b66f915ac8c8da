"""Documents: tables say what was measured, links lead somewhere, commands exist, and nothing tells history."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import sys
from dataclasses import is_dataclass
from functools import cache, lru_cache
from pathlib import Path

import pytest

from hand_pose_ros import topics
from hand_pose_ros.cli.main import COMMANDS, build_parser
from hand_pose_ros.settings import declared

ROOT = Path(__file__).resolve().parents[1]
#: Documents in the checkout's root and in these folders.
FOLDERS = ('docs', 'models', 'training/datasets')
DOCUMENTS = sorted(
    {*ROOT.glob('*.md'), *(path for folder in FOLDERS for path in (ROOT / folder).rglob('*.md'))},
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
#: Tells what was tried, and so may speak of the past.
LAB = ROOT / 'docs' / 'lab.md'
README_LINES, CARD_LINES = 130, 40

#: Phrases of a diary.
HISTORY = (
    'had been',
    'formerly',
    'previously',
    'in the past',
    'back then',
    'at the time',
    'on another day',
    'minutes later',
    'not kept',
    'earlier weights',
    'the weights before',
    'the network before',
    'the one before',
    'the run before',
    'since then',
    'it used to',
    'we tried',
    'was tried before',
)
#: Names that something else has today.
OLD_NAMES = (
    r'rgb_light',
    r'hand_detector\b',
    r'centre_refiner',
    r'fit_surface',
    r'\blooks:=',
    r'--looks\b',
    r'\baligned_depth:=',
    r'--aligned-depth\b',
    r'modality:=rgb\b',
    r'modality: rgb\b',
)

CAMERA_ARGUMENTS = {
    name.replace('/', '_')
    for name in (topics.DEPTH_IMAGE, topics.DEPTH_CAMERA_INFO, topics.COLOR_IMAGE, topics.COLOR_CAMERA_INFO)
}
#: Of the launch files, beside the settings.
LAUNCH_ARGUMENTS = ('namespace', 'params_file', 'log_level', 'tracker', 'out', 'fixed_frame')

generate_docs = importlib.util.spec_from_file_location('generate_docs', ROOT / 'scripts' / 'generate_docs.py')


@lru_cache(maxsize=1)
def generator():
    """The module of scripts/generate_docs.py."""
    module = importlib.util.module_from_spec(generate_docs)
    sys.modules['generate_docs'] = module  # dataclasses look their module up.
    generate_docs.loader.exec_module(module)
    return module


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path):
    return path.read_text(encoding='utf-8')


def each(paths):
    return pytest.mark.parametrize('path', paths, ids=name_of)


def prose(text):
    """The text without its fenced blocks."""
    return re.sub(r'^ *```.*?^ *```', '', text, flags=re.DOTALL | re.MULTILINE)


def commands_in(text):
    """Command lines of shell blocks, of indented blocks and of inline code."""
    found = [line.strip() for line in re.findall(r'^    (.*)$', prose(text).replace('\\\n', ' '), flags=re.MULTILINE)]
    for block in re.findall(r'^ *```sh\n(.*?)^ *```', text, flags=re.DOTALL | re.MULTILINE):
        found += [line.strip() for line in block.replace('\\\n', ' ').splitlines()]
    found += [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', prose(text))]
    for line in found:
        for part in re.split(r'&&|;', line):
            words = shlex.split(part, comments=True) if part.count("'") % 2 == 0 else part.split()
            if words:
                yield words


def all_commands():
    """(document, words) of every command, of the measured figures' commands too; ``MODEL`` stands for a model."""
    for path in DOCUMENTS:
        for words in commands_in(text_of(path)):
            yield name_of(path), words
    for command in dict.fromkeys(figure.command for figure in generator().figures().values() if figure.command):
        yield 'docs/results', shlex.split(command)


def unknown(commands):
    return '\n'.join(f'{document}: {" ".join(words)}' for document, words in commands)


@each([path for path in DOCUMENTS if '<!-- table:' in text_of(path)])
def test_tables_are_as_the_generator_writes_them(path):
    if sys.version_info < (3, 11):
        pytest.skip('reading pyproject.toml needs Python 3.11')
    assert text_of(path) == generator().rewritten(path), 'run python scripts/generate_docs.py'


def test_tables_are_all_closed_and_known():
    for path in DOCUMENTS:
        opened = re.findall(r'<!-- table: ([\w -]+) -->', text_of(path))
        assert len(opened) == text_of(path).count('<!-- end -->'), name_of(path)
        known = {*generator().TABLES, *generator().LISTS}
        assert all(name in known or name.startswith('card ') for name in opened), name_of(path)


def test_a_missing_figure_is_named():
    module = generator()
    column = module.Column('error', 'validation', 'no_such_metric')
    table = module.Table(('model',), {'jgr_p2o': ('jgr_p2o',)}, (column,))
    with pytest.raises(module.DocumentError, match="no figure 'no_such_metric' of 'jgr_p2o'"):
        module._table('x', table)


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ('evaluation,subject\na,b\n', 'the header is not'),
        ('{header}\nclip,x,error,many,mm,1,\n', "line 2: 'many' is no number"),
        ('{header}\nclip,x,error,1,mm,1,\nclip,x,error,2,mm,1,\n', 'twice'),
    ],
    ids=['header', 'number', 'twice'],
)
def test_a_damaged_results_file_is_refused(tmp_path, monkeypatch, lines, message):
    module = generator()
    (tmp_path / 'x.csv').write_text(lines.format(header=','.join(module.HEADER)))
    monkeypatch.setattr(module, 'RESULTS', tmp_path)
    with pytest.raises(module.DocumentError, match=message):
        module.figures.__wrapped__()


def test_the_readme_and_the_cards_are_short():
    assert len(text_of(ROOT / 'README.md').splitlines()) <= README_LINES
    for path in (ROOT / 'docs' / 'models').glob('*.md'):
        assert len(text_of(path).splitlines()) <= CARD_LINES, name_of(path)


def test_every_model_that_is_trained_here_has_a_card():
    trained = {figure.subject for figure in generator().figures().values() if figure.evaluation == 'network'}
    assert {path.stem for path in (ROOT / 'docs' / 'models').glob('*.md')} >= trained


@each(DOCUMENTS)
def test_links_lead_somewhere(path):
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(text_of(path))):
        if re.match(r'\w+:', target):
            continue
        file, _, anchor = target.partition('#')
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f'{target}: no such file'
        if anchor:
            headings = re.findall(r'^#+ (.*)$', text_of(linked), flags=re.MULTILINE)
            assert anchor in {re.sub(r'[^\w\- ]', '', line).lower().replace(' ', '-') for line in headings}, target


@each([path for path in DOCUMENTS if path != LAB])
def test_documents_say_what_is_true_now(path):
    text = ' '.join(text_of(path).lower().split())
    assert [phrase for phrase in HISTORY if phrase in text] == []


@each(DOCUMENTS)
def test_documents_use_the_names_of_today(path):
    assert [name for name in OLD_NAMES if re.search(name, text_of(path))] == []


def test_hand_pose_takes_every_command_that_is_named():
    refused = []
    for document, words in all_commands():
        if words[0] not in ('hand-pose', '.venv/bin/hand-pose') or len(words) < 2 or words[1] in ('COMMAND', 'node:'):
            continue
        if len(words) == 2 and words[1] in COMMANDS:  # A mention of the command.
            continue
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                build_parser(COMMANDS).parse_args(words[1:])
        except SystemExit as end:
            if end.code:
                refused.append((document, words))
    assert not refused, unknown(refused)


def test_python_runs_every_module_and_script_that_is_named():
    missing = []
    for document, words in all_commands():
        if Path(words[0]).name not in ('python', 'python3'):
            continue
        if words[1:2] == ['-m'] and len(words) > 2:
            found = _has_module(words[2])
        else:
            found = len(words) < 2 or words[1].startswith('-') or (ROOT / words[1]).is_file()
        if not found:
            missing.append((document, words))
    assert not missing, unknown(missing)


def _has_module(name):
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return False
    if spec is None or spec.submodule_search_locations is None:
        return spec is not None
    return importlib.util.find_spec(f'{name}.__main__') is not None


def test_python_m_training_takes_every_command_that_is_named():
    main = pytest.importorskip('training.__main__', reason='needs what training needs: make setup-training')
    refused = []
    for document, words in all_commands():
        if words[1:3] != ['-m', 'training'] or len(words) < 5 or words[3].isupper():
            continue
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                main.build_parser().parse_args([word for word in words[3:] if not word.startswith('[')])
        except SystemExit as end:
            if end.code:
                refused.append((document, words))
    assert not refused, unknown(refused)


@lru_cache(maxsize=1)
def _settings():
    """Every declaration of every setting, by name: nodes may have settings of the same name."""
    found = {}
    for path in sorted((ROOT / 'hand_pose_ros').rglob('settings.py')):
        module = importlib.import_module('.'.join(path.relative_to(ROOT).with_suffix('').parts))
        for kind in vars(module).values():
            for setting in declared(kind) if is_dataclass(kind) and isinstance(kind, type) else ():
                if 'choices' in setting.metadata:
                    found.setdefault(setting.name, []).append(setting)
    return found


def _refused(argument, others=()):
    """Why a launch argument ``name:=value`` is none of ours; empty where it is one."""
    name, _, value = argument.partition(':=')
    settings = _settings().get(name, ())
    if not settings:
        return '' if name in CAMERA_ARGUMENTS or name in others else f'no argument {name}'
    allowed = [setting.metadata['choices'] for setting in settings]
    if any(not choices or value in map(str, choices) for choices in allowed):
        return ''
    return f'{name}: {value} is not one of {", ".join(map(str, sum(allowed, ())))}'


def test_launch_files_take_every_argument_that_is_named():
    for document, words in all_commands():
        if words[:3] != ['ros2', 'launch', 'hand_pose_ros'] or len(words) < 4:
            continue
        launch = ROOT / 'launch' / words[3]
        assert launch.is_file(), f'{document}: no launch file {words[3]}'
        own = re.findall(r"'(\w+)'", text_of(launch) + text_of(ROOT / 'launch' / 'tracker.launch.py'))
        refused = [why for word in words[4:] if ':=' in word and (why := _refused(word, own))]
        assert not refused, f'{document}: {words[3]}: {refused}'


def test_parameters_that_are_named_exist():
    """``name:=value`` in the text."""
    for path in DOCUMENTS:
        for code in re.findall(r'`([^`]+)`', prose(text_of(path))):
            for word in code.split() if not code.startswith('ros2') else ():
                if re.match(r'\w+:=\w', word):
                    refused = _refused(word, LAUNCH_ARGUMENTS)
                    assert not refused, f'{name_of(path)}: {word}: {refused}'


def test_make_has_every_target_that_is_named():
    targets = set(re.findall(r'^([\w-]+):', text_of(ROOT / 'Makefile'), flags=re.MULTILINE))
    for document, words in all_commands():
        if words[0] == 'make' and len(words) > 1 and '=' not in words[1]:
            assert words[1] in targets, f'{document}: make {words[1]}'


def test_the_page_of_topics_names_them_all():
    page = text_of(ROOT / 'docs' / 'topics.md')
    constants = [value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)]
    of_a_side = [topics.joints_topic('<side>'), topics.joint_states_topic('<side>'), topics.gesture_topic('<side>')]
    assert [name for name in (*constants, *of_a_side) if f'`{name}`' not in page] == []


def test_the_page_of_topics_names_all_commands_and_launch_files():
    page = text_of(ROOT / 'docs' / 'topics.md')
    assert [name for name in COMMANDS if f'`hand-pose {name}' not in page] == []
    assert [path.name for path in (ROOT / 'launch').glob('*.launch.py') if path.name not in page] == []


def test_the_drawing_of_the_layers_has_every_package():
    if sys.version_info < (3, 11):
        pytest.skip('reading pyproject.toml needs Python 3.11')
    drawn = {name for layer in generator().layers() for name in layer}
    packages = {path.parent.name for path in (ROOT / 'hand_pose_ros').glob('*/__init__.py')}
    assert packages <= drawn
    page = text_of(ROOT / 'docs' / 'architecture.md')
    assert all(f'`{package}`' in page for package in packages)
