"""Makes tests/golden/inflated.safetensors: the weights of a ResNet of images, drawn, under torchvision's
names ("flat."), and what PyTorch inflates them to ("center.", "repeat.").

    python golden_inflate.py OUT_FOLDER

Of each inflated filter it is checked that a volume of equal slices gives what the flat one gives of a
slice; of "center" also a volume of different slices, of which the middle one is seen.
"""

import sys

import torch
import torch.nn.functional as F
from i3d import I3D, inflate
from safetensors.numpy import save_file

WIDTH, STAGES = 1, (1, 1, 1, 1)


def check_filter(flat, deep, how):
    image = torch.rand(1, flat.shape[1], 9, 9, dtype=torch.float64)
    depth = deep.shape[2]
    volume = image.unsqueeze(2).repeat(1, 1, depth, 1, 1)
    if how == "center":
        volume[:, :, [k for k in range(depth) if k != depth // 2]] = 7
    assert torch.allclose(F.conv3d(volume, deep.double())[:, :, 0], F.conv2d(image, flat.double()), atol=1e-5)


def main(folder):
    torch.manual_seed(1)
    out = {}
    for name, value in I3D(WIDTH, STAGES).state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        shape = [n for k, n in enumerate(value.shape) if value.dim() != 5 or k != 2]
        flat = torch.rand(shape) + (0.5 if name.endswith("running_var") else -0.5)
        out["flat." + name] = flat.numpy()
        for how in ("center", "repeat") if value.dim() == 5 else ():
            deep = inflate(flat, value.shape[2], how)
            assert deep.shape == value.shape
            check_filter(flat, deep, how)
            out[f"{how}.{name}"] = deep.contiguous().numpy()
    save_file(out, f"{folder}/inflated.safetensors")


if __name__ == "__main__":
    main(sys.argv[1])
