"""Weights as a file that graphs can read: .safetensors, without the package of that name."""
import json
import os
import struct

from ._library import Invalid, soft_import

# As the format names them; what it has and massflow does not read is left out.
DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16",
          "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32"}


def _array(name, value):
    numpy = soft_import("numpy", "save_weights")
    if hasattr(value, "detach"):  # torch; numpy has no bfloat16
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    found = numpy.asarray(value)
    if found.dtype.name not in DTYPES:
        raise Invalid(f"the weight '{name}' is {found.dtype}; weights are {', '.join(DTYPES)}")
    return found.astype(found.dtype.newbyteorder("<"), order="C", copy=False)


def save_weights(path, weights):
    """Writes weights by name (arrays, or a state dict of torch) as a .safetensors file; the path. The stage model.load reads
    it: which model they are follows from their names and shapes."""
    path = os.fspath(path)
    if not path.endswith(".safetensors"):
        raise Invalid(f"{path}: weights are written as .safetensors")
    arrays = {str(name): _array(name, value) for name, value in weights.items()}
    header, end = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for array in arrays.values():
                file.write(array.tobytes())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise
    return path
