"""Results: what is in the cache under a node's name, read when it is asked for.

Arrays are [z, y, x] with x fastest, as numpy and SimpleITK's GetArrayFromImage have them; grids and affines are
in the order x, y, z and in RAS+ millimetres, as nibabel has them.
"""
import ctypes
import re
import types
import weakref
from ctypes import POINTER, byref, c_int, c_int64, c_size_t, c_void_p
from typing import NamedTuple

from . import _html
from ._library import (
    DTYPES,
    Array,
    ArrayInfo,
    Handle,
    Invalid,
    NotFound,
    Unpicklable,
    check,
    free,
    load,
    soft_import,
    text_of,
)

# Of the engine's names: those of numpy, and the format characters of the module struct.
NUMPY = {"u8": "uint8", "i8": "int8", "u16": "uint16", "i16": "int16", "u32": "uint32", "i32": "int32",
         "i64": "int64", "f16": "float16", "f32": "float32", "f64": "float64"}
FORMAT = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "i64": "q", "f16": "e",
          "f32": "f", "f64": "d"}
# torch reads what numpy has; these two only of late, so they become the next wider type.
TORCH = {"uint16": "int32", "uint32": "int64"}
SHOWN = 8  # arrays in a line about a result
# The array that is meant where none is named.
MAIN = {"volume": "voxels", "labels": "voxels", "sample": "image", "crop": "image", "slices": "rgb",
        "image": "rgb", "features": "values", "probabilities": "values"}


class ArrayType(NamedTuple):
    """One of the arrays of a result, without its data."""

    dtype: str      # "f32"
    shape: tuple
    rows: "int | None"  # of a ragged array: one of rows of bytes of different lengths


class _Memory:
    """The memory of an array of the library, kept as long as anything looks at it."""

    def __init__(self, array):
        weakref.finalize(self, load().mf_array_unref, array).atexit = False
        fields = array.contents
        self.dtype = DTYPES[fields.dtype]
        self.shape = tuple(fields.shape[:fields.rank])
        self.bytes = fields.bytes
        self.data = fields.data

    def view(self):
        """Its bytes, read-only."""
        if not self.bytes:
            return memoryview(b"")

        class Bytes(ctypes.c_char * self.bytes):
            """With room for a reference to the owner."""

        held = Bytes.from_address(self.data)
        held.memory = self
        return memoryview(held).toreadonly().cast("B")


def _names(attributes):
    """{value: (name, colour or None)} of the attribute `names`, as massflow/names.h describes it."""
    found = {}
    for line in attributes.get("names", "").split("\n"):
        value, equals, name = line.partition("=")
        color = re.fullmatch(r"(.+) #([0-9a-f]{6})", name)
        if equals and "+" not in value:  # else a set of values
            found[int(value)] = (color[1], tuple(bytes.fromhex(color[2]))) if color else (name, None)
    return found


class Artifact(Unpicklable):
    """A result. What it holds is read when it is asked for, and is never changed."""

    _instead = "Hand on the graph's path and the node's name, or the arrays themselves (.array().copy())."

    def __init__(self, handle, name):
        self._handle = handle
        self.name = name
        self._arrays = None
        self._indexes = {}
        self._kept = weakref.WeakValueDictionary()

    # What it is.

    @property
    def type(self):
        """"volume", "masks", "table", ..."""
        return load().mf_artifact_type(self._handle.pointer).decode()

    @property
    def id(self):
        """The digest of its content."""
        found = load().mf_artifact_id(self._handle.pointer)
        return found.decode() if found else None

    @property
    def attributes(self):
        """Texts, integers and lists of numbers, by name."""
        library, pointer, found = load(), self._handle.pointer, {}
        kind, value, count = c_int(), c_int64(), c_size_t()
        for i in range(library.mf_artifact_attribute_count(pointer)):
            name = library.mf_artifact_attribute(pointer, i, byref(kind))
            if kind.value == 0:
                found[text_of(name)] = text_of(library.mf_artifact_text(pointer, name))
            elif kind.value == 1:
                library.mf_artifact_int(pointer, name, byref(value))
                found[text_of(name)] = value.value
            else:
                reals = library.mf_artifact_reals(pointer, name, byref(count))
                found[text_of(name)] = [reals[k] for k in range(count.value)]
        return found

    @property
    def names(self):
        """What its label values are called, {value: name}; empty where they have no names."""
        return {value: name for value, (name, _) in _names(self.attributes).items()}

    @property
    def label_sets(self):
        """Sets of label values that have a name, such as the regions of nnU-Net: {name: [values]}."""
        lines = [line.partition("=") for line in self.attributes.get("names", "").split("\n")]
        return {name: [int(one) for one in values.split("+") if one] for values, _, name in lines if "+" in values}

    @property
    def colors(self):
        """The colours of its label values as (red, green, blue), 0 to 255, of those that have one."""
        return {value: color for value, (_, color) in _names(self.attributes).items() if color}

    @property
    def arrays(self):
        """Its arrays by name, as ArrayType, without reading them."""
        if self._arrays is None:
            library, pointer, found, info = load(), self._handle.pointer, {}, ArrayInfo()
            for i in range(library.mf_artifact_array_count(pointer)):
                library.mf_artifact_array_info(pointer, i, byref(info))
                found[text_of(info.name)] = ArrayType(DTYPES[info.dtype], tuple(info.shape[:info.rank]),
                                                      info.rows if info.ragged else None)
            self._arrays = types.MappingProxyType(found)
        return self._arrays

    def _array_name(self, name):
        arrays = self.arrays
        if name is None:
            name = MAIN.get(self.type)
            if name not in arrays and len(arrays) == 1:
                name = next(iter(arrays))
        if name not in arrays:
            what = f"no array '{name}'" if name else "several arrays"
            raise NotFound(f"{self.name} has {what}; it has: {', '.join(arrays) or 'none'}")
        return name

    # What it holds.

    def _memory(self, name):
        name = self._array_name(name)
        if self.arrays[name].rows is not None:
            raise Invalid(f"'{name}' of {self.name} is ragged: its rows are of different lengths; read them by "
                          f".rows({name!r})")
        kept = self._kept.get(name)
        if kept is None:
            array = POINTER(Array)()
            check(load().mf_artifact_array(self._handle.pointer, name.encode(), byref(array)))
            kept = self._kept[name] = _Memory(array)
        return kept

    def buffer(self, name=None):
        """A whole array as a memoryview with its shape, read-only and without a copy; needs no numpy."""
        memory = self._memory(name)
        if not memory.bytes or not memory.shape:
            raise Invalid(f"an array of shape {memory.shape} has no memoryview; use .array()")
        return memory.view().cast(FORMAT[memory.dtype], memory.shape)

    def array(self, name=None, dtype=None):
        """A whole array as numpy has it: without a copy and read-only, valid as long as it is held. `dtype`:
        converted to that type, which is a copy of your own. `name`: which, where a result has several."""
        numpy = soft_import("numpy", ".array()")
        memory = self._memory(name)
        found = numpy.frombuffer(memory.view(), dtype=NUMPY[memory.dtype]).reshape(memory.shape)
        return found if dtype is None else found.astype(dtype)

    def box(self, lo, hi, name=None):
        """The voxels [lo, hi) of an array [z, y, x]: only what touches the box is read. A copy of your own."""
        numpy = soft_import("numpy", ".box()")
        name = self._array_name(name)
        kind = self.arrays[name]
        lo, hi = [int(side) for side in lo], [int(side) for side in hi]
        if len(kind.shape) != 3 or len(lo) != 3 or len(hi) != 3:
            raise Invalid(f"a box has three sides z, y, x, and so has its array; '{name}' of {self.name} is "
                          f"{list(kind.shape)}")
        if not all(0 <= a <= b <= side for a, b, side in zip(lo, hi, kind.shape)):
            raise Invalid(f"the box {lo} to {hi} is not inside of '{name}' of {self.name}, which is "
                          f"{list(kind.shape)}")
        found = numpy.empty([b - a for a, b in zip(lo, hi)], NUMPY[kind.dtype])
        if found.size:
            self._read_box(name, lo, hi, found)
        return found

    def _read_box(self, name, lo, hi, to):
        check(load().mf_artifact_read_box(self._handle.pointer, name.encode(), (c_int64 * 3)(*lo),
                                          (c_int64 * 3)(*hi), to.ctypes.data_as(c_void_p)))

    def row(self, name, i):
        """One row of a ragged array, as bytes."""
        rows = self.arrays[self._array_name(name)].rows
        if rows is None or not 0 <= i < rows:
            raise Invalid(f"'{name}' of {self.name} has no row {i}")
        return self._read_row(name, i)

    def rows(self, name):
        """All rows of a ragged array."""
        return [self._read_row(name, i) for i in range(self.arrays[self._array_name(name)].rows or 0)]

    def _read_row(self, name, i):
        data, size = c_void_p(), c_size_t()
        check(load().mf_artifact_read_row(self._handle.pointer, name.encode(), i, byref(data), byref(size)))
        try:
            return ctypes.string_at(data, size.value) if data else b""
        finally:
            free(data)

    def close(self):
        """Lets go of it now. Arrays that were read stay valid."""
        self._handle.close()

    def __repr__(self):
        arrays = ", ".join(f"{name} {kind.dtype} {list(kind.shape)}" if kind.rows is None
                           else f"{name} {kind.rows} rows" for name, kind in list(self.arrays.items())[:SHOWN])
        arrays += f" and {len(self.arrays) - SHOWN} more" if len(self.arrays) > SHOWN else ""
        return f"<{self.type} {self.name}: {arrays or 'no arrays'}>"

    def _repr_html_(self):
        return _html.artifact(self)


class _OnGrid(Artifact):
    """Something that lies on the grid of a scan."""

    @property
    def grid(self):
        """Size (voxels), spacing (mm), origin (RAS+ mm of the first voxel's center) along x, y, z; direction, row
        by row: column j is the direction of index axis j."""
        found = self.attributes
        return {name: tuple(int(side) for side in found[name]) if name == "size" else tuple(found[name])
                for name in ("size", "spacing", "origin", "direction")}

    @property
    def spacing(self):
        """mm along x, y, z."""
        return self.grid["spacing"]

    @property
    def affine(self):
        """From voxel indices x, y, z to RAS+ mm, 4 x 4, as nibabel has it."""
        numpy, grid = soft_import("numpy", ".affine"), self.grid
        affine = numpy.eye(4)
        affine[:3, :3] = numpy.reshape(grid["direction"], (3, 3)) * grid["spacing"]
        affine[:3, 3] = grid["origin"]
        return affine


class Volume(_OnGrid):
    """A scan or a label map on its grid: `.array()` is [z, y, x]."""

    def to_nibabel(self):
        """A nibabel image [x, y, z] on this grid. (`.save()` writes on the grid of the scan's own file.)"""
        soft_import("nibabel", ".to_nibabel()")
        import nibabel
        found = self.array().transpose(2, 1, 0)
        if found.dtype == "float16":  # NIfTI has none
            found = found.astype("float32")
        # Unless it is asked for, nibabel refuses 64-bit integers.
        image = nibabel.Nifti1Image(found, self.affine, **({"dtype": "int64"} if found.dtype == "int64" else {}))
        image.header.set_xyzt_units("mm")
        return image

    def to_sitk(self):
        """A SimpleITK image; ITK's world is LPS, so that x and y change their signs."""
        soft_import("SimpleITK", ".to_sitk()")
        import SimpleITK
        found, grid = self.array(), self.grid
        image = SimpleITK.GetImageFromArray(found.astype("float32") if found.dtype == "float16" else found)
        flip = (-1, -1, 1)
        image.SetSpacing(grid["spacing"])
        image.SetOrigin([sign * value for sign, value in zip(flip, grid["origin"])])
        image.SetDirection([flip[i // 3] * value for i, value in enumerate(grid["direction"])])
        return image

    def to_torch(self, dtype=None):
        """A torch tensor [z, y, x] of your own."""
        return _tensor(self.array(), dtype)


def _tensor(array, dtype=None):
    torch = soft_import("torch", ".to_torch()")
    found = torch.from_numpy(array.astype(TORCH.get(str(array.dtype), array.dtype)))  # a copy: torch may write
    return found if dtype is None else found.to(dtype)


class Labels(Volume):
    """A label map on its grid."""


class Mask:
    """One of many: `lo` and `hi` bound it in z, y, x, half-open; `seed` is the axis and the slice that it was
    found on, or None."""

    def __init__(self, masks, index, lo, hi, score, seed):
        self._masks, self.index = masks, index
        self.lo, self.hi, self.score, self.seed = lo, hi, score, seed

    @property
    def voxels(self):
        """How many are set."""
        return bin(int.from_bytes(self._masks._read_row("bits", self.index), "little")).count("1")

    def crop(self, lo=None, hi=None):
        """The mask in the box [lo, hi), by default its own; outside of the grid it is False."""
        numpy = soft_import("numpy", ".crop()")
        lo, hi = [list(map(int, own if given is None else given)) for own, given in ((self.lo, lo), (self.hi, hi))]
        if not all(a <= b for a, b in zip(lo, hi)):
            raise Invalid(f"the box {lo} to {hi} ends before it begins")
        sides = [b - a for a, b in zip(self.lo, self.hi)]
        row = numpy.frombuffer(self._masks._read_row("bits", self.index), "uint8")
        own = numpy.unpackbits(row, count=sides[0] * sides[1] * sides[2], bitorder="little").reshape(sides)
        found = numpy.zeros([b - a for a, b in zip(lo, hi)], bool)
        common = [(max(a, c), min(b, d)) for a, b, c, d in zip(lo, hi, self.lo, self.hi)]
        if all(a < b for a, b in common):
            found[tuple(slice(a - c, b - c) for (a, b), c in zip(common, lo))] = \
                own[tuple(slice(a - c, b - c) for (a, b), c in zip(common, self.lo))]
        return found

    def array(self):
        """The mask on the whole grid, [z, y, x]."""
        size = self._masks.grid["size"]
        return self.crop((0, 0, 0), (size[2], size[1], size[0]))

    def __repr__(self):
        return f"<mask {self.index}: {list(self.lo)} to {list(self.hi)}, score {self.score:.3g}>"


class Masks(_OnGrid):
    """3D masks of one grid, which may overlap: `masks[3]`, `len(masks)`, `for mask in masks`."""

    def __len__(self):
        return self.arrays["score"].shape[0]

    def _index(self, name):
        """A small array, read once."""
        if name not in self._indexes:
            self._indexes[name] = self.buffer(name).tolist()
        return self._indexes[name]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        count = len(self)
        i = index + count if index < 0 else index
        if not 0 <= i < count:
            raise IndexError(f"{self.name} has {count} masks; there is no mask {index}")
        box, seed = self._index("box")[i], self._index("seed")[i]
        return Mask(self, i, tuple(box[:3]), tuple(box[3:]), self._index("score")[i],
                    None if seed[0] < 0 else tuple(seed))

    def __iter__(self):
        return (self[i] for i in range(len(self)))


class Table(Artifact):
    """Columns of numbers and text: `table["dice"]`, `len(table)`, `for row in table`, `.to_pandas()`."""

    @property
    def columns(self):
        """Their names, in order."""
        return self.attributes["columns"].split("\t")

    def _column(self, i):
        name = f"column.{i}"
        if self.arrays[name].rows is not None:
            return [text_of(value) for value in self.rows(name)]
        return list(self.buffer(name)) if self.arrays[name].shape[0] else []

    def __getitem__(self, name):
        """The values of a column: numbers (NaN where undefined), or texts."""
        columns = self.columns
        if name not in columns:
            raise NotFound(f"{self.name} has no column '{name}'; it has: {', '.join(columns)}")
        return self._column(columns.index(name))

    def to_dict(self):
        """The values of each column, by name."""
        return {name: self._column(i) for i, name in enumerate(self.columns)}

    def __len__(self):
        kind = self.arrays.get("column.0")
        return 0 if kind is None else kind.shape[0] if kind.rows is None else kind.rows

    def __iter__(self):
        """Rows, each as a dict."""
        columns = self.to_dict()
        return (dict(zip(columns, values)) for values in zip(*columns.values()))

    def to_pandas(self):
        """A pandas DataFrame."""
        soft_import("pandas", ".to_pandas()")
        import pandas
        return pandas.DataFrame(self.to_dict())


class Model(Artifact):
    """Weights under PyTorch's names."""

    def weights(self):
        """numpy arrays by name, read-only."""
        return {name: self.array(name) for name, kind in self.arrays.items() if kind.rows is None}

    def state_dict(self):
        """torch tensors by name, for `module.load_state_dict(...)`."""
        return {name: _tensor(array) for name, array in self.weights().items()}


class Features(Artifact):
    """Feature maps [C, d, h, w]."""


class Image(Artifact):
    """A picture: `.array()` is u8 [h, w, 3]."""


class Text(Artifact):
    """Plain text: `str(text)`."""

    def __str__(self):
        text = self.attributes.get("text")
        if text is None:
            name = next(iter(self.arrays), None)
            if name is None:
                raise Invalid(f"{self.name} has no text")
            text = text_of(b"".join(self.rows(name)) if self.arrays[name].rows is not None
                           else bytes(self._memory(name).view()))
        return text


class Item(Artifact):
    """What a stream gives to training: a pair of views, or a crop with its labels."""

    def to_numpy(self):
        """Its arrays by name, read-only."""
        return {name: self.array(name) for name, kind in self.arrays.items() if kind.rows is None}

    def to_torch(self):
        """torch tensors of your own by name."""
        return {name: _tensor(array) for name, array in self.to_numpy().items()}


class State(Artifact):
    """What a stage saved of itself after `.step` steps, while it ran."""

    PARTS = ("value", "average", "first", "second")

    def __init__(self, handle, name, step):
        super().__init__(handle, name)
        self.step = step

    def weights(self, part="value"):
        """numpy arrays by the weights' names, read-only. part: "value"; where they are kept, "average" (moving average)
        and the optimizer's moments "first" and "second"."""
        if part not in self.PARTS:
            raise Invalid(f"a state has no part {part!r}; parts: {', '.join(self.PARTS)}")
        found = {name[len(part) + 1:]: self.array(name) for name, kind in self.arrays.items()
                 if name.startswith(part + ".") and kind.rows is None}
        if not found:
            raise NotFound(f"the state of {self.name} has no weights of part '{part}'; it has: "
                           f"{', '.join(sorted({name.partition('.')[0] for name in self.arrays}))}")
        return found

    def state_dict(self, part="value"):
        """The same as torch tensors, for `module.load_state_dict(...)`."""
        return {name: _tensor(array) for name, array in self.weights(part).items()}


class File(Artifact):
    """A file with any content: a report, a mesh, DICOM."""

    @property
    def file_name(self):
        """What it is called, "report.pdf"; `.name` is the node's."""
        return self.attributes["name"]

    @property
    def media_type(self):
        """What it is, "application/pdf"."""
        return self.attributes["media_type"]

    def __bytes__(self):
        return bytes(self._memory("bytes").view())

    def __len__(self):
        return self.arrays["bytes"].shape[0]


CLASSES = {"volume": Volume, "labels": Labels, "features": Features, "masks": Masks, "seeds": Masks, "sample": Masks, "table": Table,
           "model": Model, "image": Image, "text": Text, "file": File,
           "pair": Item, "crop": Item}


def artifact(pointer, name):
    """The result behind a pointer, which is owned from now on."""
    library = load()
    handle = Handle(pointer, library.mf_artifact_unref, f"the result {name}")
    kind = library.mf_artifact_type(pointer).decode()
    return CLASSES.get(kind, _OnGrid if kind == "probabilities" else Artifact)(handle, name)
