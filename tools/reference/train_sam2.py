"""Trains a small SAM 2.1 on slices of scans: first on single slices with points and boxes, then on runs of
slices whose first has a mask; each first at half the resolution, where it learns most, four times as fast.

    python train_sam2.py OUT.safetensors --scan ct VOLUME LABELS --scan mr VOLUME - ...

A scan is a kind (ct, mr, pet), a NIfTI file, and its label map or "-". Drawn volumes come on top. Every few
minutes OUT is written anew, in half precision, and OUT.state, from which the same command goes on.
"""

import argparse
import dataclasses
import math
import os
import tempfile
import time

import numpy as np
import sam2
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sam2 import SAM2, Config
from slices import Scan, Warp, component, draw_object, draw_scene, read_nifti, recolor

IMAGES, RUNS = {128: 8, 256: 4}, {128: 3, 256: 2}  # a batch, of slices and of runs of slices
POINTS, MASKS = 6, 3    # prompts on each slice; what may be meant by one of them
FRAMES, OBJECTS = 6, 3  # slices of a run; objects followed
PHASES = ((128, False), (256, False), (128, True), (256, True))  # pixels; runs?
RATE, RUN_RATE, DECAY, AVERAGE, WARM = 7e-4, 4e-4, 0.02, 0.998, 100
ROUND = 8  # steps between two meetings of the workers


# ---- batches -----------------------------------------------------------------------------------------

def low(masks):
    """[C,S/2,S/2] of 0..1 -> [C,S/4,S/4], shares of covered area."""
    return F.avg_pool2d((masks > 0.5).float()[None], 2)[0]


def as_planes(arrays):
    return torch.from_numpy(np.stack(arrays).astype(np.float32))


def any_slice(rng, scan, axis, margin=0):
    """A slice that has enough of the body, with `margin` more behind it."""
    area = scan.body_mask.sum(tuple(a for a in range(3) if a != axis))
    seen = np.nonzero(area > 0.15 * area.max())[0]
    seen = seen[seen < scan.body_mask.shape[axis] - margin]
    return int(rng.choice(seen)) if len(seen) else 0


def still_batch(rng, draw, size):
    kind = rng.choice(["point", "box", "points"], p=[0.65, 0.2, 0.15])
    rgbs, xys, masks, valid = [], [], [], []
    while len(rgbs) < IMAGES[size]:
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
            q = warp.back(x, y, w, h, size)
            if (q > 2).all() and (q < size - 3).all():
                m = low(warp.apply(as_planes(meant), size // 2))
                if m[0].sum() >= size * size / 2 ** 14:
                    found.append((q, m))
        air = np.argwhere(~body)
        if found and kind == "point" and len(air) and rng.random() < 0.4:  # a point on nothing
            y, x = air[rng.integers(len(air))]
            q = warp.back(x, y, w, h, size).clip(0, size - 1)
            found = found[:POINTS - 1] + [(q, torch.zeros(0, size // 4, size // 4))]
        if not found:
            continue
        rgb = warp.apply(as_planes([p for p in np.moveaxis(scan.rgb[rng.integers(len(scan.rgb))][at], -1, 0)]),
                         size)
        rgbs.append(recolor(rng, rgb / 255))
        for i in range(POINTS):
            q, m = found[i % len(found)]
            m = m if kind == "point" else m[:1]
            xys.append(prompt(rng, kind, q, m, size))
            masks.append(F.pad(m, (0, 0, 0, 0, 0, MASKS - len(m))))
            valid.append(torch.arange(MASKS) < len(m))
    labels = {"point": [1], "box": [2, 3], "points": [1, 1, 0]}[kind]
    return dict(rgb=(torch.stack(rgbs) * 255).byte(), xy=torch.stack(xys), masks=torch.stack(masks),
                valid=torch.stack(valid), labels=torch.tensor(labels).repeat(len(xys), 1), kind=kind)


def prompt(rng, kind, q, m, size):
    """Points [P,2] in pixels of the model; m [1,S/4,S/4]."""
    if kind == "point":
        return torch.tensor(q[None]).float()
    inside = torch.nonzero(m[0] > 0.5 * m[0].max())
    if kind == "box":
        a, b = inside.min(0).values.flip(0) * 4.0, inside.max(0).values.flip(0) * 4.0 + 3
        jitter = torch.from_numpy(rng.normal(0, 0.06, (2, 2))).float() * (b - a)
        return (torch.stack((a, b)) + jitter).clamp(0, size - 1)
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


def run_batch(rng, draw, size):
    """Objects of a run: their masks on each slice, the first of which is given."""
    rgbs, firsts, targets, of = [], [], [], []
    while len(rgbs) < RUNS[size]:
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
            first = (warp.apply(as_planes(run[:1]), size) > 0.5).float()
            if first.sum() >= size * size / 1000:
                found.append((first, low(warp.apply(as_planes(run), size // 2))))
        if not found:
            continue
        windows = scan.rgb[rng.integers(len(scan.rgb))]
        rgb = torch.stack([warp.apply(as_planes(list(np.moveaxis(windows[a], -1, 0))), size) for a in at])
        for i in range(OBJECTS):
            firsts.append(found[i % len(found)][0])
            targets.append(found[i % len(found)][1])
            of.append(len(rgbs))
        rgbs.append(recolor(rng, rgb / 255))
    return dict(rgb=(torch.cat(rgbs) * 255).byte(), first=torch.stack(firsts), targets=torch.stack(targets),
                of=torch.tensor(of))


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, scans, weights, make, size, seed):
        self.scans, self.make, self.size, self.seed = scans, make, size, seed
        self.weights = np.asarray(weights) / np.sum(weights)

    def __iter__(self):
        torch.set_num_threads(1)
        rng = np.random.default_rng(self.seed)
        torch.manual_seed(int(rng.integers(1 << 62)))

        def draw(rng):
            return self.scans[rng.choice(len(self.scans), p=self.weights)]

        while True:
            yield self.make(rng, draw, self.size)


# ---- losses ------------------------------------------------------------------------------------------

def mask_loss(logits, target):
    """Each [...,h,w] -> [...]: cross entropy and Dice."""
    logits, target = torch.broadcast_tensors(logits, target)
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((-2, -1)) + 1) / ((p + target).sum((-2, -1)) + 1)
    return 2 * bce + 1.5 * dice


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
    weight = valid * torch.tensor([1.0, 0.4, 0.4])
    three = three + 0.15 * loss[:, :, 1:].mean(2)  # or tokens that never fit best would never learn
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
    """First weights, so that it learns soon: residual branches small, layer scales far from zero; in the
    decoder, prompts keep to themselves at first (all tokens become alike otherwise, and prompts are not heard)
    and look at places whose position is like theirs; so do memories."""
    for name, p in model.named_parameters():
        if name.endswith("gamma"):
            p.data.fill_(0.1)
        elif "image_encoder" in name and p.dim() == 2:
            last = name.endswith(("attn.proj.weight", "mlp.layers.1.weight"))
            torch.nn.init.trunc_normal_(p.data, std=(0.3 if last else 0.6) * p.shape[1] ** -0.5)
        elif "pos_embed" in name or name.startswith(("no_", "maskmem")):
            torch.nn.init.trunc_normal_(p.data, std=0.02)
        elif name.endswith(("embeddings.0.weight", "embeddings.1.weight", "embeddings.2.weight",
                            "embeddings.3.weight", "_embed.weight", "token.weight", "tokens.weight")):
            torch.nn.init.normal_(p.data, std=0.4)
        elif p.dim() == 2:
            torch.nn.init.normal_(p.data, std=(2 if "mlp" in name or "head" in name else 1) ** 0.5 * p.shape[1] ** -0.5)
        elif p.dim() == 1 and name.endswith("bias"):
            p.data.zero_()
    two_way = model.sam_mask_decoder.transformer
    for name, m in two_way.named_modules():
        if name.endswith(("token_to_image", "image_to_token")):
            torch.nn.init.normal_(m.q_proj.weight, std=1.6 * m.q_proj.in_features ** -0.5)
            m.k_proj.weight.data.copy_(m.q_proj.weight)
    for layer in model.memory_attention.layers:  # constant queries and keys, rotated: near places attend
        for m in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
            m.bias.data.fill_(2.0)
    first = two_way.layers[0].self_attn
    for m in (first.q_proj, first.k_proj, first.v_proj, first.out_proj):
        torch.nn.init.eye_(m.weight)
    first.q_proj.weight.data.mul_(2)


def read_scan(kind, volume, labels):
    v, _ = read_nifti(volume)
    return Scan(v, kind, None if labels == "-" else read_nifti(labels)[0])


def export(path, model, average, note):
    config = dataclasses.replace(model.config, image_size=PHASES[-1][0])
    state = {n: average.get(n, t).half().contiguous() for n, t in model.state_dict().items()}
    save_file(state, path + ".part", {**config.metadata(), "massflow.note": note})
    os.replace(path + ".part", path)


def phase_at(minutes, spent):
    """Which phase, and the rate: a cosine over the phases of slices, a lower one over those of runs."""
    ends = 60 * np.cumsum(minutes)
    phase = int(np.searchsorted(ends, spent, side="right"))
    if phase < 2:
        return phase, RATE * (0.15 + 0.85 * 0.5 * (1 + math.cos(math.pi * spent / ends[1])))
    done = min(1.0, (spent - ends[1]) / (ends[3] - ends[1]))
    return phase, RUN_RATE * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))


def plain_attention(q, k, v):
    """Faster than PyTorch's own where there are few keys, in bfloat16, on a CPU, forward and backward."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v


@torch.no_grad()
def meet(parameters, workers):
    """Every worker gets the mean of all workers' parameters."""
    flat = torch.cat([p.flatten() for p in parameters])
    torch.distributed.all_reduce(flat)
    for p, part in zip(parameters, flat.div_(workers).split([p.numel() for p in parameters])):
        p.copy_(part.view_as(p))


def mirrored(batch, size):
    """The same batch, left and right exchanged: drawing one takes as long as learning from it."""
    out = dict(batch, rgb=batch["rgb"].flip(-1))
    for name in ("masks", "first", "targets"):
        if name in batch:
            out[name] = batch[name].flip(-1)
    if "xy" in batch:
        out["xy"] = torch.stack((size - 1 - batch["xy"][..., 0], batch["xy"][..., 1]), -1)
        if batch["kind"] == "box":
            x = out["xy"][..., 0].flip(1)
            out["xy"] = torch.stack((x, out["xy"][..., 1]), -1)
    return out


def first_lesson(model, opt, batches, size, workers, steps=320):
    """Where a prompt is: masks are discs around points, of a size for each token, and whole boxes. Without it
    the decoder first learns to leave prompts aside, for a hundred times as long."""
    at = torch.arange(size // 4) * 4 + 1.5
    y, x = at[:, None], at[None, :]
    with torch.no_grad():
        known = [model.features(b["rgb"].float() / 255) for b in batches]
    for step in range(steps):
        f = known[step % len(known)]
        of = torch.arange(len(f.embed)).repeat_interleave(4)
        c = torch.rand(len(of), 2) * (size - 1)
        if step % 3 == 2:
            half = (torch.rand(len(of), 2) * 0.3 + 0.05) * size
            xy, labels = torch.stack((c - half, c + half), 1).clamp(0, size - 1), torch.tensor([[2, 3]])
            (x0, y0), (x1, y1) = (xy[:, i].T[:, :, None, None, None] for i in (0, 1))
            target = ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).float()
        else:
            xy, labels = c[:, None], torch.tensor([[1]])
            radius = torch.tensor([0.12, 0.07, 0.14, 0.25])[:, None, None] * size
            cx, cy = c.T[:, :, None, None, None]
            target = ((x - cx) ** 2 + (y - cy) ** 2 < radius ** 2).float()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.decode(model.still(f.embed[of]), [h[of] for h in f.high], xy, labels.repeat(len(of), 1))[0]
        loss = mask_loss(logits.float(), target).mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if step % ROUND == ROUND - 1:
            meet(list(model.parameters()), workers)
    return loss.item()


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
    loaders = {}

    def next_batch(make, size):
        if (make, size) not in loaders:
            data = Batches(scans, weights, make, size, [a.seed, step, size, int(make is run_batch), rank])
            loaders[make, size] = iter(torch.utils.data.DataLoader(data, None, num_workers=1, prefetch_factor=6))
        return next(loaders[make, size])

    torch.manual_seed(a.seed + rank)
    parameters = list(model.parameters())
    if step == 0:
        lesson = torch.optim.AdamW([p for n, p in model.named_parameters() if "sam_" in n], lr=RATE, betas=(0.9, 0.98))
        size = model.config.image_size = model.sam_prompt_encoder.size = PHASES[0][0]
        last = first_lesson(model, lesson, [next_batch(still_batch, size) for _ in range(6)], size, a.workers)
        for n, p in model.named_parameters():
            average[n].copy_(p.detach())
        print(f"first lesson: {last:.3f}", flush=True)
    began, seen, saved = time.time() - spent, {0: [], 1: []}, time.time()
    while True:
        clock = torch.tensor(time.time() - began)
        torch.distributed.broadcast(clock, 0)
        spent = clock.item()
        phase, rate = phase_at(a.minutes, spent)
        if phase == len(PHASES):
            break
        size, run = PHASES[phase]
        model.config.image_size = model.sam_prompt_encoder.size = size
        for g in opt.param_groups:
            g["lr"] = rate * min(1.0, (step + 1) / WARM)
        for turn in range(ROUND // 2):
            part = int(run and turn % 2 == 0)
            batch = next_batch(run_batch if part else still_batch, size)
            for b in (batch, mirrored(batch, size)):
                loss = (run_loss if part else still_loss)(model, b)
                opt.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                opt.step()
                seen[part].append(loss.item())
        step += ROUND
        meet(parameters, a.workers)
        keep = min(AVERAGE, step / (step + 50)) ** ROUND
        with torch.no_grad():
            for n, p in model.named_parameters():
                average[n].lerp_(p, 1 - keep)
        if rank:
            continue
        if step % (8 * ROUND) == 0:
            text = ", ".join(f"{n} {np.mean(seen[i][-64:]):.3f}" for i, n in enumerate(("still", "run")) if seen[i])
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
    p.add_argument("--minutes", type=float, nargs=4, default=(60, 20, 40, 30), help="of each phase")
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
