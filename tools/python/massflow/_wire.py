"""Messages between massflow and a worker, as engine/run/worker/wire.h describes them: a header of kind, size and
number of files, with up to two files of shared memory; then integers of 8 bytes, texts with length and NUL."""
import mmap
import os
import socket
import struct
import threading

from ._library import DTYPES

(START, CANCEL, REPLY, LOG, PROGRESS, GET, ARRAY, BOX, ROW, LOAD_STATE, STATE_HEAD, SAVE_STATE, OUTPUT, CONTENT,
 DONE) = range(15)
HEADER = struct.Struct("=QQQ")
INVALID = 0  # mf_code
POPULATE = getattr(mmap, "MAP_POPULATE", 0x8000)  # pages at once; Python 3.9 has no name for it


class Packet:
    """A message that is put together, or taken apart."""

    def __init__(self, kind=0, data=b"", files=()):
        self.kind, self.data, self.files, self.at = kind, bytearray(data), list(files), 0

    def int(self, value):
        self.data += struct.pack("=q", value)
        return self

    def text(self, value):
        if value is None:
            return self.int(-1)
        encoded = value.encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
        self.int(len(encoded))
        self.data += encoded + b"\0"
        return self

    def bytes(self, value):
        self.int(len(value))
        self.data += value
        return self

    def take_int(self):
        value, = struct.unpack_from("=q", self.data, self.at)
        self.at += 8
        return value

    def take_text(self):
        length = self.take_int()
        if length < 0:
            return None
        self.at += length + 1
        return self.data[self.at - length - 1:self.at - 1].decode("utf-8", "backslashreplace")

    def take_bytes(self):
        length = self.take_int()
        self.at += length
        return bytes(self.data[self.at - length:self.at])

    def take_reals(self):
        data = self.take_bytes()
        return list(struct.unpack(f"={len(data) // 8}d", data))

    def take_ints(self):
        data = self.take_bytes()
        return list(struct.unpack(f"={len(data) // 8}q", data))

    # Artifacts without their data.

    def head(self, kind, attributes, arrays):
        """`arrays`: (name, dtype, shape, rows or None)."""
        self.text(kind).int(len(attributes))
        for name, value in attributes.items():
            self.text(name)
            if isinstance(value, str):
                self.int(0).text(value)
            elif isinstance(value, int):
                self.int(1).int(value)
            else:
                self.int(2).bytes(struct.pack(f"={len(value)}d", *value))
        self.int(len(arrays))
        for name, dtype, shape, rows in arrays:
            self.text(name).int(DTYPES.index(dtype)).int(len(shape))
            for side in shape:
                self.int(side)
            self.int(-1 if rows is None else rows)
        return self

    def take_case(self):
        """The id, and the columns by name."""
        case, columns = self.take_text(), {}
        while True:
            name = self.take_text()
            if not name:
                return case, columns
            columns[name] = self.take_text()

    def take_head(self):
        """(type, attributes, {name: (dtype, shape, rows)})"""
        kind, attributes, arrays = self.take_text(), {}, {}
        for _ in range(self.take_int()):
            name, what = self.take_text(), self.take_int()
            attributes[name] = self.take_text() if what == 0 else self.take_int() if what == 1 else self.take_reals()
        for _ in range(self.take_int()):
            name, dtype, rank = self.take_text(), self.take_int(), self.take_int()
            shape = tuple(self.take_int() for _ in range(rank))
            rows = self.take_int()
            arrays[name] = (DTYPES[dtype], shape, None if rows < 0 else rows)
        return kind, attributes, arrays


def shared(data):
    """A file of shared memory with these bytes; a memoryview or the like."""
    file = os.memfd_create("massflow array", os.MFD_CLOEXEC)
    view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
    at = 0
    while at < len(view):
        at += os.write(file, view[at:at + (1 << 30)])
    return file


def mapped(file, size):
    """What lies there, read-only; closes the file."""
    try:
        return memoryview(mmap.mmap(file, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED | POPULATE)) if size \
            else memoryview(b"")
    finally:
        os.close(file)


class Wire:
    """One end of the socket. Any thread may send."""

    def __init__(self, file):
        self.socket = socket.socket(fileno=file)
        self.lock = threading.Lock()

    def send(self, packet):
        """Closes the files of the packet."""
        header = HEADER.pack(packet.kind, len(packet.data), len(packet.files))
        try:
            with self.lock:
                socket.send_fds(self.socket, [header], packet.files) if packet.files else self.socket.sendall(header)
                self.socket.sendall(packet.data)
        finally:
            for file in packet.files:
                os.close(file)

    def _bytes(self, size):
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            got = self.socket.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return data

    def receive(self):
        """The next message; EOFError once the other side is gone."""
        data, files, _, _ = socket.recv_fds(self.socket, HEADER.size, 2)
        if not data:
            raise EOFError
        data = bytes(data) + self._bytes(HEADER.size - len(data))
        kind, size, _ = HEADER.unpack(data)
        return Packet(kind, self._bytes(size), files)


