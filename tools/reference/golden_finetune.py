"""Makes tests/golden/finetune.safetensors: one step of fine-tuning in each mode and the losses of ten,
in float64, and how far PyTorch's float32 is off.

    python golden_finetune.py OUT_FOLDER [FOLDER_OF_THE_OFFICIAL_CODE]

With the official code (Stanford-AIMI/MASS) its model takes the place of ours: all results agree to
float64's rounding. Weights and inputs are drawn as in golden.py; only results are stored.
"""

import math
import sys

import numpy as np
import torch
import training
from golden import INPUTS, SAMPLES, distance, inside, weight
from iris import Iris
from philox import uniform
from safetensors.numpy import save_file

CHANNELS, BLOCKS, CROP, K, N = (8, 16, 32, 64, 96), (1, 2, 1, 1), (32, 32, 32), 3, 2
RATE, DECAY, STEPS = 0.0005, 0.001, 10
STORED = 24  # elements of a gradient or of a stepped weight; logits: 2048


def batch(t):
    """images f32 [N,D,H,W], labels u8: class k is an ellipsoid over those before it. The last class
    is not in the first image: its mask is empty there."""
    images, labels = [], []
    for n in range(N):
        label = np.zeros(CROP, np.uint8)
        for k in range(K if n else K - 1):
            label[inside(CROP, k, 2 * t + n) == 1] = k + 1
        noise = uniform(INPUTS, f"image.{t}.{n}", math.prod(CROP)).astype(np.float32).reshape(CROP)
        image = np.float32(0.5) * noise
        for k in range(K):
            image += (label == k + 1).astype(np.float32) * np.float32(0.5 if k % 2 else -0.75)
        images.append(image)
        labels.append(label)
    return np.stack(images), np.stack(labels)


def make(dtype, official):
    """The model and its tokens, deepest first."""
    if official:
        sys.path.insert(0, official)
        from models.iris import Iris as Official
        model = Official(in_ch=1, channels=list(CHANNELS), scale=[2] * 4, kernel_size=[3] * 5,
                         block="BasicBlock", num_block=list(BLOCKS), pool=True, norm="in", tn=73,
                         num_prior_stage=3, ema_moment=0.99)
    else:
        model = Iris(CHANNELS, BLOCKS)
    state = {n: torch.from_numpy(weight(n, tuple(p.shape))) for n, p in model.named_parameters()}
    model.load_state_dict(state, strict=False)
    tokens = [torch.from_numpy(weight(f"tokens.{i}.embedding", (K, 11, CHANNELS[4 - i])))
              for i in range(3)]
    return model.to(dtype), [torch.nn.Parameter(t.to(dtype)) for t in tokens]


def losses(model, tokens, given):
    """Logits, Dice loss and cross entropy of a batch: means over its masks."""
    dtype = tokens[0].dtype
    images, labels = (torch.from_numpy(v) for v in given)
    priors = [t[None].expand(len(images), -1, -1, -1) for t in tokens]
    image = images.to(dtype)[:, None]
    if hasattr(model, "decode"):
        logits = model.decode(image, priors)
    else:
        logits = model.forward_with_encoded_prior(image, priors)
    masks = torch.stack([(labels == k + 1).to(dtype) for k in range(K)], 1)
    dice = torch.stack([training.dice_loss(logits[n:n + 1], masks[n:n + 1]) for n in range(N)]).mean()
    return logits, dice, training.bce_loss(logits, masks)


def freeze(model, mode):
    if mode == "probing":
        for part in (model.encoder, model.decoder, model.task_embedding):
            part.requires_grad_(False)


def optimizer(model, tokens):
    groups = [{"params": [p for p in model.parameters() if p.requires_grad]}, {"params": tokens}]
    return torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY)


def one(mode, dtype, official):
    model, tokens = make(dtype, official)
    freeze(model, mode)
    adamw = optimizer(model, tokens)
    logits, dice, bce = losses(model, tokens, batch(0))
    loss = dice + bce
    loss.backward()
    named = {n: p for n, p in model.named_parameters() if p.grad is not None}
    named.update({f"tokens.{i}": t for i, t in enumerate(tokens)})
    out = {"logits": logits, "dice": dice, "bce": bce, "loss": loss}
    out.update({"grad." + n: p.grad.clone() for n, p in named.items()})
    out["norm"] = training.clip([p for p in model.parameters() if p.grad is not None])
    adamw.step()
    out.update({"after." + n: p for n, p in named.items()})
    return {n: v.detach().double().numpy().reshape(-1) for n, v in out.items()}


def ten(dtype, official):
    model, tokens = make(dtype, official)
    adamw, curve = optimizer(model, tokens), []
    for t in range(STEPS):
        adamw.zero_grad()
        _, dice, bce = losses(model, tokens, batch(t))
        (dice + bce).backward()
        training.clip([p for p in model.parameters() if p.grad is not None])
        adamw.step()
        curve.append(float(dice + bce))
    return np.array(curve)


def in_float32(run, *words):
    """As in golden.py, PyTorch's two ways to convolve in the layout that it has by itself."""
    results = [run(*words)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(*words))
    return results


def key(mode, name):
    """grad.full.NAME, full.logits; grad.full is the norm, which is as uncertain as gradients are."""
    if name == "norm":
        return f"grad.{mode}"
    kind, dot, rest = name.partition(".")
    return f"{kind}.{mode}.{rest}" if dot else f"{mode}.{name}"


def sample(name, count):
    most = 2048 if name == "logits" else STORED
    if count <= most:
        return np.arange(count)
    return ((uniform(SAMPLES, name, most) + 1.0) * 0.5 * count).astype(np.int64)


if __name__ == "__main__":
    folder, official = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    out = {"channels": np.array(CHANNELS, np.int64), "blocks": np.array(BLOCKS, np.int64),
           "crop": np.array(CROP, np.int64), "masks": np.array([K], np.int64)}
    for mode in ("full", "probing"):
        exact = one(mode, torch.float64, official)
        singles = in_float32(one, mode, torch.float32, official)
        for n, values in exact.items():
            at = sample(n, values.size)
            norms, norm = [np.linalg.norm(s[n]) for s in singles], np.linalg.norm(values)
            out[key(mode, n)] = values[at]
            out[key(mode, n) + "~"] = np.array([max(distance(s[n][at], values[at]) for s in singles), norm,
                                            max(norms, key=lambda v: abs(v - norm))])
        print(mode, len(exact), "loss", exact["loss"], "norm", exact["norm"])
    curve = ten(torch.float64, official)
    curves = in_float32(ten, torch.float32, official)
    out["curve"] = curve
    out["curve~"] = np.max([np.abs(c - curve) for c in curves], 0)
    print("curve", curve, "float32 off by", out["curve~"])
    save_file(out, f"{folder}/finetune.safetensors")
