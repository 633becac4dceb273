"""What the benchmarks against PyTorch share: on what it computes, and how. Only the functions that
compute import torch, so that a benchmark without it can say so."""
import json
import os
import struct


def on_gpu():
    return os.environ.get("PEER_DEVICE", "cpu") != "cpu"


def arithmetic():
    """How PyTorch multiplies on a GPU: both of its flags are set to the same."""
    return "PyTorch in TF32" if os.environ.get("PEER_TF32") == "1" else "PyTorch in f32 (TF32 off)"


def device():
    """PyTorch's device, with all cores of a CPU."""
    import torch
    torch.set_num_threads(os.cpu_count())
    allowed = os.environ.get("PEER_TF32") == "1"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    return torch.device(os.environ.get("PEER_DEVICE", "cpu"))


def wait(device_):
    """Until a GPU has done what it was given."""
    import torch
    if device_.type == "cuda":
        torch.cuda.synchronize()


def write_safetensors(path, tensors):
    """f32 tensors as a safetensors file, which needs no package to write or read."""
    header, data, at = {}, [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().cpu().contiguous().float().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(values)]}
        data.append(values)
        at += len(values)
    text = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(data)
