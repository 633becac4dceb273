"""Makes tests/golden/*.safetensors: what PyTorch computes in float64, and how far its float32 is off.

    python golden.py OUT_FOLDER

Weights and inputs are drawn (philox.py), so only results are stored: small tensors whole, of large
ones a drawn sample of elements. tests/golden/test_golden.c draws the same.
"""

import math
import sys

import numpy as np
import torch
import training
from iris import Iris
from philox import uniform
from safetensors.numpy import save_file

# name, channels, blocks, crop (z y x), masks
SIZES = [("iris_small", (8, 16, 32, 64, 96), (2, 2, 2, 2), (32, 32, 32), 3),
         ("iris_wide", (16, 32, 32, 64, 128), (1, 2, 3, 1), (32, 48, 16), 5)]
WEIGHTS, INPUTS, SAMPLES = 1, 2, 3  # seeds


def weight(name, shape):
    """f32; every product is by a power of two or is the only rounding, so C draws the same bits."""
    u = uniform(WEIGHTS, name, math.prod(shape)).astype(np.float32)
    if len(shape) == 1:
        u = np.float32(1) + np.float32(0.25) * u if name.endswith("weight") else np.float32(0.125) * u
    elif name.endswith("embedding"):
        u *= np.float32(1.75)
    else:
        u *= np.float32(math.sqrt(3.0 / math.prod(shape[1:])))
    return u.reshape(shape)


def inside(crop, k, shift):
    """u8 [D,H,W]: ellipsoid k, in integers; the last mask of a sample is the whole crop."""
    z, y, x = np.meshgrid(*[np.arange(n) for n in crop], indexing="ij")
    center = [crop[a] // 2 + ((k * (3 + a) + shift) % 7 - 3) * crop[a] // 16 for a in range(3)]
    half = [max(2, crop[a] // (3 + (k + a) % 3)) for a in range(3)]
    r = sum(((v - c) * 64 // h) ** 2 for v, c, h in zip((z, y, x), center, half))
    return (r < 4096).astype(np.uint8)


def inputs(crop, k):
    out = {}
    for shift, name in enumerate(("target", "reference")):
        masks = np.stack([inside(crop, i, shift) for i in range(k - 1)] + [np.ones(crop, np.uint8)])
        noise = uniform(INPUTS, name, math.prod(crop)).astype(np.float32).reshape(crop)
        image = np.float32(0.5) * noise
        for i in range(k - 1):
            image += masks[i].astype(np.float32) * np.float32(0.5 if i % 2 else -0.75)
        out[name], out[name + "_masks"] = image, masks
    return out


def run(model, given, dtype, layout=torch.contiguous_format):
    """Everything that tools/parity writes, in float64 numpy."""
    model = model.to(dtype)
    t = {n: torch.from_numpy(v).to(dtype)[None] for n, v in given.items()}
    if layout != torch.contiguous_format:
        model.encoder.to(memory_format=layout)
        model.decoder.to(memory_format=layout)
    logits, seen = model(t["target"][None], t["reference"][None], t["reference_masks"])
    dice, bce = training.dice_loss(logits, t["target_masks"]), training.bce_loss(logits, t["target_masks"])
    seen.update(dice=dice, bce=bce, loss=dice + bce)
    (dice + bce).backward()
    out = {n: v.detach() for n, v in seen.items()}
    parameters = dict(model.named_parameters())
    out.update({"grad." + n: p.grad.clone() for n, p in parameters.items()})
    out["norm"] = training.clip(list(parameters.values()))
    for n, p in parameters.items():
        training.lamb_step(p.data, p.grad, [torch.zeros_like(p), torch.zeros_like(p)], 0.002)
        out["after." + n] = p.data
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}


def most(name):
    """How many elements of a tensor are stored."""
    return 96 if name.startswith("after.") else 192 if name.startswith("grad.") else 2048


def sample(name, count):
    """Which elements: all of a small tensor, else drawn ones (some twice)."""
    if count <= most(name):
        return np.arange(count)
    unit = (uniform(SAMPLES, name, most(name)) + 1.0) * 0.5
    return (unit * count).astype(np.int64)


def distance(a, b):
    norm = np.linalg.norm(b)
    return np.linalg.norm(a - b) / norm if norm > 0 else np.linalg.norm(a - b)


def model_for(channels, blocks):
    model = Iris(channels, blocks)
    state = {n: torch.from_numpy(weight(n, tuple(p.shape))) for n, p in model.named_parameters()}
    model.load_state_dict(state, strict=False)
    return model


def in_float32(channels, blocks, given):
    """PyTorch's float32 in each of its ways to convolve: oneDNN, without it, channels last. One run
    says little: which ReLUs and maxima tip over, and so how far gradients lie off, is chance."""
    results = [run(model_for(channels, blocks), given, torch.float32)]
    results.append(run(model_for(channels, blocks), given, torch.float32, torch.channels_last_3d))
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(model_for(channels, blocks), given, torch.float32))
    return results


def iris(channels, blocks, crop, k):
    given = inputs(crop, k)
    exact = run(model_for(channels, blocks), given, torch.float64)
    singles = in_float32(channels, blocks, given)
    out = {"channels": np.array(channels, np.int64), "blocks": np.array(blocks, np.int64),
           "crop": np.array(crop, np.int64),
           "masks": np.array([k], np.int64)}
    for n in exact:
        at = sample(n, exact[n].size)
        out[n] = exact[n][at]
        # PyTorch's float32 from float64 on these elements, at most; norms of the whole tensor.
        apart = [distance(s[n][at], exact[n][at]) for s in singles]
        norms = [np.linalg.norm(s[n]) for s in singles]
        norm = np.linalg.norm(exact[n])
        out[n + "~"] = np.array([max(apart), norm, max(norms, key=lambda v: abs(v - norm)), *apart])
    return out


def head():
    """The pooled classifier: two batches of feature maps, one step of AdamW."""
    out, n, c, classes, size = {}, 6, 32, 3, (3, 4, 2)
    x = uniform(INPUTS, "features", n * c * math.prod(size)).astype(np.float32).reshape(n, c, *size)
    target = np.arange(n) % classes
    for kind in ("attention", "mean", "max"):
        results = []
        for dtype in (torch.float64, torch.float32):
            model = training.Head(c, classes, kind)
            model.load_state_dict({k: torch.from_numpy(weight("head." + k, tuple(v.shape)))
                                   for k, v in model.state_dict().items()})
            model = model.to(dtype)
            pooled, logits = model(torch.from_numpy(x).to(dtype))
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(target))
            loss.backward()
            r = {"pooled": pooled, "logits": logits, "loss": loss}
            r.update({"grad." + k: p.grad.clone() for k, p in model.named_parameters()})
            torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4).step()
            r.update({"after." + k: p for k, p in model.named_parameters()})
            results.append({k: v.detach().double().numpy().reshape(-1) for k, v in r.items()})
        for k, exact in results[0].items():
            out[f"{kind}.{k}"] = exact
            out[f"{kind}.{k}~"] = np.array([distance(results[1][k], exact), np.linalg.norm(exact),
                                            np.linalg.norm(results[1][k])])
    out["shape"] = np.array([n, c, *size, classes], np.int64)
    return out


def window():
    """A volume larger than its windows along two axes and smaller along the third."""
    channels, blocks, crop, k, size = *SIZES[0][1:3], (32, 32, 32), 2, (40, 24, 48)
    out = {"channels": np.array(channels, np.int64), "blocks": np.array(blocks, np.int64),
           "crop": np.array(crop, np.int64),
           "masks": np.array([k], np.int64), "size": np.array(size, np.int64)}
    given = inputs(crop, k)
    image = uniform(INPUTS, "image", math.prod(size)).astype(np.float32).reshape(size)
    results = []
    for dtype in (torch.float64, torch.float32):
        model = model_for(channels, blocks).to(dtype)
        t = {n: torch.from_numpy(v).to(dtype)[None] for n, v in given.items()}
        with torch.no_grad():
            priors = model.encode(t["reference"][None], t["reference_masks"])
            p = training.sliding_window(model, torch.from_numpy(image).to(dtype), priors, crop)
        results.append(p.double().numpy().reshape(-1))
    at = sample("probability", results[0].size)
    out["probability"] = results[0][at]
    out["probability~"] = np.array([distance(results[1][at], results[0][at]),
                                    np.linalg.norm(results[0]), np.linalg.norm(results[1])])
    return out


if __name__ == "__main__":
    folder = sys.argv[1]
    for name, channels, blocks, crop, k in SIZES:
        save_file(iris(channels, blocks, crop, k), f"{folder}/{name}.safetensors")
    save_file(head(), f"{folder}/head.safetensors")
    save_file(window(), f"{folder}/window.safetensors")
