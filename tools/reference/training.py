"""Loss, clipping and the LAMB step of MASS, the pooled classifier, the sliding window."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def dice_loss(logits, masks):
    """[1,K,D,H,W] each -> mean over masks of 1 - Dice with adaptive weights."""
    p, t = torch.sigmoid(logits).flatten(2)[0], masks.flatten(2)[0]
    tp, fp, fn = (p * t).sum(1), (p * (1 - t)).sum(1), ((1 - p) * t).sum(1)
    alpha = (fp / (fp + fn + 1e-6)).clamp(0.2, 0.8)
    return (1 - tp / (tp + alpha * fp + (1 - alpha) * fn + 1e-6)).mean()


def bce_loss(logits, masks):
    each = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return each.flatten(2).mean(2).mean()


def clip(parameters, most=1.0):
    return torch.nn.utils.clip_grad_norm_(parameters, most)


@torch.no_grad()
def lamb_step(p, g, state, rate, beta1=0.9, beta2=0.999, eps=1e-6, decay=1e-5):
    """One update of `p` in place. state: [m, v], zeros at first. No debiasing; weight norm <= 10."""
    m, v = state
    m.mul_(beta1).add_(g, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    step = m / (v.sqrt() + eps)
    if decay:
        step = step + decay * p
    weight_norm, step_norm = p.pow(2).sum().sqrt().clamp(max=10), step.pow(2).sum().sqrt()
    trust = weight_norm / step_norm if weight_norm > 0 and step_norm > 0 else 1.0
    p.sub_(step * (rate * trust))


class AttentionPooling(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention = nn.Sequential(nn.Conv3d(c, c // 4, 1), nn.ReLU(), nn.Conv3d(c // 4, 1, 1))

    def forward(self, x):
        weight = torch.softmax(self.attention(x).flatten(1), 1)
        return torch.einsum("bv,bcv->bc", weight, x.flatten(2))


class Head(nn.Module):
    """features [N,C,d,h,w] -> pooled [N,C] -> logits [N,classes]. (Dropout is for training only.)"""

    def __init__(self, c, classes, pooling="attention"):
        super().__init__()
        self.pooling = pooling
        if pooling == "attention":
            self.pool = AttentionPooling(c)
        self.fc = nn.Linear(c, classes)

    def forward(self, x):
        if self.pooling == "attention":
            pooled = self.pool(x)
        else:
            pooled = x.flatten(2).mean(2) if self.pooling == "mean" else x.flatten(2).amax(2)
        return pooled, self.fc(pooled)


def starts(size, window, overlap):
    step = max(1, int(round(window * (1 - overlap))))
    if size <= window:
        return [0]
    at = list(range(0, size - window + 1, step))
    return at if at[-1] == size - window else at + [size - window]


def gaussian(window, sigma=0.125):
    axes = [np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / (2 * (n * sigma) ** 2)) for n in window]
    w = axes[0][:, None, None] * axes[1][None, :, None] * axes[2][None, None, :]
    return w / w.max()


@torch.no_grad()
def sliding_window(model, image, priors, window, overlap=0.5):
    """image [D,H,W] -> probabilities [K,D,H,W], Gaussian-weighted over overlapping windows."""
    size = image.shape
    image = F.pad(image, [n for w, s in zip(window[::-1], size[::-1]) for n in (0, max(0, w - s))])
    # The official code keeps its Gaussian in float32, whatever the model runs in.
    blend = torch.from_numpy(gaussian(window).astype(np.float32)).to(image)
    total = image.new_zeros((priors[0].shape[1], *image.shape))
    weight = torch.zeros_like(image)
    for z in starts(image.shape[0], window[0], overlap):
        for y in starts(image.shape[1], window[1], overlap):
            for x in starts(image.shape[2], window[2], overlap):
                box = (slice(z, z + window[0]), slice(y, y + window[1]), slice(x, x + window[2]))
                p = torch.sigmoid(model.decode(image[box][None, None], priors))[0]
                total[(slice(None), *box)] += p * blend
                weight[box] += blend
    total = total / weight.clamp(min=1e-8)
    return total[:, :size[0], :size[1], :size[2]]


def compete(probability, threshold=0.5):
    """[K,D,H,W] -> labels 1..K: each voxel goes to its most probable mask, from the threshold on."""
    best, label = probability.max(0)
    return torch.where(best >= threshold, label + 1, 0)
