#!/usr/bin/env python3
"""Make tests/unit/views_golden.h: what PyTorch makes of a small volume by the distortions of a view.

    python tests/golden/make_views.py > tests/unit/views_golden.h      (made with torch 2.13, CPU)

The volume is value(i) = ((i * 2654435761) mod 2^32 >> 16) / 65536 * 4 - 1.5, i the index in [z,y,x];
three masks are thresholds of it. So the test makes the same input by itself.
"""
import math

import torch
import torch.nn.functional as F

SIZE = (10, 9, 12)  # z y x
VIEW = (6, 5, 8)


def volume(size):
    n = size[0] * size[1] * size[2]
    values = [((i * 2654435761) % 2**32 >> 16) / 65536 * 4 - 1.5 for i in range(n)]
    return torch.tensor(values, dtype=torch.float32).view(size)


def theta(scale, shear, shift, degrees):
    """Rx Ry Rz S: S holds scale on its diagonal, shear beside it, shift in its last column."""
    x, y, z = (a / 180 * math.pi for a in degrees)
    rx = torch.tensor([[1, 0, 0, 0], [0, math.cos(x), -math.sin(x), 0],
                       [0, math.sin(x), math.cos(x), 0], [0, 0, 0, 1]], dtype=torch.float64)
    ry = torch.tensor([[math.cos(y), 0, -math.sin(y), 0], [0, 1, 0, 0],
                       [math.sin(y), 0, math.cos(y), 0], [0, 0, 0, 1]], dtype=torch.float64)
    rz = torch.tensor([[math.cos(z), -math.sin(z), 0, 0], [math.sin(z), math.cos(z), 0, 0],
                       [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    s = torch.tensor([[scale[0], shear[0], shear[1], shift[0]],
                      [shear[2], scale[1], shear[3], shift[1]],
                      [shear[4], shear[5], scale[2], shift[2]], [0, 0, 0, 1]], dtype=torch.float64)
    return (rx @ ry @ rz @ s)[None, :3]


def center(t):
    lo = [(t.shape[2 + i] - VIEW[i]) // 2 for i in range(3)]
    return t[..., lo[0]:lo[0] + VIEW[0], lo[1]:lo[1] + VIEW[1], lo[2]:lo[2] + VIEW[2]]


def show(name, tensor, integer=False):
    kind = "uint8_t" if integer else "float"
    flat = tensor.flatten().tolist()
    print(f"static const {kind} {name}[{len(flat)}] = {{")
    words = [str(int(v)) if integer else f"{v:.7g}f" if "." in f"{v:.7g}" or "e" in f"{v:.7g}"
             else f"{v:.7g}.0f" for v in flat]
    line = "   "
    for word in words:
        if len(line) + len(word) + 2 > 98:
            print(line)
            line = "   "
        line += " " + word + ","
    print(line)
    print("};\n")


def affine_case(image, masks, number, *draw):
    grid = F.affine_grid(theta(*draw), (1, 1) + SIZE, align_corners=True)
    moved = F.grid_sample(image[None, None].double(), grid, mode="bilinear", padding_mode="zeros",
                          align_corners=True)
    marks = F.grid_sample(masks[None].double(), grid, mode="nearest", padding_mode="zeros",
                          align_corners=True)
    show(f"affine_image_{number}", center(moved))
    bits = sum(center(marks)[0, k].long() << k for k in range(3))
    show(f"affine_bits_{number}", bits, integer=True)


def intensities(v):
    low, high, mean, std = v.min(), v.max(), v.mean(), v.std()
    curved = ((v - low) / (high - low)) ** 1.25 * (high - low) + low
    curved = (curved - curved.mean()) / curved.std() * std + mean
    show("gamma_125", curved)
    show("contrast_130", ((v - mean) * 1.3 + mean).clamp(low, high))
    sigma = 0.9
    r = math.ceil(3 * sigma)
    line = torch.arange(-r, r + 1, dtype=torch.float64)
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    kernel = torch.exp(-(x**2 + y**2 + z**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    show("blur_09", F.conv3d(v[None, None], kernel[None, None], padding=r))


def main():
    image = volume(SIZE)
    masks = torch.stack([image > 0.5, image < -0.5, image.abs() < 0.7]).float()
    print("/* views_golden.h - made by tests/golden/make_views.py; what is in it stands there. */")
    print("/* clang-format off */")
    affine_case(image, masks, 1, (0.8, 1.1, 1.3), (0.05, -0.1, 0.07, 0.02, -0.03, 0.09), (0, 0, 0),
                (17, -23, 8))
    affine_case(image, masks, 2, (1.4, 1.3, 1.2), (0, 0, 0, 0, 0, 0), (0.2, -0.3, 0.1),
                (-30, 29, 12))
    intensities(center(image[None, None]).double()[0, 0])
    print("/* clang-format on */")


main()
