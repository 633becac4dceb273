"""Makes tests/golden/baselines.safetensors: losses, gradients and steps of the methods of baselines.py, in float64.

    python golden_baselines.py OUT_FOLDER [METHOD...]

Where methods are named, the file's results of the others stay.
Beside each result: how far PyTorch's float32 is off. Weights and images are drawn (philox.py), so only results are
stored. tests/golden/test_baselines.c draws the same.
"""

import math
import sys

import numpy as np
import torch
import training
from baselines import Dino, MoCo2, MoCo3, NormedProjection, SimClr, cosine
from golden import INPUTS, distance, sample
from golden_i3d import drawn
from philox import uniform
from safetensors.numpy import load_file, save_file

CHANNELS, BLOCKS, CROP, PAIRS, STEPS = (4, 8, 32, 32, 32), (1, 1, 1, 1), (32, 32, 32), 3, 10
QUEUE, DIM = 10, 16  # no multiple of PAIRS: the queue wraps around within a batch
RATE, DECAY = 0.002, 1e-5
I3D, I3D_CROP = (2, (1, 1, 1, 1)), (64, 32, 32)  # width and bottlenecks; four voxels in the deepest map
PAIRS_OF = {"moco3": 6}  # more, for batch norms over the pairs
STEPS_OF = {"simclr_same": 1, "moco2_same": 3, "simclr_i3d": 3, "moco2_i3d": 3, "dino_i3d": 3}
# Number of the first batch: one without a value at the kink of a ReLU, where float32 tips over.
FIRST = {"moco3": 300, "dino_norm": 300}


def queue():
    u = uniform(INPUTS, "queue", QUEUE * DIM).reshape(QUEUE, DIM)
    return torch.from_numpy((u / np.linalg.norm(u, axis=1, keepdims=True)).astype(np.float32))


METHODS = {"simclr": lambda: SimClr(CHANNELS, BLOCKS), "simclr_same": lambda: SimClr(CHANNELS, BLOCKS, scans=[0, 1, 0]),
           "simclr_norm": lambda: SimClr(CHANNELS, BLOCKS, projection=NormedProjection),
           "moco2": lambda: MoCo2(CHANNELS, BLOCKS, queue()),
           "moco2_same": lambda: MoCo2(CHANNELS, BLOCKS, queue(), scans=[0, 1, 0]),
           "moco3": lambda: MoCo3(CHANNELS, BLOCKS),
           "dino": lambda: Dino(CHANNELS, BLOCKS), "dino_norm": lambda: Dino(CHANNELS, BLOCKS, norm=True),
           "simclr_i3d": lambda: SimClr(CHANNELS, BLOCKS, i3d=I3D),
           "moco2_i3d": lambda: MoCo2(CHANNELS, BLOCKS, queue(), i3d=I3D),
           "dino_i3d": lambda: Dino(CHANNELS, BLOCKS, i3d=I3D)}
# Of the averages (momentum encoder, teacher) these are stored.
AVERAGED = ("encoder.inc.conv1.weight", "encoder.conv1.weight", "encoder.layer4.0.bn3.running_mean")


def images(name, step):
    """Reference and query of each pair of a step, [pairs,1,D,H,W]: two noisy views of one drawn scan."""
    pairs = PAIRS_OF.get(name, PAIRS)
    step += FIRST.get(name, 0)
    crop = I3D_CROP if name.endswith("_i3d") else CROP
    n = pairs * math.prod(crop)
    scan, noise = (uniform(INPUTS, f"{what}{step}", k).astype(np.float32) for what, k in (("scans", n), ("noise", 2 * n)))
    two = np.float32(0.5) * scan + np.float32(0.25) * noise.reshape(2, n)
    return [torch.from_numpy(v).reshape(pairs, 1, *crop) for v in two]


def named(model):
    """Parameters by the names of massflow, those of a fast tower without its own."""
    return {n.removeprefix("fast."): p for n, p in model.named_parameters() if not n.startswith("slow.")}


def statistics(model):
    """The running statistics of an I3D, by such names."""
    return {n.removeprefix("fast."): b for n, b in model.named_buffers() if "encoder." in n and "running" in n
            and not n.startswith("slow.")}


def model_for(name, dtype):
    model = METHODS[name]()
    with torch.no_grad():
        for n, p in {**named(model), **statistics(model)}.items():
            p.copy_(torch.from_numpy(drawn(n, tuple(p.shape))))
    return model.to(dtype)


def decay_of(name, step, parameter):
    """DINO's weight decay rises, and vectors have none."""
    if not name.startswith("dino"):
        return DECAY
    return cosine(step, STEPS, 0.04, 0.4) if parameter.dim() > 1 else 0


def run(name, dtype, steps, layout=torch.contiguous_format):
    model = model_for(name, dtype)
    parameters = named(model)
    if layout != torch.contiguous_format:
        model.to(memory_format=layout)
    states = {n: [torch.zeros_like(p), torch.zeros_like(p)] for n, p in parameters.items()}
    first = {n: p.detach().clone() for n, p in {**parameters, **statistics(model)}.items()}
    out, losses = {}, []
    for step in range(steps):
        for p in parameters.values():
            p.grad = None
        loss = model(*(v.to(dtype) for v in images(name, step)))
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out = {"grad." + n: p.grad.clone() for n, p in parameters.items()}
            out["loss"] = loss.detach()
        learning = {n: p for n, p in parameters.items() if model.learns(n, step, STEPS)}
        norm = training.clip(list(learning.values()))
        for n, p in learning.items():
            training.lamb_step(p.data, p.grad, states[n], RATE, decay=decay_of(name, step, p))
        model.after(step, STEPS)
        if step == 0:
            out["norm"] = norm
            out.update({"after." + n: p.detach().clone() for n, p in {**parameters, **statistics(model)}.items()})
            if hasattr(model, "slow") and model.slow is not None:
                out.update({"slow." + n: p.detach() - first[n] for n, p in model.slow.state_dict().items()
                            if n in AVERAGED})
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}, np.array(losses)


def in_float32(name, steps):
    """PyTorch's float32 in each of its ways to convolve, as golden.in_float32."""
    results = [run(name, torch.float32, steps), run(name, torch.float32, steps, torch.channels_last_3d)]
    with torch.backends.mkldnn.flags(enabled=False):
        results.append(run(name, torch.float32, steps))
    return results


def stored(name, value):
    """Of a variant a few values say enough."""
    return not name.endswith("_same") or value in ("loss", "grad.head.fc1.weight", "grad.encoder.inc.conv1.weight")


def main(folder, *names):
    file = f"{folder}/baselines.safetensors"
    out = load_file(file) if names else {}
    out.update({"channels": np.array(CHANNELS), "blocks": np.array(BLOCKS), "crop": np.array(CROP),
                "sizes": np.array([PAIRS, STEPS, QUEUE, DIM])})
    for name in names or METHODS:
        steps = STEPS_OF.get(name, STEPS)
        exact, losses = run(name, torch.float64, steps)
        singles = in_float32(name, steps)
        if steps > 1:
            out[name + ".losses"] = losses
            out[name + ".drift"] = np.max([np.abs(s[1] - losses) for s in singles], 0)
            print(name, losses, out[name + ".drift"])
        for n in filter(lambda n: stored(name, n), exact):
            at = sample(n, exact[n].size)
            out[f"{name}.{n}"] = exact[n][at].astype(np.float64)
            apart = [distance(s[0][n][at], exact[n][at]) for s in singles]
            norms = [np.linalg.norm(s[0][n]) for s in singles]
            norm = np.linalg.norm(exact[n])
            out[f"{name}.{n}~"] = np.array([max(apart), norm, max(norms, key=lambda v: abs(v - norm))])
    save_file(out, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
