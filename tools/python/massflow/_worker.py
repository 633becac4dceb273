"""The process in which stages of a Python file run: python3 -m massflow._worker FILE.py, with a socket as file 3.
massflow starts it; it runs one node after another and ends when the socket closes. The protocol is in
engine/run/python/python_worker.c."""
import faulthandler
import hashlib
import importlib.machinery
import io
import os
import queue
import sys
import threading
import time
import traceback
import types

from . import _wire, stages
from ._library import Error, Invalid
from ._wire import Packet
from .artifact import CLASSES, ArrayType, Artifact, _OnGrid

SOCKET = 3
PACKAGE = os.path.dirname(os.path.abspath(__file__))  # its own frames are nothing to a user
EVERY = 0.05  # seconds between two messages of progress
# Python itself, and what is installed for it.
INSTALLED = (os.path.dirname(os.__file__), sys.prefix, sys.exec_prefix, sys.base_prefix, PACKAGE)
PACKAGES = ("site-packages", "dist-packages")


class _Received:
    """The memory of an array that was sent."""

    def __init__(self, kind, view):
        self.dtype, self.shape, self.bytes, self._view = kind.dtype, kind.shape, len(view), view

    def view(self):
        return self._view


class _Sent:
    """An input: its arrays come when they are asked for, and stay until the node ends."""

    def __init__(self, worker, port, item, name, head):
        self._worker, self._port, self._item = worker, port, item
        self.name = name
        kind, self._attributes, arrays = head
        self._type = kind
        self._arrays = {name: ArrayType(*info) for name, info in arrays.items()}
        self._indexes, self._files = {}, {}
        self._case = None  # the id and the columns, of an input that is told

    @property
    def case(self):
        return self._told()[0]

    @property
    def case_columns(self):
        return dict(self._told()[1])

    def _told(self):
        if self._case is None:
            raise Invalid(f"the input '{self._port}' is not told its cases: annotate it as Annotated[..., massflow.Keyed]; "
                          "they are part of the key then")
        return self._case

    type = property(lambda self: self._type)
    id = property(lambda self: None)
    attributes = property(lambda self: dict(self._attributes))
    arrays = property(lambda self: self._arrays)

    def _ask(self, name):
        if name not in self._files:
            reply = self._worker.ask(Packet(_wire.ARRAY).text(self._port).int(self._item).text(name))
            self._files[name] = [_wire.mapped(file, os.fstat(file).st_size) for file in reply.files]
        return self._files[name]

    def _memory(self, name):
        name = self._array_name(name)
        kind = self._arrays[name]
        if kind.rows is not None:
            raise Invalid(f"'{name}' of {self.name} is ragged: its rows are of different lengths; read them by "
                          f".rows({name!r})")
        return _Received(kind, self._ask(name)[0])

    def _read_box(self, name, lo, hi, to):
        to[...] = self.array(name)[tuple(slice(a, b) for a, b in zip(lo, hi))]

    def _read_row(self, name, i):
        data, offsets = self._ask(name)
        begin, end = offsets.cast("q")[i:i + 2]
        return bytes(data[begin:end])

    def close(self):
        pass


def _state(path):
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _file_digest(path):
    state, digest = _state(path), hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 22)
            if not block:
                return digest.digest(), state
            digest.update(block)


def _files(folder):
    """The files of a folder and those below, in order; not what Python and others keep there for themselves."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        found += [os.path.join(at, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _files_digest(folder):
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(os.fsencode(os.path.relpath(path, folder)) + b"\0" + _file_digest(path)[0])
    return digest.digest(), None


def _class(kind):
    base = CLASSES.get(kind, _OnGrid if kind == "probabilities" else Artifact)
    return type(base.__name__, (_Sent, base), {})


INPUTS = {}


class _Lines(io.TextIOBase):
    """What a stage prints, by lines, as lines of its log."""

    encoding = "utf-8"

    def __init__(self, worker):
        self.worker, self.rest = worker, ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.worker.log(line)
        return len(text)

    def end(self):
        if self.rest:
            self.worker.log(self.rest)
            self.rest = ""


class Worker:
    def __init__(self, file, wire):
        self.wire = wire
        self.file = os.path.abspath(file)
        self.folder = os.path.join(os.path.dirname(self.file), "")
        self.installed = tuple(path for path in (os.path.join(path, "") for path in INSTALLED)
                               if path.startswith(self.folder))
        self.known = {}  # files: digest and state, as they were read first: what is described is what runs
        self.messages = queue.SimpleQueue()
        self.asking = threading.Lock()
        self.node, self.told = "", 0.0

    def digest_of(self, path):
        """Of a file as it was when it was asked for first; of a folder those of all files in it."""
        if path not in self.known:
            self.known[path] = _files_digest(path) if os.path.isdir(path) else _file_digest(path)
            for one in _files(path) if os.path.isdir(path) else ():
                self.digest_of(one)
        return self.known[path][0]

    def check(self, path):
        """That a file which makes up the code of a stage is still what was described."""
        digest, state = self.known.get(path, (None, None))
        if digest is None or (_state(path) != state and _file_digest(path)[0] != digest):
            raise Invalid(f"{path} has changed since its stages were read; run the graph again")

    def is_beside(self, path):
        """Whether a module is one of the user's own, in the folder of the file or below."""
        return path.startswith(self.folder) and not path.startswith(self.installed) and \
            os.path.basename(self.folder[:-1]) not in PACKAGES and \
            not any(word in path[len(self.folder):] for word in PACKAGES)

    def imported(self):
        """The files of the modules beside the file that it has imported."""
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        return sorted({os.path.abspath(path) for path in files if path and self.is_beside(os.path.abspath(path))})

    def find_spec(self, name, path=None, target=None):
        """Asked for each module that is imported from now on: one beside the file belongs to the code of the stages,
        and must be what was described."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        origin = spec and spec.has_location and spec.origin and os.path.abspath(spec.origin)
        if origin and self.is_beside(origin):
            if origin not in self.known:
                short = origin[len(self.folder):]
                raise Invalid(f"{short} is imported while a stage runs, and the stage does not declare it: a change of it "
                              f"would not make its nodes run again. Write uses=[{short!r}] in @massflow.stage(...), or "
                              f"import it at the top of {self.file}")
            self.check(origin)
        return None  # it is imported as ever

    def forked(self):
        """In a child that a stage forks: the socket belongs to the parent."""
        self.wire.socket.close()
        self.wire = stages.running = None
        sys.stdout = sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)

    def hear(self):
        """In a thread of its own: the process ends with the socket, whatever it computes."""
        try:
            while True:
                self.messages.put(self.wire.receive())
        except (EOFError, OSError):
            os._exit(0)

    def ask(self, packet):
        if not self.wire:
            raise Error("an input can't be read in a forked process: call .array() before it is started, and hand the "
                        "array on")
        with self.asking:
            self.wire.send(packet)
            reply = self.messages.get()
        code, text = reply.take_int(), reply.take_text()
        if code >= 0:
            raise Error(text)
        return reply

    # What a stage says.

    def log(self, line):
        if not self.wire:  # in a child, by a handler of logging that it inherited
            os.write(2, (line + "\n").encode("utf-8", "backslashreplace"))
            return
        self.wire.send(Packet(_wire.LOG).text(self.node).text(line))

    def progress(self, done, total, words):
        now = time.monotonic()
        if now - self.told >= EVERY or done >= total:
            self.told = now
            self.wire.send(Packet(_wire.PROGRESS).int(done).int(total).int(0).text(words))

    # The file.

    def load(self):
        """Runs the file as a module; what it declares is in stages.DECLARED."""
        name = os.path.splitext(os.path.basename(self.file))[0]
        module = types.ModuleType(name)
        module.__file__ = self.file
        sys.path.insert(0, os.path.dirname(self.file))
        sys.modules.setdefault(name, module)
        with open(self.file, "rb") as file:
            content = file.read()
        self.known[self.file] = hashlib.sha256(content).digest(), None
        code = compile(content, self.file, "exec")
        exec(code, module.__dict__)
        found = [one for _, one in sorted(stages.DECLARED.items())]
        if not found:
            raise Invalid(f"{self.file} declares no stage: put @massflow.stage(\"lab.name\", version=1) before a function")
        return found

    def described(self):
        """The stages, and what the engine is told of them."""
        found = self.load()
        return found, stages.describe(found, self.digest_of, self.imported() + [self.file])

    def done(self, error=None, words=None):
        packet = Packet(_wire.DONE)
        packet.int(-1 if error is None else _wire.INVALID).text(error)
        self.wire.send(packet if words is None else packet.text(words))

    def failure(self, error):
        """The error with its traceback, from the file's own frames on."""
        if isinstance(error, Error):
            said = str(error)
        else:
            said = "".join(traceback.format_exception_only(type(error), error)).strip()
        frames = traceback.extract_tb(error.__traceback__)
        own = [i for i, frame in enumerate(frames) if os.path.abspath(frame.filename) == self.file]
        shown = [frame for frame in frames[own[0]:] if os.path.dirname(frame.filename) != PACKAGE] if own else []
        lines = traceback.format_list(shown)
        return said + "".join("\n" + line.rstrip() for line in lines)

    def serve(self):
        try:
            found, words = self.described()
        except BaseException as error:
            self.done(self.failure(error))
            return
        self.done(words=words)
        threading.Thread(target=self.hear, daemon=True).start()
        by_name = {one.name: one for one in found}
        sys.meta_path.insert(0, self)
        os.register_at_fork(after_in_child=self.forked)
        lines = sys.stdout = sys.stderr = _Lines(self)
        stages.running = self
        while True:
            packet = self.messages.get()
            if packet.kind == _wire.START:
                self.run(by_name, packet, lines)

    # A node.

    def run(self, by_name, packet, lines):
        try:
            stage = by_name[packet.take_text()]
            self.node = packet.take_text()
            arguments, inputs = self.arguments(stage, packet)
            returned = stage.function(**arguments)
            lines.end()
            for path in stage.uses:
                for one in _files(path) if os.path.isdir(path) else [path]:
                    if not one.endswith(".py"):  # modules are looked at when they are imported
                        self.check(one)
            results = [returned] if len(stage.outputs) == 1 and not hasattr(returned, "_fields") else list(returned)
            if len(results) != len(stage.outputs):
                raise Invalid(f"it returned {len(results)} results for {len(stage.outputs)} outputs")
            for (port, kind), value in zip(stage.outputs, results):
                self.put(port, stages.made(kind, value, inputs))
        except BaseException as error:
            lines.end()
            self.done(self.failure(error))
        else:
            self.done()

    def arguments(self, stage, packet):
        arguments, inputs = {}, []
        take = {"bool": lambda: bool(packet.take_int()), "int": packet.take_int, "real": lambda: packet.take_reals()[0],
                "text": packet.take_text, "choice": packet.take_text, "path": packet.take_text,
                "int3": lambda: tuple(packet.take_ints()), "real3": lambda: tuple(packet.take_reals()),
                "ints": packet.take_ints, "reals": packet.take_reals}
        for param in stage.params:
            arguments[param["name"]] = take[param["kind"]]()
        for port in stage.ports:
            items = []
            for i in range(packet.take_int()):
                name = packet.take_text()
                case = packet.take_case() if port["keyed"] else None
                head = packet.take_head()
                if head[0] not in INPUTS:
                    INPUTS[head[0]] = _class(head[0])
                items.append(INPUTS[head[0]](self, port["name"], i, name, head))
                items[-1]._case = case
            inputs += items
            listed = port["type"].endswith("[]")
            arguments[port["name"]] = items if listed else items[0] if items else None
        return arguments, inputs

    def put(self, port, result):
        arrays, contents = [], []
        for name, value in sorted(result.arrays.items()):
            if isinstance(value, list):
                offsets = [0]
                for row in value:
                    offsets.append(offsets[-1] + len(row))
                arrays.append((name, "u8", (offsets[-1],), len(value)))
                contents.append([b"".join(value), memoryview(_longs(offsets))])
            else:
                arrays.append((name, stages.ENGINE[value.dtype.name], value.shape, None))
                contents.append([value])
        self.wire.send(Packet(_wire.OUTPUT).text(port).head(result.type, result.attributes, arrays))
        for content in contents:
            files = [_wire.shared(one if isinstance(one, (bytes, memoryview)) else _contiguous(one)) for one in content]
            self.wire.send(Packet(_wire.CONTENT, files=files))


def _longs(values):
    import array
    return array.array("q", values)


def _contiguous(value):
    import numpy
    return numpy.ascontiguousarray(value).reshape(-1).view("uint8") if value.size else b""


def main():
    faulthandler.enable()
    os.set_inheritable(SOCKET, False)  # not for what a stage starts
    Worker(sys.argv[1], _wire.Wire(SOCKET)).serve()


if __name__ == "__main__":
    main()
