"""Stages written in Python: functions whose annotations say what goes in and comes out.

    @massflow.stage("lab.above", version=1)
    def above(volume: massflow.Volume, threshold: Annotated[float, massflow.Range(-1024, 3071, unit="HU")] = 200.0) \\
            -> massflow.Labels:
        \"\"\"Labels the voxels at or above a value.\"\"\"
        return volume.array() >= threshold

A file of such functions is a plugin: --plugins FILE.py, or Graph(..., plugins="FILE.py").
"""
import hashlib
import inspect
import json
import os
import re
import sys
import typing

from ._library import Error, Invalid, soft_import
from .artifact import NUMPY, Artifact, Features, File, Image, Labels, Masks, Model, Table, Text, Volume

TYPES = {Volume: "volume", Labels: "labels", Masks: "masks", Table: "table", Model: "model", Image: "image",
         Text: "text", Features: "features", File: "file"}
KINDS = {bool: "bool", int: "int", float: "real", str: "text"}
ENGINE = {numpy_name: name for name, numpy_name in NUMPY.items()}
WIDE = {"int": 2.0 ** 53, "real": 1e300}  # beyond these no limit is meant


class Range:
    """Of a parameter: Annotated[float, Range(0.5, 10, unit="mm", help="Edge length.")]."""

    def __init__(self, min=None, max=None, unit="", help=""):
        self.min, self.max, self.unit, self.help = min, max, unit, help


class Keyed:
    """Of an input that is told its cases: Annotated[list[massflow.Volume], massflow.Keyed]. Each element then has
    `.case`, the id, and `.case_columns`, what the table of cases and the gathered axes say of it. All of them are part of
    the key: a case that is renamed, or another column, makes the node run again."""


class Path(str):
    """The annotation of a parameter that is a file or folder: its content is part of the key."""


class Stage:
    """A declared stage."""

    def __init__(self, function, name, version, uses, packages, cpu):
        self.function, self.name, self.version, self.cpu = function, name, version, cpu
        # Of what it is itself: a decorator of another file, such as torch's no_grad, may lie around it.
        self.file = os.path.abspath(inspect.getsourcefile(inspect.unwrap(function)))
        self.uses = [os.path.normpath(os.path.join(os.path.dirname(self.file), path)) for path in uses]
        self.packages = sorted(packages)
        self.ports, self.params, self.outputs = [], [], []
        self._read()

    def _refuse(self, text):
        raise Invalid(f"stage {self.name}: {text}")

    def _read(self):
        hints = typing.get_type_hints(self.function, include_extras=True)
        for name, parameter in inspect.signature(self.function).parameters.items():
            if name not in hints:
                self._refuse(f"'{name}' has no annotation: an input such as massflow.Volume, or a parameter such as "
                             "float")
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                self._refuse(f"'{name}' collects arguments; name each of them")
            self._argument(name, hints[name], parameter.default)
        self._returns(hints.get("return"))

    def _argument(self, name, hint, default):
        marks = [mark for mark in getattr(hint, "__metadata__", ())]
        plain = typing.get_args(hint)[0] if marks else hint
        helps = [mark for mark in marks if isinstance(mark, str)]
        limits = next((mark for mark in marks if isinstance(mark, Range)), Range())
        words = helps[0] if helps else limits.help
        port = self._port(plain)
        if port:
            if port.endswith("?") != (default is None):
                self._refuse(f"the input '{name}' is optional where its annotation is Optional[...] and its default "
                             "None, and only there")
            keyed = any(mark is Keyed or isinstance(mark, Keyed) for mark in marks)
            self.ports.append({"name": name, "type": port, "help": words or "An input.", "keyed": keyed})
        else:
            self.params.append(self._param(name, plain, default, limits, words))

    @staticmethod
    def _port(hint):
        """"volume", "volume?", "volume[]"; None of what is no input."""
        if hint in TYPES:
            return TYPES[hint]
        args = typing.get_args(hint)
        if typing.get_origin(hint) is list and args and args[0] in TYPES:
            return TYPES[args[0]] + "[]"
        # Optional[X], and X | None, which is of a type of its own since Python 3.10.
        union = typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"
        if union and len(args) == 2 and type(None) in args:
            inner = args[0] if args[1] is type(None) else args[1]
            return TYPES[inner] + "?" if inner in TYPES else None
        return None

    def _param(self, name, hint, default, limits, words):
        args, choices = typing.get_args(hint), None
        if hint is Path:
            kind = "path"
        elif hint in KINDS:
            kind = KINDS[hint]
        elif typing.get_origin(hint) is typing.Literal and all(isinstance(word, str) for word in args):
            kind, choices = "choice", "|".join(args)
        elif typing.get_origin(hint) is list and args and args[0] in (int, float):
            kind = KINDS[args[0]] + "s"
        elif typing.get_origin(hint) is tuple and args in ((int,) * 3, (float,) * 3):
            kind = KINDS[args[0]] + "3"
        else:
            self._refuse(f"'{name}' is {hint}; a parameter is bool, int, float, str, Literal[...], massflow.Path, a list "
                         "of int or float, or a tuple of three of them; an input is one of "
                         + ", ".join(f"massflow.{one.__name__}" for one in TYPES))
        wide = WIDE.get(kind.rstrip("s3"), 0)
        return {"name": name, "kind": kind, "choices": choices, "unit": limits.unit,
                "min": -wide if limits.min is None else limits.min, "max": wide if limits.max is None else limits.max,
                "fallback": None if default is inspect.Parameter.empty else self._written(name, default),
                "help": words or "A parameter."}

    def _written(self, name, value):
        """A default as a user would write it."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return repr(value)
        if isinstance(value, str):
            return value
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(repr(item) for item in value) + "]"
        return self._refuse(f"the default of '{name}' is {value!r}")

    def _returns(self, hint):
        if hint in TYPES:
            self.outputs = [(TYPES[hint], TYPES[hint])]
        elif isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
            kinds = typing.get_type_hints(hint)
            self.outputs = [(name, TYPES.get(kinds.get(name))) for name in hint._fields]
        if not self.outputs or not all(kind for _, kind in self.outputs):
            self._refuse("say what it returns: one of " + ", ".join(f"massflow.{one.__name__}" for one in TYPES)
                         + ", or a typing.NamedTuple of them")

    def code(self, digest_of, imported=()):
        """The digest of what it is: its file, the files and the versions of the packages that it declares, and the
        files in `imported`, which its file imports."""
        import importlib.metadata  # slow, and all workers would wait for it
        files = [self.file, *self.uses]
        files += [path for path in imported if path not in files]
        digest = hashlib.sha256(b"massflow python stage 1\0" + f"{self.name} {self.version}\0".encode())
        for path in files:
            try:
                digest.update(digest_of(path))
            except OSError as error:
                self._refuse(f"uses {path}, which can't be read: {error.strerror}")
        for package in self.packages:
            try:
                digest.update(f"{package} {importlib.metadata.version(package)}\0".encode())
            except importlib.metadata.PackageNotFoundError:
                self._refuse(f"needs the package {package}, which {sys.executable} does not have")
        return digest.hexdigest()

    def described(self, digest_of, imported):
        words = inspect.getdoc(self.function) or self.name
        summary, _, rest = words.partition("\n")
        return {"name": self.name, "version": self.version, "summary": summary.strip(), "help": rest.strip() or None,
                "code": self.code(digest_of, imported), "cpu": self.cpu, "in": self.ports, "params": self.params,
                "out": [{"name": name, "type": kind, "help": "The result."} for name, kind in self.outputs]}


DECLARED = {}


def stage(name, version=1, uses=(), packages=(), cpu=1):
    """Declares a function as a stage of graphs. Its results are known by its file and the modules beside it that
    the file imports, by the files and folders in `uses` (beside it), by the versions of the installed `packages`,
    and by `version`. It must give the same for the same inputs.
    cpu: the cores that it uses."""

    def declare(function):
        declared = Stage(function, name, version, uses, packages, cpu)
        other = DECLARED.get(name)
        if other and (other.file, other.function.__qualname__) != (declared.file, function.__qualname__):
            raise Invalid(f"stage {name} is declared twice: in {other.file} and in {declared.file}")
        DECLARED[name] = declared
        return function

    return declare


def describe(stages, digest_of, imported=()):
    return json.dumps({"stages": [one.described(digest_of, imported) for one in stages]}, sort_keys=True)


# ---- what a stage makes --------------------------------------------------------------------------

# What a result keeps of the scan that it was made from.
INHERITED = ("size", "spacing", "origin", "direction", "modality", "sides", "lesion")


class Made:
    """A result that a stage has made: type, attributes, arrays by name (numpy, or a list of rows of bytes)."""

    def __init__(self, kind, attributes, arrays):
        self.type, self.attributes, self.arrays = kind, attributes, arrays


def _array(value):
    numpy = soft_import("numpy", "a stage in Python")
    found = numpy.asarray(value)
    if found.dtype == bool:
        found = found.view("uint8") if found.flags.c_contiguous else found.astype("uint8")
    if found.dtype.name == "uint64":
        if found.size and found.max() > 2 ** 63 - 1:
            raise Invalid("an array of uint64 with values above those of int64")
        found = found.astype("int64")
    if found.dtype.name not in ENGINE:
        raise Invalid(f"an array of {found.dtype}: massflow has {', '.join(ENGINE)}, and bool")
    return found.astype(found.dtype.newbyteorder("="), copy=False)  # a file's array may have its bytes reversed


def _on_grid(kind, array, like):
    array = _array(array)
    if not isinstance(like, Artifact) and not isinstance(like, Made):
        raise Invalid(f"a {kind} needs like=, the input on whose grid it lies")
    size = [int(side) for side in like.attributes["size"]][::-1]
    if list(array.shape) != size:
        raise Invalid(f"the {kind} is {list(array.shape)}, and the grid that it is to lie on {size} (z, y, x)")
    kept = {name: value for name, value in like.attributes.items() if name in INHERITED or name.startswith("scan.")}
    return Made(kind, kept, {"voxels": array})


def volume(array, like):
    """A volume [z, y, x] on the grid of an input."""
    return _on_grid("volume", array, like)


def _names_text(names, colors):
    """The attribute `names`, as massflow/names.h describes it."""
    lines = []
    for value, name in sorted(names.items()):
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 1 <= value < 2 ** 31:
            raise Invalid(f"names: {value!r} is no value of a label: an integer above 0")
        if not isinstance(name, str) or name != name.strip() or not name or not name.isprintable():
            raise Invalid(f"names: label {value} is called {name!r}, which is not one line of text")
        lines.append(f"{value}={name}" + (" #%02x%02x%02x" % tuple(colors[value]) if value in colors else "") + "\n")
    return "".join(lines)


def labels(array, like, names=None, colors=None):
    """A label map [z, y, x] on the grid of an input: integers, or bool. `names`: {value: name}, and `colors`:
    {value: (red, green, blue)} of those that have a name. Without `names` it has those of a label map that it is like;
    {} is none: for labels that are numbered anew."""
    array = _array(array)
    if array.dtype.kind == "f":
        raise Invalid(f"labels are integers, and the array is {array.dtype}: take .astype('uint8') where its values "
                      "are whole numbers, or return a massflow.Volume")
    made = _on_grid("labels", array, like)
    if names is None and colors is None and like.type == "labels" and like.attributes.get("names"):
        made.attributes["names"] = like.attributes["names"]
    elif names:
        made.attributes["names"] = _names_text(names, colors or {})
    return made


def masks(items, like, scores=None):
    """Masks: bool arrays [z, y, x] on the grid of an input; those without a voxel are left out."""
    numpy = soft_import("numpy", "a stage in Python")
    made = _on_grid("labels", numpy.zeros([int(side) for side in like.attributes["size"]][::-1], "uint8"), like)
    boxes, kept, rows = [], [], []
    for i, item in enumerate(items):
        item = numpy.asarray(item) != 0
        if item.shape != made.arrays["voxels"].shape:
            raise Invalid(f"mask {i} is {list(item.shape)}, not {list(made.arrays['voxels'].shape)} as its grid")
        if not item.any():
            continue
        sides = [numpy.flatnonzero(item.any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        lo, hi = [int(side[0]) for side in sides], [int(side[-1]) + 1 for side in sides]
        boxes.append(lo + hi)
        kept.append(1.0 if scores is None else float(scores[i]))
        rows.append(numpy.packbits(item[tuple(slice(a, b) for a, b in zip(lo, hi))], bitorder="little").tobytes())
    arrays = {"box": numpy.array(boxes, "int32").reshape(-1, 6), "score": numpy.array(kept, "float32"),
              "seed": numpy.full((len(rows), 2), -1, "int32"), "bits": rows}
    return Made("masks", {name: value for name, value in made.attributes.items()}, arrays)


def table(columns):
    """A table of columns, by name: numbers (None becomes NaN) or texts; or of rows, each a dict. A pandas
    DataFrame is fine, too."""
    numpy = soft_import("numpy", "a stage in Python")
    if hasattr(columns, "to_dict") and not isinstance(columns, (dict, Table)):
        columns = columns.to_dict("list")
    elif not isinstance(columns, dict):
        rows = list(columns)
        for i, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise Invalid(f"row {i} of a table has the columns {', '.join(map(str, row))}, and row 0 "
                              f"{', '.join(map(str, rows[0]))}; write None where there is no value")
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    wrong = [name for name in map(str, columns) if not name or "\t" in name or "\n" in name]
    if wrong:
        raise Invalid(f"a column of a table can't be named {wrong[0]!r}")
    if len({len(values) for values in columns.values()}) > 1:
        raise Invalid("the columns of a table have different lengths")
    arrays = {}
    for i, values in enumerate(columns.values()):
        values = list(values)
        if values and all(isinstance(value, str) for value in values):
            arrays[f"column.{i}"] = [value.encode() for value in values]
        else:
            arrays[f"column.{i}"] = numpy.array([float("nan") if value is None else float(value)
                                                 for value in values], "float64")
    return Made("table", {"columns": "\t".join(str(name) for name in columns)}, arrays)


def image(rgb):
    """A picture, u8 [h, w, 3]."""
    return Made("image", {}, {"rgb": _array(rgb)})


def text(words):
    """Plain text."""
    return Made("text", {"text": str(words)}, {})


def file(name, content, media_type):
    """A file with any content, bytes: file("report.pdf", data, "application/pdf")."""
    name, media_type, content = str(name), str(media_type), bytes(content)
    if not 1 <= len(name.encode()) <= 200 or name[0] == "." or "/" in name or "\\" in name or not name.isprintable():
        raise Invalid(f"{name!r} is no name of a file: a name such as report.pdf, no path, and no dot at its beginning")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*", media_type):
        raise Invalid(f"{media_type!r} is no media type: such as application/pdf, or application/octet-stream for any bytes")
    numpy = soft_import("numpy", "a stage in Python")
    return Made("file", {"name": name, "media_type": media_type}, {"bytes": numpy.frombuffer(content, "uint8")})


def features(values):
    """Feature maps, f32 [C, d, h, w]."""
    return Made("features", {}, {"values": _array(values).astype("float32")})


def model(weights, architecture):
    """Weights by name (arrays, or torch tensors)."""
    return Made("model", {"architecture": architecture},
                {name: _array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
                 for name, value in weights.items()})


MAKERS = {"volume": volume, "labels": labels, "masks": masks}
PLAIN = {"table": table, "image": image, "text": text, "features": features}


def made(kind, value, inputs):
    """What a function returned for an output, as what it is."""
    if isinstance(value, Made):
        if value.type != kind:
            raise Invalid(f"it returned a {value.type} for an output of type {kind}")
        return value
    if isinstance(value, Artifact):
        raise Invalid("it returned an input as it is; return an array, or massflow.volume(...) and the like")
    if kind in PLAIN:
        return PLAIN[kind](value)
    if kind not in MAKERS:
        raise Invalid(f"it returned {type(value).__name__} for an output of type {kind}; return massflow.{kind}(...)")
    grids = [one for one in inputs if isinstance(one, Artifact) and "spacing" in one.attributes]
    if len({tuple(map(tuple, (one.attributes[name] for name in INHERITED[:4]))) for one in grids}) != 1:
        raise Invalid(f"say on which input's grid the {kind} lies: return massflow.{kind}(..., like=...)")
    return MAKERS[kind](value, grids[0])


# ---- while a stage runs --------------------------------------------------------------------------

running = None  # of a worker: what tells massflow of progress and lines


def progress(done, total, words=""):
    """Says how far a stage is; does nothing elsewhere."""
    if running:
        running.progress(int(done), int(total), words)


def log(words):
    """A line of the stage's log; print() in a stage does the same."""
    if running:
        running.log(str(words))
    else:
        print(words)


__all__ = ["Error", "Keyed", "Path", "Range", "features", "file", "image", "labels", "log", "masks", "model", "progress", "stage",
           "table", "text", "volume"]
