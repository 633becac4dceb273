#!/usr/bin/env python3
"""Allocations of a run made to fail in turn: test_no_memory.py MASSFLOW NO_MEMORY.so [--all | COUNT | FIRST LAST]

Whatever allocation of the engine or a plugin fails, massflow does not crash: the run says so or ends
well, and the next one ends with the results of an undisturbed one. One thing may abort, by design: what
describes graphs and stages (engine/base/arena.c, engine/graph, engine/stages). It is small, made before
anything runs, and not worth a path of its own through every reader. COUNT of the allocations, spread
over the run.
"""
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from test_full_disk import GRAPH

MASSFLOW = os.path.abspath(sys.argv[1])
NO_MEMORY = os.path.abspath(sys.argv[2])
POINTS = sys.argv[3:]
MAY_ABORT = ("/engine/base/arena.c", "/engine/graph/", "/engine/stages/")


def sanitized():
    with open(MASSFLOW, "rb") as file:
        return b"libasan" in file.read()


def artifacts_of(cache):
    """By action and port: what came out."""
    path = f"file:{cache}/cache.db?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
        return sorted(db.execute(
            "SELECT hex(a.key), o.port, hex(x.id) FROM action a JOIN output o ON o.action = a.num"
            " JOIN artifact x ON x.num = o.artifact"))


def place_of(frame):
    """FUNCTION FILE:LINE of a line "frame FILE OFFSET", where the file has debug information."""
    _, path, offset = frame.rsplit(maxsplit=2)
    words = ["addr2line", "-fe", path, hex(int(offset, 16) - 1)]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n")
    return " ".join(found[:2])


@unittest.skipIf(sanitized(), "the address sanitizer allocates in its own way")
@unittest.skipIf(not shutil.which("addr2line"), "addr2line (binutils) is not there")
class NoMemory(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        with open(self.path("graph.yaml"), "w", encoding="utf-8") as file:
            file.write(GRAPH)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_graph(self, at=None):
        env = dict(os.environ)
        if at is not None:
            env.update(LD_PRELOAD=NO_MEMORY, MASSFLOW_FAULT_AT=str(at), MALLOC_PERTURB_="165",
                       MASSFLOW_FAULT_COUNT=self.path("count"))
        return subprocess.run([MASSFLOW, "run", "graph.yaml", "-j", "1"], cwd=self.folder, env=env,
                              capture_output=True, text=True, timeout=300, errors="replace",
                              check=False)

    def clear(self):
        for name in (".massflow", "out"):
            shutil.rmtree(self.path(name), ignore_errors=True)

    def points(self):
        done = self.run_graph(0)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(self.path("count"), encoding="ascii") as file:
            count = int(file.read())
        self.assertGreater(count, 1000)
        if POINTS == ["--all"]:
            return range(1, count + 1)
        if len(POINTS) == 2:
            return range(int(POINTS[0]), int(POINTS[1]) + 1)
        share = int(POINTS[0])
        return [1 + i * (count - 1) // (share - 1) for i in range(share)]

    def crash(self, done):
        """Where it crashed, "" where it did not or may."""
        frames = [place_of(line) for line in done.stderr.splitlines() if line.startswith("frame ")]
        ours = [place for place in frames if re.search(r"/(engine|plugins)/\S+:\d", place)
                and "/engine/run/process/signals.c:" not in place]  # which hands the signal on
        if done.returncode == -signal.SIGABRT and ours and any(p in ours[0] for p in MAY_ABORT):
            return ""
        return "\n".join(ours or frames)

    def test_each_in_turn(self):
        points = self.points()
        expected = artifacts_of(self.path(".massflow"))
        self.assertTrue(expected)
        failed = []
        for at in points:
            self.clear()
            done = self.run_graph(at)
            if done.returncode < 0:
                place = self.crash(done)
                if place:
                    failed.append(f"allocation {at}: signal {-done.returncode}\n{place}")
            elif done.returncode not in (0, 1, 2):
                failed.append(f"allocation {at}: exit {done.returncode}\n{done.stderr}")
            elif done.returncode and "memory" not in done.stdout + done.stderr:
                failed.append(f"allocation {at}: not said\n{done.stdout}{done.stderr}")
            again = self.run_graph()
            if again.returncode or artifacts_of(self.path(".massflow")) != expected:
                failed.append(f"allocation {at}: the next run\n{again.stdout}{again.stderr}")
        print(f"{len(points)} allocations failed in turn, {len(failed)} of them not well")
        self.assertEqual(failed, [], "\n\n".join(failed))


if __name__ == "__main__":
    unittest.main(argv=["test_no_memory"])
