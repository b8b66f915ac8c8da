"""MANO's files read as data: nothing that a pickle names is imported, called or changed.

Every name that a file of MANO's authors uses stands for a record that keeps what the pickle says of it; arrays are made
of these records once the pickle is read, with every size checked before. Other names are refused. Sizes are bounded,
and so is the time that a crafted file can take: keys are checked, since hashing nested tuples can take for ever.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hand_pose_ros.hand_model.arrays import MAX_BYTES

#: Numbers in a sparse matrix once it is written out; MANO's has 16 x 778.
_MAX_DENSE = 10_000_000
#: Types of numbers that arrays may have, and their byte orders.
_DTYPE, _ORDERS = re.compile(r'[biuf][1248]'), {'<': '<', '>': '>', '=': '=', '|': '|'}

_NAMES = {
    'array': [(f'numpy.{core}.multiarray', '_reconstruct') for core in ('core', '_core')],
    'scalar': [(f'numpy.{core}.multiarray', 'scalar') for core in ('core', '_core')],
    'ndarray': [('numpy', 'ndarray')],
    'dtype': [('numpy', 'dtype')],
    'bytes': [('_codecs', 'encode')],
    'Ch': [('chumpy.ch', 'Ch'), ('chumpy', 'Ch')],
    'Select': [('chumpy.reordering', 'Select')],
    'columns': [(module, 'csc_matrix') for module in ('scipy.sparse', 'scipy.sparse.csc', 'scipy.sparse._csc')],
    'rows': [(module, 'csr_matrix') for module in ('scipy.sparse', 'scipy.sparse.csr', 'scipy.sparse._csr')],
    'set': [(module, 'set') for module in ('builtins', '__builtin__')],
    'object': [(module, 'object') for module in ('builtins', '__builtin__')],
    'plain': [(module, '_reconstructor') for module in ('copyreg', 'copy_reg')],
}


class RefusedError(pickle.UnpicklingError):
    """The pickle wants something that it has no business with."""


class Record:
    """What a pickle says of an object: how it would be made, and its state."""

    kind = ''
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *_: Any) -> None:
        pass


_KINDS: dict[tuple[str, str], type[Record]] = {}
for _kind, _places in _NAMES.items():
    _KINDS |= dict.fromkeys(_places, type(f'Record_{_kind}', (Record,), {'kind': _kind}))


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in Python, whose memo takes no more memory than the file."""

    dispatch: ClassVar[Any] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    append: Callable[[Any], None]

    def find_class(self, module: str, name: str) -> type[Record]:
        if (module, name) not in _KINDS:
            raise RefusedError(f'it names {module}.{name}')
        return _KINDS[module, name]

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Record):
            raise RefusedError(f'it changes a {type(self.stack[-1]).__name__}')
        self.stack[-1].state = state

    def load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack[-1]
        if not (isinstance(function, type) and issubclass(function, Record) and isinstance(args, tuple)):
            raise RefusedError(f'it calls {function!r}')
        self.stack[-1] = function(*args)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [(key, value)])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._set(self.stack[-1], list(zip(items[::2], items[1::2])))

    def load_dict(self) -> None:
        items, table = self.pop_mark(), dict[Any, Any]()
        self._set(table, list(zip(items[::2], items[1::2])))
        self.append(table)

    def load_unhashed(self) -> None:
        raise RefusedError('it holds a set')

    @staticmethod
    def _set(table: Any, items: list[tuple[Any, Any]]) -> None:
        if not isinstance(table, dict) or not all(isinstance(key, (str, bytes, int)) for key, _ in items):
            raise RefusedError('it has keys that are no names')
        table.update(items)

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.ADDITEMS[0]] = dispatch[pickle.FROZENSET[0]] = load_unhashed


def read_pickle(path: Path) -> Any:
    """Read a pickle of MANO's as plain data and records; :func:`to_array` makes arrays of these.

    Raises:
        RefusedError: it names something that no file of MANO's authors does.
        Exception: nearly any, where the file is damaged: its opcodes have become others.

    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f'it has more than {MAX_BYTES // 10**6} MB')
    with path.open('rb') as stream:
        return _Unpickler(stream, encoding='latin1').load()


def to_array(value: Any) -> np.ndarray:
    """The array of numbers that a record, an array or a flat list of numbers stands for.

    Raises:
        ValueError, TypeError, KeyError: it stands for none.

    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(number, (int, float)) for number in value):
        return np.array(value, dtype=float)
    if not isinstance(value, Record):
        raise ValueError(f'it is a {type(value).__name__}')
    kind, state = value.kind, value.state
    if kind == 'plain' and isinstance(value.args[0], type) and issubclass(value.args[0], Record):
        kind = value.args[0].kind
    if kind == 'array':
        _, shape, dtype, by_column, raw = state
        return _numbers(dtype, raw, _shape(shape), bool(by_column))
    if kind == 'scalar':
        dtype, raw = value.args
        return _numbers(dtype, raw, (), False)
    if kind == 'Ch':
        return to_array(state['x']).astype(float)
    if kind == 'Select':
        chosen = to_array(state['a']).astype(float).ravel()[to_array(state['idxs']).astype(int)]
        return chosen.reshape(_shape(state.get('preferred_shape', chosen.shape)))
    if kind in ('rows', 'columns'):
        return _dense(state, by_row=kind == 'rows')
    raise ValueError(f'it is a {kind or "record"}')


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(type(side) is int and side >= 0 for side in value):
        raise ValueError(f'its shape is {value!r}')
    return value


def _numbers(dtype: Any, raw: Any, shape: tuple[int, ...], by_column: bool) -> np.ndarray:
    """Numbers of a dtype's record in bytes, or in text as Python 3 reads those of Python 2."""
    if not isinstance(dtype, Record) or dtype.kind != 'dtype' or not _DTYPE.fullmatch(str(dtype.args[0])):
        raise ValueError('its type is none of numbers')
    _, order, *compound = dtype.state[:5] if dtype.state else (3, '|')
    if any(part is not None for part in compound):
        raise ValueError('its type is compound')
    if isinstance(raw, Record) and raw.kind == 'bytes':
        raw = raw.args[0]
    data = raw.encode('latin1') if isinstance(raw, str) else bytes(raw) if isinstance(raw, (bytes, bytearray)) else b''
    numbers = np.frombuffer(data, np.dtype(_ORDERS[order] + str(dtype.args[0])))
    if len(numbers) != math.prod(shape):
        raise ValueError(f'it holds {len(numbers)} numbers for the shape {shape}')
    return numbers.reshape(shape, order='F' if by_column else 'C')


def _dense(state: Any, by_row: bool) -> np.ndarray:
    """A compressed sparse matrix, written out; entries that are written twice add up."""
    rows, columns = _shape(state['_shape'] if '_shape' in state else state['shape'])
    pointers, inner = to_array(state['indptr']).astype(int), to_array(state['indices']).astype(int)
    values, steps = to_array(state['data']), np.diff(pointers)
    if rows * columns > _MAX_DENSE or (steps < 0).any() or not steps.sum() == len(inner) == len(values):
        raise ValueError('its sparse matrix does not fit together')
    dense, outer = np.zeros((rows, columns)), np.repeat(np.arange(len(steps)), steps)
    np.add.at(dense, (outer, inner) if by_row else (inner, outer), values)
    return dense
