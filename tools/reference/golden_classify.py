"""Makes tests/golden/classify.safetensors: steps of a classifier above a trained encoder, in float64.

    python golden_classify.py OUT_FOLDER

Beside each result: how far PyTorch's float32 is off. Weights and images are drawn (philox.py), so only results
are stored; of most kinds of head a few tensors stand for the rest. tests/golden/test_classify.c draws the same.
"""

import math
import sys

import numpy as np
import torch
import training
from golden import INPUTS, distance, sample, weight
from iris import Encoder
from philox import uniform
from safetensors.numpy import save_file
from torch.nn import functional as F

CHANNELS, BLOCKS, CROP, CASES, CLASSES, STEPS = (8, 16, 32, 64, 96), (1, 1, 2, 1), (32, 48, 32), 4, 3, 10
CLASS_WEIGHTS, POS_WEIGHT = [0.5, 2.0, 1.25], [3.0, 0.25, 1.0]
# name, pooling, multi-label, steps
KINDS = [("attention", "attention", False, 1), ("mean", "mean", False, 1), ("max", "max", False, 1),
         ("none", "none", False, 1), ("multi", "attention", True, 1), ("ten", "attention", False, STEPS)]
WHOLE = ("attention", "multi")  # of which all gradients are stored
FEW = ("encoder.inc.conv1.weight", "encoder.down2.conv.1.shortcut.conv.weight",
       "encoder.down4.conv.1.conv2.conv.weight")


class Classifier(torch.nn.Module):
    """Encoder, then a head as training.Head has it; without pooling the map is flattened voxel by voxel."""

    def __init__(self, pooling):
        super().__init__()
        self.encoder = Encoder(CHANNELS, BLOCKS)
        sites = math.prod(n // 16 for n in CROP)
        head = training.Head(CHANNELS[4] * (sites if pooling == "none" else 1), CLASSES, pooling)
        if pooling == "attention":
            self.pool = head.pool
        self.fc = head.fc
        self.pooling = pooling

    def forward(self, images):
        x = self.encoder(images)[0]
        if self.pooling == "attention":
            x = self.pool(x)
        elif self.pooling == "none":
            x = x.permute(0, 2, 3, 4, 1).flatten(1)
        else:
            x = x.flatten(2).mean(2) if self.pooling == "mean" else x.flatten(2).amax(2)
        return self.fc(x)


def model_for(pooling):
    model = Classifier(pooling)
    model.load_state_dict({n: torch.from_numpy(weight(n, tuple(p.shape))) for n, p in model.named_parameters()})
    return model


def inputs(multi, steps):
    n = CASES * steps
    images = uniform(INPUTS, "images", n * math.prod(CROP)).astype(np.float32).reshape(n, 1, *CROP)
    if not multi:
        return images, np.arange(n) % CLASSES
    return images, ((np.arange(n)[:, None] >> np.arange(CLASSES)) & 1).astype(np.float32)


def run(kind, dtype, layout=torch.contiguous_format):
    """Everything that tools/parity classify writes, in float64 numpy."""
    _, pooling, multi, steps = kind
    images, target = inputs(multi, steps)
    model = model_for(pooling).to(dtype)
    if layout != torch.contiguous_format:
        model.encoder.to(memory_format=layout)
    images, target = torch.from_numpy(images).to(dtype), torch.from_numpy(target)
    optimizer = torch.optim.AdamW([{"params": model.encoder.parameters(), "lr": 1e-5},
                                   {"params": [p for n, p in model.named_parameters() if n[:8] != "encoder."],
                                    "lr": 1e-4}], weight_decay=1e-4)
    out, losses = {}, []
    for step in range(steps):
        part = slice(step * CASES, (step + 1) * CASES)
        optimizer.zero_grad()
        logits = model(images[part])
        if multi:
            loss = F.binary_cross_entropy_with_logits(logits, target[part].to(dtype),
                                                      pos_weight=torch.tensor(POS_WEIGHT, dtype=dtype))
        else:
            loss = F.cross_entropy(logits, target[part], weight=torch.tensor(CLASS_WEIGHTS, dtype=dtype))
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out = {"grad." + n: p.grad.clone() for n, p in model.named_parameters()}
            out.update(logits=logits.detach(), loss=loss.detach())
        norm = training.clip(list(model.parameters()))
        optimizer.step()
        if step == 0:
            out["norm"] = norm
            out.update({"after." + n: p.detach().clone() for n, p in model.named_parameters()})
    out = {n: v.double().numpy().reshape(-1) for n, v in out.items()}
    return out, np.array(losses)


def in_float32(kind):
    """PyTorch's float32 in each of its ways to convolve, as golden.in_float32."""
    results = [run(kind, torch.float32), run(kind, torch.float32, torch.channels_last_3d)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(kind, torch.float32))
    return results


def stored(kind, name):
    part, _, parameter = name.partition(".")
    return part not in ("grad", "after") or kind in WHOLE or parameter in FEW or parameter[:8] != "encoder."


def main(folder):
    out = {"channels": np.array(CHANNELS), "blocks": np.array(BLOCKS), "crop": np.array(CROP),
           "sizes": np.array([CASES, CLASSES, STEPS])}
    for kind in KINDS:
        exact, losses = run(kind, torch.float64)
        singles = in_float32(kind)
        if kind[3] > 1:
            out[kind[0] + ".losses"] = losses
            out[kind[0] + ".drift"] = np.max([np.abs(s[1] - losses) for s in singles], 0)
            print(kind[0], losses, out[kind[0] + ".drift"])
            continue
        for n in filter(lambda n: stored(kind[0], n), exact):
            at = sample(n, exact[n].size)
            out[f"{kind[0]}.{n}"] = exact[n][at]
            apart = [distance(s[0][n][at], exact[n][at]) for s in singles]
            norms = [np.linalg.norm(s[0][n]) for s in singles]
            norm = np.linalg.norm(exact[n])
            out[f"{kind[0]}.{n}~"] = np.array([max(apart), norm, max(norms, key=lambda v: abs(v - norm))])
    save_file(out, f"{folder}/classify.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
