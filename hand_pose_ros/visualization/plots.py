"""Plots of benchmark figures in the papers' style, as PNG; matplotlib is imported here alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hand_pose_ros.files import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colors that people with color blindness can tell apart (Okabe and Ito 2008), and lines that print without color.
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
_LINES = ('-', '--', '-.', ':')


class PlotError(RuntimeError):
    """Plots cannot be made here; the message says what to install."""


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise PlotError('plots need matplotlib; try `pip install matplotlib`') from error
    figure = Figure(figsize=(width, height), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', color='#dddddd', linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _plain(label: str) -> str:
    """Return a label that is drawn as it is: matplotlib takes what stands between two dollars for a formula."""
    return printable(label).replace('$', r'\$')


def plot_per_joint(path: Path, joints: Sequence[str], errors: Mapping[str, np.ndarray]) -> None:
    """Draw the mean error of each joint, and of all, as bars: method -> (J,) millimeters.

    Raises:
        PlotError: matplotlib is not installed.

    """
    figure, axes = _figure(max(6.0, 0.42 * len(joints) * max(1.0, 0.5 * len(errors)) + 1.5), 4.0)
    places = np.arange(len(joints) + 1)
    width = 0.8 / len(errors)
    for i, (method, figures) in enumerate(errors.items()):
        mean = float(np.nanmean(figures))
        axes.bar(
            places + (i - (len(errors) - 1) / 2) * width,
            [*figures, mean],
            width,
            color=_COLORS[i % len(_COLORS)],
            label=_plain(f'{method} ({mean:.2f} mm)'),
        )
    axes.set_xticks(
        places,
        [*(joint.replace('_', ' ') for joint in joints), 'mean'],
        rotation=50,
        ha='right',
        rotation_mode='anchor',
    )
    axes.set_xlim(-0.6, len(joints) + 0.6)
    axes.set_ylabel('mean error (mm)')
    figure.legend(loc='outside upper center', ncols=min(4, len(errors)), frameon=False)
    figure.savefig(path)


def plot_curves(path: Path, thresholds: np.ndarray, curves: Mapping[str, np.ndarray], across: str, up: str) -> None:
    """Draw shares over a threshold: label -> (T,) from 0 to 1.

    Args:
        path: of the PNG.
        thresholds: (T,) millimeters.
        curves: one line each.
        across: label of the thresholds' axis.
        up: label of the shares' axis.

    Raises:
        PlotError: matplotlib is not installed.

    """
    figure, axes = _figure(6.0, 4.5)
    for i, (label, shares) in enumerate(curves.items()):
        axes.plot(
            thresholds,
            100 * shares,
            _LINES[i // len(_COLORS) % len(_LINES)],
            label=_plain(label),
            linewidth=1.8,
            color=_COLORS[i % len(_COLORS)],
        )
    axes.set_xlim(thresholds[0], thresholds[-1])
    axes.set_ylim(0, 101)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis='x', color='#eeeeee', linewidth=0.8)
    axes.legend(loc='lower right', frameon=True, edgecolor='none', framealpha=0.85)
    figure.savefig(path)
