"""Trains a small SAM 2.1 on slices of scans: first on single slices with points and boxes, then on runs of
slices whose first has a mask.

    python train_sam2.py OUT.safetensors --minutes 30 20 --scan ct VOLUME LABELS --scan mr VOLUME - ...

A scan is a kind (ct, mr, pet), a NIfTI file, and its label map or "-". Drawn volumes come on top. Every few
minutes OUT is written anew, in half precision, and OUT.state, from which the same command goes on.
"""

import argparse
import math
import os
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import sam2
from sam2 import SAM2, Config
from slices import SIZE, Scan, Warp, component, draw_object, draw_scene, read_nifti, recolor

IMAGES, POINTS, MASKS = 8, 4, 3      # a batch of slices; prompts on each; what may be meant by one prompt
VIDEOS, FRAMES, OBJECTS = 2, 6, 3    # a batch of runs; slices of each; objects followed
LOW = SIZE // 4
RATE, RUN_RATE, DECAY, AVERAGE, WARM = 1e-3, 6e-4, 0.05, 0.998, 150


# ---- batches -----------------------------------------------------------------------------------------

def low(masks):
    """[C,128,128] of 0..1 -> [C,64,64], shares of covered area."""
    return F.avg_pool2d((masks > 0.5).float()[None], 2)[0]


def as_planes(arrays):
    return torch.from_numpy(np.stack(arrays).astype(np.float32))


def any_slice(rng, scan, axis, margin=0):
    """A slice that has enough of the body, with `margin` more behind it."""
    area = scan.body_mask.sum(tuple(a for a in range(3) if a != axis))
    seen = np.nonzero(area > 0.15 * area.max())[0]
    seen = seen[seen < scan.body_mask.shape[axis] - margin]
    return int(rng.choice(seen)) if len(seen) else 0


def still_batch(rng, draw):
    kind = rng.choice(["point", "box", "points"], p=[0.65, 0.2, 0.15])
    rgbs, xys, masks, valid = [], [], [], []
    while len(rgbs) < IMAGES:
        scan = draw(rng)
        axis = int(rng.integers(3))
        at = scan.cut(axis, any_slice(rng, scan, axis))
        planes, body = [m[at] for m in scan.maps], scan.body_mask[at]
        h, w = planes[0].shape
        warp, found = None, []
        for _ in range(2 * POINTS):
            drawn = draw_object(rng, planes)
            if drawn is None or len(found) == POINTS:
                break
            (y, x), meant = drawn
            warp = warp or Warp(rng, ((2 * x + 1) / w - 1, (2 * y + 1) / h - 1))
            q = warp.back(x, y, w, h)
            if (q > 2).all() and (q < SIZE - 3).all():
                m = low(warp.apply(as_planes(meant), SIZE // 2))
                if m[0].sum() >= 3:
                    found.append((q, m))
        air = np.argwhere(~body)
        if found and kind == "point" and len(air) and rng.random() < 0.4:  # a point on nothing
            y, x = air[rng.integers(len(air))]
            q = warp.back(x, y, w, h).clip(0, SIZE - 1)
            found = found[:POINTS - 1] + [(q, torch.zeros(0, LOW, LOW))]
        if not found:
            continue
        rgb = warp.apply(as_planes([p for p in np.moveaxis(scan.rgb[rng.integers(len(scan.rgb))][at], -1, 0)]),
                         SIZE)
        rgbs.append(recolor(rng, rgb / 255))
        for i in range(POINTS):
            q, m = found[i % len(found)]
            m = m if kind == "point" else m[:1]
            xys.append(prompt(rng, kind, q, m))
            masks.append(F.pad(m, (0, 0, 0, 0, 0, MASKS - len(m))))
            valid.append(torch.arange(MASKS) < len(m))
    labels = {"point": [1], "box": [2, 3], "points": [1, 1, 0]}[kind]
    return dict(rgb=(torch.stack(rgbs) * 255).byte(), xy=torch.stack(xys), masks=torch.stack(masks),
                valid=torch.stack(valid), labels=torch.tensor(labels).repeat(len(xys), 1), kind=kind)


def prompt(rng, kind, q, m):
    """Points [P,2] in pixels of the model; m [1,64,64]."""
    if kind == "point":
        return torch.tensor(q[None]).float()
    inside = torch.nonzero(m[0] > 0.5 * m[0].max())
    if kind == "box":
        a, b = inside.min(0).values.flip(0) * 4.0, inside.max(0).values.flip(0) * 4.0 + 3
        jitter = torch.from_numpy(rng.normal(0, 0.06, (2, 2))).float() * (b - a)
        return (torch.stack((a, b)) + jitter).clamp(0, SIZE - 1)
    outside = torch.nonzero(m[0] == 0)
    two = inside[rng.integers(len(inside), size=2)]
    one = outside[rng.integers(len(outside), size=1)] if len(outside) else two[:1]
    return torch.cat((two, one)).flip(1) * 4 + torch.from_numpy(rng.uniform(0.5, 2.5, (3, 2))).float()


def followed(planes, mask, value):
    """The parts of each next plane with this id that touch the mask of the plane before."""
    out = [mask]
    for plane in planes[1:]:
        same, was, now = plane == value, out[-1], np.zeros_like(mask)
        touched = same & was
        while touched.any():
            y, x = np.argwhere(touched)[0]
            part = component(plane, y, x)
            now |= part
            touched &= ~part
        out.append(now)
    return out


def run_batch(rng, draw):
    """Objects of a run: their masks on each slice, the first of which is given."""
    rgbs, firsts, targets, of = [], [], [], []
    while len(rgbs) < VIDEOS:
        scan, axis = draw(rng), int(rng.integers(3))
        start = any_slice(rng, scan, axis, FRAMES - 1)
        at = [scan.cut(axis, i) for i in range(start, min(start + FRAMES, scan.body_mask.shape[axis]))]
        if len(at) < FRAMES:
            continue
        if rng.random() < 0.5:
            at = at[::-1]
        planes = [m[at[0]] for m in scan.maps]
        focus = draw_object(rng, planes[:1])
        h, w = planes[0].shape
        warp = Warp(rng, focus and ((2 * focus[0][1] + 1) / w - 1, (2 * focus[0][0] + 1) / h - 1))
        found = []
        for _ in range(8 * OBJECTS):
            which = 0 if rng.random() < 0.6 else int(rng.integers(len(planes)))
            drawn = draw_object(rng, planes[which:which + 1])
            if drawn is None or len(found) == OBJECTS:
                break
            (y, x), meant = drawn
            run = followed([scan.maps[which][a] for a in at], meant[0], planes[which][y, x])
            first = (warp.apply(as_planes(run[:1]), SIZE) > 0.5).float()
            if first.sum() >= 60:
                found.append((first, low(warp.apply(as_planes(run), SIZE // 2))))
        if not found:
            continue
        windows = scan.rgb[rng.integers(len(scan.rgb))]
        rgb = torch.stack([warp.apply(as_planes(list(np.moveaxis(windows[a], -1, 0))), SIZE) for a in at])
        for i in range(OBJECTS):
            firsts.append(found[i % len(found)][0])
            targets.append(found[i % len(found)][1])
            of.append(len(rgbs))
        rgbs.append(recolor(rng, rgb / 255))
    return dict(rgb=(torch.cat(rgbs) * 255).byte(), first=torch.stack(firsts), targets=torch.stack(targets),
                of=torch.tensor(of))


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, scans, weights, make, seed):
        self.scans, self.make, self.seed = scans, make, seed
        self.weights = np.asarray(weights) / np.sum(weights)

    def __iter__(self):
        torch.set_num_threads(1)
        rng = np.random.default_rng(self.seed)
        torch.manual_seed(int(rng.integers(1 << 62)))

        def draw(rng):
            return self.scans[rng.choice(len(self.scans), p=self.weights)]

        while True:
            yield self.make(rng, draw)


# ---- losses ------------------------------------------------------------------------------------------

def mask_loss(logits, target):
    """Each [...,64,64] -> [...]: cross entropy and Dice."""
    logits, target = torch.broadcast_tensors(logits, target)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((-2, -1)) + 1) / ((p + target).sum((-2, -1)) + 1)
    return 4 * bce + dice


@torch.no_grad()
def iou(logits, target):
    a, b = logits > 0, target >= 0.5
    return (a & b).sum((-2, -1)) / (a | b).sum((-2, -1)).clamp(min=1)


def still_loss(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        f = model.features(batch["rgb"].float() / 255)
        each = [t.repeat_interleave(POINTS, 0) for t in (model.still(f.embed), *f.high)]
        xy, labels = batch["xy"], batch["labels"]
        first = model.decode(each[0], each[1:], xy, labels)
    total, best = still_terms(first, batch)
    if batch["kind"] == "point" and torch.rand(()) < 0.25:  # once more, with the best mask as a prompt
        with torch.autocast("cpu", torch.bfloat16):
            again = model.decode(each[0], each[1:], xy, labels, best[:, None].detach())
        total = total + still_terms(again, batch)[0]
    return total


def still_terms(out, batch):
    """Loss, and per prompt the logits that fit the first meant mask best. Whatever may be meant should be
    found by one of the three; the first token answers with what was drawn."""
    logits, said, _, score = (t.float() for t in out)
    masks, valid = batch["masks"], batch["valid"].float()
    some = valid[:, 0]
    loss = mask_loss(logits[:, None], masks[:, :, None])  # [N,meant,4]
    three, of = loss[:, :, 1:].min(2)
    weight = valid * torch.tensor([1.0, 0.5, 0.5])
    found = (three * weight).sum() / weight.sum().clamp(min=1)
    single = (loss[:, 0, 0] * some).sum() / some.sum().clamp(min=1)
    true = (iou(logits[:, None], masks[:, :, None]) * valid[:, :, None]).amax(1)     # [N,4]
    quality = F.smooth_l1_loss(said, true, beta=0.1)
    there = F.binary_cross_entropy_with_logits(score[:, 0], some)
    share = 0.3 if batch["kind"] == "point" else 1.0
    best = logits[torch.arange(len(logits)), 1 + of[:, 0]]
    return found + share * single + quality + 0.2 * there, best


def run_loss(model, batch):
    of, targets = batch["of"], batch["targets"]
    total, like = 0.0, batch["first"]
    with torch.autocast("cpu", torch.bfloat16):
        f = model.features(batch["rgb"].float() / 255)
        at = [f.take(of * FRAMES + t) for t in range(FRAMES)]
        frames = {0: model.prompted(at[0], like)}
    frames[0].memory = frames[0].memory.float()
    count = 24  # as if the run were part of a longer one: pointers get their usual distances
    for t in range(1, FRAMES):
        with torch.autocast("cpu", torch.bfloat16):
            frame = frames[t] = model.track(at[t], t, frames, [0], count, 1, remember=t + 1 < FRAMES)
        logits, said, _ = frame.all
        logits, said, target = logits.float(), said.float(), targets[:, t]
        there = (target.amax((-2, -1)) >= 0.5).float()
        loss = mask_loss(logits, target[:, None]) * there[:, None]
        picked = loss[:, 1:].min(1).values + 0.2 * loss[:, 1:].mean(1) + 0.1 * loss[:, 0]
        true = iou(logits, target[:, None])
        quality = (F.smooth_l1_loss(said, true, beta=0.1, reduction="none").mean(1) * there).mean()
        score = F.binary_cross_entropy_with_logits(frame.score[:, 0].float(), there)
        total = total + picked.mean() + quality + 0.5 * score
    return total / (FRAMES - 1)


# ---- training ----------------------------------------------------------------------------------------

def start(model):
    """First weights, as the official model's where they matter."""
    for name, p in model.named_parameters():
        if name.endswith("gamma"):
            p.data.fill_(0.1)
        elif "image_encoder" in name and p.dim() == 2 or "pos_embed" in name:
            torch.nn.init.trunc_normal_(p.data, std=0.02 if "pos_embed" in name else p.shape[1] ** -0.5)
        elif name.startswith(("no_", "maskmem")):
            torch.nn.init.trunc_normal_(p.data, std=0.02)
        elif p.dim() == 1 and name.endswith("bias"):
            p.data.zero_()


def read_scan(kind, volume, labels):
    v, _ = read_nifti(volume)
    return Scan(v, kind, None if labels == "-" else read_nifti(labels)[0])


def export(path, model, average, note):
    state = {n: average.get(n, t).half().contiguous() for n, t in model.state_dict().items()}
    save_file(state, path + ".part", {**model.config.metadata(), "massflow.note": note})
    os.replace(path + ".part", path)


def rate_at(done):
    """done: 0..1 of the training."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def plain_attention(q, k, v):
    """Faster than PyTorch's own where there are few keys, in bfloat16, on a CPU, forward and backward."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v


def average_gradients(parameters, workers):
    flat = torch.cat([p.grad.flatten() for p in parameters])
    torch.distributed.all_reduce(flat)
    at = 0
    for p in parameters:
        p.grad.copy_(flat[at:at + p.numel()].view_as(p)).div_(workers)
        at += p.numel()


def train(rank, a, scans, weights):
    """One of a.workers processes; each has one thread and its own batches."""
    torch.set_num_threads(1)
    sam2.attend = plain_attention
    torch.distributed.init_process_group("gloo", f"file://{a.meeting}", rank=rank, world_size=a.workers)
    torch.manual_seed(a.seed)
    model = SAM2(Config())
    start(model)
    average = {n: p.detach().clone() for n, p in model.named_parameters()}
    wide = [p for p in model.parameters() if p.dim() > 1]
    thin = [p for p in model.parameters() if p.dim() < 2]
    step, spent = 0, 0.0
    opt = torch.optim.AdamW([{"params": wide, "weight_decay": DECAY}, {"params": thin, "weight_decay": 0.0}],
                            lr=RATE, betas=(0.9, 0.98))
    if os.path.exists(a.out + ".state"):
        s = torch.load(a.out + ".state", weights_only=True)
        model.load_state_dict(s["model"])
        opt.load_state_dict(s["opt"])
        average, step, spent = s["average"], s["step"], s["spent"]
    ends = [60 * a.minutes[0], 60 * sum(a.minutes)]
    loaders = [iter(torch.utils.data.DataLoader(Batches(scans, weights, make, [a.seed, step, i, rank]), batch_size=None,
                                                num_workers=1, prefetch_factor=8))
               for i, make in enumerate((still_batch, run_batch))]
    torch.manual_seed(a.seed + rank)
    parameters = list(model.parameters())
    for p in parameters:
        p.grad = torch.zeros_like(p)
    began, seen, saved = time.time() - spent, {0: [], 1: []}, time.time()
    while True:
        clock = torch.tensor(time.time() - began)
        torch.distributed.broadcast(clock, 0)
        spent = clock.item()
        if spent > ends[1]:
            break
        part = 0 if spent < ends[0] or step % 4 == 3 else 1
        done = spent / ends[0] if spent < ends[0] else (spent - ends[0]) / (ends[1] - ends[0])
        rate = RATE * rate_at(0.8 * done) if spent < ends[0] else RUN_RATE * rate_at(done)
        for g in opt.param_groups:
            g["lr"] = rate * min(1.0, (step + 1) / WARM)
        opt.zero_grad(set_to_none=False)
        loss = (run_loss if part else still_loss)(model, next(loaders[part]))
        loss.backward()
        average_gradients(parameters, a.workers)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        opt.step()
        step += 1
        keep = min(AVERAGE, step / (step + 20))
        with torch.no_grad():
            for n, p in model.named_parameters():
                average[n].lerp_(p, 1 - keep)
        seen[part].append(loss.item())
        if rank:
            continue
        if step % 50 == 0:
            text = ", ".join(f"{n} {np.mean(seen[i][-100:]):.3f}" for i, n in enumerate(("still", "run")) if seen[i])
            print(f"{spent / 60:6.1f} min  step {step}  {text}", flush=True)
        if time.time() - saved > 180:
            saved = time.time()
            export(a.out, model, average, a.note)
            torch.save({"model": model.state_dict(), "opt": opt.state_dict(), "average": average, "step": step,
                        "spent": spent}, a.out + ".state")
    if rank == 0:
        export(a.out, model, average, a.note)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--scan", nargs=3, action="append", default=[], metavar=("KIND", "VOLUME", "LABELS"))
    p.add_argument("--weight", type=float, nargs="*", help="how often each scan is drawn, against 1")
    p.add_argument("--scenes", type=int, default=40, help="drawn volumes")
    p.add_argument("--scene-share", type=float, default=0.15)
    p.add_argument("--minutes", type=float, nargs=2, default=(30, 20), help="of slices, of runs")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--note", default="small SAM 2.1 for trying out, not for results; see docs/sam2-small.md")
    a = p.parse_args()
    a.meeting = tempfile.mktemp()
    scans = [read_scan(*s) for s in a.scan]
    weights = list(a.weight or [1.0] * len(scans))
    rng = np.random.default_rng(a.seed)
    share = a.scene_share / (1 - a.scene_share) * (sum(weights) or 1) / max(1, a.scenes)
    for _ in range(a.scenes):
        volume, labels = draw_scene(rng)
        scans.append(Scan(volume, "mr", labels))
        weights.append(share)
    torch.multiprocessing.spawn(train, (a, scans, weights), a.workers)
