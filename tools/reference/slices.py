"""Slices of scans with objects on them, as train_sam2.py and judge_sam2.py need them.

An object is a connected component of a label on a slice, or a region of like intensity.
"""

import gzip

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

# Three windows (center, width) or quantiles (low, high) to red, green and blue.
WINDOWS = {"ct": [((60, 350), (15, 250), (150, 1200)), ((-600, 1500), (50, 350), (500, 2000)),
                  ((-600, 1500), (50, 350), (700, 2500))],
           "mr": [((5, 95), (15, 85), (1, 99)), ((1, 99), (5, 95), (10, 90))],
           "pet": [((1, 99), (5, 99.5), (10, 99.9))]}


def read_nifti(path):
    """[x,y,z] as they lie in the file, and the spacing in mm."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        b = f.read()
    dim = np.frombuffer(b, "<i2", 8, 40)
    kind = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2", 768: "<u4"}
    at, slope, inter = np.frombuffer(b, "<f4", 3, 108)
    shape = tuple(int(n) for n in dim[1:4])
    v = np.frombuffer(b, kind[int(np.frombuffer(b, "<i2", 1, 70)[0])], int(np.prod(shape)), int(at))
    v = v.reshape(shape, order="F")
    if slope not in (0, 1) or inter != 0:
        v = v * (slope or 1) + inter
    return v, np.frombuffer(b, "<f4", 8, 76)[1:4]


class Scan:
    def __init__(self, volume, kind, labels=None, regions=True):
        """volume, labels: [x,y,z]. rgb: u8 [x,y,z,3], one per choice of windows. maps: ids, 0 is nothing."""
        volume = volume.astype(np.float32)
        body = self.body(volume, kind)
        self.rgb = [self.windowed(volume, body, kind, w) for w in WINDOWS[kind]]
        self.maps = [] if labels is None else [labels.astype(np.int32)]
        if regions:
            self.maps.append(body.astype(np.int32))
            smooth = ndimage.gaussian_filter(np.clip(volume, *np.percentile(volume[body], (1, 99))), 1)
            for levels in (3, 5):
                cuts = np.percentile(smooth[body], np.linspace(0, 100, levels + 1)[1:-1])
                self.maps.append(np.where(body, 1 + np.digitize(smooth, cuts), 0).astype(np.int32))
        self.body_mask = body

    @staticmethod
    def body(volume, kind):
        low, high = np.percentile(volume, (1, 99))
        mask = volume > (-500 if kind == "ct" else low + 0.1 * (high - low))
        label, n = ndimage.label(mask)
        if n > 1:
            mask = label == 1 + np.argmax(np.bincount(label.ravel())[1:])
        for axis in range(3):
            for i in range(mask.shape[axis]):
                at = (slice(None),) * axis + (i,)
                mask[at] = ndimage.binary_fill_holes(mask[at])
        return mask

    @staticmethod
    def windowed(volume, body, kind, windows):
        out = np.empty(volume.shape + (3,), np.uint8)
        for c, (a, b) in enumerate(windows):
            low, high = (a - b / 2, a + b / 2) if kind == "ct" else np.percentile(volume[body], (a, b))
            out[..., c] = np.clip((volume - low) / max(high - low, 1e-6), 0, 1) * 255
        return out

    def cut(self, axis, i):
        """Index of slice i along an axis."""
        return (slice(None),) * axis + (i,)


def draw_scene(rng, size=72):
    """A drawn volume: tilted ellipsoids in and over one another, texture, shading, noise."""
    g = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"), -1).astype(np.float32)
    for a in range(3):
        bend = ndimage.zoom(rng.normal(0, 0.10, (5, 5, 5)), size / 5, order=2, grid_mode=True, mode="nearest")
        g[..., a] += bend
    v, labels = np.full(g.shape[:3], rng.uniform(-0.5, 0.5), np.float32), np.zeros(g.shape[:3], np.int32)
    outside = rng.random() < 0.8
    if outside:
        v[:] = -1.5
    for i in range(1, rng.integers(8, 28)):
        center = rng.uniform(-0.75, 0.75, 3)
        radius = np.exp(rng.uniform(np.log(0.06), np.log(0.5), 3))
        if i == 1 and outside:
            center, radius = center * 0.1, rng.uniform(0.75, 0.95, 3)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        q = ((g - center) @ turn.astype(np.float32)) / radius
        inside = (np.abs(q) ** rng.choice([2, 2, 4])).sum(-1) < 1
        v[inside], labels[inside] = rng.uniform(-1, 1), i
    texture = ndimage.gaussian_filter(rng.normal(0, 1, g.shape[:3]), rng.uniform(0.7, 2)).astype(np.float32)
    shade = ndimage.zoom(rng.normal(0, 0.15, (4, 4, 4)), size / 4, order=2, grid_mode=True, mode="nearest")
    v = ndimage.gaussian_filter(v, rng.uniform(0, 0.8)) + shade
    v += texture / texture.std() * rng.uniform(0, 0.12)
    return v + rng.normal(0, rng.uniform(0, 0.15), v.shape), labels


# ---- distortion --------------------------------------------------------------------------------------

class Warp:
    """A random map from the model's square to a slice: stretched to a square, then zoomed, turned, moved."""

    def __init__(self, rng, focus=None, plain=False):
        """focus: x, y in -1..1 that should stay in view."""
        zoom = 1.0 if plain else float(np.exp(rng.uniform(np.log(0.8), np.log(2.2))))
        angle = 0.0 if plain or rng.random() < 0.4 else rng.normal(0, 0.35)
        if not plain and rng.random() < 0.25:
            angle += rng.integers(1, 4) * np.pi / 2
        flip = -1 if not plain and rng.random() < 0.5 else 1
        aspect = 1.0 if plain else np.exp(rng.normal(0, 0.12))
        m = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.m = m @ np.diag([flip / zoom * aspect, 1 / zoom / aspect])
        self.t = np.zeros(2)
        if not plain:
            reach = max(0.0, 1 - 1 / zoom)
            self.t = rng.uniform(-1, 1, 2) * (reach + 0.1)
            if focus is not None and zoom > 1:
                self.t = np.asarray(focus) - self.m @ rng.uniform(-0.8, 0.8, 2)
        self.grids = {}

    def apply(self, planes, size):
        """planes [C,h,w] -> [C,size,size]"""
        if size not in self.grids:
            theta = torch.from_numpy(np.concatenate([self.m, self.t[:, None]], 1)).float()[None]
            self.grids[size] = F.affine_grid(theta, (1, 1, size, size), align_corners=False)
        return F.grid_sample(planes[None], self.grids[size], align_corners=False)[0]

    def back(self, x, y, w, h, size):
        """Pixel of the slice -> pixel of the square."""
        p = np.array([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1])
        q = np.linalg.solve(self.m, p - self.t)
        return ((q + 1) * size - 1) / 2


def recolor(rng, rgb):
    """rgb [...,3,S,S] in 0..1, all frames alike."""
    if rng.random() < 0.15:
        rgb = 1 - rgb
    if rng.random() < 0.2:
        rgb = rgb[..., [int(rng.integers(3))] * 3, :, :]
    gain, shift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.08)
    rgb = (rgb * gain + shift).clamp(0, 1) ** float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.5:
        rgb = rgb + torch.randn(rgb.shape) * float(rng.uniform(0, 0.06))
    return rgb.clamp(0, 1)


def component(plane, y, x):
    """The part of plane (ids) around a pixel that has the pixel's id."""
    label, _ = ndimage.label(plane == plane[y, x])
    return label == label[y, x]


def point_in(rng, mask, deep):
    """y, x of a pixel of the mask, at least `deep` of the way from its border to its deepest pixel."""
    y, x = np.nonzero(mask)
    if deep > 0:
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.nonzero(depth >= deep * depth.max())
    i = rng.integers(len(y))
    return int(y[i]), int(x[i])


def draw_object(rng, planes, deep=None):
    """A pixel that belongs to something, and the masks there, of different maps: (y, x), [masks]. The first is
    the one that was drawn; labels more often than regions. deep: of the pixel, drawn if None."""
    order = [0, 0, 0] + list(range(len(planes)))
    plane = planes[order[rng.integers(len(order))]]
    ids = np.unique(plane)
    ids = ids[ids != 0]
    if not len(ids):
        return None
    label, n = ndimage.label(plane == rng.choice(ids))
    sizes = np.bincount(label.ravel())[1:]
    big = np.nonzero(sizes >= 6)[0]
    if not len(big):
        return None
    chance = np.sqrt(sizes[big])
    first = label == 1 + rng.choice(big, p=chance / chance.sum())
    if deep is None:
        deep = max(0.0, rng.uniform(-0.7, 1))
    y, x = point_in(rng, first, deep)
    masks = [first]
    for other in (planes[i] for i in rng.permutation(len(planes))):
        if other[y, x]:
            m = component(other, y, x)
            if m.sum() >= 6 and all((m & k).sum() < 0.85 * (m | k).sum() for k in masks):
                masks.append(m)
    return (y, x), masks[:3]
