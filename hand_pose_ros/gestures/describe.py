"""Gestures in words, for people: what the documents and the command line list."""

from __future__ import annotations

from hand_pose_ros.gestures.library import NONE, Form, GestureLibrary, Movement, Pair, RecordedForm

_FOLLOWED = {
    'palm': 'the palm',
    'fingertips': 'the fingertips',
    'index_tip': "the index finger's tip",
    'closing': 'the fingers, which close and open',
    'gap': 'both palms, towards one another and apart',
}


def describe_library(library: GestureLibrary) -> dict[str, list[tuple[str, str]]]:
    """Every gesture and what it is, by kind."""
    forms = [(one.name, _form(one)) for one in library.forms.values()]
    recorded = [(one.name, _recorded(one)) for one in library.recorded.values()]
    return {
        'One hand': [*forms, *recorded, (NONE, 'any other form')],
        'Both hands': [(one.name, _pair(one)) for one in library.pairs.values()],
        'Movements': [(one.name, _movement(one)) for one in library.movements.values()],
    }


def _either(words: tuple[str, ...]) -> str:
    return ' or '.join(words)


def _form(form: Form) -> str:
    parts = [f'thumb {_either(form.thumb)}'] if form.thumb else []
    if form.thumb_points:
        parts.append(f'thumb points {form.thumb_points}')
    if form.touch:
        parts.append(f'tips of thumb and {form.touch} finger touch')
    by_states: dict[str, list[str]] = {}
    for finger, states in form.fingers.items():
        by_states.setdefault(_either(states), []).append('little' if finger == 'pinky' else finger)
    parts += [f'{", ".join(fingers)} {states}' for states, fingers in by_states.items()]
    if form.spread:
        parts.append(f'fingers {form.spread}')
    if form.hollow:
        parts.append('thumb and fingers as about a ball')
    if form.unless:
        parts.append(f'not {_either(form.unless)}')
    return '; '.join(parts)


def _recorded(form: RecordedForm) -> str:
    return f'recorded, within {form.tolerance_deg:g} degrees'


def _pair(pair: Pair) -> str:
    touching = ' and '.join(f"the {a}s' tips" if a == b else f"one {a}'s tip and the other {b}" for a, b in pair.touch)
    return f'{touching} touch; {pair.angle[0]:g} to {pair.angle[1]:g} degrees between the hands'


def _movement(one: Movement) -> str:
    shown = f' of {_either(one.forms)}' if one.forms else ''
    if one.reversals:
        way = f' {one.axis}' if one.axis else ''
        what = f'{_FOLLOWED[one.follow]}{shown}{way}, turning back {one.reversals} times within {one.within:g} s'
    else:
        what = f'{_FOLLOWED[one.follow]}{shown} {one.axis} within {one.within:g} s, and stays'
    return f'{what}; {one.amplitude:g} palm lengths or more'
