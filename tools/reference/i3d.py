"""I3D-ResNet as the encoder of Iris, in PyTorch: the yardstick of massflow's own.

Written from facts (torchvision's names and numbers of a ResNet with bottlenecks, filters inflated over
depth), not from code. Runs in float64 as in float32. Needs only torch.

    python i3d.py                                   checks the batch norm and the inflation of this file
    python i3d.py WEIGHTS IN OUT [OPTION ...]       makes weights and inputs for `tools/parity i3d`, and
                                                    compares what it wrote (see --help)
"""

import torch
import torch.nn.functional as F
from iris import LEVELS, Iris
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


if __name__ == "__main__":
    check()
