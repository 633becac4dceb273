"""The process in which stages of a Python file run: python3 -m massflow._worker FILE.py, with a socket as file 3.
massflow starts it; it runs one node after another and ends when the socket closes. The protocol is in
engine/run/python/python_worker.c."""
import faulthandler
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
    def __init__(self, file):
        self.wire = _wire.Wire(SOCKET)
        self.file = os.path.abspath(file)
        self.contents = {}  # of files, as they were read first: what is described is what runs
        self.messages = queue.SimpleQueue()
        self.asking = threading.Lock()
        self.node, self.told = "", 0.0

    def read(self, path):
        if path not in self.contents:
            with open(path, "rb") as file:
                self.contents[path] = file.read()
        return self.contents[path]

    def hear(self):
        """In a thread of its own: the process ends with the socket, whatever it computes."""
        try:
            while True:
                self.messages.put(self.wire.receive())
        except (EOFError, OSError):
            os._exit(0)

    def ask(self, packet):
        with self.asking:
            self.wire.send(packet)
            reply = self.messages.get()
        code, text = reply.take_int(), reply.take_text()
        if code >= 0:
            raise Error(text)
        return reply

    # What a stage says.

    def log(self, line):
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
        code = compile(self.read(self.file), self.file, "exec")
        exec(code, module.__dict__)
        found = [one for _, one in sorted(stages.DECLARED.items())]
        if not found:
            raise Invalid(f"{self.file} declares no stage: put @massflow.stage(\"lab.name\", version=1) before a function")
        return found

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
            found = self.load()
            words = stages.describe(found, self.read)
        except BaseException as error:
            self.done(self.failure(error))
            return
        self.done(words=words)
        threading.Thread(target=self.hear, daemon=True).start()
        by_name = {one.name: one for one in found}
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
                head = packet.take_head()
                if head[0] not in INPUTS:
                    INPUTS[head[0]] = _class(head[0])
                items.append(INPUTS[head[0]](self, port["name"], i, name, head))
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
    Worker(sys.argv[1]).serve()


if __name__ == "__main__":
    main()
