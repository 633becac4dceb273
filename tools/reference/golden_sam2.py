"""Makes tests/golden/sam2_micro.safetensors: what SAM 2.1 of a very small size computes in float64, and how
far PyTorch's float32 is off.

    python golden_sam2.py OUT.safetensors OUT.txt

OUT.txt gets the names and shapes of the model's tensors. Weights (golden.weight, by their official names) and pictures are drawn, so only results are stored, of large
tensors drawn elements as in golden.py: the sample of a tensor has its name's seed. Beside each tensor,
`NAME~`: the most that float32 lies off on these elements (relative L2), the norm of the whole in float64 and
in float32, and the distance of each float32 run.
"""

import json
import sys

import numpy as np
import torch
from golden import INPUTS, distance, sample, weight
from philox import uniform
from safetensors.numpy import save_file
from sam2 import SAM2, Config

MICRO = Config(image_size=128, embed_dim=16, heads=2, stages=(1, 2, 3, 1), global_blocks=(4,),
               windows=(8, 4, 6, 3), d_model=64, mem_dim=32, decoder_heads=4, decoder_mlp=96, iou_hidden=48,
               memory_layers=2, memory_mlp=96)
S, FRAMES = MICRO.image_size, 10
OBJECTS = ((0, 3), (1, 0), (2, 7), (0, 3))  # which ellipse, its seed frame
LOWERED, BY = 3, 0.16  # for the last, the bias of the object score: it is gone on some frames
PROMPTS = {"p0": ([[[40, 44]], [[90.5, 71.25]]], [1]),
           "p1": ([[[40, 44], [3, 120], [52, 30]], [[90, 71], [64, 64], [100, 80]]], [1, 0, 1]),
           "p2": ([[[20, 24], [70, 66.5]], [[60, 50], [120, 100]]], [2, 3]),
           "p3": None,
           "p4": ([[[40, 44]], [[90.5, 71.25]]], [1])}


def inside(k, t):
    """u8 [S,S]: object k on frame t, an ellipse that moves and shrinks; in integers."""
    y, x = np.meshgrid(np.arange(S), np.arange(S), indexing="ij")
    y, x = y - (S * (5 + 3 * k) // 16 + t), x - (S * (5 + 2 * k) // 16 + 2 * t - k * t)
    a, b = S // (5 + k) - t, S // (4 + k) - t
    return ((y * b) ** 2 + (x * a) ** 2 < (a * b) ** 2).astype(np.uint8)


def frame(t):
    """u8 [S,S,3]"""
    noise = (uniform(INPUTS, f"frame{t}", S * S * 3) + 1) * 32
    v = 40 + noise.astype(np.int64).reshape(S, S, 3)
    for k in range(3):
        v += inside(k, t)[..., None] * np.array([(k + c) % 3 * 20 + 20 for c in range(3)])
    return v.astype(np.uint8)


def low_mask(name):
    """f32 [2,1,S/4,S/4]: logits as a mask prompt."""
    return np.float32(8) * uniform(INPUTS, name, 2 * (S // 4) ** 2).astype(np.float32).reshape(2, 1, S // 4, -1)


def drawn_model():
    model = SAM2(MICRO)
    model.load_state_dict({n: torch.from_numpy(weight(n, tuple(v.shape))) for n, v in model.state_dict().items()})
    return model.eval()


@torch.no_grad()
def run(dtype):
    model, out = drawn_model().to(dtype), {}
    rgb = [torch.from_numpy(frame(t)).to(dtype).permute(2, 0, 1)[None] / 255 for t in range(FRAMES)]
    f = [model.features(v) for v in rgb]
    for i in range(4):
        out[f"trunk_stage{i}"] = f[0].trunk[i]
    out.update(neck_level2=f[0].neck[2], neck_level3=f[0].neck[3], high_res0=f[0].high[0], high_res1=f[0].high[1],
               image_embed=model.still(f[0].embed))
    for name, given in PROMPTS.items():
        xy = labels = masks = None
        if given:
            xy, labels = torch.tensor(given[0], dtype=dtype), torch.tensor([given[1]] * 2)
        if name in ("p3", "p4"):
            masks = torch.from_numpy(low_mask(name + ".mask")).to(dtype)
        logits, iou, _, score = model.decode(out["image_embed"], f[0].high, xy, labels, masks)
        out[name + ".multi.low_res"], out[name + ".multi.iou"] = logits[:, 1:], iou[:, 1:]
        out[name + ".token0.low_res"], out[name + ".token0.iou"] = logits[:, :1], iou[:, :1]
        out[name + ".single.low_res"], out[name + ".single.iou"] = model.single(logits, iou)
        out[name + ".object_score"] = score
    masks = torch.from_numpy(np.stack([inside(k, 0) for k in range(3)])).to(dtype)[:, None]
    out["memory_encoder"] = model.memory_encoder(f[0].embed, masks * 20 - 10)
    for o, (k, seed) in enumerate(OBJECTS):
        mask = torch.from_numpy(inside(k, seed)).to(dtype)[None, None]
        if o == 0:
            first = {seed: model.prompted(f[seed], mask)}
            memory, pos, plain = model.recall(seed + 1, first, [seed], FRAMES, 1)
            out["memory_attention"] = model.memory_attention(f[seed + 1].embed, memory, pos, plain)
        if o == LOWERED:
            model.sam_mask_decoder.pred_obj_score_head.layers[2].bias -= np.float32(BY)
        for way, frames in zip(("fwd", "rev"), model.video(f, mask, seed)):
            for t, one in frames.items():
                at = f"{way}.f{t}.o{o}."
                out.update({at + "low_res": one.low, at + "obj_ptr": one.pointer, at + "object_score": one.score})
    return {n: v.double().numpy().reshape(-1) for n, v in out.items()}


def results():
    exact, singles = run(torch.float64), [run(torch.float32)]
    with torch.backends.mkldnn.flags(enabled=False):
        singles.append(run(torch.float32))
    out = {}
    for n in exact:
        at = sample(n, exact[n].size)
        apart = [distance(s[n][at], exact[n][at]) for s in singles]
        out[n] = exact[n][at]
        out[n + "~"] = np.array([max(apart), np.linalg.norm(exact[n]), np.linalg.norm(singles[0][n]), *apart])
    for name, given in PROMPTS.items():
        if given:
            out[name + ".points"] = np.array(given[0], np.float32)
            out[name + ".labels"] = np.array([given[1]] * 2, np.int64)
    return out


if __name__ == "__main__":
    about = {**MICRO.metadata(), "about": json.dumps({"frames": FRAMES, "objects": OBJECTS, "lowered": LOWERED, "by": BY})}
    save_file(results(), sys.argv[1], about)
    with open(sys.argv[2], "w") as text:
        print("# Names and shapes of the SAM 2.1 of golden_sam2.py.", file=text)
        for n, v in sorted(drawn_model().state_dict().items()):
            print(n, ",".join(map(str, v.shape)), file=text)
