"""libmassflow.so.1 by ctypes: where it is, what it declares (massflow/embed.h, artifact.h, array.h), and its
errors as exceptions. Nothing else of the package knows ctypes' types but `artifact.py`.

Handles belong to the process that made them. A forked child has the memory of its parent but not its threads:
a call with an inherited handle could wait forever, so it is refused, and nothing is freed there.
"""
import ctypes
import glob
import os
import shutil
import weakref
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p

__all__ = ["Cancelled", "Error", "Invalid", "NotFound", "load"]


class Error(Exception):
    """What massflow refuses or what went wrong: the text names the place and the remedy. `kind` is one of
    "invalid", "not found", "i/o", "corrupt", "unsupported", "out of memory", "device", "cancelled", "internal"."""

    kind = "invalid"


class Invalid(Error, ValueError):
    """The request, a graph or a parameter is wrong."""


class NotFound(Error, LookupError):
    """A file, stage, port or result does not exist."""

    kind = "not found"


class Cancelled(Error):
    """The work was cancelled."""

    kind = "cancelled"


KINDS = ("invalid", "not found", "i/o", "corrupt", "unsupported", "out of memory", "device", "cancelled",
         "internal")
CLASSES = {"invalid": Invalid, "not found": NotFound, "cancelled": Cancelled}

MAX_RANK = 6
DTYPES = ("u8", "i8", "u16", "i16", "u32", "i32", "i64", "f16", "f32", "f64")


class Setting(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class Options(ctypes.Structure):
    _fields_ = [("settings", POINTER(Setting)), ("setting_count", c_size_t), ("plugins", c_char_p),
                ("cache", c_char_p), ("devices", c_char_p), ("by_version", c_bool)]


class Stage(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("use", c_char_p), ("summary", c_char_p), ("first", c_size_t),
                ("count", c_size_t), ("stream", c_bool)]


class Ask(ctypes.Structure):
    _fields_ = [("targets", POINTER(c_char_p)), ("target_count", c_size_t), ("cases", POINTER(c_char_p)),
                ("case_count", c_size_t)]


class Counts(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("wanted", "done", "cached", "failed", "blocked", "imported")]


class Active(ctypes.Structure):
    _fields_ = [("node", c_char_p), ("seconds", c_double), ("done", c_int64), ("total", c_int64),
                ("words", c_char_p)]


class Event(ctypes.Structure):
    _fields_ = [("kind", c_char_p), ("node", c_char_p), ("text", c_char_p), ("seconds", c_double),
                ("counts", Counts), ("active", POINTER(Active)), ("active_count", c_size_t)]


WATCH = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Event))


class RunOptions(ctypes.Structure):
    _fields_ = [("jobs", c_int), ("fail_fast", c_bool), ("force", c_bool), ("tick", c_int),
                ("command", c_char_p), ("watch", WATCH), ("self", c_void_p)]


class RunResult(ctypes.Structure):
    _fields_ = [("counts", Counts), ("exports_failed", c_size_t), ("cancelled", c_bool), ("run", c_int64)]


class Array(ctypes.Structure):
    _fields_ = [("dtype", c_int), ("rank", c_int), ("shape", c_int64 * MAX_RANK), ("bytes", c_size_t),
                ("data", c_void_p), ("refs", c_int)]


class ArrayInfo(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_int), ("rank", c_int), ("shape", c_int64 * MAX_RANK),
                ("ragged", c_bool), ("rows", c_int64)]


STATUS = c_void_p
# name: (result, arguments)
FUNCTIONS = {
    "mf_version": (c_char_p, []),
    "mf_error_text": (c_void_p, [c_void_p]),
    "mf_error_code": (c_int, [c_void_p]),
    "mf_error_free": (None, [c_void_p]),
    "mf_workspace_open": (STATUS, [c_char_p, POINTER(Options), POINTER(c_void_p), POINTER(c_void_p)]),
    "mf_workspace_close": (None, [c_void_p]),
    "mf_workspace_path": (c_char_p, [c_void_p]),
    "mf_workspace_text": (c_void_p, [c_void_p]),
    "mf_workspace_stage_count": (c_size_t, [c_void_p]),
    "mf_workspace_stage_at": (None, [c_void_p, c_size_t, POINTER(Stage)]),
    "mf_workspace_node_count": (c_size_t, [c_void_p]),
    "mf_workspace_node": (c_char_p, [c_void_p, c_size_t]),
    "mf_workspace_output": (c_char_p, [c_void_p, c_size_t, c_size_t, POINTER(c_char_p)]),
    "mf_workspace_case_count": (c_size_t, [c_void_p]),
    "mf_workspace_case": (c_char_p, [c_void_p, c_size_t]),
    "mf_stages_json": (STATUS, [c_char_p, POINTER(c_void_p)]),
    "mf_workspace_plan": (STATUS, [c_void_p, POINTER(Ask), POINTER(c_void_p)]),
    "mf_forecast_free": (None, [c_void_p]),
    "mf_stands_text": (c_char_p, [c_int]),
    "mf_forecast_node": (c_int, [c_void_p, c_size_t]),
    "mf_forecast_why": (STATUS, [c_void_p, c_size_t, c_bool, POINTER(c_void_p)]),
    "mf_workspace_run": (STATUS, [c_void_p, POINTER(Ask), POINTER(RunOptions), POINTER(RunResult)]),
    "mf_workspace_cancel": (None, [c_void_p]),
    "mf_workspace_artifact": (STATUS, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "mf_workspace_write": (STATUS, [c_void_p, c_char_p, c_char_p, c_bool]),
    "mf_workspace_items": (STATUS, [c_void_p, c_char_p, c_int, POINTER(c_void_p)]),
    "mf_items_next": (STATUS, [c_void_p, POINTER(c_void_p)]),
    "mf_items_seek": (STATUS, [c_void_p, c_int64]),
    "mf_items_close": (None, [c_void_p]),
    "mf_workspace_state": (STATUS, [c_void_p, c_char_p, POINTER(c_int64), POINTER(c_void_p)]),
    "mf_workspace_command": (c_void_p, []),
    "mf_artifact_unref": (None, [c_void_p]),
    "mf_artifact_type": (c_char_p, [c_void_p]),
    "mf_artifact_id": (c_char_p, [c_void_p]),
    "mf_artifact_text": (c_char_p, [c_void_p, c_char_p]),
    "mf_artifact_int": (c_bool, [c_void_p, c_char_p, POINTER(c_int64)]),
    "mf_artifact_reals": (POINTER(c_double), [c_void_p, c_char_p, POINTER(c_size_t)]),
    "mf_artifact_attribute_count": (c_size_t, [c_void_p]),
    "mf_artifact_attribute": (c_char_p, [c_void_p, c_size_t, POINTER(c_int)]),
    "mf_artifact_array_count": (c_size_t, [c_void_p]),
    "mf_artifact_array_info": (None, [c_void_p, c_size_t, POINTER(ArrayInfo)]),
    "mf_artifact_array": (STATUS, [c_void_p, c_char_p, POINTER(POINTER(Array))]),
    "mf_artifact_read_box": (STATUS, [c_void_p, c_char_p, POINTER(c_int64), POINTER(c_int64), c_void_p]),
    "mf_artifact_read_row": (STATUS, [c_void_p, c_char_p, c_int64, POINTER(c_void_p), POINTER(c_size_t)]),
    "mf_array_unref": (None, [POINTER(Array)]),
}
SONAME = "libmassflow.so.1"


def _candidates():
    """Where the library may be: MASSFLOW_LIBRARY; beside the command on the path (a build tree or an
    installation); the build tree that this file lies in; wherever the dynamic linker looks."""
    named = os.environ.get("MASSFLOW_LIBRARY")
    if named:
        yield named
        return
    command = shutil.which("massflow")
    if command:
        folder = os.path.dirname(os.path.realpath(command))
        yield os.path.join(folder, "../../engine", SONAME)
        yield from sorted(glob.glob(os.path.join(folder, "../lib*", SONAME)) +
                          glob.glob(os.path.join(folder, "../lib*/*", SONAME)))
    here = os.path.dirname(os.path.realpath(__file__))
    yield os.path.join(here, "../../../build/engine", SONAME)
    yield SONAME


def _open():
    tried = []
    for path in _candidates():
        if os.path.sep in path:
            path = os.path.realpath(path)
            if not os.path.exists(path):
                tried.append(path)
                continue
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"{path}: {error}")
    raise ImportError("massflow: the library libmassflow.so.1 was not found. Put the command massflow on the path "
                      "(export PATH=.../build/tools/massflow:$PATH), or name the library in MASSFLOW_LIBRARY. "
                      "Tried: " + "; ".join(tried))


_loaded = None
_libc = ctypes.CDLL(None)
_libc.free.argtypes = [c_void_p]
_libc.free.restype = None


def load():
    """The library, once a process."""
    global _loaded
    if _loaded is None:
        library = _open()
        for name, (result, arguments) in FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise ImportError(f"massflow: {library._name} has no {name}: it is of another version than this "
                                  "package; install both from one source") from None
            function.restype, function.argtypes = result, arguments
        _loaded = library
    return _loaded


def free(pointer):
    _libc.free(pointer)


def take_text(pointer):
    """The text that a function of the library gave away, freed."""
    if not pointer:
        return None
    try:
        return text_of(ctypes.string_at(pointer))
    finally:
        free(pointer)


def text_of(data):
    """Names of files and lines of commands may be no UTF-8."""
    return None if data is None else data.decode("utf-8", "backslashreplace")


def path_bytes(path):
    return os.fsencode(os.fspath(path))


def check(status):
    """Raises the error of a call, if there is one."""
    if not status:
        return
    library = load()
    code = library.mf_error_code(status)
    text = take_text(library.mf_error_text(status)) or "out of memory"
    library.mf_error_free(status)
    kind = KINDS[code] if code < len(KINDS) else "internal"
    error = CLASSES.get(kind, Error)(text)
    error.kind = kind
    raise error


def texts(values):
    """A list of texts for C; the array keeps them alive."""
    encoded = [value.encode() for value in values]
    return (c_char_p * len(encoded))(*encoded)


def _release(function, pointer, process):
    if os.getpid() == process:  # a forked child has no threads that could answer
        function(pointer)


class Handle:
    """An object of the library, freed once, when Python drops it. What is left when Python ends goes with the
    process: somebody may still look at it."""

    def __init__(self, pointer, release, what):
        self._pointer = pointer
        self._process = os.getpid()
        self._what = what
        self._finalizer = weakref.finalize(self, _release, release, pointer, self._process)
        self._finalizer.atexit = False

    @property
    def pointer(self):
        if self._process != os.getpid():
            raise Invalid(f"{self._what} belongs to process {self._process}, of which this one is a fork: open the "
                          "graph here, in the child (massflow.Graph(...)), or start processes by 'spawn'")
        if not self._finalizer.alive:
            raise Invalid(f"{self._what} is closed")
        return self._pointer

    def close(self):
        self._finalizer()


class Unpicklable:
    """Handles are of this process."""

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} of massflow can't be pickled or copied: it is a handle of this "
                        f"process. {self._instead}")

    _instead = "Hand on the graph's path and parameters, and open it there."


def soft_import(name, what):
    """A module that only this call needs."""
    try:
        return __import__(name)
    except ImportError:
        raise ImportError(f"{what} needs {name}: pip install {name}") from None




