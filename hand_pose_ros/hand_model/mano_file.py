"""MANO's files read as data: nothing that a pickle names is imported, called or changed.

Every name that a file of MANO's authors uses stands for a record that keeps what the pickle says of it; arrays are made
of these records once the pickle is read, with every size checked before. Other names are refused.

Memory and time are bounded. Every opcode makes one small object or a piece of the file, and opcodes are counted. Only
short texts are hashed: nested tuples take for ever, and numbers can be chosen to share a hash. No error shows a value
of the file, since tuples that share their parts can be endless when written out; it names the type.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hand_pose_ros.files import read_bytes

#: Bytes of a pickle; MANO's have 4 MB.
_MAX_BYTES = 32_000_000
#: Opcodes of a pickle; dictionaries of arrays such as MANO's take hundreds.
_MAX_STEPS = 200_000
#: Numbers of an array, or of a sparse matrix once it is written out; MANO's largest has 778 x 3 x 135.
_MAX_NUMBERS = 2_000_000
#: Sides of an array, and records within records that an array may be made of; MANO's have three of each.
_MAX_SIDES, _MAX_DEPTH = 8, 5
#: Letters of a key, and of a name that an error shows.
_MAX_LETTERS = 80
#: Types of numbers that arrays may have, and their byte orders.
_DTYPE, _ORDERS = re.compile(r'[biuf][1248]'), ('<', '>', '=', '|')

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

#: Opcodes without a place in a file of MANO's. BYTEARRAY8 fills memory of whatever size it claims.
_FOREIGN = (
    *(pickle.ADDITEMS, pickle.FROZENSET, pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX),
)


class RefusedError(pickle.UnpicklingError):
    """The pickle wants something that it has no business with."""


class Record:
    """What a pickle says of an object: how it would be made, and its state."""

    __slots__ = ('args', 'state')
    kind = ''

    def __init__(self, args: tuple[Any, ...]) -> None:
        # The tuple itself, not a copy: a pickle may name the same one again and again.
        self.args = args
        self.state: Any = None


_KINDS: dict[tuple[str, str], type[Record]] = {}
for _kind, _places in _NAMES.items():
    _KINDS |= dict.fromkeys(_places, type(f'Record_{_kind}', (Record,), {'kind': _kind, '__slots__': ()}))


class _Memo(dict[int, Any]):
    """What a pickle may name again, by numbers that count up from zero: no others, as these could share a hash."""

    def __setitem__(self, number: int, value: Any) -> None:
        if not 0 <= number < _MAX_STEPS:
            raise RefusedError('it numbers its parts beyond all of them')
        super().__setitem__(number, value)


def _counted(load: Callable[[Any], None]) -> Callable[[Any], None]:
    """The reader of an opcode, which counts how often any is called."""

    def step(unpickler: _Unpickler) -> None:
        unpickler.steps += 1
        if unpickler.steps > _MAX_STEPS:
            raise RefusedError(f'it has more than {_MAX_STEPS} opcodes')
        load(unpickler)

    return step


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in Python, whose memo takes no more memory than the file."""

    dispatch: ClassVar[Any] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    append: Callable[[Any], None]

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding='latin1')
        self.memo = _Memo()
        self.steps = 0

    def find_class(self, module: str, name: str) -> type[Record]:
        if (module, name) not in _KINDS:
            raise RefusedError(f'it names {module[:_MAX_LETTERS]}.{name[:_MAX_LETTERS]}')
        return _KINDS[module, name]

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Record):
            raise RefusedError(f'it changes a {type(self.stack[-1]).__name__}')
        self.stack[-1].state = state

    def load_call(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not (isinstance(function, type) and issubclass(function, Record) and isinstance(args, tuple)):
            raise RefusedError(f'it calls a {type(function).__name__} with a {type(args).__name__}')
        self.append(function(args))

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

    def load_foreign(self) -> None:
        raise RefusedError('it has opcodes of sets, of other memory or of other ways to make objects')

    @staticmethod
    def _set(table: Any, items: list[tuple[Any, Any]]) -> None:
        names = (isinstance(key, (str, bytes)) and len(key) <= _MAX_LETTERS for key, _ in items)
        if not isinstance(table, dict) or not all(names):
            raise RefusedError('it has keys that are no names')
        table.update(items)

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = dispatch[pickle.NEWOBJ[0]] = load_call
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch |= dict.fromkeys((opcode[0] for opcode in _FOREIGN), load_foreign)
    dispatch = {code: _counted(load) for code, load in dispatch.items()}


def read_pickle(path: Path) -> Any:
    """Read a pickle of MANO's as plain data and records; :func:`to_array` makes arrays of these.

    Raises:
        RefusedError: it names something that no file of MANO's authors does.
        Exception: nearly any, where the file is damaged: its opcodes have become others.

    """
    return _Unpickler(read_bytes(path, _MAX_BYTES)).load()


def to_array(value: Any, depth: int = _MAX_DEPTH) -> np.ndarray:
    """The array of numbers that a record, an array or a flat list of numbers stands for.

    Args:
        value: the record, array or list.
        depth: how many records within one another it may be made of: each may name the next one several times.

    Raises:
        ValueError, TypeError, KeyError: it stands for none.

    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in 'biuf':
            raise ValueError('it holds something else than numbers')
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(number, (int, float)) for number in value):
        return np.array(value, dtype=float)
    if not isinstance(value, Record):
        raise ValueError(f'it is a {type(value).__name__}')
    if not depth:
        raise ValueError(f'it is made of more than {_MAX_DEPTH} records within one another')
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
        return to_array(state['x'], depth - 1).astype(float)
    if kind == 'Select':
        every, places = (to_array(state[name], depth - 1) for name in ('a', 'idxs'))
        chosen = every.astype(float).ravel()[places.astype(int)]
        return chosen.reshape(_shape(state.get('preferred_shape', chosen.shape)))
    if kind in ('rows', 'columns'):
        pointers, inner, values = (to_array(state[name], depth - 1).ravel() for name in ('indptr', 'indices', 'data'))
        shape = _shape(state['_shape'] if '_shape' in state else state['shape'])
        return _dense(shape, pointers.astype(int), inner.astype(int), values, by_row=kind == 'rows')
    raise ValueError(f'it is a {kind or "record"}')


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that a pickle names, small enough to multiply its sides."""
    if not isinstance(value, tuple) or not all(type(side) is int for side in value):
        raise ValueError('its shape is no tuple of whole numbers')
    if len(value) > _MAX_SIDES or not all(0 <= side <= _MAX_NUMBERS for side in value):
        raise ValueError(f'its shape has more than {_MAX_SIDES} sides, or one not from 0 to {_MAX_NUMBERS}')
    if math.prod(value) > _MAX_NUMBERS:
        raise ValueError(f'it holds more than {_MAX_NUMBERS} numbers: its shape is {value}')
    return value


def _numbers(dtype: Any, raw: Any, shape: tuple[int, ...], by_column: bool) -> np.ndarray:
    """Numbers of a dtype's record in bytes, or in text as Python 3 reads those of Python 2."""
    if not isinstance(dtype, Record) or dtype.kind != 'dtype':
        raise ValueError('it has no type of numbers')
    name = dtype.args[0]
    _, order, *compound = dtype.state[:5] if dtype.state else (3, '|')
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise ValueError('its type is none of numbers')
    if any(part is not None for part in compound):
        raise ValueError('its type is compound')
    if not isinstance(order, str) or order not in _ORDERS:
        raise ValueError('its type has no byte order')
    if isinstance(raw, Record) and raw.kind == 'bytes':
        raw = raw.args[0]
    data = raw.encode('latin1') if isinstance(raw, str) else raw if isinstance(raw, bytes) else b''
    numbers = np.frombuffer(data, np.dtype(order + name))
    if len(numbers) != math.prod(shape):
        raise ValueError(f'it holds {len(numbers)} numbers for the shape {shape}')
    return numbers.reshape(shape, order='F' if by_column else 'C')


def _dense(
    shape: tuple[int, ...], pointers: np.ndarray, inner: np.ndarray, values: np.ndarray, by_row: bool
) -> np.ndarray:
    """A compressed sparse matrix, written out; entries that are written twice add up."""
    outers, inners = shape if by_row else shape[::-1]
    # Pointers are compared, not subtracted: steps of crafted ones wrap round.
    if not (
        len(pointers) == outers + 1
        and pointers[0] == 0
        and pointers[-1] == len(inner) == len(values)
        and (pointers[:-1] <= pointers[1:]).all()
        and ((inner >= 0) & (inner < inners)).all()
    ):
        raise ValueError('its sparse matrix does not fit together')
    dense, outer = np.zeros(shape), np.repeat(np.arange(outers), np.diff(pointers))
    np.add.at(dense, (outer, inner) if by_row else (inner, outer), values)
    return dense
