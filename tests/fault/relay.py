"""A TCP relay on this host: what passes it is late, or cut off in the middle. For tests of links."""
import collections
import contextlib
import socket
import struct
import threading
import time


class Relay:
    """From a port of its own to an address (HOST:PORT), a context. `delay`: seconds each way. `cut`: after so many
    bytes from the worker to the run the connection is reset; the next number is of the next connection. Those after
    the last number are left alone. `cut_back`: the same of bytes from the run to the worker."""

    def __init__(self, to, delay=0.0, cut=(), cut_back=()):
        host, _, port = to.rpartition(":")
        self.to = host, int(port)
        self.delay = delay
        self.cut, self.cut_back = collections.deque(cut), collections.deque(cut_back)
        self.cuts = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.server.getsockname()[1]
        self.sockets = []

    def __enter__(self):
        threading.Thread(target=self.take, daemon=True).start()
        return self

    def __exit__(self, *_):
        for s in [self.server, *self.sockets]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def take(self):
        with contextlib.suppress(OSError):
            while True:
                worker, _ = self.server.accept()
                try:
                    run = socket.create_connection(self.to)
                except OSError:
                    worker.close()
                    continue
                self.sockets += [worker, run]
                most, most_back = (limits.popleft() if limits else None for limits in (self.cut, self.cut_back))
                for source, sink, limit in ((worker, run, most), (run, worker, most_back)):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self.pass_on, args=(source, sink, limit), daemon=True).start()

    def pass_on(self, source, sink, most):
        """One direction, in the order in which it came."""
        queue, ready = collections.deque(), threading.Semaphore(0)

        def send():
            while True:
                ready.acquire()  # pylint: disable=consider-using-with
                due, data = queue.popleft()
                time.sleep(max(0, due - time.monotonic()))
                if not data:
                    with contextlib.suppress(OSError):
                        sink.shutdown(socket.SHUT_WR)
                    return
                with contextlib.suppress(OSError):
                    sink.sendall(data)

        threading.Thread(target=send, daemon=True).start()
        while True:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if most is not None and len(data) > most:
                with contextlib.suppress(OSError):
                    sink.sendall(data[:most])
                self.cuts += 1
                self.reset(source, sink)
                data = b""
            elif most is not None:
                most -= len(data)
            queue.append((time.monotonic() + self.delay, data))
            ready.release()
            if not data:
                return

    @staticmethod
    def reset(*ends):
        """At once, with nothing said."""
        for end in ends:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
