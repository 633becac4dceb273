"""Pretraining by restoration and with labels, in PyTorch: masked reconstruction (MAE and SimMIM kinds), Models
Genesis, and a segmentation with a fixed head.

    python reconstruction.py OUT_FOLDER

makes OUT_FOLDER/reconstruction.safetensors: losses, gradients and steps in float64, and how far PyTorch's float32
is off. Weights, images, masks and distortions are drawn (philox.py), so only results are stored;
tests/golden/test_reconstruction.c draws the same.
"""

import math
import sys

import numpy as np
import torch
import training
from golden import INPUTS, distance, inside, sample, weight
from iris import Encoder, Up, shuffle
from philox import blocks, uniform
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

CHANNELS, BLOCKS, CROP, CASES, CLASSES, STEPS = (8, 16, 32, 64, 96), (1, 1, 2, 1), (16, 48, 32), 2, 4, 10
PATCH, SEED = 8, 7
# name, kind, patches normalized, steps; of several steps each has one crop
KINDS = [("mae", "mae", False, 1), ("normalized", "mae", True, 1), ("simmim", "simmim", False, 1),
         ("genesis", "genesis", False, 1), ("supervised", "supervised", False, 1), ("ten_mae", "mae", False, STEPS),
         ("ten_supervised", "supervised", False, STEPS)]
FEW = ("encoder.inc.conv1.weight", "encoder.down2.conv.1.shortcut.conv.weight",
       "encoder.down4.conv.1.conv2.conv.weight", "decoder.up1.conv.0.conv1.conv.weight",
       "decoder.up4.conv.0.conv2.conv.weight")


# ---- draws, as massflow/random.h makes them

class Random:
    def __init__(self, seed, name, item):
        h = 0xCBF29CE484222325
        for b in name.encode():
            h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        one = [np.array([v], np.uint64) for v in (h & 0xFFFFFFFF, h >> 32, 0x6D617373, 0x666C6F77)]
        mixed = blocks((seed & 0xFFFFFFFF, seed >> 32), one)
        self.key = (int(mixed[0][0]), int(mixed[1][0]))
        self.item, self.block, self.words = item, 0, []

    def u32(self):
        if not self.words:
            n = np.arange(self.block, self.block + 65536, dtype=np.uint64)
            self.block += 65536
            fill = np.full_like(n, self.item & 0xFFFFFFFF), np.full_like(n, self.item >> 32)
            self.words = np.stack(blocks(self.key, (n, np.zeros_like(n), *fill)), 1).reshape(-1)[::-1].tolist()
        return self.words.pop()

    def uniform(self):
        high = self.u32()
        return ((high << 21) ^ (self.u32() >> 11)) * 2.0 ** -53

    def below(self, n):
        limit = 2 ** 64 - 1 - (2 ** 64 - 1) % n
        while True:
            draw = self.u32() << 32
            draw |= self.u32()
            if draw < limit:
                return draw % n

    def between(self, low, high):
        return low + self.below(high - low + 1) if high > low else low


# ---- what is hidden

def mask_of(share, item):
    """f32 [crop]: 1 where a patch is hidden."""
    grid = [n // PATCH for n in CROP]
    count = math.prod(grid)
    hidden = math.ceil(count * share - 1e-9)
    random, order = Random(SEED, "mask", item), list(range(count))
    for i in range(hidden):
        k = i + random.below(count - i)
        order[i], order[k] = order[k], order[i]
    mask = np.zeros(count, np.float32)
    mask[order[:hidden]] = 1
    return np.kron(mask.reshape(grid), np.ones((PATCH,) * 3, np.float32))


def normalized(image):
    """Each patch to mean 0 and SD 1, as MAE's norm_pix_loss does."""
    d, h, w = (n // PATCH for n in CROP)
    x = image.double().reshape(d, PATCH, h, PATCH, w, PATCH)
    mean = x.mean((1, 3, 5), keepdim=True)
    variance = x.var((1, 3, 5), keepdim=True)
    return ((x - mean) / (variance + 1e-6).sqrt()).reshape(CROP).to(image.dtype)


# ---- the distortions of Models Genesis

def curve_of(random):
    """The nonlinear map of intensities 0 .. 1."""
    x1, y1, x2, y2 = (random.uniform() for _ in range(4))
    falling = random.uniform() < 0.5
    t = np.arange(4097) / 4096
    x, y = (3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t ** 2 * b + t ** 3 for a, b in ((x1, x2), (y1, y2)))
    return lambda v: np.interp(v, x, y[::-1] if falling else y)


def boxes(random, least, most, margin):
    """A box of CROP whose sides are drawn between `least` and `most`, as slices."""
    size = [random.between(a, b) for a, b in zip(least, most)]
    at = [random.between(margin, n - s - margin) for n, s in zip(CROP, size)]
    return tuple(slice(a, a + s) for a, s in zip(at, size))


def locally_shuffled(random, image):
    out = image.copy()
    for _ in range(10000):
        box = boxes(random, (1, 1, 1), [max(1, n // 10) for n in CROP], 0)
        values = []
        for i, v in enumerate(image[box].reshape(-1)):
            k = random.below(i + 1)
            values.append(v)
            values[i], values[k] = values[k], v
        out[box] = np.array(values, np.float32).reshape(image[box].shape)
    return out


def noise(random, shape):
    return np.array([random.uniform() for _ in range(math.prod(shape))]).astype(np.float32).reshape(shape)


def inpainted(random, image):
    for _ in range(5):
        if random.uniform() >= 0.95:
            break
        box = boxes(random, [n // 6 for n in CROP], [n // 3 for n in CROP], 3)
        image[box] = noise(random, image[box].shape)
    return image


def outpainted(random, image):
    out = noise(random, CROP)
    for i in range(5):
        if i and random.uniform() >= 0.95:
            break
        size = [n - random.between(3 * n // 7, 4 * n // 7) for n in CROP]
        box = boxes(random, size, size, 3)
        out[box] = image[box]
    return out


KEPT = {}  # by item


def distorted(image, item):
    if item not in KEPT:
        KEPT[item] = distort(image, item)
    return KEPT[item]


def distort(image, item, nonlinear=0.9, local=0.5, paint=0.9, inner=0.2):
    low, high = float(image.min()), float(image.max())
    random = Random(SEED, "genesis", item)
    x = ((image.astype(np.float64) - low) / (high - low)).astype(np.float32)
    if random.uniform() < local:
        x = locally_shuffled(random, x)
    if random.uniform() < nonlinear:
        x = curve_of(random)(x.astype(np.float64)).astype(np.float32)
    if random.uniform() < paint:
        x = (inpainted if random.uniform() < inner else outpainted)(random, x)
    return (low + x.astype(np.float64) * (high - low)).astype(np.float32)


# ---- networks

def activated(x):
    return F.relu(F.instance_norm(x, eps=1e-4))


class LightDecoder(nn.Module):
    """A convolution before each doubling, no skip connections."""

    def __init__(self):
        super().__init__()
        c = CHANNELS[::-1]
        for i in range(4):
            setattr(self, f"up{i + 1}", nn.Conv3d(c[i], c[i + 1], 3, padding=1, bias=False))
        self.out = nn.Conv3d(c[4], 1, 3, padding=1)

    def forward(self, features):
        x = features[0]
        for i in range(4):
            x = getattr(self, f"up{i + 1}")(activated(x))
            x = F.interpolate(x, size=features[i + 1].shape[2:], mode="trilinear", align_corners=True)
        return self.out(activated(x))


class LinearDecoder(nn.Module):
    """Each site of the deepest map to its voxels."""

    def __init__(self):
        super().__init__()
        self.out = nn.Conv3d(CHANNELS[4], 16 ** 3, 1)
        self.mask_token = nn.Parameter(torch.zeros(1))

    def forward(self, features):
        return shuffle(self.out(activated(features[0])), 16)


class Restored(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Conv3d(CHANNELS[0], 1, 1)


class UNet(nn.Module):
    """The decoder of Iris without tasks."""

    def __init__(self):
        super().__init__()
        for i in range(4):
            setattr(self, f"up{i + 1}", Up(CHANNELS[4 - i], CHANNELS[3 - i], BLOCKS[3 - i]))

    def forward(self, features):
        x = features[0]
        for i in range(4):
            x = getattr(self, f"up{i + 1}")(x, features[i + 1])
        return x


class Model(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.encoder = Encoder(CHANNELS, BLOCKS)
        if kind == "mae":
            self.restoration = LightDecoder()
        elif kind == "simmim":
            self.restoration = LinearDecoder()
        else:
            self.decoder = UNet()
            if kind == "genesis":
                self.restoration = Restored()
            else:
                self.segmentation = nn.Conv3d(CHANNELS[0], CLASSES, 1)

    def forward(self, image):
        features = self.encoder(image)
        if self.kind in ("mae", "simmim"):
            return self.restoration(features)
        x = self.decoder(features)
        return self.restoration.out(x) if self.kind == "genesis" else self.segmentation(x)


def loss_of(model, kind, image, labels, item, normalize):
    """Of one crop [D,H,W]: the loss and its parts."""
    x = image[None, None]
    if kind == "supervised":
        logits = model(x)
        ce = F.cross_entropy(logits, labels[None])
        p = torch.softmax(logits, 1)[0].flatten(1)
        t = F.one_hot(labels, CLASSES).permute(3, 0, 1, 2).flatten(1).to(p)
        dice = (1 - (2 * (p * t).sum(1) + 1e-5) / (p.sum(1) + t.sum(1) + 1e-5))[1:].mean()
        return dice + ce, dice, ce
    if kind == "genesis":
        seen = torch.from_numpy(distorted(image.float().numpy(), item)).to(x)[None, None]
        return (F.mse_loss(model(seen), x),)
    mask = torch.from_numpy(mask_of(0.75 if kind == "mae" else 0.6, item)).to(x)[None, None]
    if kind == "mae":
        target = normalized(image)[None, None] if normalize else x
        return (((model(x * (1 - mask)) - target) ** 2 * mask).sum() / mask.sum(),)
    seen = x * (1 - mask) + mask * model.restoration.mask_token
    return (((model(seen) - x).abs() * mask).sum() / mask.sum(),)


# ---- golden data

def model_for(kind):
    model = Model(kind)
    model.load_state_dict({n: torch.from_numpy(weight(n, tuple(p.shape))) for n, p in model.named_parameters()})
    return model


def labels_of(item):
    """Ellipsoids 1 .. CLASSES - 1, later ones above; the last is in every other crop."""
    labels = np.zeros(CROP, np.int64)
    for k in range(CLASSES - 1):
        if k < CLASSES - 2 or item % 2 == 0:
            labels[inside(CROP, k, item) > 0] = k + 1
    return labels


def inputs(n):
    return uniform(INPUTS, "crops", n * math.prod(CROP)).astype(np.float32).reshape(n, *CROP)


def run(case, dtype, layout=torch.contiguous_format):
    _, kind, normalize, steps = case
    cases = CASES if steps == 1 else 1
    model = model_for(kind).to(dtype)
    if layout != torch.contiguous_format:
        model.to(memory_format=layout)
    images = torch.from_numpy(inputs(cases * steps)).to(dtype)
    decayed = [p for p in model.parameters() if p.ndim > 1 or kind in ("genesis", "supervised")]
    others = [p for p in model.parameters() if p.ndim == 1 and kind not in ("genesis", "supervised")]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": others, "weight_decay": 0}], lr=1e-4,
                                  weight_decay=1e-4)
    out, losses = {}, []
    for step in range(steps):
        optimizer.zero_grad()
        sums = 0
        for item in range(step * cases, (step + 1) * cases):
            parts = loss_of(model, kind, images[item], torch.from_numpy(labels_of(item)), item, normalize)
            (parts[0] / cases).backward()
            sums = sums + torch.stack(parts).detach() / cases
        losses.append(sums[0].item())
        if step == 0:
            out = {"grad." + n: p.grad.clone() for n, p in model.named_parameters()}
            out.update(dict(zip(("loss", "dice", "ce"), sums)))
        norm = training.clip(list(model.parameters()))
        optimizer.step()
        if step == 0:
            out["norm"] = norm
            out.update({"after." + n: p.detach().clone() for n, p in model.named_parameters()})
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}, np.array(losses)


def in_float32(case):
    """PyTorch's float32 in each of its ways to convolve, as golden.in_float32."""
    results = [run(case, torch.float32), run(case, torch.float32, torch.channels_last_3d)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(case, torch.float32))
    return results


def stored(name):
    part, _, parameter = name.partition(".")
    own = parameter.startswith(("restoration.", "segmentation."))
    return part not in ("grad", "after") or parameter in FEW or own


def main(folder):
    out = {"channels": np.array(CHANNELS), "blocks": np.array(BLOCKS), "crop": np.array(CROP),
           "sizes": np.array([CASES, CLASSES, STEPS, PATCH, SEED])}
    for case in KINDS:
        exact, losses = run(case, torch.float64)
        singles = in_float32(case)
        print(case[0], losses, np.max([np.abs(s[1] - losses) for s in singles], 0), flush=True)
        if case[3] > 1:
            out[case[0] + ".losses"] = losses
            out[case[0] + ".drift"] = np.max([np.abs(s[1] - losses) for s in singles], 0)
            continue
        for n in filter(stored, exact):
            at = sample(n, exact[n].size)
            out[f"{case[0]}.{n}"] = exact[n][at]
            apart = [distance(s[0][n][at], exact[n][at]) for s in singles]
            norms = [np.linalg.norm(s[0][n]) for s in singles]
            norm = np.linalg.norm(exact[n])
            out[f"{case[0]}.{n}~"] = np.array([max(apart), norm, max(norms, key=lambda v: abs(v - norm))])
    save_file(out, f"{folder}/reconstruction.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
