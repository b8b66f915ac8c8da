"""Report pages: one self-contained HTML file with figures, charts and pictures, for light and dark, wide and narrow."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from hand_pose_ros.imaging.compressed import encode_jpeg

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2430; --soft: #5f6b7a; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161c; --card: #1b212a; --ink: #e8ebef; --soft: #98a3b1; --line: #2d3541; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; } h2 { font-size: 1.05rem; margin: 32px 0 12px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); }
.grid { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, var(--least)), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; min-width: 0; }
.card b { display: block; font-size: 1.6rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card small { color: var(--soft); display: block; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .9rem; margin-bottom: 8px; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .rule { stroke: var(--line); } img { display: block; width: 100%; height: auto; border-radius: 6px; }
@media (max-width: 560px) { svg text { font-size: 14px; } }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; color: var(--soft); white-space: nowrap; } td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Series:
    """A line of a chart: points (x, y) in order, y None where there is a gap."""

    label: str
    color: str
    points: Sequence[tuple[float, float | None]]


def css_color(bgr: Sequence[int]) -> str:
    """Write a bgr color, as OpenCV has it, for CSS."""
    return f'#{bgr[2]:02x}{bgr[1]:02x}{bgr[0]:02x}'


def page(title: str, subtitle: str, *sections: str) -> str:
    """Put sections together to a page; title and subtitle are plain text."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>'
        f'<h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p>\n'
        + '\n'.join(sections)
        + '\n</main></body></html>\n'
    )


def section(heading: str, content: str) -> str:
    """Head ``content`` (HTML) with ``heading`` (plain text)."""
    return f'<section><h2>{escape(heading)}</h2>{content}</section>'


def grid(items: Sequence[str], least: int) -> str:
    """Lay items (HTML) out in as many columns of at least ``least`` pixels as there is room for."""
    return f'<div class="grid" style="--least: {least}px">{"".join(items)}</div>'


def figure_card(value: str, label: str, note: str = '') -> str:
    """Show one key figure; all plain text."""
    small = f'<small>{escape(note)}</small>' if note else ''
    return f'<div class="card"><small>{escape(label)}</small><b>{escape(value)}</b>{small}</div>'


def chart_card(caption: str, content: str) -> str:
    """Frame a chart or a picture (HTML) with its caption (plain text)."""
    return f'<figure class="card"><figcaption>{escape(caption)}</figcaption>{content}</figure>'


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Write a table of names and values, plain text."""
    return (
        '<table>'
        + ''.join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
        + '</table>'
    )


def columns(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table of a name and several values a row under a heading, plain text; wide ones scroll."""
    head = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    body = ''.join(
        f'<tr><th scope="row">{escape(first)}</th>' + ''.join(f'<td>{escape(cell)}</td>' for cell in rest) + '</tr>'
        for first, *rest in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def picture(image: np.ndarray, text: str, quality: int = 85) -> str:
    """Embed a (H, W, 3) bgr8 picture as JPEG; ``text`` describes it to who cannot see it."""
    data = base64.b64encode(encode_jpeg(image, quality)).decode()
    return f'<img alt="{escape(text)}" src="data:image/jpeg;base64,{data}">'


def line_chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Draw lines over a common x axis, y from zero, as an SVG of 480 by 358."""
    points = [(x, y) for line in series for x, y in line.points if y is not None]
    if not points:
        return '<p class="soft">Nothing to show.</p>'
    left, top, right, bottom = 38.0, 24.0, 470.0, 336.0
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    ticks = _ticks(max(y for _, y in points))
    ceiling = ticks[-1]

    def place(x: float, y: float) -> str:
        across = (x - low) / (high - low) if high > low else 0.5
        return f'{left + across * (right - left):.1f},{bottom - y / ceiling * (bottom - top):.1f}'

    parts = []
    for tick in ticks:
        y = bottom - tick / ceiling * (bottom - top)
        parts.append(
            f'<line class="rule" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for value, anchor in ((low, 'start'), (high, 'end')):
        parts.append(
            f'<text x="{left if anchor == "start" else right}" y="{bottom + 16}" text-anchor="{anchor}">'
            f'{value:.3g}</text>'
        )
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 16}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="4" y="12">{escape(y_label)}</text>'
    )
    label_x = right
    for line in reversed(series):
        for run in _runs(line.points):
            if len(run) == 1:
                across, down = place(*run[0]).split(',')
                parts.append(f'<circle cx="{across}" cy="{down}" r="1.6" fill="{line.color}"/>')
            else:
                parts.append(
                    f'<polyline fill="none" stroke="{line.color}" stroke-width="1.6" stroke-linejoin="round" '
                    f'points="{" ".join(place(*point) for point in run)}"/>'
                )
        parts.append(
            f'<text x="{label_x:.0f}" y="12" text-anchor="end">{escape(line.label)}</text>'
            f'<rect x="{label_x - 8 * len(line.label) - 14:.0f}" y="5" width="10" height="3" rx="1" '
            f'fill="{line.color}"/>'
        )
        label_x -= 8 * len(line.label) + 30
    return _svg(480, 358, f'{y_label} over {x_label}', parts)


def bar_chart(bars: Sequence[tuple[str, float, str]], unit: str) -> str:
    """Draw one horizontal bar for each (label, value, color), as an SVG 480 wide."""
    if not bars:
        return '<p class="soft">Nothing to show.</p>'
    left, right, step = 92.0, 424.0, 17.0
    longest = max(value for _, value, _ in bars) or 1.0
    parts = []
    for row, (label, value, color) in enumerate(bars):
        y = row * step
        width = max(1.0, value / longest * (right - left))
        parts.append(
            f'<text x="{left - 8}" y="{y + 12:.1f}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{left}" y="{y + 3:.1f}" width="{width:.1f}" height="11" rx="2" fill="{color}"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 12:.1f}">{value:.1f} {escape(unit)}</text>'
        )
    return _svg(480, len(bars) * step + 4, f'{len(bars)} bars in {unit}', parts)


def _svg(width: float, height: float, text: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(text)}">{"".join(parts)}</svg>'


def _ticks(highest: float) -> list[float]:
    """Return four to six round numbers from zero to at least ``highest``."""
    rough = max(highest, 1e-9) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [float(step * i) for i in range(int(np.ceil(highest / step - 1e-9)) + 1)] if highest > 0 else [0.0, 1.0]


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Split points at the gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]
