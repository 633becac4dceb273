#!/usr/bin/env python3
"""The body of a scan, plainly and slowly, as plugins/common/background.h describes it:
body.py SCAN ct|mr|pet [MASK [LABELS]]

With a mask that body.mask has written: how many voxels differ (none should). With labels: their share in the body, and
in what of it holds an image. Needs numpy, scipy and nibabel.
"""
import sys

import nibabel
import numpy as np
from scipy import ndimage, special

REACH_MM, LEAST_PADDING, LEAST_AIR, LEAST_SMOOTHED = 5.0, 0.005, 0.05, 0.2
MOST_AIR, LEAST_BORDER, LEAST_PART, LUNG_HU, AIR_HU, MOST_SPREAD_HU = 0.25, 1 / 3, 0.02, -950, -995, 18
MOST_CLIPPED, LEVELS, LEAST_LEVELS, ABOUT, SAMPLE, VALLEY_DEPTH = 0.05, 64, 8, 2, 1 << 16, 1.7


def load(path):
    """Voxels [z, y, x] and mm along z, y, x, turned to RAS+ as volume.load does; of a time series the first."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    voxels = image.get_fdata(dtype=np.float32)
    return (voxels[..., 0] if voxels.ndim == 4 else voxels).T, [float(s) for s in image.header.get_zooms()[2::-1]]


def faces(v):
    return np.concatenate([np.take(v, end, axis).ravel() for axis in range(3) for end in (0, -1)])


def pockets(dark, padding, spacing):
    """Regions that are dark, and whether each (from 1 on) is a pocket."""
    region, count = ndimage.label(dark)
    border, tissue = np.zeros(count + 1), np.zeros(count + 1)
    for axis in range(3):
        area = np.prod(spacing) / spacing[axis]
        r, t, p = (np.moveaxis(a, axis, 0) for a in (region, ~dark & ~padding, padding))
        for touching in (r[0], r[-1], r[:-1][p[1:]], r[1:][p[:-1]]):
            border += area * np.bincount(touching.ravel(), minlength=count + 1)
        for touching in (r[:-1][t[1:]], r[1:][t[:-1]]):
            tissue += area * np.bincount(touching, minlength=count + 1)
    pocket = (border > 0) & (border >= LEAST_BORDER * tissue)
    pocket[0] = False
    return region, pocket


def surrounds(found):
    """Whether this holds the four edges of the volume along some axis."""
    ends = (0, -1)
    return any(all(np.moveaxis(found, axis, 0)[:, b, c].all() for b in ends for c in ends) for axis in range(3))


def is_clipped(v, finite, constant, modality):
    low, high = v[finite].min(), v[finite].max()
    few = constant.sum() <= MOST_CLIPPED * v.size and 2 * (v == high).sum() >= constant.sum()
    return high > low and (few or modality == "ct" and low > LUNG_HU and not surrounds(constant | ~finite))


def find_padding(v, spacing, modality):
    finite = np.isfinite(v)
    face = faces(v)
    values, counts = np.unique(face[np.isfinite(face)], return_counts=True)
    if not len(values):
        return ~finite
    value = values[counts.argmax()]
    region, pocket = pockets(v == value, ~finite, spacing)
    constant = pocket[region]
    corners = sum(constant[z, y, x] for z in (0, -1) for y in (0, -1) for x in (0, -1))
    if constant.sum() >= max(8, LEAST_PADDING * v.size) and (value == v[finite].min() or corners >= 4) and not (
            value == v[finite].min() and is_clipped(v, finite, constant, modality)):
        return ~finite | constant
    return ~finite


def sum_boxes(v, reach):
    sums = np.pad(v.astype(np.int64), [(1, 0)] * 3).cumsum(0).cumsum(1).cumsum(2)
    ends = [(np.maximum(np.arange(n) - r, 0), np.minimum(np.arange(n) + r + 1, n)) for n, r in zip(v.shape, reach)]
    return sum((-1) ** (3 - a - b - c) * sums[np.ix_(ends[0][a], ends[1][b], ends[2][c])]
               for a in (0, 1) for b in (0, 1) for c in (0, 1))


def reach_of(shape, spacing):
    return [max(1, min(int(np.floor(REACH_MM / s + 0.5)), n // 10)) for s, n in zip(spacing, shape)]


def open_dark(dark, padding, spacing):
    """What is dark within reach of sure voxels, and those."""
    reach = reach_of(dark.shape, spacing)
    sure = ~padding & (sum_boxes(np.where(padding, 0, np.where(dark, 1, -19)), reach) >= 0)
    return dark & (sum_boxes(sure, reach) > 0), sure


def bin_width(v, padding, low, high):
    sample = v.ravel()[::v.size // SAMPLE + 1][~padding.ravel()[::v.size // SAMPLE + 1]].astype(np.float64)
    steps = np.diff(np.sort(sample[(sample >= low) & (sample <= high)]))
    steps = steps[steps > 1e-6 * (high - low)]
    if not len(steps):
        return high - low
    whole = 2 * steps.min() * len(steps) > steps.sum()
    return max((high - low) / LEVELS, steps.min() if whole else 8 * steps.mean())


def find_valley(v, padding, low, least, level):
    """The lowest level with fewer voxels than below and above it, or the given one."""
    width = bin_width(v, padding, low, level)
    levels = int((level - low) / width + 0.5)
    if levels < LEAST_LEVELS:
        return level
    dark = v[~padding & (v <= level)].astype(np.float64)
    bins = np.bincount(np.minimum(((dark[dark >= low] - low) / width).astype(int), levels - 1), minlength=levels)
    near = np.zeros(levels, np.int64)
    near[ABOUT:levels - ABOUT] = np.convolve(bins, np.ones(2 * ABOUT + 1, np.int64), "valid")
    most = np.minimum(np.maximum.accumulate(near), np.maximum.accumulate(near[::-1])[::-1])
    held = (dark < low).sum() + np.cumsum(bins)
    depth = most / np.maximum(near, 1)
    depth[(held < least * (~padding).sum()) | ~(most - near > 5 * np.sqrt(most))] = 0
    i = depth[:levels - ABOUT].argmax()
    return find_valley(v, padding, low, least, low + width * (i + 0.5)) if depth[i] > VALLEY_DEPTH else level


def is_noise(scan, padding, sure, modality):
    """Whether this looks like noise about no signal."""
    v, air = scan[~padding].astype(np.float64), scan[sure].astype(np.float64)
    shifted = (v < 0).sum() > 0.05 * v.size
    zero = v.min() if shifted else 0
    q16, q50, q84 = np.percentile(air, [16, 50, 84])
    level, spread, floor = q50 - zero, (q84 - q16) / 2, (air == v.min()).sum()
    with np.errstate(all="ignore"):
        skew = ((air - air.mean()) ** 3).mean() / air.std() ** 3
        normal = air.size * special.erfc(level / spread / np.sqrt(2)) / 2
    ends = level <= 1.5 * spread and (floor < 0.5 * normal or 2 * (v == v.max()).sum() < (v == v.min()).sum())
    skewed = air.std() == 0 or skew >= 0.4 or ends
    coils = modality == "mr" and not shifted and level <= 0.025 * (np.percentile(v, 98) - zero)
    at_floor = not shifted and v.min() <= 0 and floor >= max(0.02 * air.size, 4 * normal) and level <= 3.5 * spread
    return skewed and level <= (5 if coils else 2.2) * spread or at_floor or shifted and abs(q50) <= 0.1 * spread


def find_dark_air(v, scan, padding, spacing, least, modality):
    none = np.zeros(v.shape, bool)
    tissue = v[~padding].astype(np.float64)
    low, high = np.percentile(tissue, [2, 98])
    level, zero = low + 0.1 * (high - low), min(0, tissue.min())
    if not high > low or level - zero > MOST_AIR * (high - zero):
        return none
    level = find_valley(v, padding, low, least, level)
    dark, sure = open_dark(~padding & (v <= level), padding, spacing)
    if sure.any():
        q16, q50, q84 = np.percentile(v[sure].astype(np.float64), [16, 50, 84])
        noise = q50 + 5 * max(q50 - q16, q84 - q50)
        if noise < level:
            again = open_dark(~padding & (v <= noise), padding, spacing)
            if 2 * again[1].sum() >= sure.sum():
                dark, sure = again
    region, pocket = pockets(dark, padding, spacing)
    air = pocket[region]
    found = (air & sure).sum() >= least * tissue.size and is_noise(scan, padding, air & sure, modality)
    return air if found else none


def find_ct_air(v, padding, spacing, threshold):
    dark = ~padding & (v <= threshold)
    region, pocket = pockets(dark, padding, spacing)
    inner = dark & (sum_boxes(~padding & ~dark, reach_of(v.shape, spacing)) == 0)
    means = smooth(v, padding)
    for i in np.flatnonzero(pocket):
        here = region == i
        chosen = means[here & inner] if (here & inner).sum() >= 50 else means[here]
        q16, q50 = np.percentile(chosen.astype(np.float64), [16, 50])
        pocket[i] = 2 * (v[here] <= LUNG_HU).sum() >= here.sum() and (q50 <= AIR_HU or q50 - q16 <= MOST_SPREAD_HU)
    return pocket[region]


def smooth(v, padding):
    total, count = (ndimage.convolve(np.where(padding, 0, a).astype(np.float64), np.ones((3, 3, 3)), mode="constant")
                    for a in (v, np.ones(v.shape)))
    return np.where(padding, v, total / np.maximum(count, 1)).astype(np.float32)


def find(v, spacing, modality, threshold=-500):
    padding = find_padding(v, spacing, modality)
    if padding.all():
        return padding
    if modality == "ct":
        air = find_ct_air(v, padding, spacing, threshold)
    else:
        air = find_dark_air(v, v, padding, spacing, LEAST_AIR, modality)
        if not air.any():
            air = find_dark_air(smooth(v, padding), v, padding, spacing, LEAST_SMOOTHED, modality)
    body = ~(air | padding)
    if body.all() or not body.any():
        return np.ones(v.shape, bool)
    region, _ = ndimage.label(body)
    voxels = np.bincount(region.ravel())
    voxels[0] = 0
    body &= (voxels >= (LEAST_PART if air.any() else 0) * voxels.max())[region]
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def main():
    v, spacing = load(sys.argv[1])
    body = find(v, spacing, sys.argv[2])
    print(f"body {body.mean():.4f} of the volume")
    if len(sys.argv) > 3:
        print(f"{(body != (load(sys.argv[3])[0] > 0)).sum()} voxels differ")
    if len(sys.argv) > 4:
        labels = load(sys.argv[4])[0] > 0
        image = labels & ~find_padding(v, spacing, sys.argv[2])
        print(f"labels {(body & labels).sum() / labels.sum():.4f}, of those that hold an image "
              f"{(body & image).sum() / image.sum():.4f}")


if __name__ == "__main__":
    main()
