"""Makes tests/golden/segment.safetensors: embeddings averaged over labelled images, and a volume in
evaluate.py's windows, in float64, and how far PyTorch's float32 is off.

    python golden_segment.py OUT_FOLDER

Weights and inputs are drawn as in golden.py; tests/golden/test_segment.c draws the same.
"""

import math
import sys

import numpy as np
import segmenting
import torch
from golden import INPUTS, SIZES, distance, inputs, inside, model_for, sample
from philox import uniform
from safetensors.numpy import save_file

CHANNELS, BLOCKS, CROP = SIZES[0][1], SIZES[0][2], (32, 32, 32)
SIZE, IMAGES = (40, 24, 48), 3


def labelled():
    """Images [N, SIZE] of noise, and labels 1 and 2; the last image has no label 2."""
    images = uniform(INPUTS, "images", IMAGES * math.prod(SIZE)).astype(np.float32).reshape(IMAGES, *SIZE)
    labels = np.zeros((IMAGES, *SIZE), np.uint8)
    for n in range(IMAGES):
        labels[n][inside(SIZE, 1, n) > 0] = 1
        if n + 1 < IMAGES:
            labels[n][inside(SIZE, 4, n) > 0] = 2
    return images, labels


def run(dtype):
    model = model_for(CHANNELS, BLOCKS).to(dtype)
    images, labels = labelled()
    out = {}
    for form in ("mean", "middle"):
        tokens = segmenting.average(model, torch.from_numpy(images).to(dtype), torch.from_numpy(labels), CROP,
                                    form == "middle")
        out.update({f"{form}.tokens.{i}": t for i, t in enumerate(tokens)})
    given = inputs(CROP, 2)
    with torch.no_grad():
        priors = model.encode(torch.from_numpy(given["reference"]).to(dtype)[None, None],
                              torch.from_numpy(given["reference_masks"]).to(dtype)[None])
    image = uniform(INPUTS, "image", math.prod(SIZE)).astype(np.float32).reshape(SIZE)
    out["uniform.probability"] = segmenting.uniform_window(model, torch.from_numpy(image).to(dtype), priors, CROP)
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}


if __name__ == "__main__":
    exact, single = run(torch.float64), run(torch.float32)
    out = {"channels": np.array(CHANNELS, np.int64), "blocks": np.array(BLOCKS, np.int64),
           "crop": np.array(CROP, np.int64), "masks": np.array([2], np.int64), "size": np.array(SIZE, np.int64),
           "images": np.array([IMAGES], np.int64)}
    for n, v in exact.items():
        stored = n.split(".", 1)[1]  # which elements: by the name that tools/parity gives it
        at = sample(stored, v.size)
        out[n] = v[at]
        out[n + "~"] = np.array([distance(single[n][at], v[at]), np.linalg.norm(v), np.linalg.norm(single[n])])
    save_file(out, f"{sys.argv[1]}/segment.safetensors")
