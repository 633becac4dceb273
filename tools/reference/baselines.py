"""Pretraining methods that MASS is compared with, in PyTorch: SimCLR, MoCo v2 and v3, DINO.

Written from the papers' equations, plainly: all images of a batch pass through the encoder at once. A method has
`forward(reference, query)`, which gives the loss of a batch of pairs, and `after(step, steps)`, which changes what an
optimizer does not. Parameters have the names that massflow gives them. Runs in float64 as in float32.
"""

import copy
import math

import torch
import torch.nn.functional as F
from i3d import I3D, Norm
from iris import Encoder
from torch import nn


class ApartI3D(I3D):
    """An I3D that sees one image at a time, as its batch norms do in massflow; its deepest map comes first."""

    def forward(self, images):
        return [torch.cat([super(ApartI3D, self).forward(image[None])[-1] for image in images])]


def encoder_of(channels, blocks, i3d):
    """A ResUNet, or with i3d = (width, bottlenecks) an I3D; and the channels of its deepest map."""
    return (ApartI3D(*i3d), 32 * i3d[0]) if i3d else (Encoder(channels, blocks), channels[4])


def settle(model):
    """The running statistics of an I3D move once a step: to the mean of what the images of the batch gave. Those of a
    slow copy are averages of these."""
    for name, norm in model.named_modules():
        if isinstance(norm, Norm) and not name.startswith("slow."):
            norm.follow()


def pooled(encoder, images):
    """[N,1,D,H,W] -> the mean of the deepest map, [N,C]."""
    return encoder(images)[0].flatten(2).mean(2)


class Projection(nn.Module):
    """z = W2 ReLU(W1 h): of SimCLR's paper and of MoCo v2."""

    def __init__(self, i, hidden, o):
        super().__init__()
        self.fc1 = nn.Linear(i, hidden)
        self.fc2 = nn.Linear(hidden, o)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class NormedProjection(nn.Module):
    """The head of SimCLR's code: linear layers without bias, a batch norm behind each, the last one with a gain
    alone, and ReLU between."""

    def __init__(self, i, hidden, o):
        super().__init__()
        self.fc1 = nn.Linear(i, hidden, bias=False)
        self.norm1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, o, bias=False)
        self.norm2 = nn.BatchNorm1d(o)
        self.norm2.bias = None

    def forward(self, x):
        return self.norm2(self.fc2(F.relu(self.norm1(self.fc1(x)))))


def all_learn(self, name, step, steps):
    """Whether a parameter changes in a step."""
    return True


class SimClr(nn.Module):
    """NT-Xent (Chen et al. 2020, equation 1), written out. scans: which pairs show one scan, if they are no
    negatives of each other."""

    def __init__(self, channels, blocks, dim=16, temperature=0.1, scans=None, projection=Projection,
                 i3d=None):
        super().__init__()
        self.encoder, width = encoder_of(channels, blocks, i3d)
        self.head = projection(width, width, dim)
        self.temperature, self.scans = temperature, scans

    def forward(self, reference, query):
        n = len(reference)
        z = self.head(pooled(self.encoder, torch.cat([reference, query])))
        z = z / z.norm(dim=1, keepdim=True)
        similarity = torch.exp(z @ z.T / self.temperature)
        scan = list(range(n)) if self.scans is None else self.scans
        losses = []
        for i in range(2 * n):
            j = (i + n) % (2 * n)
            others = [k for k in range(2 * n) if k == j or scan[k % n] != scan[i % n]]
            losses.append(-torch.log(similarity[i, j] / similarity[i, others].sum()))
        return torch.stack(losses).mean()

    def after(self, step, steps):
        settle(self)

    learns = all_learn


def follow(slow, fast, momentum):
    with torch.no_grad():
        for a, b in zip(slow.parameters(), fast.parameters()):
            a.copy_(momentum * a + (1 - momentum) * b)
        for (name, a), b in zip(slow.encoder.named_buffers(), fast.encoder.buffers()):
            if "running" in name:
                a.copy_(momentum * a + (1 - momentum) * b)


def cosine(step, steps, start, end):
    return end + (start - end) * (math.cos(math.pi * step / steps) + 1) / 2


class Tower(nn.Module):
    """An encoder and what stands above it."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def slow(self):
        """A copy that learns by momentum alone."""
        return copy.deepcopy(self).requires_grad_(False)


class MoCo2(nn.Module):
    """He et al. 2020, algorithm 1, with the head of Chen et al. 2020 (arXiv 2003.04297): a query against its key and
    a queue of older keys. scans: which scan each pair shows, if keys of it are no negatives."""

    def __init__(self, channels, blocks, queue, dim=16, temperature=0.2, momentum=0.8, scans=None,
                 i3d=None):
        super().__init__()
        encoder, width = encoder_of(channels, blocks, i3d)
        self.fast = Tower(encoder=encoder, head=Projection(width, width, dim))
        self.temperature, self.momentum = temperature, momentum
        self.queue, self.at, self.slow = queue, 0, None
        self.scans, self.of = scans, [None] * len(queue)

    learns = all_learn

    def embed(self, tower, images):
        return F.normalize(tower.head(pooled(tower.encoder, images)), dim=1)

    def forward(self, reference, query):
        if self.slow is None:
            self.slow = self.fast.slow()
        q = self.embed(self.fast, query)
        self.keys = self.embed(self.slow, reference)
        self.queue = self.queue.to(q)
        positive = (q * self.keys).sum(1, keepdim=True)
        losses = []
        for i in range(len(q)):
            others = [k for k in range(len(self.queue)) if self.scans is None or self.of[k] != self.scans[i]]
            logits = torch.cat([positive[i], self.queue[others] @ q[i]]) / self.temperature
            losses.append(torch.logsumexp(logits, 0) - logits[0])
        return torch.stack(losses).mean()

    def after(self, step, steps):
        settle(self)
        follow(self.slow, self.fast, self.momentum)
        for i, key in enumerate(self.keys):
            self.queue[self.at] = key
            self.of[self.at] = i if self.scans is None else self.scans[i]
            self.at = (self.at + 1) % len(self.queue)


class BatchMlp(nn.Module):
    """Two linear layers without bias, batch norm and ReLU between them, and perhaps a batch norm without gain at
    the end: projector and predictor of MoCo v3 for convolutional encoders."""

    def __init__(self, i, hidden, o, last):
        super().__init__()
        self.fc1 = nn.Linear(i, hidden, bias=False)
        self.norm1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, o, bias=False)
        self.last = last

    def forward(self, x):
        x = self.fc2(F.relu(self.norm1(self.fc1(x))))
        return F.batch_norm(x, None, None, training=True) if self.last else x


class MoCo3(nn.Module):
    """Chen, Xie, He 2021, algorithm 1: each view's prediction against the keys of the other views, both ways."""

    def __init__(self, channels, blocks, hidden=24, dim=16, temperature=0.2, momentum=0.6):
        super().__init__()
        self.fast = Tower(encoder=Encoder(channels, blocks), head=BatchMlp(channels[4], hidden, dim, True))
        self.predictor = BatchMlp(dim, hidden, dim, False)
        self.temperature, self.momentum, self.slow = temperature, momentum, None

    learns = all_learn

    def contrast(self, q, k):
        q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        loss = F.cross_entropy(q @ k.T / self.temperature, torch.arange(len(q)))
        return loss * 2 * self.temperature

    def forward(self, reference, query):
        if self.slow is None:
            self.slow = self.fast.slow()
        q = [self.predictor(self.fast.head(pooled(self.fast.encoder, x))) for x in (reference, query)]
        k = [self.slow.head(pooled(self.slow.encoder, x)) for x in (reference, query)]
        return self.contrast(q[0], k[1]) + self.contrast(q[1], k[0])

    def after(self, step, steps):
        follow(self.slow, self.fast, cosine(step + 1, steps, self.momentum, 1))


class DinoHead(nn.Module):
    """Three layers with GELU, unit length, and a layer whose rows have unit length (weight norm, gain 1). norm: batch
    norms behind the first two layers, which have no bias then: a batch norm removes it."""

    def __init__(self, i, hidden, bottleneck, prototypes, norm):
        super().__init__()
        self.fc1 = nn.Linear(i, hidden, bias=not norm)
        self.norm1 = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, hidden, bias=not norm)
        self.norm2 = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.fc3 = nn.Linear(hidden, bottleneck)
        self.last = nn.Linear(bottleneck, prototypes, bias=False)

    def forward(self, x):
        x = F.gelu(self.norm1(self.fc1(x)))
        x = F.normalize(self.fc3(F.gelu(self.norm2(self.fc2(x)))), dim=1)
        return x @ F.normalize(self.last.weight, dim=1).T


class Dino(nn.Module):
    """Caron et al. 2021, algorithm 1, on two views."""

    def __init__(self, channels, blocks, hidden=24, bottleneck=16, prototypes=40, student=0.1, teacher=0.04,
                 momentum=0.7, center=0.9, warm=(0.02, 0.5), frozen=0.3, norm=False,
                 i3d=None):
        super().__init__()
        encoder, width = encoder_of(channels, blocks, i3d)
        self.fast = Tower(encoder=encoder, head=DinoHead(width, hidden, bottleneck, prototypes, norm))
        self.student, self.teacher, self.momentum, self.decay = student, teacher, momentum, center
        self.center, self.slow = torch.zeros(prototypes), None
        self.warm, self.frozen, self.step, self.steps = warm, frozen, 0, 10

    def forward(self, reference, query):
        if self.slow is None:
            self.slow = self.fast.slow()
        both = torch.cat([reference, query])
        s, t = (tower.head(pooled(tower.encoder, both)).chunk(2) for tower in (self.fast, self.slow))
        self.center = self.center.to(t[0])
        self.seen = torch.cat(t).mean(0)

        start, part = self.warm
        sharpness = start + (self.teacher - start) * min(1, self.step / (part * self.steps))

        def h(teacher, student):
            target = torch.softmax((teacher - self.center) / sharpness, 1)
            return -(target * torch.log_softmax(student / self.student, 1)).sum(1).mean()

        return h(t[0], s[1]) / 2 + h(t[1], s[0]) / 2

    def learns(self, name, step, steps):
        """The last layer is frozen at first."""
        return name != "head.last.weight" or step >= self.frozen * steps

    def after(self, step, steps):
        settle(self)
        follow(self.slow, self.fast, cosine(step, steps, self.momentum, 1))
        self.center = self.decay * self.center + (1 - self.decay) * self.seen
        self.step, self.steps = step + 1, steps
