"""Makes tests/golden/i3d.safetensors: MASS with a small I3D as its encoder, in float64, and how far
PyTorch's float32 is off: a forward and backward pass, one step, and the running statistics after it;
and the same with frozen batch norms.

    python golden_i3d.py OUT_FOLDER

Weights and inputs are drawn as in golden.py; only results are stored, of the encoder and what joins it
to the decoder: the rest of the model is in iris_*.safetensors.
"""

import sys

import golden
import numpy as np
import torch
from i3d import IrisI3D, check, follow
from safetensors.numpy import save_file

CHANNELS, BLOCKS, WIDTH, STAGES = (8, 16, 32, 32, 64), (1, 1, 1, 1), 4, (1, 2, 1, 1)
CROP, K = (32, 64, 48), 2
LEAST = 40  # elements of a gradient or of a stepped weight


def drawn(name, shape):
    """A variance is drawn as a gain."""
    if not name.endswith("running_var"):
        return golden.weight(name, shape)
    u = golden.uniform(golden.WEIGHTS, name, shape[0]).astype(np.float32)
    return np.float32(1) + np.float32(0.25) * u


def model_for(frozen):
    model = IrisI3D(CHANNELS, BLOCKS, WIDTH, STAGES)
    model.load_state_dict({n: torch.from_numpy(drawn(n, tuple(p.shape)))
                           for n, p in model.state_dict().items()
                           if not n.startswith("task_prior") and not n.endswith("tracked")},
                          strict=False)
    return model.eval() if frozen else model.train()


def run(frozen, given, dtype, layout=torch.contiguous_format):
    model = model_for(frozen)
    out = golden.run(model, given, dtype, layout)
    follow(model)
    for name, value in model.named_buffers():
        if "running" in name:
            out["after." + name] = value.double().numpy().reshape(-1)
    return {n: v for n, v in out.items()
            if "." not in n or n.split(".", 1)[1].startswith(("encoder.", "decoder.lateral."))}


def in_float32(frozen, given):
    results = [run(frozen, given, torch.float32),
               run(frozen, given, torch.float32, torch.channels_last_3d)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(frozen, given, torch.float32))
    return results


def most(name):
    return LEAST if "." in name else 1024


def sample(name, count):
    """golden.sample with fewer elements."""
    if count <= most(name):
        return np.arange(count)
    unit = (golden.uniform(golden.SAMPLES, name, most(name)) + 1.0) * 0.5
    return (unit * count).astype(np.int64)


def results(prefix, frozen, out):
    given = golden.inputs(CROP, K)
    exact, singles = run(frozen, given, torch.float64), in_float32(frozen, given)
    for n, value in exact.items():
        if frozen and n.startswith(("after", "prior", "posterior", "decoder")):
            continue
        at = sample(n, value.size)
        apart = [golden.distance(s[n][at], value[at]) for s in singles]
        lengths, length = [np.linalg.norm(s[n]) for s in singles], np.linalg.norm(value)
        out[prefix + n] = value[at]
        out[prefix + n + "~"] = np.array(
            [max(apart), length, max(lengths, key=lambda v: abs(v - length)), *apart])


if __name__ == "__main__":
    check()
    out = {"channels": np.array(CHANNELS, np.int64), "blocks": np.array(BLOCKS, np.int64),
           "crop": np.array(CROP, np.int64), "masks": np.array([K], np.int64),
           "i3d": np.array([WIDTH, *STAGES], np.int64)}
    results("", False, out)
    results("frozen.", True, out)
    save_file(out, f"{sys.argv[1]}/i3d.safetensors")
