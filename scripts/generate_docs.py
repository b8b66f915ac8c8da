"""Write every table of the documents anew: ``python scripts/generate_docs.py [--check]``.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. Figures come from docs/results/*.csv and
models/manifest.yaml, lists from the code that they describe. ``--check`` writes nothing and names what would change.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hand_pose_ros.geometry.joints import JOINTS, PARENTS  # noqa: E402
from hand_pose_ros.gestures.describe import describe_library  # noqa: E402
from hand_pose_ros.gestures.library import shipped_library  # noqa: E402
from hand_pose_ros.hand_model.kinematics import DEGREES_OF_FREEDOM  # noqa: E402

RESULTS = ROOT / 'docs' / 'results'
#: Gestures that too few of the rendered hands show clearly: the camera's up means nothing to them, for one.
RARE_GESTURES = ('thumb_up', 'thumb_down', 'ok')
HEADER = ('evaluation', 'subject', 'metric', 'value', 'unit', 'samples', 'command')
_MARKED = re.compile(r'(<!-- table: ([\w -]+) -->\n).*?(<!-- end -->)', re.DOTALL)


class DocumentError(ValueError):
    """A table cannot be made; the message names the table or the figure that is missing."""


@dataclass(frozen=True)
class Figure:
    """One measured number and how it was measured."""

    evaluation: str
    subject: str
    metric: str
    value: float
    unit: str
    samples: str
    command: str


@dataclass(frozen=True)
class Column:
    """A column of figures. In ``subject`` and ``metric`` braces stand for the row's key.

    Attributes:
        heading: without the unit, which the figures bring.
        evaluation: of the figures.
        metric: of the figures.
        subject: of the figures, or a subject for each row's key.
        digits: after the point.
        optional: whether a figure may be missing; its cell stays empty.
        others: evaluation, subject, metric and a word that marks it, for rows whose figure is another one.

    """

    heading: str
    evaluation: str
    metric: str
    subject: str | Mapping[str, str] = '{}'
    digits: int = 1
    optional: bool = False
    others: Mapping[str, tuple[str, str, str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table with a row for each key.

    Attributes:
        headings: of the columns of text.
        rows: key -> its columns of text.
        columns: of figures.

    """

    headings: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    columns: tuple[Column, ...]


POSE_MODELS = {
    'jgr_p2o_large': ('[jgr_p2o_large](docs/models/jgr_p2o_large.md), for recordings and fast CPUs', 'depth'),
    'jgr_p2o': ('[jgr_p2o](docs/models/jgr_p2o.md)', 'depth'),
    'hourglass_compact': (
        '[hourglass_compact](docs/models/hourglass_compact.md), for slow CPUs: 0.6 of the time of `jgr_p2o`',
        'depth',
    ),
    'srn': ('[srn](docs/models/srn.md)', 'depth'),
    'residual_attention': ('[residual_attention](docs/models/residual_attention.md)', 'depth'),
    'color_light': ('[color_light](docs/models/color_light.md)', 'color'),
}
#: Subject of the evaluation ``clip`` in which a model tracks.
CLIPS = {
    'jgr_p2o_large': 'depth',
    'jgr_p2o': 'depth --model jgr_p2o',
    'hourglass_compact': 'depth --model hourglass_compact',
    'srn': 'depth --model srn',
    'residual_attention': 'depth --model residual_attention',
    'color_light': 'color --model color_light',
}
ALIGNED = {'color_light': ('color_views', 'color_light', 'new_aligned_mean', 'aligned')}
ALIGNED_CLIP = {'color_light': ('clip', 'color --model color_light', 'aligned_joint_error_mm', 'aligned')}
#: A call for one crop by two threads.
CALL = '{engine}_{precision}_2_threads_batch_1'
ENGINES = (('onnxruntime', 'f32'), ('openvino', 'f32'), ('openvino', 'int8'))
DEFAULT = 'jgr_p2o_large'

TABLES = {
    'models': Table(
        ('model', 'input'),
        POSE_MODELS,
        (
            Column('parameters', 'network', 'parameters'),
            Column('one call', 'precision_time', CALL.format(engine='openvino', precision='int8'), optional=True),
            Column('validation', 'depth_validation', 'mean', digits=2, others=ALIGNED),
            Column('bundled clip', 'clip', 'mean_joint_error_mm', CLIPS, digits=2, others=ALIGNED_CLIP),
        ),
    ),
    'precision error': Table(
        ('model',),
        {
            name: (f'`{name}`',)
            for name in ('center_refiner', *(name for name, (_, kind) in POSE_MODELS.items() if kind == 'depth'))
        },
        (
            Column('f32', 'precision_error', 'openvino_f32', digits=2),
            Column('bf16', 'precision_error', 'openvino_bf16', digits=2, optional=True),
            Column('int8', 'precision_error', 'openvino_int8', digits=2),
            Column('f16', 'precision_error', 'f16_simulated', digits=2),
        ),
    ),
    'precision speed': Table(
        ('model',),
        {name: (f'`{name}`',) for name in ('jgr_p2o_large', 'jgr_p2o')},
        tuple(
            Column(f'{engine} {precision}', 'precision_time', CALL.format(engine=engine, precision=precision), digits=1)
            for engine, precision in ENGINES
        ),
    ),
    'views': Table(
        ('estimate',),
        {
            '1_views': ('one view',),
            'default': ('default: one view, three more where it is not clear',),
            '2_views': ('two views',),
            '4_views': ('four views',),
        },
        tuple(
            Column(f'`{model}`', 'depth_views', '{}_mean', model, digits=2, optional=True)
            for model in (DEFAULT, 'jgr_p2o')
        ),
    ),
    'articulated_icp': Table(
        ('estimate',),
        {
            '1_view': ('one view',),
            '1_view_icp': ('one view, articulated ICP',),
            '4_views': ('four views',),
            '4_views_icp': ('four views, articulated ICP',),
        },
        (
            Column('mean', 'articulated_icp', '{}_mean', DEFAULT, digits=2),
            Column('median', 'articulated_icp', '{}_median', DEFAULT, digits=2),
            Column('tips', 'articulated_icp', '{}_tips', DEFAULT),
            Column('moving hands', 'articulated_icp_moving', '{}_mean', DEFAULT, digits=2),
            Column(
                'clip',
                'clip',
                'mean_joint_error_mm',
                {
                    '1_view': 'depth',
                    '1_view_icp': 'depth --articulated-icp',
                    '4_views': 'depth --views 4',
                    '4_views_icp': 'depth --views 4 --articulated-icp',
                },
                digits=2,
                optional=True,
            ),
        ),
    ),
    'bench': Table(
        ('what', 'how'),
        {
            'depth': ('depth, two hands', '`hand-pose bench`'),
            'depth --max-hands 1': ('depth, one hand', '`hand-pose bench --max-hands 1`'),
            'depth --model jgr_p2o_large': (
                'depth, two hands, the most accurate network',
                '`hand-pose bench --model jgr_p2o_large`',
            ),
            'color': ('color, two hands', '`hand-pose bench --modality color`'),
            'color --model color_light': (
                'the same, our network',
                '`hand-pose bench --modality color --model color_light`',
            ),
            'rgbd': ('RGB-D, two hands', '`hand-pose bench --modality rgbd`'),
        },
        (
            Column('pipeline', 'bench', 'pipeline_ms_median'),
            Column('image to joints', 'bench', 'image_to_joints_ms_median'),
            Column('95th percentile', 'bench', 'image_to_joints_ms_p95'),
            Column('cores at 30 Hz', 'bench', 'node_cores', digits=2, optional=True),
            Column('memory', 'bench', 'peak_rss_mb', digits=0, optional=True),
        ),
    ),
    'detector': Table(
        ('score from',),
        {score: (score,) for score in ('0.15', '0.2', '0.3', '0.5')},
        (
            Column('missed', 'detector_scores', 'score_{}_missed', 'color_detector', digits=0),
            Column('false', 'detector_scores', 'score_{}_false', 'color_detector', digits=0),
        ),
    ),
    'photographs': Table(
        ('detector', 'estimator'),
        {
            f'photographs --detector {detector} --estimator {estimator}': (f'`{detector}`', f'`{estimator}`')
            for estimator in ('mediapipe_landmarks', 'color_network')
            for detector in ('palms_and_squares', 'mediapipe_palms', 'color_detector')
        },
        tuple(
            Column(heading, 'photographs', metric, digits=1)
            for heading, metric in (
                ('found', 'fingers_found'),
                ('false', 'fingers_false'),
                ('side right', 'fingers_side_right'),
                ('joints off', 'fingers_off'),
                ('false without hands', 'nothing_false'),
            )
        ),
    ),
    'gestures': Table(
        ('gesture',),
        {name: (f'`{name}`',) for name in shipped_library().names if name not in RARE_GESTURES},
        tuple(
            Column(heading, 'gestures', f'{{}}_{kind}', DEFAULT, digits=0, optional=True)
            for heading, kind in (('right', 'right'), ('no gesture', 'none'), ('another', 'another'))
        ),
    ),
    'gesture means': Table(
        ('hands',),
        {
            'mean': ('that show a form clearly',),
            'mean_seen': ('of these, with every joint trusted (confidence of 0.5 or more)',),
            'mean_all': ('all, between two forms too',),
        },
        (
            Column('right, mean over the names', 'gestures', '{}_right', DEFAULT),
            Column('another name', 'gestures', '{}_another', DEFAULT),
            Column('no form, but named', 'gestures', '{}_none_named', DEFAULT),
        ),
    ),
}

#: What a model's card shows where it is known: the words, evaluation and metric.
ON_CARDS = (
    ('parameters', 'network', 'parameters'),
    ('file', 'network', 'file'),
    ('training images', 'network', 'training_images'),
    ('joint error, mean', 'depth_validation', 'mean'),
    ('joint error, median', 'depth_validation', 'median'),
    ('fingertips, mean', 'depth_validation', 'tips'),
    ('wrong side, one view', 'depth_handedness', 'handedness_wrong_one_view'),
    ('wrong side, with the mirror image', 'depth_handedness', 'handedness_wrong_two_views'),
    ('new hand, aligned error, mean', 'color_views', 'new_aligned_mean'),
    ('new hand, error from the wrist, mean', 'color_views', 'new_from_wrist_mean'),
    ('new hand, places in the crop', 'color_views', 'new_points_mean'),
    ('new hand, overlap of the mask', 'color_views', 'new_mask_overlap'),
    ('tracked hand, aligned error, mean', 'color_views', 'followed_aligned_mean'),
    ('wrong side, one view', 'color_views', 'handedness_wrong_one_view'),
    ('wrong side, with the mirror image', 'color_views', 'handedness_wrong_two_views'),
    ('center error, mean', 'center_validation', 'center'),
    ('center error, median', 'center_validation', 'center_median'),
    ('size error, mean', 'center_validation', 'size'),
    ('presence wrong', 'center_validation', 'presence_wrong'),
    ('presence wrong where hands are searched', 'center_validation', 'searched_wrong'),
    ('hands missed', 'detector_validation', 'missed'),
    ('false detections for each hundred hands', 'detector_validation', 'false'),
    ('wrong side', 'detector_validation', 'side_wrong'),
    ('center error, mean', 'detector_validation', 'center'),
    ('size error, mean', 'detector_validation', 'size'),
    ('direction error, median', 'detector_validation', 'direction_median'),
    ('bundled clip, joint error, mean', 'clip', 'mean_joint_error_mm'),
    ('bundled clip, aligned error, mean', 'clip', 'aligned_joint_error_mm'),
    ('bundled clip, hands found', 'clip', 'hands_found'),
)


@lru_cache(maxsize=1)
def figures() -> dict[tuple[str, str, str], Figure]:
    """All figures, by evaluation, subject and metric.

    Raises:
        DocumentError: a file has another header, a value is no number, or a figure is there twice.

    """
    found: dict[tuple[str, str, str], Figure] = {}
    for figure in (*_measured(), *_declared()):
        key = (figure.evaluation, figure.subject, figure.metric)
        if key in found:
            raise DocumentError(f'{key} is there twice in {RESULTS}')
        found[key] = figure
    return found


def _measured() -> Iterable[Figure]:
    for path in sorted(RESULTS.glob('*.csv')):
        with path.open(newline='', encoding='utf-8') as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != HEADER:
                raise DocumentError(f'{path}: the header is not {",".join(HEADER)}')
            for row in reader:
                try:
                    value = float(row['value'])
                except ValueError:
                    raise DocumentError(f'{path}, line {reader.line_num}: {row["value"]!r} is no number') from None
                yield Figure(**{**row, 'value': value})


def _declared() -> Iterable[Figure]:
    """What the manifest and the files themselves say of the networks."""
    manifest = yaml.safe_load((ROOT / 'models' / 'manifest.yaml').read_text(encoding='utf-8'))
    for name, model in manifest.items():
        if 'training' not in model:
            continue  # A network of others, which set-up takes from a registry.
        megabytes = (ROOT / 'models' / model['file']).stat().st_size / 1e6
        yield Figure('network', name, 'parameters', model['parameters'] / 1e6, 'M', '', '')
        yield Figure('network', name, 'file', megabytes, 'MB', '', '')
        yield Figure('network', name, 'training_images', model['training']['images'] / 1e6, 'M', '', '')


def render(name: str) -> str:
    """The lines of a table, without its markers.

    Raises:
        DocumentError: there is no such table, or it needs a figure that no file has.

    """
    if name in LISTS:
        return LISTS[name]()
    if name.startswith('card '):
        return _card(name.removeprefix('card '))
    if name not in TABLES:
        raise DocumentError(f'no table {name!r}: there are {", ".join((*TABLES, *LISTS))} and "card MODEL"')
    return _table(name, TABLES[name])


def _table(name: str, table: Table) -> str:
    headings, cells, used = [*table.headings], [], []
    for column in table.columns:
        found = [_cell(column, key) for key in table.rows]
        missing = [key for key, (figure, _) in zip(table.rows, found) if figure is None]
        if missing and not (column.optional and len(missing) < len(found)):
            evaluation, subject, metric, _ = _sought(column, missing[0])
            raise DocumentError(f'table {name}: no figure {metric!r} of {subject!r} in the evaluation {evaluation!r}')
        present = [figure for figure, _ in found if figure is not None]
        if len({figure.unit for figure in present}) > 1:
            raise DocumentError(f'table {name}: the figures of {column.heading!r} have several units')
        headings.append(column.heading + (f', {present[0].unit}' if present[0].unit else ''))
        cells.append([text for _, text in found])
        used += present
    rows = [(*texts, *values) for texts, values in zip(table.rows.values(), zip(*cells))]
    return _markdown(headings, rows, len(table.headings)) + _measured_by([_command_of_all(used)])


def _sought(column: Column, key: str) -> tuple[str, str, str, str]:
    """Evaluation, subject and metric of a cell's figure, and the word that marks it."""
    if key in column.others:
        return column.others[key]
    subject = column.subject.format(key) if isinstance(column.subject, str) else column.subject.get(key, '')
    return column.evaluation, subject, column.metric.format(key), ''


def _cell(column: Column, key: str) -> tuple[Figure | None, str]:
    """The figure in a cell, None where there is none, and what the cell says."""
    *where, mark = _sought(column, key)
    figure = figures().get(tuple(where))
    return figure, '' if figure is None else f'{figure.value:.{column.digits}f} {mark}'.rstrip()


def _card(model: str) -> str:
    """What is known of one model, a figure a line."""
    rows, used = [], []
    for words, evaluation, metric in ON_CARDS:
        subject = CLIPS.get(model, '') if evaluation == 'clip' else model
        figure = figures().get((evaluation, subject, metric))
        if figure is not None:
            known = figures().get((evaluation, subject, 'hands_known')) if metric == 'hands_found' else None
            of = f' of {known.value:.0f}' if known else ''
            rows.append((words, f'{_plain(figure.value)} {figure.unit}'.strip() + of))
            used.append(figure)
    if not rows:
        raise DocumentError(f'no figure of {model!r}')
    return _markdown(('figure', 'value'), rows, 1) + _measured_by({figure.command for figure in used})


def _plain(value: float) -> str:
    """A number with three digits that count, and all of those before the point."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f'{value:.{digits}f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text


def _measured_by(commands: Iterable[str]) -> str:
    """A paragraph that names commands."""
    shown = ', '.join(f'`{command}`' for command in sorted(commands) if command)
    if not shown:
        return ''
    return '\n' + textwrap.fill(f'Measured by {shown}.', 120, break_long_words=False, break_on_hyphens=False) + '\n'


def _command_of_all(used: Iterable[Figure]) -> str:
    """The command that measures all of these figures anew."""
    evaluations = sorted({figure.evaluation for figure in used if figure.command})
    return f'python -m training evaluate --all --only {" ".join(evaluations)}' if evaluations else ''


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], texts: int) -> str:
    marks = ['---'] * texts + ['--:'] * (len(headings) - texts)
    return ''.join('| ' + ' | '.join(cells) + ' |\n' for cells in (headings, marks, *rows))


def _joints() -> str:
    rows = [
        (str(number), f'`{name}`', f'`{JOINTS[parent]}`' if parent >= 0 else 'the camera')
        for number, (name, parent) in enumerate(zip(JOINTS, PARENTS))
    ]
    return _markdown(('index', 'joint', 'TF parent'), rows, 3)


def _angles() -> str:
    rows = [
        (f'`<side>_{dof.name}`', f'{math.degrees(dof.low):.0f}', f'{math.degrees(dof.high):.0f}')
        for dof in DEGREES_OF_FREEDOM
    ]
    return _markdown(('angle', 'lowest, degrees', 'highest, degrees'), rows, 1)


def _gestures(kind: str) -> str:
    rows = [(f'`{name}`', what) for name, what in describe_library(shipped_library())[kind]]
    return _markdown(('name', 'what it is'), rows, 2)


def layers() -> list[tuple[str, ...]]:
    """The packages and modules of each layer, the highest first, from the contract that import-linter checks.

    Raises:
        DocumentError: pyproject.toml has no such contract.

    """
    import tomllib

    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))
    contracts = project.get('tool', {}).get('importlinter', {}).get('contracts', ())
    for contract in contracts:
        if contract.get('type') == 'layers':
            found = [tuple(filter(_exists, re.findall(r'\w+', layer))) for layer in contract['layers']]
            return [layer for layer in found if layer]
    raise DocumentError('pyproject.toml: no contract of the type layers under tool.importlinter')


def _exists(name: str) -> bool:
    """Whether the runtime has a package or module; the contract names those to come too."""
    package = ROOT / 'hand_pose_ros'
    return (package / name / '__init__.py').is_file() or (package / f'{name}.py').is_file()


def _layer_drawing() -> str:
    names = layers()
    nodes = [f'    layer{number}["{", ".join(layer)}"]\n' for number, layer in enumerate(names)]
    arrows = [f'    layer{number} --> layer{number + 1}\n' for number in range(len(names) - 1)]
    return '```mermaid\nflowchart TB\n' + ''.join(nodes + arrows) + '```\n'


#: Lists that are read from the code.
LISTS: dict[str, Callable[[], str]] = {
    'joints': _joints,
    'angles': _angles,
    'layers': _layer_drawing,
    'gesture forms': lambda: _gestures('One hand'),
    'gesture pairs': lambda: _gestures('Both hands'),
    'gesture movements': lambda: _gestures('Movements'),
}


def documents() -> list[Path]:
    """The documents that may hold tables."""
    return [ROOT / 'README.md', ROOT / 'models' / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


def rewritten(path: Path) -> str:
    """The text of a document with its tables made anew; links in cells fit the document's folder.

    Raises:
        DocumentError: one of its tables cannot be made.

    """
    depth = len(path.relative_to(ROOT).parts) - 1

    def table(match: re.Match[str]) -> str:
        lines = render(match[2])
        return match[1] + lines.replace('](docs/', '](' + '../' * depth + 'docs/') + match[3]

    return _MARKED.sub(table, path.read_text(encoding='utf-8'))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the tables, or with ``--check`` say which documents are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing; fail where something would change')
    check = parser.parse_args(argv).check
    changed = [(path, text) for path in documents() if (text := rewritten(path)) != path.read_text(encoding='utf-8')]
    for path, text in changed:
        if not check:
            path.write_text(text, encoding='utf-8')
        print(f'{path.relative_to(ROOT)}: {"differs" if check else "written"}')
    return int(check and bool(changed))


if __name__ == '__main__':
    try:
        sys.exit(main())
    except DocumentError as error:
        sys.exit(f'generate_docs: {error}')
