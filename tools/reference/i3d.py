"""I3D-ResNet as the encoder of Iris, in PyTorch: the yardstick of massflow's own.

Written from facts (torchvision's names and numbers of a ResNet with bottlenecks, filters inflated over
depth), not from code. Runs in float64 as in float32. Needs only torch.

    python i3d.py make FOLDER [--width 64] [--blocks 3 8 36 3] [--crop 32 64 64] [--frozen]
    tools/parity i3d FOLDER/weights.safetensors FOLDER/in.safetensors FOLDER/out.safetensors
    python i3d.py judge FOLDER

make draws weights and an image and computes all results in float64 and in float32; judge compares what
massflow computed. With --frozen, tools/parity gets --freeze 1.
"""

import argparse
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
import training
from iris import LEVELS, Iris
from safetensors.numpy import load_file, save_file
from torch import nn

MOMENTUM = 0.1


class Norm(nn.BatchNorm3d):
    """BatchNorm3d whose running statistics move once a step (`follow`), to the mean of what the passes
    of the step found; with one pass a step that is what BatchNorm3d does."""

    def __init__(self, channels):
        super().__init__(channels, momentum=MOMENTUM)
        self.passes = []

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            axes = (0, 2, 3, 4)
            self.passes.append((x.mean(axes), x.var(axes, unbiased=True)))
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0, self.eps)

    @torch.no_grad()
    def follow(self):
        for buffer, found in zip((self.running_mean, self.running_var), zip(*self.passes)):
            buffer.mul_(1 - MOMENTUM).add_(torch.stack(found).mean(0), alpha=MOMENTUM)
        self.passes = []


class Bottleneck(nn.Module):
    def __init__(self, i, width, stride, first):
        super().__init__()
        self.conv1 = nn.Conv3d(i, width, 1, bias=False)
        self.bn1 = Norm(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, 1, bias=False)
        self.bn2 = Norm(width)
        self.conv3 = nn.Conv3d(width, 4 * width, 1, bias=False)
        self.bn3 = Norm(4 * width)
        if first:
            self.downsample = nn.Sequential(nn.Conv3d(i, 4 * width, 1, stride, bias=False),
                                            Norm(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class I3D(nn.Module):
    """The axis that video has as time is z: [B,1,D,H,W]."""

    def __init__(self, width, blocks):
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = Norm(width)
        i = width
        for stage, count in enumerate(blocks):
            w, layer = width << stage, []
            for n in range(count):
                layer.append(Bottleneck(i, w, 2 if stage and not n else 1, not n))
                i = 4 * w
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))

    def forward(self, image):
        """The maps, shallowest first."""
        x = F.relu(self.bn1(self.conv1(image.expand(-1, 3, -1, -1, -1))))
        maps = [x]
        x = F.max_pool3d(x, 3, 2, 1)
        for stage in range(4):
            x = getattr(self, f"layer{stage + 1}")(x)
            maps.append(x)
        return maps


class Joined(nn.Module):
    """The I3D with what brings its maps to the decoder's channels and grids, deepest first."""

    def __init__(self, encoder, lateral):
        super().__init__()
        self.parts = [encoder, lateral]  # a list: they belong to others

    def forward(self, image):
        features = []
        for depth, x in enumerate(self.parts[0](image)):
            size = [n >> depth for n in image.shape[2:]]
            x = self.parts[1][4 - depth](x)
            features.insert(0, F.interpolate(x, size=size, mode="trilinear", align_corners=True))
        return features


class IrisI3D(Iris):
    def __init__(self, channels, blocks, width, stages):
        super().__init__(channels, blocks)
        self.encoder = I3D(width, stages)
        widths = [width] + [4 * width << stage for stage in range(4)]
        self.decoder.lateral = nn.ModuleList(
            [nn.Conv3d(widths[4 - i], channels[4 - i], 1) for i in range(5)])
        self.joined = Joined(self.encoder, self.decoder.lateral)

    def encode(self, reference, masks):
        features = self.joined(reference)
        return [self.task_embedding[i](features[i], masks) for i in range(LEVELS)]

    def forward(self, target, reference, masks):
        encoder, self.encoder = self.encoder, self.joined
        try:
            return super().forward(target, reference, masks)
        finally:
            self.encoder = encoder


def norms(model):
    return [m for m in model.modules() if isinstance(m, Norm)]


def follow(model):
    for norm in norms(model):
        if norm.passes:
            norm.follow()


def inflate(weight, depth, how):
    """[O,I,h,w] -> [O,I,depth,h,w]: the filter in the middle slice, or a part of it in each."""
    if how == "center":
        out = weight.new_zeros(*weight.shape[:2], depth, *weight.shape[2:])
        out[:, :, depth // 2] = weight
        return out
    return weight[:, :, None].repeat(1, 1, depth, 1, 1) / depth


def check():
    """One pass a step is BatchNorm3d."""
    torch.manual_seed(1)
    x, ours, theirs = torch.randn(2, 5, 3, 4, 2).double(), Norm(5).double(), nn.BatchNorm3d(5).double()
    for _ in range(3):
        assert torch.allclose(ours(x), theirs(x), rtol=1e-12, atol=1e-12)
        ours.follow()
    for name, value in theirs.state_dict().items():
        if name != "num_batches_tracked":
            assert torch.allclose(ours.state_dict()[name], value, rtol=1e-12), name
    w = torch.randn(2, 3, 7, 7)
    assert torch.allclose(inflate(w, 3, "repeat").sum(2), w, atol=1e-6)
    assert torch.equal(inflate(w, 3, "center").sum(2), w)


def draw(width, blocks, seed=1):
    """An I3D as torchvision draws one, with norms that are not trivial. The last norm of a bottleneck
    gets a small gain, as it has in a trained network: else the sum of 50 of them grows."""
    torch.manual_seed(seed)
    model = I3D(width, blocks)
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        u = torch.rand(p.shape) * 2 - 1 if p.ndim else None
        if p.ndim == 5:
            nn.init.kaiming_normal_(p, mode="fan_out", nonlinearity="relu")
        elif name.endswith(("weight", "running_var")):
            p.data = (1 + 0.25 * u) * (0.25 if "bn3.weight" in name else 1)
        elif p.ndim:
            p.data = 0.125 * u
    return model


def run(model, image, gradient, dtype, frozen):
    model = model.to(dtype).train(not frozen)
    maps = model(torch.from_numpy(image).to(dtype)[None, None])
    loss = (maps[-1] * torch.from_numpy(gradient).to(dtype)[None]).sum()
    loss.backward()
    out = {f"map{i}": m.detach() for i, m in enumerate(maps)}
    out["loss"] = loss.detach()
    parameters = dict(model.named_parameters())
    out.update({"grad.encoder." + n: p.grad.clone() for n, p in parameters.items()})
    out["norm"] = training.clip(list(parameters.values()))
    for n, p in parameters.items():
        training.lamb_step(p.data, p.grad, [torch.zeros_like(p), torch.zeros_like(p)], 0.002)
        out["after.encoder." + n] = p.data
    follow(model)
    out.update({"after.encoder." + n: b for n, b in model.named_buffers() if "running" in n})
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}


def make(o):
    at = lambda name: os.path.join(o.folder, name)  # noqa: E731
    os.makedirs(o.folder, exist_ok=True)
    rng = np.random.default_rng(2)
    image = rng.standard_normal(o.crop).astype(np.float32)
    model = draw(o.width, o.blocks)
    sizes = [-(-n // s) for n, s in zip(o.crop, (16, 32, 32))]
    gradient = rng.standard_normal([32 * o.width, *sizes]).astype(np.float32)
    save_file({"encoder." + n: v.numpy() for n, v in model.state_dict().items() if v.ndim},
              at("weights.safetensors"))
    save_file({"image": image, "gradient": gradient}, at("in.safetensors"))
    exact = run(draw(o.width, o.blocks), image, gradient, torch.float64, o.frozen)
    single = run(draw(o.width, o.blocks), image, gradient, torch.float32, o.frozen)
    save_file(exact, at("exact.safetensors"))
    with open(at("torch.json"), "w", encoding="utf-8") as file:
        json.dump({n: distance(single[n], exact[n]) for n in exact}, file)


def distance(a, b):
    norm = np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / norm if norm > 0 else np.linalg.norm(a - b))


def judge(o):
    exact = load_file(os.path.join(o.folder, "exact.safetensors"))
    ours = load_file(os.path.join(o.folder, "out.safetensors"))
    with open(os.path.join(o.folder, "torch.json"), encoding="utf-8") as file:
        theirs = json.load(file)
    groups, whole = {}, exact["norm"].item()
    # Where a norm follows, a gradient can be 0 but for rounding, which LAMB makes a full step of.
    nothing = {n[5:] for n, v in exact.items()
               if n.startswith("grad.") and np.linalg.norm(v) < 1e-12 * whole}
    print(f"without {len(nothing)} weights whose gradient is 0 but for rounding: {sorted(nothing)}")
    for name, value in exact.items():
        if name.split(".", 1)[-1] in nothing:
            continue
        kind = "running" if "running" in name else name.split(".")[0]
        d = distance(ours[name].reshape(-1).astype(np.float64), value)
        groups.setdefault(kind, []).append((d, theirs[name], name))
    print(f"{'':10} {'tensors':>7} {'massflow: median':>16} {'most':>9} {'PyTorch: median':>16} {'most':>9}"
          f" {'ratio: median':>14} {'most':>6}")
    for kind, rows in groups.items():
        own, other = [r[0] for r in rows], [r[1] for r in rows]
        ratio = [a / max(b, 2.0 ** -24) for a, b in zip(own, other)]
        print(f"{kind:10} {len(rows):7} {np.median(own):16.2e} {max(own):9.2e} {np.median(other):16.2e}"
              f" {max(other):9.2e} {np.median(ratio):14.2f} {max(ratio):6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "judge"))
    parser.add_argument("folder")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, nargs=4, default=(3, 8, 36, 3))
    parser.add_argument("--crop", type=int, nargs=3, default=(32, 64, 64))
    parser.add_argument("--frozen", action="store_true")
    given = parser.parse_args()
    check()
    {"make": make, "judge": judge}[given.what](given)
