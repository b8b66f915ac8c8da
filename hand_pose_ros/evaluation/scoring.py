"""The benchmarks' measures of estimated joints, meshes and masks against the truth.

Errors are in millimeters. A joint that is not known or was not estimated is NaN in its coordinates and in its error;
every measure leaves NaN out, and :func:`counts` says how many there were.
"""

from __future__ import annotations

import numpy as np

#: How estimates may be aligned with the truth before errors are taken.
ALIGNMENTS = ('none', 'root', 'scale', 'procrustes')
#: Distances of vertices that are in memory at once.
_BLOCK = 2_000_000
#: Which of a frame's joints decides whether the frame is a success.
SUCCESS_BY = ('worst', 'mean')


def align(estimates: np.ndarray, truth: np.ndarray, how: str, root: int | None = 0) -> np.ndarray:
    """Align estimated joints or vertices with the true ones, frame by frame.

    Args:
        estimates: (N, J, 3).
        truth: (N, J, 3) in the same unit.
        how: ``none``; ``root`` moves the root joint onto the true one; ``scale`` does that and scales about it by the
            least squares factor; ``procrustes`` takes the similarity (rotation, scale, translation; no reflection)
            of least squares (Umeyama 1991), as PA-MPJPE and FreiHAND's protocol do.
        root: joint that is moved onto its like; None for the mean of the joints.

    Returns:
        (N, J, 3).

    Raises:
        ValueError: ``how`` is not one of ``ALIGNMENTS``.

    """
    if how not in ALIGNMENTS:
        raise ValueError(f'alignment {how!r} is not one of {", ".join(ALIGNMENTS)}')
    if how == 'none':
        return estimates
    if how == 'procrustes':
        return np.stack([_procrustes(a, b) for a, b in zip(estimates, truth)])

    def origin(points: np.ndarray) -> np.ndarray:
        return np.nanmean(points, 1, keepdims=True) if root is None else points[:, root : root + 1]

    moved, wanted = estimates - origin(estimates), truth - origin(truth)
    if how == 'scale':
        known = np.isfinite(moved) & np.isfinite(wanted)
        a, b = np.where(known, moved, 0), np.where(known, wanted, 0)
        length = (a * a).sum((1, 2))
        moved = moved * ((a * b).sum((1, 2)) / np.where(length > 0, length, 1))[:, None, None]
    return moved + origin(truth)


def _procrustes(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    known = np.isfinite(points).all(1) & np.isfinite(target).all(1)
    if known.sum() < 3:
        return np.full_like(points, np.nan)
    mean, wanted = points[known].mean(0), target[known].mean(0)
    a, b = points[known] - mean, target[known] - wanted
    u, s, vt = np.linalg.svd(a.T @ b)
    if np.linalg.det(u @ vt) < 0:  # a reflection: the least of the three directions turns round
        s[-1], u[:, -1] = -s[-1], -u[:, -1]
    scale = s.sum() / max((a * a).sum(), 1e-12)
    return scale * (points - mean) @ (u @ vt) + wanted


def joint_errors(estimates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distance (N, J) between (N, J, 3) points in the same unit; NaN where either is not known."""
    return np.linalg.norm(estimates - truth, axis=2)


def mean_error(errors: np.ndarray) -> float:
    """Mean over all frames and joints of (N, J) errors; NaN where there is none."""
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else float('nan')


def per_joint(errors: np.ndarray) -> np.ndarray:
    """Mean error (J,) of each joint over all frames; NaN for a joint that was never compared."""
    known = np.isfinite(errors)
    return np.where(known.any(0), np.where(known, errors, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


def success_rate(errors: np.ndarray, thresholds: np.ndarray, by: str = 'worst') -> np.ndarray:
    """Share of frames within each threshold.

    Args:
        errors: (N, J).
        thresholds: (T,).
        by: ``worst``: every joint of the frame is within the threshold (Taylor et al. 2012), as the papers' plots
            show; ``mean``: the mean over its joints is, as some of their texts say.

    Returns:
        (T,) from 0 to 1. Frames without any error are left out.

    Raises:
        ValueError: ``by`` is not one of ``SUCCESS_BY``.

    """
    if by not in SUCCESS_BY:
        raise ValueError(f'success by {by!r} is not one of {", ".join(SUCCESS_BY)}')
    known = errors[np.isfinite(errors).any(1)]
    figures = np.nanmax(known, 1) if by == 'worst' else np.nanmean(known, 1)
    return _share_within(figures, thresholds)


def pck(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Percentage of correct keypoints as a share (T,): joints of all frames within each threshold (T,)."""
    return _share_within(errors[np.isfinite(errors)], thresholds)


def _share_within(figures: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    if not len(figures):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(np.sort(figures), thresholds, side='right') / len(figures)


def area_under_curve(thresholds: np.ndarray, shares: np.ndarray) -> float:
    """Area under a curve of shares (T,) over thresholds (T,), by trapezoids, as a share of the whole: from 0 to 1."""
    width = np.diff(thresholds)
    return float((width * (shares[1:] + shares[:-1]) / 2).sum() / width.sum())


def f_score(estimates: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    """F-score of vertices (N, V, 3) against true ones (N, W, 3) at a threshold in the same unit.

    The harmonic mean of precision (estimated vertices with a true one near) and recall (true ones with an estimated one
    near), averaged over frames (Knapitsch et al. 2017; F@5 and F@15 in FreiHAND's protocol).
    """
    scores = []
    for a, b in zip(estimates, truth):
        precision, recall = (near.mean() for near in _near(a, b, threshold))
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return float(np.mean(scores))


def _near(points: np.ndarray, others: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of points (V, 3) have one of (W, 3) within the threshold, and which of those have one of these."""
    points_near, others_near = np.zeros(len(points), bool), np.zeros(len(others), bool)
    squares, rows = (others * others).sum(1), max(1, _BLOCK // max(1, len(others)))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        near = (block * block).sum(1)[:, None] + squares - 2 * block @ others.T <= threshold**2
        points_near[start : start + rows] = near.any(1)
        others_near |= near.any(0)
    return points_near, others_near


def mask_scores(estimates: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Overlap of masks (N, H, W) of bool with true ones, each figure averaged over frames.

    Returns:
        ``iou``, ``precision``, ``recall`` and ``f1``, from 0 to 1. Where both masks are empty they agree: 1.

    """
    axes = (1, 2)
    both = (estimates & truth).sum(axes).astype(float)
    estimated, true = estimates.sum(axes), truth.sum(axes)

    def share(part: np.ndarray, whole: np.ndarray) -> float:
        return float(np.mean(np.where(whole > 0, part / np.maximum(whole, 1), (estimated + true) == 0)))

    return {
        'iou': share(both, estimated + true - both),
        'precision': share(both, estimated),
        'recall': share(both, true),
        'f1': share(2 * both, estimated + true),
    }


def rounded(value: float | None, digits: int = 3) -> float | None:
    """Round a figure for a file or a page; None for None and for NaN."""
    return None if value is None or np.isnan(value) else round(float(value), digits)


def counts(truth: np.ndarray, estimates: np.ndarray) -> dict[str, int]:
    """Frames, joints compared, joints not known, and known joints not estimated, of (N, J, 3) points."""
    known, estimated = np.isfinite(truth).all(2), np.isfinite(estimates).all(2)
    return {
        'frames': len(truth),
        'joints_compared': int((known & estimated).sum()),
        'joints_unknown': int((~known).sum()),
        'joints_missing': int((known & ~estimated).sum()),
    }
