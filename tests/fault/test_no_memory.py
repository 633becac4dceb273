#!/usr/bin/env python3
"""Allocations of a run made to fail in turn: test_no_memory.py MASSFLOW NO_MEMORY.so [--all | COUNT | FIRST LAST]

Whatever allocation of the engine or a plugin fails, massflow does not crash: the run says so or ends
well, and the next one ends with the results of an undisturbed one. One thing may abort, by design: what
describes graphs and stages (engine/base/arena.c, engine/graph, engine/stages). It is small, made before
anything runs, and not worth a path of its own through every reader. COUNT of the allocations, spread
over the run.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

from test_full_disk import GRAPH

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import Massflow, sanitized  # noqa: E402 (its folder has to be on the path)

NO_MEMORY = os.path.abspath(sys.argv[2])
POINTS = sys.argv[3:]
MAY_ABORT = ("/engine/base/arena.c", "/engine/graph/", "/engine/stages/")


def place_of(frame):
    """FUNCTION FILE:LINE of a line "frame FILE OFFSET", where the file has debug information."""
    _, path, offset = frame.rsplit(maxsplit=2)
    words = ["addr2line", "-fe", path, hex(int(offset, 16) - 1)]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split("\n")
    return " ".join(found[:2])


@unittest.skipIf(sanitized(), "the address sanitizer allocates in its own way")
@unittest.skipIf(not shutil.which("addr2line"), "addr2line (binutils) is not there")
class NoMemory(Massflow):
    TIMEOUT = 300

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", GRAPH)

    def run_graph(self, at=None):
        env = self.environment()
        if at is not None:
            env.update(LD_PRELOAD=NO_MEMORY, MASSFLOW_FAULT_AT=str(at), MALLOC_PERTURB_="165",
                       MASSFLOW_FAULT_COUNT=self.path("count"))
        return self.ended(self.line("run", "graph.yaml", "-j", "1"), None, env=env, errors="replace")

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
        expected = self.results()
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
            if again.returncode or self.results() != expected:
                failed.append(f"allocation {at}: the next run\n{again.stdout}{again.stderr}")
        print(f"{len(points)} allocations failed in turn, {len(failed)} of them not well")
        self.assertEqual(failed, [], "\n\n".join(failed))


if __name__ == "__main__":
    unittest.main(argv=["test_no_memory"])
