"""Makes tests/golden/pretraining.safetensors: the losses of ten steps of pretraining, the weights and
their averages after them, in float64, and how far PyTorch's float32 is off.

    python golden_pretraining.py OUT_FOLDER
    python golden_pretraining.py --official FOLDER_OF_THE_OFFICIAL_CODE

The second form compares instead: it runs the epoch of the official trainer (Stanford-AIMI/MASS), with
its model, losses, LAMB, scheduler and averages, on the same weights and batches, and prints how far its
losses and averages are from ours. Weights and inputs are drawn as in golden.py; only results are stored.
"""

import argparse
import math
import sys
import types

import numpy as np
import torch
import training
from golden import INPUTS, SAMPLES, distance, inside, weight
from iris import Iris
from philox import uniform
from safetensors.numpy import save_file

CHANNELS, BLOCKS, CROP, K, N = (8, 16, 32, 64, 96), (1, 2, 1, 1), (32, 32, 16), 3, 2
# As the official configuration, but for the number of steps of the schedule: two of forty rise.
RATE, DECAY, TOTAL, RISE, AVERAGES, STEPS = 0.002, 1e-5, 40, 0.05, 0.99, 10
STORED = 12  # elements of a weight


def view(name, shift, objects):
    """One view: image [D,H,W] and masks [K,D,H,W], of which the last is all ones."""
    masks = np.stack([inside(CROP, k, shift) for k in range(K - 1)] + [np.ones(CROP, np.uint8)])
    masks[objects:K - 1] = 0
    noise = uniform(INPUTS, name, math.prod(CROP)).astype(np.float32).reshape(CROP)
    image = np.float32(0.5) * noise
    for k in range(K - 1):
        image += masks[k].astype(np.float32) * np.float32(0.5 if k % 2 else -0.75)
    return image, masks


def batch(t):
    """N pairs: query, its masks, reference, its masks. The first query lacks an object."""
    pairs = []
    for n in range(N):
        query = view(f"query.{t}.{n}", 4 * t + 2 * n, K - 1 if n else K - 2)
        pairs.append(query + view(f"reference.{t}.{n}", 4 * t + 2 * n + 1, K - 1))
    return [np.stack(parts) for parts in zip(*pairs)]


def load(model):
    state = {n: torch.from_numpy(weight(n, tuple(p.shape))) for n, p in model.named_parameters()}
    model.load_state_dict(state, strict=False)
    return model


def tensors(given, dtype):
    """Query [N,1,D,H,W], masks [N,K,D,H,W], reference, its masks."""
    return [torch.from_numpy(v).to(dtype)[:, None] if v.ndim == 4 else torch.from_numpy(v).to(dtype)
            for v in given]


def collect(curve, model, averages):
    out = {"curve": np.array(curve)}
    for prefix, named in (("after.", dict(model.named_parameters())), ("after.ema.", averages)):
        out.update({prefix + n: p.detach().double().numpy().reshape(-1) for n, p in named.items()})
    return out


def run(dtype):
    """Ten steps; one pair after another, since the model takes one."""
    model = load(Iris(CHANNELS, BLOCKS)).to(dtype)
    named = dict(model.named_parameters())
    averages = {n: p.detach().clone() for n, p in named.items()}
    state = {n: [torch.zeros_like(p), torch.zeros_like(p)] for n, p in named.items()}
    # PyTorch's own scheduler tells rate and first beta; its optimizer is never used.
    told = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=RATE, betas=(0.9, 0.999))
    schedule = torch.optim.lr_scheduler.OneCycleLR(told, RATE, total_steps=TOTAL, pct_start=RISE,
                                                   div_factor=25.0, final_div_factor=1000.0)
    curve = []
    for t in range(STEPS):
        model.zero_grad()
        query, masks, reference, reference_masks = tensors(batch(t), dtype)
        loss = 0.0
        for n in range(N):
            one = slice(n, n + 1)
            logits, _ = model(query[one], reference[one], reference_masks[one])
            part = (training.dice_loss(logits, masks[one]) + training.bce_loss(logits, masks[one])) / N
            part.backward()
            loss += float(part.detach())
        training.clip(list(named.values()))
        rate, beta1 = told.param_groups[0]["lr"], told.param_groups[0]["betas"][0]
        for n, p in named.items():
            training.lamb_step(p.data, p.grad, state[n], rate, beta1=beta1, decay=DECAY)
            averages[n].mul_(AVERAGES).add_(p.data, alpha=1 - AVERAGES)
        told.step()
        schedule.step()
        curve.append(loss)
        print(dtype, "step", t + 1, "loss", loss, flush=True)
    return collect(curve, model, averages)


def run_official(dtype, folder):
    """The same by the official trainer's own epoch, without its data sets and its log."""
    sys.path.insert(0, folder)
    for absent, name in (("torch.utils.tensorboard", "SummaryWriter"), ("training.evaluator", "Evaluator")):
        sys.modules[absent] = types.ModuleType(absent)
        setattr(sys.modules[absent], name, None)
    # Its packages import all trainers and metrics; one has the name of our module.
    ours = sys.modules["training"]
    for name in ("training", "metrics"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [f"{folder}/{name}"]
    try:
        import training.utils  # noqa: F401  registers optimizers, schedules and losses
        from models.iris import Iris as Official
        from training.trainer_ss import MaskGuidedSelfSupervisedTrainer as Trainer
        curve = []

        class Recorded(Trainer):
            def __init__(self):
                model = {"in_ch": 1, "channels": list(CHANNELS), "scale": [2] * 4, "kernel_size": [3] * 5,
                         "block": "BasicBlock", "num_block": list(BLOCKS), "pool": True, "norm": "in",
                         "tn": 73, "num_prior_stage": 3, "ema_moment": 0.99}
                self.config = {
                    "optimizer": {"type": "Lamb", "lr": RATE, "betas": [0.9, 0.999],
                                  "weight_decay": DECAY},
                    "scheduler": {"type": "OneCycleLR", "max_lr": RATE, "total_steps": TOTAL,
                                  "pct_start": RISE, "div_factor": 25.0, "final_div_factor": 1000.0},
                    "loss": {"dice": {"type": "BinaryDiceLoss", "weight": 1.0},
                             "bce": {"type": "BinaryCrossEntropyLoss", "weight": 1.0}},
                    "print_freq": 1000, "log_freq": 1000}
                self.device, self.epochs, self.current_iter = torch.device("cpu"), 1, 0
                self.max_iter_per_epoch, self.writer = STEPS, None
                self.model = load(Official(**model)).to(dtype)
                self.ema_model = Official(**model).to(dtype)
                self.ema_model.load_state_dict(self.model.state_dict())
                self.ema_decay = AVERAGES
                self._setup_optimizer()
                self._setup_criterion()
                self.train_loader = [tensors(batch(t), dtype) for t in range(STEPS)]

            def _compute_loss(self, output, target):
                loss, each = super()._compute_loss(output, target)
                curve.append(loss.item())
                return loss, each

        trainer = Recorded()
        trainer._train_epoch(0)
        return collect(curve, trainer.model, dict(trainer.ema_model.named_parameters()))
    finally:
        sys.modules["training"] = ours
        sys.path.remove(folder)


def compare(folder):
    for dtype in (torch.float64, torch.float32):
        ours, theirs = run(dtype), run_official(dtype, folder)
        apart = {n: distance(theirs[n], v) for n, v in ours.items() if n != "curve"}
        far = np.quantile(list(apart.values()), (0.5, 0.9, 1))
        print(dtype, "official losses", theirs["curve"], "ours less those", ours["curve"] - theirs["curve"])
        print(dtype, len(apart), "weights and averages apart: median, 90%, most", far, max(apart, key=apart.get))


def sample(name, count):
    if count <= STORED:
        return np.arange(count)
    return ((uniform(SAMPLES, name, STORED) + 1.0) * 0.5 * count).astype(np.int64)


def store(folder):
    exact = run(torch.float64)
    singles = [run(torch.float32)]  # as in golden_finetune.py, two ways to convolve
    with torch.backends.mkldnn.flags(enabled=False):
        singles.append(run(torch.float32))
    out = {"channels": np.array(CHANNELS, np.int64), "blocks": np.array(BLOCKS, np.int64),
           "crop": np.array(CROP, np.int64), "masks": np.array([K], np.int64), "curve": exact.pop("curve")}
    out["curve~"] = np.max([np.abs(s["curve"] - out["curve"]) for s in singles], 0)
    for n, values in exact.items():
        at = sample(n, values.size)
        norms, norm = [np.linalg.norm(s[n]) for s in singles], np.linalg.norm(values)
        out[n] = values[at]
        out[n + "~"] = np.array([max(distance(s[n][at], values[at]) for s in singles), norm,
                                 max(norms, key=lambda v: abs(v - norm))])
    print("curve", out["curve"], "float32 off by", out["curve~"])
    save_file(out, f"{folder}/pretraining.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)  # two wait for each other on a busy machine
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?")
    parser.add_argument("--official")
    words = parser.parse_args()
    if words.official:
        compare(words.official)
    else:
        store(words.out)
