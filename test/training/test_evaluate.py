"""The evaluations' tables: rows are renewed by evaluation and subject, and what was interrupted goes on."""

import csv

import pytest

pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')

from training import evaluation
from training.__main__ import main
from training.evaluation.figures import HEADER, Figure, Measurement, read_table, write_table


def figure(name, subject, metric, value):
    return Figure(name, subject, metric, value, 'mm', '8', f'python -m training evaluate {subject} --only {name}')


def test_rows_of_an_evaluation_are_renewed_and_others_stay(tmp_path):
    path = tmp_path / 'table.csv'
    write_table(
        path, [figure('b', 'one', 'mean', '1'), figure('b', 'one', 'median', '2'), figure('a', 'one', 'mean', '3')]
    )
    write_table(path, [figure('b', 'one', 'mean', '4'), figure('b', 'other', 'mean', '5')])
    assert [(row.evaluation, row.subject, row.metric, row.value) for row in read_table(path)] == [
        ('a', 'one', 'mean', '3'),
        ('b', 'one', 'mean', '4'),
        ('b', 'other', 'mean', '5'),
    ]
    with path.open() as file:
        assert next(csv.reader(file)) == list(HEADER)


def test_all_evaluations_go_on_where_they_were_interrupted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made, broken = [], {'second'}

    class Fake(evaluation.Evaluation):
        def run(self, subject, samples):
            made.append(subject)
            if subject in broken:
                raise OSError('the disk is full')
            yield Measurement('mean', 1.23456, 'mm', samples)

    fake = Fake('errors', 'nowhere:nothing', 'table', 7, subjects=('first', 'second'))
    monkeypatch.setattr(evaluation, 'EVALUATIONS', {'fake': fake})
    assert main(['evaluate', '--all', '--results', 'results']) == 1
    assert 'the disk is full' in capsys.readouterr().err
    broken.clear()
    assert main(['evaluate', '--all', '--results', 'results']) == 0
    assert made == ['first', 'second', 'second']
    rows = read_table(tmp_path / 'results' / 'table.csv')
    assert [(row.subject, row.value, row.samples) for row in rows] == [
        ('first', '1.235', '7'),
        ('second', '1.235', '7'),
    ]
    assert rows[0].command == 'python -m training evaluate first --only fake'
    assert main(['evaluate', 'first', '--only', 'fakes']) == 1
    assert "did you mean 'fake'" in capsys.readouterr().err
