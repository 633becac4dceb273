"""Embeddings averaged over labelled images, and evaluate.py's sliding window: what mass.embed and
mass.segment are compared with. Written from the facts; needs iris.py and torch."""

import torch
import torch.nn.functional as F


def clamped_start(center, crop, size):
    """First index of a crop around `center`, moved into the axis; a short axis is in its middle."""
    if size < crop:
        return -((crop - size) // 2)
    return min(max(center - crop // 2, 0), size - crop)


def crop_around(volume, center, crop):
    """[D,H,W] -> [crop], zeros outside."""
    out = volume.new_zeros(crop)
    here, there = [], []
    for c, n, s in zip(center, crop, volume.shape):
        at = clamped_start(c, n, s)
        here.append(slice(max(0, -at), max(0, -at) + min(n, s)))
        there.append(slice(max(0, at), max(0, at) + min(n, s)))
    out[tuple(here)] = volume[tuple(there)]
    return out


def center_of(mask, middle):
    """The middle voxel in scan order (evaluate.py), or the mean one, rounded down (fine-tuning)."""
    at = torch.nonzero(mask)
    return at[len(at) // 2].tolist() if middle else [int(v) for v in at.double().mean(0)]


@torch.no_grad()
def average(model, images, labels, crop, middle=False):
    """images [N,D,H,W], labels [N,D,H,W] of 1..K -> three tensors [K,11,C], deepest first."""
    levels = [[], [], []]
    for label in range(1, int(labels.max()) + 1):
        found = []
        for image, here in zip(images, labels):
            mask = here == label
            if not mask.any():
                continue
            center = center_of(mask, middle)
            shown = crop_around(image, center, crop)[None, None]
            marked = crop_around(mask.to(image), center, crop)[None, None]
            found.append(model.encode(shown, marked))
        for level, tokens in zip(levels, zip(*found)):
            level.append(torch.stack(tokens).mean(0).reshape(tokens[0].shape[-2:]))
    return [torch.stack(level) for level in levels]


def starts(size, window, overlap):
    """Where evaluate.py's windows begin: the last one may come several times."""
    step = int(window * (1 - overlap))
    return [min(i * step, size - window) for i in range(max(1, size // step))]


@torch.no_grad()
def uniform_window(model, image, priors, window, overlap=0.5):
    """image [D,H,W] -> probabilities [K,D,H,W], the mean over all windows that see a voxel."""
    size = image.shape
    image = F.pad(image, [n for w, s in zip(window[::-1], size[::-1]) for n in (0, max(0, w - s))])
    total = image.new_zeros((priors[0].shape[1], *image.shape))
    count = torch.zeros_like(image)
    for z in starts(image.shape[0], window[0], overlap):
        for y in starts(image.shape[1], window[1], overlap):
            for x in starts(image.shape[2], window[2], overlap):
                box = (slice(z, z + window[0]), slice(y, y + window[1]), slice(x, x + window[2]))
                total[(slice(None), *box)] += torch.sigmoid(model.decode(image[box][None, None], priors))[0]
                count[box] += 1
    total = total / (count + 1e-8)
    return total[:, :size[0], :size[1], :size[2]]
