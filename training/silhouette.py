"""A mesh's silhouette with gradients, on a CPU or a GPU, in a few milliseconds.

PyTorch3D and nvdiffrast would do this, but neither installs from wheels on a machine without a GPU. A pixel's value
here is a sigmoid of its signed distance from the silhouette's outline, as in Liu, Li, Chen, Li: "Soft Rasterizer: A
Differentiable Renderer for Image-based 3D Reasoning", ICCV 2019, section 3.2, but of the whole outline's and not of
every triangle's: triangles inside the hand then leave no seams, and the line at one half is the outline itself. Only
edges of the outline are looked at, and only pixels near them, which makes it fast.

Which pixels are covered, and which edges make the outline, is found without gradients; the distance of a pixel from its
nearest edge has them, and is zero where either changes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.rasterizer import LEAST_AREA, doubled_area, is_inside


def pixels_of(low: Tensor, high: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every pixel within boxes: which box (P,) and the pixel's column and row (P,).

    Args:
        low: (N, 2) u, v of the boxes' least corner, pixels; may lie outside the image.
        high: (N, 2) of the other corner, inclusive.
        size: pixels along a side of the image.

    """
    first = low.ceil().clamp(0, size).long()
    count = (high.floor().clamp(-1, size - 1).long() + 1 - first).clamp_min(0)
    area = count[:, 0] * count[:, 1]
    box = torch.repeat_interleave(torch.arange(len(area), device=low.device), area)
    place = torch.arange(len(box), device=low.device) - (area.cumsum(0) - area)[box]
    columns = count[box, 0]
    return box, first[box, 0] + place % columns, first[box, 1] + place // columns


def _distance(points: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Distance (N,) of points (N, 2) from line segments, pixels."""
    along = ends - starts
    share = ((points - starts) * along).sum(1) / along.square().sum(1).clamp_min(1e-8)
    nearest = starts + share.clamp(0, 1)[:, None] * along
    return ((points - nearest).square().sum(1) + 1e-8).sqrt()


class Silhouette(nn.Module):
    """Soft silhouettes of meshes with the same faces.

    Args:
        faces: (F, 3) vertex indices; open meshes and edges of more than two faces are allowed.
        size: pixels along a side of the image.
        softness: pixels of distance from the outline over which the sigmoid goes from 0.5 to 0.27 or 0.73.

    """

    #: Distance from the outline, in units of the softness, from which on a pixel is 0 or 1.
    REACH = 5.0

    def __init__(self, faces: np.ndarray, size: int = 64, softness: float = 0.5) -> None:
        super().__init__()
        self.size = size
        self.softness = softness
        # Every edge once, with the two faces that share it; an edge of one face, or of more than two, stands alone.
        sides = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)
        owners = np.repeat(np.arange(len(faces)), 3)
        by_edge: dict[tuple[int, int], list[int]] = {}
        for i, (a, b) in enumerate(sides):
            by_edge.setdefault((min(a, b), max(a, b)), []).append(i)
        edges, pairs = [], []
        for found in by_edge.values():
            if len(found) == 2:
                edges.append(sides[found[0]])
                pairs.append(owners[found])
            else:
                edges += [sides[i] for i in found]
                pairs += [[owners[i], -1] for i in found]
        self.register_buffer('faces', torch.from_numpy(faces.astype(np.int64)), persistent=False)
        self.register_buffer('edges', torch.from_numpy(np.array(edges, np.int64)), persistent=False)
        self.register_buffer('pairs', torch.from_numpy(np.array(pairs, np.int64)), persistent=False)

    @torch.no_grad()
    def cover(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Covered pixels (B, S, S), bool, and twice the signed area (B, F) of the triangles, of vertices (B, V, 2)."""
        triangles = pixels[:, self.faces]
        area = doubled_area(*triangles.flatten(2).unbind(2))
        corners = triangles.flatten(0, 1)
        box, u, v = pixels_of(corners.amin(1), corners.amax(1), self.size)
        ua, va, ub, vb, uc, vc = corners.flatten(1)[box].unbind(1)
        whole = area.flatten()[box]
        inside = is_inside(doubled_area(ua, va, u, v, uc, vc) / whole, doubled_area(ua, va, ub, vb, u, v) / whole)
        inside &= whole.abs() >= LEAST_AREA
        image = box // len(self.faces)
        covered = torch.zeros(len(pixels) * self.size**2, dtype=torch.bool, device=pixels.device)
        covered[((image * self.size + v) * self.size + u)[inside]] = True
        return covered.view(-1, self.size, self.size), area

    def forward(self, seen: Tensor) -> Tensor:
        """Silhouettes (B, S, S), 0 to 1, of vertices (B, V, 2) in crop coordinates, -1 to 1 over the image."""
        size = self.size
        pixels = (seen.float() + 1) * (size / 2) - 0.5
        with torch.no_grad():
            covered, area = self.cover(pixels)
            nearest, edge = self._nearest_edges(pixels, covered, area)
        image, v, u = nearest.unbind(1)
        a, b = self.edges[edge, 0], self.edges[edge, 1]
        distance = _distance(torch.stack([u, v], 1).to(pixels.dtype), pixels[image, a], pixels[image, b])
        sign = torch.where(covered[image, v, u], 1.0, -1.0)
        return covered.to(pixels.dtype).index_put((image, v, u), torch.sigmoid(sign * distance / self.softness))

    def _uncovered(self, covered: Tensor) -> Tensor:
        """Distance (B, S, S) in pixels from the nearest uncovered pixel, as far as matters; 0 on uncovered ones."""
        radius = math.ceil(self.REACH * self.softness) + 1
        # Squared, along rows and then along columns. Beyond the image nothing is covered or uncovered.
        square = torch.where(covered, float(radius + 1) ** 2, 0.0)
        for axis in (2, 1):
            padded = F.pad(square, (radius, radius, 0, 0) if axis == 2 else (0, 0, radius, radius), value=torch.inf)
            for i in range(2 * radius + 1):
                square = torch.minimum(square, padded.narrow(axis, i, self.size) + (i - radius) ** 2)
        return square.sqrt()

    def _nearest_edges(self, pixels: Tensor, covered: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (P, 3), image row column, that lie near the outline, and the edge (P,) of it that is nearest."""
        size, reach = self.size, self.REACH * self.softness
        first, second = self.pairs.unbind(1)
        # Between a face turned to the camera and one turned away, or a face and nothing.
        outline = (area[:, first] * area[:, second] <= 0) | (second < 0)
        image, edge = outline.nonzero(as_tuple=True)
        a, b = pixels[image, self.edges[edge, 0]], pixels[image, self.edges[edge, 1]]
        box, u, v = pixels_of(torch.minimum(a, b) - reach, torch.maximum(a, b) + reach, size)
        point = torch.stack([u, v], 1).to(pixels.dtype)
        distance = _distance(point, a[box], b[box])
        place = (image[box] * size + v) * size + u
        # An edge in front of another part of the hand bounds nothing. What bounds a covered pixel lies between it and
        # the nearest uncovered one, so that nearer edges are none of the outline's.
        least = self._uncovered(covered).flatten()[place] - 1
        keep = (distance < reach) & (distance > least)
        distance, place, box = distance[keep], place[keep], box[keep]
        least = torch.full((covered.numel(),), torch.inf, device=pixels.device).scatter_reduce(
            0, place, distance, 'amin'
        )
        won = distance == least[place]
        winner = torch.full((covered.numel(),), -1, dtype=torch.long, device=pixels.device)
        winner[place[won]] = box[won]
        found = (winner >= 0).nonzero()[:, 0]
        return (torch.stack([found // size**2, found // size % size, found % size], 1), edge[winner[found]])


def silhouette_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (B,) of masks (B, S, S) at one half."""
    a, b = first > 0.5, second > 0.5
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp_min(1)
