"""Scores of whole files: joints, masks and meshes against the truth, as a benchmark has it; and how to show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from hand_pose_ros.evaluation.scoring import (
    align,
    area_under_curve,
    counts,
    f_score,
    joint_errors,
    mask_scores,
    mean_error,
    pck,
    per_joint,
    rounded,
    success_rate,
)
from hand_pose_ros.io.benchmarks import Benchmark
from hand_pose_ros.io.labels import (
    METERS_BELOW,
    UNITS,
    LabelError,
    Labels,
    guess_format,
    guess_units,
    match_frames,
    read_labels,
    read_mask,
    read_vertices,
    select_joints,
    to_points,
)

#: Thresholds of the curves, millimeters.
CURVE_MM = np.arange(0.0, 101.0)

#: Signs that files in xyz may have before them: the camera optical frame, y upwards, y upwards and z backwards.
AXES = {
    (1, 1, 1): 'x right, y down, z forward',
    (1, -1, 1): 'x right, y up, z forward',
    (1, -1, -1): 'x right, y up, z backward',
}

#: A mean error above this, in millimeters, is more likely a mistaken file than a bad method.
SUSPICIOUS_MM = 60.0


@dataclass(frozen=True)
class ScoreOptions:
    """How files are read and scored.

    Attributes:
        format: ``uvd``, ``xyz``, or ``auto``.
        units: ``mm``, ``m``, or ``auto``.
        align: one of ``scoring.ALIGNMENTS``.
        without_center: leave the hand's center out of every figure.
        thresholds: of the table, millimeters.
        auc: range of thresholds in millimeters that the area under the PCK curve is over.

    """

    format: str = 'auto'
    units: str = 'auto'
    align: str = 'none'
    without_center: bool = False
    thresholds: tuple[float, ...] = (20.0,)
    auc: tuple[float, float] = (0.0, 50.0)

    def __post_init__(self) -> None:
        low, high = self.auc
        if not 0 <= low < high < inf:
            raise LabelError(f'--auc-range {low:g} {high:g}: the first must be at least 0 and below the second')
        if not all(0 <= threshold < inf for threshold in self.thresholds):
            raise LabelError(f'--thresholds {" ".join(map(str, self.thresholds))}: they must be 0 or more')


def name_methods(paths: Sequence[str], names: Sequence[str] | None = None) -> dict[str, str]:
    """Return name -> file of predictions: the names given, else the files' own.

    Raises:
        LabelError: there are not as many different names as files.

    """
    stems = [Path(path).stem for path in paths]
    names = names or (stems if len(set(stems)) == len(stems) else [str(Path(path).with_suffix('')) for path in paths])
    if len(names) != len(paths) or len(set(names)) != len(names):
        raise LabelError(
            f'--names gives {len(names)} names ({", ".join(names)}) for {len(paths)} files; each needs one of its own'
        )
    return dict(zip(names, paths))


def score_joints(
    benchmark: Benchmark, truth: str, predictions: Mapping[str, str], options: ScoreOptions
) -> dict[str, dict[str, Any]]:
    """Score files of predicted joints, name -> file, against a file of true ones: name -> figures.

    Raises:
        LabelError: a file is missing, damaged, or does not fit the truth.
        ValueError: the range of thresholds is none.

    """
    true = select_joints(read_labels(truth), benchmark)
    return {
        name: _score(benchmark, true, match_frames(select_joints(read_labels(path), benchmark), true), options)
        for name, path in predictions.items()
    }


def _score(benchmark: Benchmark, truth: Labels, labels: Labels, options: ScoreOptions) -> dict[str, Any]:
    """Return one method's figures."""
    true, estimated, found, notes = _points(benchmark, truth, labels, options)
    how = options.align
    keep = [i for i in range(len(benchmark.joints)) if not (options.without_center and i == benchmark.center)]
    root = benchmark.center
    every = joint_errors(align(estimated, true, how, root), true)
    errors, others = every[:, keep], every[:, [i for i in keep if i != root]]
    joints = [benchmark.joints[i] for i in keep]
    mean = mean_error(errors)
    if how == 'none' and mean > SUSPICIOUS_MM:
        notes.append(f'an error of {mean:.0f} mm suggests files of different frames, joint orders or formats')
    low, high = options.auc
    fine = np.linspace(low, high, 200)
    thresholds = np.array(options.thresholds)
    result: dict[str, Any] = {
        'mean_joint_error_mm': rounded(mean),
        'median_joint_error_mm': rounded(float(np.nanmedian(errors))),
        'mean_joint_error_without_center_mm': rounded(mean_error(others)),
        'per_joint_error_mm': dict(zip(joints, map(rounded, per_joint(errors)))),
        'align': how,
        'format': found,
        'notes': notes,
        **counts(true[:, keep], estimated[:, keep]),
        'auc': rounded(area_under_curve(fine, pck(errors, fine)), 4),
        'auc_range_mm': [low, high],
        'percent_within_mm': {
            f'{t:g}': {
                'frames_by_worst_joint': rounded(100 * w, 2),
                'frames_by_mean_joint': rounded(100 * m, 2),
                'joints': rounded(100 * p, 2),
            }
            for t, w, m, p in zip(
                thresholds,
                success_rate(errors, thresholds, 'worst'),
                success_rate(errors, thresholds, 'mean'),
                pck(errors, thresholds),
            )
        },
        'curves': {
            'threshold_mm': CURVE_MM.tolist(),
            'frames_by_worst_joint': success_rate(errors, CURVE_MM, 'worst').round(5).tolist(),
            'frames_by_mean_joint': success_rate(errors, CURVE_MM, 'mean').round(5).tolist(),
            'joints': pck(errors, CURVE_MM).round(5).tolist(),
        },
    }
    if len(keep) > 3:
        aligned = align(estimated[:, keep], true[:, keep], 'procrustes')
        result['pa_mpjpe_mm'] = rounded(mean_error(joint_errors(aligned, true[:, keep])))
    return result


def _points(
    benchmark: Benchmark, truth: Labels, labels: Labels, options: ScoreOptions
) -> tuple[np.ndarray, np.ndarray, str, list[str]]:
    """True and estimated joints (N, J, 3) in millimeters, how the predictions were read, and notes on that."""
    kinds = [guess_format(one, benchmark) if options.format == 'auto' else options.format for one in (truth, labels)]
    units = [
        guess_units(one, kind) if options.units == 'auto' else options.units
        for one, kind in zip((truth, labels), kinds)
    ]
    one_way = benchmark.camera is None  # of color benchmarks, whose axes are the camera's
    signs = [
        [(1, 1, 1)] if kind == 'uvd' or one.ours or one_way else list(dict.fromkeys([benchmark.axes, *AXES]))
        for one, kind in zip((truth, labels), kinds)
    ]
    best: tuple[float, np.ndarray, np.ndarray, tuple, tuple] | None = None
    # Of files in xyz nobody says which way the axes point: those that fit the truth best are meant.
    for of_truth, of_labels in product(*signs):
        true, estimated = (
            to_points(one, benchmark, kind, unit, axes)
            for one, kind, unit, axes in zip((truth, labels), kinds, units, (of_truth, of_labels))
        )
        errors = joint_errors(estimated, true)
        error = float(np.median(errors[np.isfinite(errors)])) if np.isfinite(errors).any() else float('nan')
        if best is None or error < best[0] - 1e-6:
            best = error, true, estimated, of_truth, of_labels
    if best is None or np.isnan(best[0]):
        raise LabelError(f'{labels.path} and {truth.path} have no joint in common')
    _, true, estimated, of_truth, of_labels = best
    notes = []
    if kinds[0] == 'xyz' and of_truth != (1, 1, 1):
        notes.append(f'truth read as xyz with {AXES[of_truth]}')
    if units[0] != units[1]:
        notes.append(f'truth in {units[0]}, predictions in {units[1]}')
    if kinds[0] != kinds[1]:
        notes.append(f'truth in {kinds[0]}, predictions in {kinds[1]}')
    found = f'{kinds[1]}, {units[1]}' + (f', {AXES[of_labels]}' if kinds[1] == 'xyz' else '')
    return true, estimated, found, notes


def score_masks(truth: Path, estimates: Path) -> dict[str, Any]:
    """Score masks, PNGs of the same names in two folders: not zero is hand."""
    names = sorted(path.name for path in truth.glob('*.png'))
    if not names:
        raise LabelError(f'{truth} holds no PNG')
    figures = []
    for name in names:
        true, estimated = read_mask(truth / name), read_mask(estimates / name)
        if true.shape != estimated.shape:
            raise LabelError(
                f'{estimates / name} has {estimated.shape[1]}x{estimated.shape[0]} pixels, the true mask '
                f'{true.shape[1]}x{true.shape[0]}'
            )
        figures.append(mask_scores(estimated[None], true[None]))
    return {'frames': len(names), **{key: rounded(float(np.mean([f[key] for f in figures])), 4) for key in figures[0]}}


def score_meshes(truth: str, estimates: str) -> dict[str, Any]:
    """Score vertices of two files, as they are and Procrustes-aligned."""
    true, estimated = read_vertices(truth), read_vertices(estimates)
    if true.shape != estimated.shape:
        raise LabelError(
            f'{estimates} has shape {estimated.shape}, {truth} {true.shape}: frames and vertices must agree'
        )
    scale = [
        UNITS['m'] if np.median(np.ptp(points, axis=1).max(1)) < METERS_BELOW else 1.0 for points in (true, estimated)
    ]
    true, estimated = true * scale[0], estimated * scale[1]
    aligned = align(estimated, true, 'procrustes')
    return {
        'frames': len(true),
        'vertices': true.shape[1],
        'mean_vertex_error_mm': rounded(mean_error(joint_errors(estimated, true))),
        'aligned_vertex_error_mm': rounded(mean_error(joint_errors(aligned, true))),
        **{
            f'{kind}f_{t}': rounded(f_score(points, true, t), 4)
            for kind, points in (('', estimated), ('aligned_', aligned))
            for t in (5, 15)
        },
    }


def draw_plots(folder: Path, methods: dict[str, dict[str, Any]]) -> None:
    """Draw bars of the joints and the curves into a folder; raises PlotError where matplotlib is not installed."""
    from hand_pose_ros.visualization.plots import plot_curves, plot_per_joint

    folder.mkdir(parents=True, exist_ok=True)
    joints = list(next(iter(methods.values()))['per_joint_error_mm'])
    plot_per_joint(
        folder / 'per_joint.png',
        joints,
        {name: np.array(list(one['per_joint_error_mm'].values()), float) for name, one in methods.items()},
    )
    for key, file, across, up in (
        ('frames_by_worst_joint', 'success_worst.png', 'threshold on the worst joint (mm)', 'frames within (%)'),
        ('frames_by_mean_joint', 'success_mean.png', 'threshold on the mean joint (mm)', 'frames within (%)'),
        ('joints', 'pck.png', 'threshold (mm)', 'joints within (%), PCK'),
    ):
        curves = {
            name + (f' (AUC {one["auc"]:.3f})' if key == 'joints' else ''): np.array(one['curves'][key])
            for name, one in methods.items()
        }
        plot_curves(folder / file, CURVE_MM, curves, across, up)


def table(benchmark: Benchmark, result: dict[str, Any], methods: dict[str, dict[str, Any]]) -> str:
    """Return the figures as text for people."""
    lines = [benchmark.title]
    for name, one in methods.items():
        lines += [f'{name}: {one["frames"]} frames, read as {one["format"]}, alignment {one["align"]}']
        lines += [f'  note: {note}' for note in one['notes']]
        lines += [
            f'  {one[key]} {what}'
            for key, what in (
                ('joints_unknown', 'joints not known in the truth'),
                ('joints_missing', 'joints not predicted'),
            )
            if one[key]
        ]
        lines += [
            f'  mean joint error            {one["mean_joint_error_mm"]:8.3f} mm   median '
            f'{one["median_joint_error_mm"]:.3f} mm'
        ]
        others = one['mean_joint_error_without_center_mm']
        if benchmark.center is not None and others is not None:
            lines += [f'  without {benchmark.joints[benchmark.center]:19s} {others:8.3f} mm']
        if one.get('pa_mpjpe_mm') is not None:
            lines += [f'  Procrustes-aligned          {one["pa_mpjpe_mm"]:8.3f} mm']
        low, high = one['auc_range_mm']
        lines += [f'  PCK area {low:g} to {high:g} mm       {one["auc"]:8.4f}']
        lines += ['  within     worst joint   mean joint   joints']
        lines += [
            f'  {t:>4s} mm {v["frames_by_worst_joint"]:13.2f} % {v["frames_by_mean_joint"]:10.2f} % '
            f'{v["joints"]:7.2f} %'
            for t, v in one['percent_within_mm'].items()
        ]
        lines += [
            '  ' + f'{joint:20s} {error:8.2f} mm'
            for joint, error in one['per_joint_error_mm'].items()
            if error is not None
        ]
    for key in ('masks', 'meshes'):
        if key in result:
            lines += [f'{key}: ' + ', '.join(f'{name} {value}' for name, value in result[key].items())]
    return '\n'.join(lines)
