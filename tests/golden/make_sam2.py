#!/usr/bin/env python3
"""Make tests/unit/sam2_golden.h: what PyTorch, Pillow, SciPy and the official SAM 2 code make of small
pictures and made-up logits.

    python tests/golden/make_sam2.py SAM2 > tests/unit/sam2_golden.h

SAM2 is a checkout of github.com/facebookresearch/sam2 at 2b90b9f. Made with torch 2.13 on the CPU,
Pillow 13, SciPy 1.17. The official generator runs here with its model replaced by formulas, which
tests/unit/test_sam2.c has too, its connected components by SciPy's (the original has them in CUDA),
and torchvision's few functions by what PyTorch says of them.
"""
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


# ---- what the official code takes from torchvision -------------------------------------------------
def nms(boxes, scores, categories, iou_threshold):
    """Greedy, the highest score first, the first of equals; all one category."""
    order = torch.sort(scores, descending=True, stable=True).indices.tolist()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    for i in order:
        lo = torch.maximum(boxes[keep, :2], boxes[i, :2])
        hi = torch.minimum(boxes[keep, 2:], boxes[i, 2:])
        both = (hi - lo).clamp(min=0).prod(dim=1)
        if not bool(((both / (areas[keep] + areas[i] - both)).double() > iou_threshold).any()):
            keep.append(i)
    return torch.tensor(keep, dtype=torch.int64)


def stand_ins():
    class Resize(torch.nn.Module):
        def __init__(self, size):
            super().__init__()
            self.size = size

    class Normalize(torch.nn.Module):
        def __init__(self, mean, std):
            super().__init__()

    for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    boxes = sys.modules["torchvision.ops.boxes"]
    boxes.batched_nms = nms
    boxes.box_area = lambda b: (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    transforms = sys.modules["torchvision.transforms"]
    transforms.Resize, transforms.Normalize, transforms.ToTensor = Resize, Normalize, lambda: None
    torch.jit.script = lambda module: module


def components(mask):
    """Labels and areas of [N, 1, H, W], neighbours at corners too."""
    labels, areas = torch.zeros(mask.shape, dtype=torch.int32), torch.zeros(mask.shape, dtype=torch.int32)
    for i, one in enumerate(mask[:, 0].numpy()):
        found, _ = ndimage.label(one, np.ones((3, 3)))
        labels[i, 0] = torch.from_numpy(found.astype(np.int32))
        areas[i, 0] = torch.from_numpy((np.bincount(found.ravel())[found] * (found > 0)).astype(np.int32))
    return labels, areas


stand_ins()
import sam2.utils.misc as misc  # noqa: E402

misc.get_connected_components = components
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator  # noqa: E402
from sam2.utils.amg import generate_crop_boxes  # noqa: E402
from sam2.utils.transforms import SAM2Transforms  # noqa: E402


# ---- inputs that the test makes by itself ----------------------------------------------------------
def noise(n, salt=0):
    """n bytes."""
    return np.array([((i + salt) * 2654435761 % 2**32) >> 24 for i in range(n)], np.uint8)


def picture(h, w):
    return noise(h * w * 3, h * 1000 + w).reshape(h, w, 3)


def mask(h, w):
    y, x = np.mgrid[:h, :w]
    return (((3 * x + 5 * y) % 23 < 9) ^ (noise(h * w, 7).reshape(h, w) < 40)).astype(np.uint8)


def logits(h, w):
    return ((noise(h * w, 3).reshape(h, w).astype(np.float32) - 128) / 16).astype(np.float32)


# ---- the made-up model -----------------------------------------------------------------------------
IMAGE = 64


class Eye:
    """Stands where official code has its predictor."""
    device = torch.device("cpu")

    def __init__(self, area):
        self._transforms = SAM2Transforms(IMAGE, 0.0, area, area)

    def set_image(self, crop):
        self.hw, self.shade = crop.shape[:2], int(crop[0, 0, 0]) % 3

    def reset_predictor(self):
        pass

    def disc(self, x, y, k):
        bx, by = int(x) // 16, int(y) // 16
        i, j = np.mgrid[:IMAGE // 4, :IMAGE // 4]
        r = 4 + 3 * k + (bx * 3 + by * 5) % 4
        d = (4 * j + 2 - 16 * bx - 8) ** 2 + (4 * i + 2 - 16 * by - 8) ** 2
        m = ((r * r - d) / 8 + 7 / 512).astype(np.float32)
        if by % 2:
            m[d < 9] = -1.25
        if bx % 2:
            m[0, 0] = 1.25
        return m, np.float32(((bx * 7 + by * 3 + k * 5 + self.shade) % 11) / 10)

    def _predict(self, points, labels, mask_input=None, multimask_output=True, return_logits=False):
        masks, scores = [], []
        for b, (x, y) in enumerate(points[:, 0].tolist()):
            if mask_input is not None:
                masks.append([mask_input[b, 0].numpy() * np.float32(0.5) + np.float32(0.25)])
                scores.append([np.float32((int(x) // 16 * 5 + int(y) // 16 * 3) % 9 / 10)])
            else:
                made = [self.disc(x, y, k) for k in (range(1, 4) if multimask_output else (2,))]
                masks.append([m for m, _ in made])
                scores.append([s for _, s in made])
        low = torch.from_numpy(np.array(masks))
        high = self._transforms.postprocess_masks(low, self.hw)
        return high, torch.from_numpy(np.array(scores)), low.clamp(-32, 32)


def generate(h, w, **options):
    g = object.__new__(SAM2AutomaticMaskGenerator)
    real = SAM2AutomaticMaskGenerator.__init__
    import sam2.automatic_mask_generator as amg
    amg.SAM2ImagePredictor = lambda model, max_hole_area, max_sprinkle_area: Eye(max_hole_area)
    real(g, None, **options)
    rows = []
    for m in g.generate(picture(h, w)):
        x, y, bw, bh = m["bbox"]
        cx, cy, cw, ch = m["crop_box"]
        rows += [x, y, x + bw, y + bh, m["area"], m["predicted_iou"], m["stability_score"],
                 *m["point_coords"][0], cx, cy, cx + cw, cy + ch]
    return np.float32(rows)


# ---- output ----------------------------------------------------------------------------------------
def put(name, values, kind):
    values = np.asarray(values).ravel()
    print(f"static const {kind} {name}[{len(values)}] = {{")
    line = "   "
    for v in values:
        text = f" {v:.9g}".replace("nan", "NAN") + ("," if kind != "float" else "f,")
        if kind == "float" and not any(c in text for c in ".eN"):
            text = text.replace("f,", ".0f,")
        if len(line + text) > 100:
            print(line)
            line = "   "
        line += text
    print(line + "\n};")


def main():
    print("/* sam2_golden.h - made by tests/golden/make_sam2.py; what is in it stands there. */")
    print("/* clang-format off */")
    for h, w, image in ((7, 9, 8), (41, 33, 12)):
        p = picture(h, w)
        t = torch.from_numpy(p).permute(2, 0, 1)[None].double() / 255
        t = F.interpolate(t, (image, image), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
        put(f"still_{h}_{w}", (t - MEAN) / STD, "float")
        put(f"frame_{h}_{w}", np.array(Image.fromarray(p).resize((image, image))), "uint8_t")
    for h, w, image in ((7, 9, 16), (41, 33, 16)):
        m = torch.from_numpy(mask(h, w))[None, None].float()
        m = F.interpolate(m, (image, image), mode="bilinear", align_corners=False, antialias=True) >= 0.5
        put(f"mask_{h}_{w}", m.numpy().astype(np.uint8), "uint8_t")
    for h, w in ((13, 21), (5, 6)):
        z = F.interpolate(torch.from_numpy(logits(8, 8))[None, None], (h, w), mode="bilinear")[0, 0]
        put(f"zoom_{h}_{w}", [(z > 1).sum(), (z > 0).sum(), (z > -1).sum(), *(z > 0).flatten()], "int")
    t = SAM2Transforms(IMAGE, 0.5, 4, 3)
    put("clean_20", t.postprocess_masks(torch.from_numpy(logits(20, 20) + 2)[None, None], (20, 20)), "float")
    put("fill_20", misc.fill_holes_in_mask_scores(torch.from_numpy(logits(20, 20) + 2)[None, None], 3), "float")
    for h, w, layers, overlap in ((512, 512, 2, 0.5), (60, 97, 1, 512 / 1500), (16, 16, 2, 0.5)):
        boxes, layer = generate_crop_boxes((h, w), layers, overlap)
        put(f"crops_{h}_{w}", [b + [n] for b, n in zip(boxes, layer)], "int")
    mass = dict(points_per_side=8, points_per_batch=24, pred_iou_thresh=0.4, stability_score_thresh=0.7,
                box_nms_thresh=0.5, crop_nms_thresh=0.5, crop_overlap_ratio=0.5)
    put("made_plain", generate(90, 110, min_mask_region_area=0, **mass), "float")
    put("made_area", generate(90, 110, min_mask_region_area=9, **mass), "float")
    put("made_crops", generate(150, 130, crop_n_layers=2, min_mask_region_area=3, **mass), "float")
    put("made_single", generate(90, 110, multimask_output=False, **mass), "float")
    put("made_m2m", generate(90, 110, use_m2m=True, **mass), "float")
    put("made_official", generate(150, 130, points_per_side=8, crop_n_layers=1,
                                  crop_n_points_downscale_factor=2, pred_iou_thresh=0.3,
                                  stability_score_thresh=0.8), "float")


main()
