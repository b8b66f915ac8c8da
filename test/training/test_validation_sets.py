"""Validation sets: they are what is recorded of them, are drawn once, and are refused where they have moved."""

import numpy as np
import pytest
import yaml

pytest.importorskip('torch', reason='training requirements are not installed: make setup-training')
pytest.importorskip('anny', reason='training requirements are not installed: make setup-training')
pytest.importorskip('numba', reason='training requirements are not installed: make setup-training')

from training_aids import one_thread  # noqa: F401

from training import validation_sets
from training.validation_sets import RECORDED, ValidationSet, ValidationSetError, digest, draw_first, load

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.mark.parametrize('wanted', RECORDED, ids=lambda one: one.name)
def test_what_is_drawn_is_the_recorded_set(wanted):
    expected = validation_sets.recorded_hash(wanted)
    if expected is None:
        known = ', '.join(yaml.safe_load(validation_sets.RECORD.read_text()))
        pytest.skip(
            f'floating point differs between kinds of processors: hashes are recorded for {known}, '
            f'not for {validation_sets.processor()}'
        )
    arrays = draw_first(wanted)
    assert len(arrays) == len(wanted.fields) and all(len(part) == validation_sets.HASHED for part in arrays)
    assert digest(arrays) == expected, (
        'the validation set has moved: measure the shipped networks on the old and the new one, '
        f'then python -m training.validation_sets {wanted.name} --record'
    )


@pytest.fixture
def numbers():
    """A set of numbers, and how often it was drawn."""
    drawn = []

    def draw(count):
        drawn.append(count)
        return np.arange(count, dtype=np.float32), np.ones((count, 2), np.uint8)

    return ValidationSet('numbers', 20, ('values', 'ones'), draw), drawn


def test_a_set_is_drawn_once(numbers, tmp_path, capsys):
    wanted, drawn = numbers
    first, second = (load(wanted, tmp_path / 'sets', tmp_path / 'none.yaml') for _ in range(2))
    assert drawn == [20] and 'drawing the 20 items of the validation set numbers' in capsys.readouterr().err
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second))
    assert [path.name for path in (tmp_path / 'sets').iterdir()] == ['numbers.npz']


def test_a_set_that_has_moved_is_refused(numbers, tmp_path):
    wanted, _ = numbers
    record = tmp_path / 'record.yaml'
    record.write_text(yaml.safe_dump({'another processor': {'numbers': '0' * 64}}))
    validation_sets.write_hashes([wanted], record)
    assert set(yaml.safe_load(record.read_text())) == {'another processor', validation_sets.processor()}
    load(wanted, tmp_path, record)
    np.savez(tmp_path / 'numbers.npz', values=np.arange(20, dtype=np.float32) + 1, ones=np.ones((20, 2), np.uint8))
    with pytest.raises(ValidationSetError, match='numbers.npz is not the recorded set.*numbers --record'):
        load(wanted, tmp_path, record)
    np.savez(tmp_path / 'numbers.npz', other=np.zeros(3))
    with pytest.raises(ValidationSetError, match='is no set numbers: delete it'):
        load(wanted, tmp_path, record)


def test_the_hash_tells_types_and_shapes_apart():
    values = np.arange(8, dtype=np.float32)
    assert digest((values,)) == digest((np.append(values, 9).astype(np.float32),)), 'of the first items alone'
    assert len({digest((part,)) for part in (values, values.astype(np.int32), values[:, None], values + 1)}) == 4


def test_the_command_names_the_sets_there_are(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['validation_sets', 'depth'])
    with pytest.raises(SystemExit):
        validation_sets.main()
    assert 'no validation set is called depth; there are depth_pose-96, center' in capsys.readouterr().err
