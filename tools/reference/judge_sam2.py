"""How good a small SAM 2.1 is on scans, one row a scan:

    python judge_sam2.py MODEL.safetensors --scan NAME KIND VOLUME LABELS ...

Still: objects are components of labels on random slices of all three axes, at least 60 of 256 x 256 pixels;
the prompt is a point well inside, or the box. IoU of the best of the three masks, of the one the model
itself says is best, and of the box's mask. Run: the mask of one slice is given, the next ten follow; mean IoU
over the slices where the object still is, beside the given mask left unchanged; and on how many of the
others the model rightly says that it is gone. `--untrained` judges drawn weights instead.
"""

import argparse

import numpy as np
import torch
from safetensors import safe_open
from sam2 import SAM2, Config
from slices import Scan, Warp, read_nifti
from train_sam2 import any_slice, as_planes, draw_object, followed, start

SIZE, NEXT = 256, 10


def load(path):
    with safe_open(path, "pt") as f:
        state = {n: f.get_tensor(n).float() for n in f.keys()}
        model = SAM2(Config.of(state, f.metadata()))
    model.load_state_dict(state)
    return model.eval()


def overlap(a, b):
    return float((a & b).sum() / (a | b).sum().clamp(min=1))


def picture(scan, at):
    return Warp(None, plain=True).apply(as_planes(list(np.moveaxis(scan.rgb[0][at], -1, 0))), SIZE) / 255


def square(mask):
    return Warp(None, plain=True).apply(as_planes([mask]), SIZE)[0] > 0.5


@torch.no_grad()
def still(model, scan, rng, count):
    best, said, boxed = [], [], []
    while len(best) < count:
        axis = int(rng.integers(3))
        at = scan.cut(axis, any_slice(rng, scan, axis))
        drawn = [d for d in (draw_object(rng, [scan.maps[0][at]], deep=0.6) for _ in range(4)) if d]
        if not drawn:
            continue
        f = model.features(picture(scan, at)[None])
        h, w = scan.maps[0][at].shape
        for (y, x), (mask, *_) in drawn:
            truth = square(mask)
            if truth.sum() < 60:
                continue
            xy = torch.tensor(Warp(None, plain=True).back(x, y, w, h, SIZE)[None, None]).float()
            logits, iou, _, _ = model.decode(model.still(f.embed), f.high, xy, torch.tensor([[1]]))
            each = [overlap(m > 0, truth) for m in model.upscale(logits)[0, 1:]]
            best.append(max(each))
            said.append(each[int(iou[0, 1:].argmax())])
            inside = torch.nonzero(truth).flip(1).float()
            box = torch.stack((inside.min(0).values, inside.max(0).values))[None]
            out = model.single(*model.decode(model.still(f.embed), f.high, box, torch.tensor([[2, 3]]))[:2])[0]
            boxed.append(overlap(model.upscale(out)[0, 0] > 0, truth))
    return np.mean(best), np.mean(said), np.mean(boxed), len(best)


@torch.no_grad()
def run(model, scan, rng, count):
    kept, copied, gone = [], [], []
    while len(kept) < count:
        axis = int(rng.integers(3))
        length = scan.body_mask.shape[axis]
        if length < NEXT + 2:
            continue
        first = any_slice(rng, scan, axis, NEXT)
        at = [scan.cut(axis, i) for i in range(first, first + NEXT + 1)]
        drawn = draw_object(rng, [scan.maps[0][at[0]]])
        if drawn is None:
            continue
        (y, x), (mask, *_) = drawn
        truth = [square(m) for m in followed([scan.maps[0][a] for a in at], mask, scan.maps[0][at[0]][y, x])]
        if truth[0].sum() < 60 or truth[3].sum() < 20:
            continue
        features = [model.features(picture(scan, a)[None]) for a in at]
        frames = model.video(features, truth[0][None, None].float(), 0)[0]
        found = [model.upscale(frames[t].low)[0, 0] > 0 for t in range(NEXT + 1)]
        there = [t for t in range(1, NEXT + 1) if truth[t].sum() >= 20]
        kept.append(np.mean([overlap(found[t], truth[t]) for t in there]))
        copied.append(np.mean([overlap(truth[0], truth[t]) for t in there]))
        gone += [float(found[t].sum() == 0) for t in range(1, NEXT + 1) if truth[t].sum() == 0]
    return np.mean(kept), np.mean(copied), np.mean(gone) if len(gone) > 9 else float("nan"), len(kept)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--scan", nargs=4, action="append", default=[], metavar=("NAME", "KIND", "VOLUME", "LABELS"))
    p.add_argument("--objects", type=int, default=120)
    p.add_argument("--runs", type=int, default=30)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--untrained", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    model = load(a.model)
    if a.untrained:
        torch.manual_seed(1)
        model = SAM2(model.config).eval()
        start(model)
    print("| scan | best of three | said best | box | next ten slices | mask copied | gone, noticed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, kind, volume, labels in a.scan:
        scan, rng = Scan(read_nifti(volume)[0], kind, read_nifti(labels)[0], regions=False), np.random.default_rng(5)
        row = [*still(model, scan, rng, a.objects)[:3], *run(model, scan, rng, a.runs)[:3]]
        print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in row) + " |", flush=True)
