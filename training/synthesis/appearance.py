"""Appearance of people, their clothes, things and light: drawn at random, linear colors.

Skin runs from fair to dark along measured-looking tones with hue of its own; palms are lighter, the more so the darker
the skin is; nails, knuckles and creases have their colors. Faces have hair, eyes and lips, enough for a network to
learn that a face is not a hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hand_pose_ros.geometry.joints import FINGER_JOINTS, TIPS
from hand_pose_ros.hand_model.kinematics import BONE_JOINTS
from training.synthesis.anatomy import SIDE, smoothstep, template
from training.synthesis.people import Person
from training.synthesis.shading import CHECKS, DOTS, PLAIN, STRIPES, Lighting, Material

#: Skin from fair to dark, sRGB 0 to 255.
_SKIN = np.array(
    [(250, 224, 208), (240, 200, 172), (222, 172, 134), (192, 138, 98), (145, 96, 66), (98, 62, 44), (66, 42, 32)],
    float,
)


def linear(color: np.ndarray) -> np.ndarray:
    """SRGB 0 to 255 to linear 0 to 1."""
    return (np.asarray(color, float) / 255) ** 2.2


def draw_skin_tone(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw a linear skin color (3,) and how dark it is, 0 to 1."""
    dark = rng.uniform()
    at = dark * (len(_SKIN) - 1)
    low = min(int(at), len(_SKIN) - 2)
    tone = _SKIN[low] + (at - low) * (_SKIN[low + 1] - _SKIN[low])
    return linear(np.clip(tone * (1 + rng.normal(0, 0.03, 3)) + rng.normal(0, 5), 10, 255)), dark


def draw_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a linear color: often gray, black or white, else any."""
    if rng.uniform() < 0.35:
        value = rng.uniform(0.01, 0.9)
        return tuple(value * (1 + rng.normal(0, 0.04, 3)).clip(0.7, 1.3))
    return tuple(rng.uniform(0.01, 0.9, 3) ** rng.uniform(0.7, 2.5))


def draw_material(rng: np.random.Generator, cloth: bool = False) -> Material:
    """Draw a thing's or, if ``cloth``, a piece of clothing's material."""
    pattern = int(rng.choice([PLAIN, STRIPES, CHECKS, DOTS], p=[0.62, 0.18, 0.12, 0.08]))
    return Material(
        color=draw_color(rng),
        mottle=rng.uniform(0, 0.5) ** 1.5,
        mottle_size=np.exp(rng.uniform(-6, -2.5)),
        bump=rng.uniform(0, 0.45) if cloth else rng.uniform(0, 0.3) * (rng.uniform() < 0.4),
        bump_size=np.exp(rng.uniform(-5.5, -3)),
        shine=0.0 if cloth else rng.uniform(0, 0.25) ** 2,
        sharpness=np.exp(rng.uniform(1, 4.5)),
        pattern=pattern,
        second=draw_color(rng),
        period=np.exp(rng.uniform(-5, -2.5)),
    )


def draw_skin_material(rng: np.random.Generator) -> Material:
    """Draw what skin is on top of its color: mottled, uneven, dry to moist."""
    return Material(
        mottle=rng.uniform(0.04, 0.22),
        mottle_size=np.exp(rng.uniform(-5.5, -4)),
        bump=rng.uniform(0, 0.28),
        bump_size=np.exp(rng.uniform(-6.3, -5)),
        shine=rng.uniform(0, 0.045),
        sharpness=rng.uniform(4, 26),
        soft=rng.uniform(0.05, 0.4),
    )


@lru_cache(maxsize=4)
def _bones(prefixes: tuple[str, ...]) -> np.ndarray:
    """How much of each vertex (V,) bones whose names begin so move."""
    shared = template()
    chosen = [i for i, name in enumerate(shared['names']) if name.startswith(prefixes)]
    return shared['dense'][:, chosen].sum(1)


def _palm_frame(joints: np.ndarray) -> np.ndarray:
    """Unit vector (3,) out of a right palm at rest."""
    normal = np.cross(joints[17] - joints[0], joints[5] - joints[0])
    normal /= np.linalg.norm(normal)
    # Fingers at rest are bent a little, towards the palm.
    return normal * np.sign((joints[list(TIPS[1:])] - joints[[6, 10, 14, 18]]).mean(0) @ normal)


@dataclass(frozen=True)
class Appearance:
    """A person's colors and clothes.

    Attributes:
        colors: (V, 3) float32 of the vertices, linear.
        clothed: (V,) float32, positive where clothes other than a sleeve are.
        up_the_sleeves: see :func:`up_the_sleeves`.

    """

    colors: np.ndarray
    clothed: np.ndarray
    up_the_sleeves: np.ndarray


def draw_appearance(person: Person, rng: np.random.Generator) -> Appearance:
    """Draw a person's colors."""
    tone, dark = draw_skin_tone(rng)
    colors = np.tile(tone, (len(person.vertices), 1))
    _color_hand(colors, person, tone, dark, rng)
    torso = _bones(('spine', 'pelvis', 'upperleg', 'lowerleg', 'clavicle', 'shoulder01'))
    head = _bones(('head', 'neck03', 'eye')) > 0.5
    if head.any():
        _color_face(colors, person, head, rng)
    return Appearance(
        np.clip(colors, 0.004, 1).astype(np.float32),
        np.maximum(-1.0, 2 * torso - 1).astype(np.float32),
        up_the_sleeves(person),
    )


def _color_hand(colors: np.ndarray, person: Person, tone: np.ndarray, dark: float, rng: np.random.Generator) -> None:
    """Give the right hand's vertices their colors, in place: palm, knuckles, creases, tips and nails."""
    vertices, normals, joints = person.vertices, person.normals, person.body.joints
    hand = np.unique(person.body.faces[person.body.hand_faces])
    size = np.linalg.norm(joints[9] - joints[0])
    out_of_palm = _palm_frame(joints)
    palmar = np.zeros(len(vertices))
    # The forearm's inner side is lighter too, but has not the palm's skin: it ends about the wrist, without an edge.
    up = (vertices[hand] - joints[0]) @ (joints[9] - joints[0]) / size**2
    palmar[hand] = smoothstep((normals[hand] @ out_of_palm) * 0.8 + 0.45) * smoothstep(up / 0.35 + 0.35)
    palm_tone = tone * (1 - dark) + linear((214, 160, 136)) * (0.45 + 0.35 * (1 - dark)) * dark
    palm_tone = palm_tone * np.array([1.06, 0.97, 0.95]) * rng.uniform(0.94, 1.15)
    colors += palmar[:, None] * (palm_tone - tone)
    # Knuckles on the back, redder or darker; creases across the fingers on the palm's side.
    knuckle = 1 - rng.uniform(0, 0.3) * np.array([0.6, 1.0, 1.0])
    crease = rng.uniform(0.0, 0.35)
    for chain in FINGER_JOINTS.values():
        for joint in chain[:-1]:
            distance = np.linalg.norm(vertices[hand] - joints[joint], axis=1) / size
            axis = joints[joint + 1] - joints[joint]
            along = (vertices[hand] - joints[joint]) @ (axis / np.linalg.norm(axis)) / size
            near = np.exp(-((distance / 0.13) ** 2)) * (1 - palmar[hand])
            line = np.exp(-((along / 0.03) ** 2)) * (distance < 0.2) * palmar[hand]
            colors[hand] *= 1 - near[:, None] * (1 - knuckle)
            colors[hand] *= 1 - crease * line[:, None]
    # Redder towards the tips.
    tips = np.linalg.norm(vertices[hand][:, None] - joints[list(TIPS)][None], axis=2).min(1) / size
    colors[hand] *= 1 + np.exp(-((tips / 0.2) ** 2))[:, None] * (np.array([1.08, 0.92, 0.92]) - 1) * rng.uniform(0, 1.6)
    painted = rng.uniform() < 0.12
    nail = np.array(draw_color(rng)) if painted else np.minimum(tone * np.array([1.15, 1.0, 0.98]) * 1.12 + 0.03, 1)
    for chain in FINGER_JOINTS.values():
        colors[hand[_on_nail(person, hand, chain, out_of_palm)]] = nail


def _on_nail(person: Person, hand: np.ndarray, chain: tuple[int, ...], out_of_palm: np.ndarray) -> np.ndarray:
    """Which of the hand's vertices (N,), bool, are a finger's nail."""
    vertices, joints = person.vertices[hand], person.body.joints
    tip, before = joints[chain[-1]], joints[chain[-2]]
    length = np.linalg.norm(tip - before)
    axis = (tip - before) / length
    along = (vertices - before) @ axis / length
    aside = vertices - before - np.outer(along * length, axis)
    # The back of an end joint is where the finger flexes away from.
    back = np.cross(person.axes[BONE_JOINTS.index(chain[-2]), 0], axis)
    back *= -np.sign(back @ out_of_palm) if abs(back @ out_of_palm) > 0.2 else 1.0
    facing = person.normals[hand] @ back
    return (along > 0.5) & (along < 1.35) & (facing > 0.55) & (np.linalg.norm(aside, axis=1) < 0.6 * length)


def _color_face(colors: np.ndarray, person: Person, head: np.ndarray, rng: np.random.Generator) -> None:
    """Give the vertices of the ``head`` (V,), bool, their colors, in place: hair, lips, eyes, brows."""
    vertices, body = person.vertices, person.body
    eye = np.mean([body.heads[body.bone(f'eye.{s}')] for s in 'LR'], axis=0)
    eyeballs = _bones(('eye',)) > 0.5
    up = vertices[:, 2] - eye[2]
    tall = max(up[head].max(), 1e-3)
    behind = vertices[:, 1] - eye[1]
    hair = head & (
        (up > tall * rng.uniform(0.45, 0.75))
        | ((behind > tall * rng.uniform(0.5, 1.0)) & (up > -tall * rng.uniform(0.2, 1.2)))
    )
    if rng.uniform() < 0.9:
        colors[hair] = linear(np.array([90, 62, 40]) * rng.uniform(0.15, 2.2) * rng.uniform(0.85, 1.15, 3))
    mouth = eye + np.array([0, -0.012, -0.62 * tall])
    lips = head & (np.linalg.norm((vertices - mouth) * [0.45, 0.5, 1.6], axis=1) < 0.13 * tall)
    colors[lips] *= np.array([0.95, 0.62, 0.62])
    for s in 'LR':
        at = body.heads[body.bone(f'eye.{s}')]
        colors[head & (np.linalg.norm(vertices - at, axis=1) < 0.022)] *= 0.8
        colors[eyeballs] = linear((215, 212, 208))
        brow = head & (np.abs(vertices[:, 0] - at[0]) < 0.02) & (np.abs(up - 0.022) < 0.006) & (behind < 0.02)
        colors[brow] *= 0.35
    iris = eyeballs & (behind < np.quantile(behind[eyeballs], 0.35))
    colors[iris] = linear(np.array([70, 50, 40]) * rng.uniform(0.3, 1.6))


def up_the_sleeves(person: Person) -> np.ndarray:
    """How far up its arm from the wrist a vertex lies (V,), meters; where there is no arm, -1."""
    body = person.body
    out = np.full(len(body.vertices), -1.0)
    for side in (SIDE, 'L'):
        wrist, elbow = (body.heads[body.bone(f'{name}.{side}')] for name in ('wrist', 'lowerarm01'))
        shoulder = body.heads[body.bone(f'upperarm01.{side}')]
        forearm = np.linalg.norm(elbow - wrist)
        own = np.array([body.bone(f'{n}.{side}') for n in ('lowerarm01', 'lowerarm02', 'upperarm01', 'upperarm02')])
        share = (np.isin(body.weight_bones, own) * body.weights).sum(1)
        along_lower = (wrist - person.vertices) @ ((wrist - elbow) / forearm)
        along_upper = forearm + (elbow - person.vertices) @ ((elbow - shoulder) / np.linalg.norm(elbow - shoulder))
        lower = (np.isin(body.weight_bones, own[:2]) * body.weights).sum(1)
        out = np.where(share > 0.3, np.where(lower > 0.5 * share, along_lower, along_upper), out)
    return out.astype(np.float32)


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draw light: an ambient hemisphere and one to three lamps, warm to cold, soft to hard."""

    def white(sigma: float) -> np.ndarray:
        warm = rng.normal(0, sigma)
        return np.array([1 + warm, 1 + rng.normal(0, 0.25 * sigma), 1 - warm]).clip(0.4, 1.7)

    ambient = rng.uniform(0.12, 0.8)
    above = ambient * white(0.12)
    up = np.array([0, -1, 0]) + rng.normal(0, 0.5, 3)
    directions = rng.normal(0, 1, (rng.integers(1, 4), 3))
    # From above and from before the hand more often than from behind it.
    directions[:, 1] -= rng.uniform(0, 1.2)
    directions[:, 2] -= rng.uniform(0, 1.0)
    strength = rng.exponential(1, len(directions)) + 0.1
    strength *= rng.uniform(0.1, 1.3) / strength.sum()
    colors = np.stack([s * white(0.15) for s in strength])
    order = np.argsort(-strength)
    return Lighting(
        above,
        above * rng.uniform(0.25, 0.9) * white(0.06),
        up / np.linalg.norm(up),
        (directions / np.linalg.norm(directions, axis=1, keepdims=True))[order],
        colors[order],
        0.0 if rng.uniform() < 0.2 else rng.uniform(0.2, 0.95),
    )
