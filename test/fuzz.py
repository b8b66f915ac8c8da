"""Mutated files and messages for every reader: each is read, or refused by the product's own error, in time and memory.

`python test/fuzz.py --minutes 10` tries all readers in turn; what fails is printed once a place and kept in
`out/fuzz`. `make test` tries a bounded number of each (`test_fuzz.py`).
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'test/support')]

#: Longer than this is a hang, seconds; more memory than this is a bomb.
HANG_S, MEMORY_MB = 10, 500

#: Texts that readers stumble over, put in the place of a number or a word.
WORDS = (
    *('NaN', '.nan', 'Infinity', '-.inf', '1e999', '1e300', '-1', '0', '9' * 400, '9' * 5000, '18446744073709551616'),
    *('null', 'true', '""', '[]', '{}', '[[]]', '~', '0x', '1_0', '2020-99-99', '- ', '? ', '%', '"\u202e"', '\ud800'),
    *('!!int ""', '!!binary x', '!!python/object:os.system x', '*a', '&a [*a]', '<<: *a', '\x00', '\x1b[2J'),
    *('[' * 3000, '{"a":' * 3000),
)


class HangError(BaseException):
    """A reader took too long."""


@dataclass(frozen=True)
class Target:
    """A reader, and a valid example of what it reads."""

    name: str
    example: bytes
    read: Callable[[Path], object]
    suffix: str
    text: bool = False


def mutate(data: bytes, rng: random.Random, text: bool) -> bytes:
    """Change an example in one to four ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _mutate_text(data, rng) if text and rng.random() < 0.7 else _mutate_bytes(data, rng)
    return data


def _mutate_text(data: bytes, rng: random.Random) -> bytes:
    text = data.decode('utf-8', 'surrogateescape')
    spans, start = [], None
    for at, letter in enumerate(text + ' '):
        inside = letter.isalnum() or letter in '._-+'
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            spans.append((start, at))
            start = None
    if not spans:
        return _mutate_bytes(data, rng)
    first, last = rng.choice(spans)
    word = rng.choice(WORDS) if rng.random() < 0.7 else text[slice(*rng.choice(spans))]
    changed = text[:first] + word + text[last:]
    lines = changed.split('\n')
    if rng.random() < 0.2 and len(lines) > 1:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        lines.pop(rng.randrange(len(lines)))
    return '\n'.join(lines).encode('utf-8', 'surrogatepass' if '\ud800' in changed else 'surrogateescape')


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
    # Headers are at both ends.
    at = min(
        rng.choice((rng.randrange(len(data)), rng.randrange(200), len(data) - 1 - rng.randrange(200))), len(data) - 1
    )
    at = max(at, 0)
    size = rng.choice((1, 1, 2, 4, 8))
    return rng.choice(
        (
            lambda: data[:at],
            lambda: data[:at] + data[at + size :],
            lambda: data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
            lambda: data[:at] + rng.choice((b'\xff', b'\0', b'\x7f', b'\x80')) * size + data[at + size :],
            lambda: data[:at] + rng.randbytes(size) + data[at + size :],
            lambda: data[:at] + data[at : at + 50] * rng.choice((2, 20)) + data[at:],
            lambda: (
                data[:at]
                + (2 ** rng.randrange(64)).to_bytes(8, rng.choice(('little', 'big')))[:size]
                + data[at + size :]
            ),
        )
    )()


def targets() -> list[Target]:
    """Every reader of the package with an example each."""
    import fuzz_examples

    return fuzz_examples.targets()


def problem_of(target: Target, path: Path) -> str:
    """What is wrong with how a file is read; empty where it is read, or refused as it should be."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            target.read(path)
    except HangError:
        return f'hang: {place(sys.exc_info()[2])}'
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        module = type(error).__module__
        if not (module.startswith('hand_pose_ros.') and str(error)):
            return f'{type(error).__name__}: {place(error.__traceback__)}'
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MEMORY_MB:
        return f'{grown:.0f} MB more'
    if time.monotonic() - started > HANG_S:
        return 'hang'
    return ''


def place(trace: object) -> str:
    """The last place of the package in a traceback."""
    frames = [frame for frame in traceback.extract_tb(trace) if 'hand_pose_ros/' in frame.filename]  # type: ignore[arg-type]
    return f'{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}' if frames else '?'


def try_once(target: Target, data: bytes, folder: Path) -> str:
    """Read data as a file of the target's kind; return what is wrong, or nothing."""
    path = folder / f'example{target.suffix}'
    path.write_bytes(data)

    def hang(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(HANG_S)
    try:
        return problem_of(target, path)
    except HangError:
        return 'hang'
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _quiet() -> None:
    """Leave out what the decoders' C code writes about damaged images."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main() -> int:
    """Fuzz for some minutes; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--minutes', type=float, default=5.0)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help='readers whose name holds this')
    args = parser.parse_args()
    rng = random.Random(args.seed)
    _quiet()
    readers = [target for target in targets() if args.only in target.name]
    kept = ROOT / 'out/fuzz'
    kept.mkdir(parents=True, exist_ok=True)
    tried: Counter[str] = Counter()
    found: dict[tuple[str, str], int] = {}
    end = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        for target in readers:
            if problem := try_once(target, target.example, Path(folder)):
                print(f'{target.name}: the example itself: {problem}')
        while time.monotonic() < end:
            for target in readers:
                data = mutate(target.example, rng, target.text)
                (kept / f'last{target.suffix}').write_bytes(data)
                # What hangs in C cannot be broken into: the traceback says where, and `last` is what was read.
                faulthandler.dump_traceback_later(12 * HANG_S, exit=True, file=sys.__stdout__)
                tried[target.name] += 1
                problem = try_once(target, data, Path(folder))
                if problem:
                    key = target.name, problem
                    if key not in found:
                        (kept / f'{target.name}-{len(found)}{target.suffix}').write_bytes(data)
                        print(f'{target.name}: {problem}', flush=True)
                    found[key] = found.get(key, 0) + 1
    faulthandler.cancel_dump_traceback_later()
    for target in readers:
        print(f'{tried[target.name]:8d} {target.name}')
    print(f'{tried.total()} inputs, {sum(found.values())} failures at {len(found)} places')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
