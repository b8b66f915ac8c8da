"""Figures as tables hold them: ``docs/results/*.csv``, one row each, with the command that measures it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

#: Where the tables are that the documents are made from.
RESULTS = Path('docs/results')


@dataclass(frozen=True)
class Measurement:
    """What an evaluation finds.

    Attributes:
        metric: its name, with words joined by underscores.
        value: the figure.
        unit: ``mm``, ``%``, ``ms``, ``deg``, ``px`` ...; empty for a count.
        samples: hands, crops, images or frames that it was measured on.

    """

    metric: str
    value: float
    unit: str
    samples: int


@dataclass(frozen=True)
class Figure:
    """A row of a table.

    Attributes:
        evaluation: its name, of ``training.evaluation.EVALUATIONS``.
        subject: what was measured: a model, a clip, a part.
        metric: see :class:`Measurement`.
        value: as text, with as many digits as mean something.
        unit: see :class:`Measurement`.
        samples: as text; empty where it is not known.
        command: that measures it.

    """

    evaluation: str
    subject: str
    metric: str
    value: str
    unit: str
    samples: str
    command: str


HEADER = tuple(field.name for field in fields(Figure))


def read_table(path: Path) -> list[Figure]:
    """Read a table; none of its rows where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline='') as file:
        return [Figure(**row) for row in csv.DictReader(file)]


def write_table(path: Path, found: Sequence[Figure]) -> None:
    """Write rows into a table, in the place of those of the same evaluations and subjects; others stay."""
    renewed = {(figure.evaluation, figure.subject) for figure in found}
    kept = [row for row in read_table(path) if (row.evaluation, row.subject) not in renewed]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(HEADER)
        writer.writerows(astuple(row) for row in sorted((*kept, *found), key=lambda row: (row.evaluation, row.subject)))


def to_figures(evaluation: str, subject: str, command: str, found: Iterable[Measurement]) -> list[Figure]:
    """Make rows of what an evaluation found."""
    return [
        Figure(evaluation, subject, one.metric, f'{one.value:.4g}', one.unit, str(one.samples), command)
        for one in found
    ]


def to_text(found: Sequence[Figure]) -> str:
    """Figures as lines for people."""
    width = max((len(figure.metric) for figure in found), default=0)
    return '\n'.join(f'  {figure.metric:{width}}  {figure.value} {figure.unit}'.rstrip() for figure in found)
