"""Measure models: named evaluations of an exported model, or a training's own validation.

The subject is a model of models/manifest.yaml, an .onnx file, a best.pt, a recipe (its runs/RECIPE/best.pt), or the
folder of a run with --only memorization. With --all every evaluation is made of every shipped model, and the tables in
docs/results/ are renewed; that takes hours, and goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation import Evaluation
    from training.evaluation.figures import Figure

HELP = 'measure models; --all renews the tables of docs/results/'
#: Evaluations that ``--all`` has made, one a line, while it is not through.
DONE = Path('runs/evaluated.txt')
#: The evaluation of a run's folder.
MEMORIZATION = 'memorization'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('subject', nargs='?', help='a model, .onnx file, best.pt, recipe or run; see above')
    parser.add_argument('--all', action='store_true', help='every evaluation of every shipped model, into the tables')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these evaluations alone; --list names them')
    parser.add_argument('--samples', type=int, help='hands, crops or images; by default what --list says')
    parser.add_argument('--write', action='store_true', help='into the tables too; --all always does')
    parser.add_argument(
        '--results', type=Path, default=Path('docs/results'), help='folder of the tables (docs/results)'
    )
    parser.add_argument('--again', action='store_true', help='with --all: also what was made before it was interrupted')
    parser.add_argument('--list', action='store_true', help='name the evaluations, and what each measures')
    parser.add_argument('--batch', type=int, default=32, help='with memorization: crops in a batch of a process (32)')


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, print, and write tables where asked."""
    from training.evaluation import EVALUATIONS
    from training.registry import TrainingError, nearest

    for name in arguments.only or ():
        if name not in (*EVALUATIONS, MEMORIZATION):
            raise TrainingError(f'there is no evaluation {name!r}{nearest(name, EVALUATIONS)}')
    if arguments.list:
        for name, evaluation in EVALUATIONS.items():
            print(f'{name:24} {evaluation.samples:6}  {evaluation.what}  [{evaluation.table}.csv]')
    elif arguments.all:
        evaluate_all(arguments)
    elif not arguments.subject:
        raise TrainingError('name what to evaluate, or give --all or --list')
    else:
        evaluate_subject(arguments)


def evaluate_all(arguments: argparse.Namespace) -> None:
    """Make every evaluation, or those named, that is not noted as made; renew the tables one by one."""
    from training.evaluation import EVALUATIONS

    if arguments.again:
        DONE.unlink(missing_ok=True)
    made = DONE.read_text().splitlines() if DONE.is_file() else []
    for name in arguments.only or EVALUATIONS:
        for subject in subjects_of(EVALUATIONS[name]):
            if f'{name} {subject}' in made:
                print(f'{name} of {subject}: made before')
                continue
            write(arguments.results, evaluate(name, subject, arguments.samples))
            DONE.parent.mkdir(parents=True, exist_ok=True)
            with DONE.open('a') as file:
                file.write(f'{name} {subject}\n')
    if not arguments.only:
        DONE.unlink(missing_ok=True)


def subjects_of(evaluation: Evaluation) -> Iterable[str]:
    """What an evaluation measures: shipped models of its tasks, or its own subjects."""
    from hand_pose_ros.inference.models import read_manifest

    if evaluation.subjects:
        return evaluation.subjects
    return [name for name, entry in read_manifest().items() if entry['task'] in evaluation.kinds]


def evaluate(name: str, subject: str, samples: int | None) -> list[Figure]:
    """Make one evaluation of one subject, and print what it found."""
    from training.evaluation import EVALUATIONS
    from training.evaluation.figures import to_figures, to_text

    evaluation = EVALUATIONS[name]
    command = f'python -m training evaluate {_quoted(subject)} --only {name}'
    if samples:
        command += f' --samples {samples}'
    found = to_figures(name, subject, command, evaluation.run(subject, samples or evaluation.samples))
    print(f'{name} of {subject}\n{to_text(found)}', flush=True)
    return found


def write(results: Path, found: list[Figure]) -> None:
    """Write figures of one evaluation into its table."""
    from training.evaluation import EVALUATIONS
    from training.evaluation.figures import write_table

    if found:
        write_table(results / f'{EVALUATIONS[found[0].evaluation].table}.csv', found)


def evaluate_subject(arguments: argparse.Namespace) -> None:
    """Evaluate one subject by all evaluations that measure such ones, or those named."""
    subject = arguments.subject
    weights = _weights_of(subject)
    if arguments.only == [MEMORIZATION]:
        _memorization(Path(subject), arguments)
    elif weights is not None:
        _validate(weights)
    else:
        for name in _evaluations_of(subject, arguments.only):
            found = evaluate(name, subject, arguments.samples)
            if arguments.write:
                write(arguments.results, found)


def _evaluations_of(subject: str, only: list[str] | None) -> list[str]:
    from training.evaluation import EVALUATIONS
    from training.evaluation.subjects import open_subject
    from training.registry import TrainingError

    own = [name for name, evaluation in EVALUATIONS.items() if subject.split()[0] in _words(evaluation.subjects)]
    if own:
        fitting = own
    else:
        task = open_subject(subject).task
        fitting = [name for name, evaluation in EVALUATIONS.items() if task in evaluation.kinds]
    for name in only or ():
        if name not in fitting:
            raise TrainingError(f'{name} does not measure {subject}; these do: {", ".join(fitting)}')
    return only or fitting


def _words(subjects: Iterable[str]) -> set[str]:
    return {subject.split()[0] for subject in subjects}


def _quoted(subject: str) -> str:
    return f'"{subject}"' if ' ' in subject else subject


def _weights_of(subject: str) -> Path | None:
    """The best.pt that a subject means, or None where it is a model."""
    from training.recipe import RECIPES

    if subject.endswith('.pt'):
        return Path(subject)
    if (RECIPES / f'{subject}.yaml').is_file() or subject.endswith('.yaml'):
        found = Path('runs') / Path(subject).stem / 'best.pt'
        # A model of the same name is what ships.
        from hand_pose_ros.inference.models import read_manifest

        return None if subject in read_manifest() and not found.is_file() else found
    return None


def _validate(weights: Path) -> None:
    """Print the validation of a training's best weights."""
    from training.engine.weights import read_trained

    trained = read_trained(weights)
    parts, network = trained.build()
    print(f'{weights}: {parts.task.validate(network, parts.task.validation_data(trained.recipe))}')


def _memorization(run_folder: Path, arguments: argparse.Namespace) -> None:
    from training.evaluation.figures import to_figures, to_text
    from training.evaluation.memorization import evaluate_run

    found = evaluate_run(run_folder, arguments.samples or 2048, arguments.batch)
    print(to_text(to_figures(MEMORIZATION, str(run_folder), '', found)))
