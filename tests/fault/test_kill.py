#!/usr/bin/env python3
"""Runs killed at random moments: test_kill.py MASSFLOW WHOLE.yaml [--kills N] [--seed S]

Each time a run of the whole graph on a fresh cache is killed (SIGKILL) after a random part of the
time that an undisturbed one takes, every fourth time once more as it goes on; then a run to the end.
Its results must be those of the undisturbed run, byte for byte, and `cache verify` must find
nothing. How many states of trainings are left is told: a kill between the record of a training and
the end of its states leaves one. Without --kills a few kills, spread over the whole run.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import Massflow, flags  # noqa: E402 (its folder has to be on the path)

SETTINGS = flags(patients=2, judges=3, steps=4, epochs=4)

PHANTOM = """massflow: 1
stages:
  patient: {use: phantom.volume, with: {size: [24, 24, 24], spacing: [8, 8, 8], seed: 7}}
"""
parser = argparse.ArgumentParser()
parser.add_argument("massflow", type=os.path.abspath)
parser.add_argument("graph", type=os.path.abspath)
parser.add_argument("--kills", type=int, default=8)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()


class Killed(Massflow):
    TIMEOUT = 300

    def setUp(self):
        super().setUp()
        shutil.copy(options.graph, self.path("graph.yaml"))
        self.write("phantom.yaml", PHANTOM)
        self.massflow("run", "phantom.yaml", "--cache", "phantom")
        self.massflow("get", "phantom.yaml", "patient.volume", "--cache", "phantom", "-o",
                      "scan.nii.gz")
        self.run_whole("undisturbed")  # the device's programs are built and kept by its driver
        self.expected = self.results("undisturbed")
        shutil.rmtree(self.path("undisturbed"))
        begin = time.monotonic()
        self.run_whole("undisturbed")
        self.seconds = time.monotonic() - begin
        self.assertEqual(self.results("undisturbed"), self.expected)

    def run_whole(self, cache):
        return self.massflow("run", "graph.yaml", "--cache", cache, *SETTINGS)

    def killed(self, cache, after):
        """Whether it was still running then, and the stage that had a state saved or was at work."""
        run = self.start("run", "graph.yaml", "--cache", cache, *SETTINGS)
        try:
            run.communicate(timeout=after)
            return False, ""
        except subprocess.TimeoutExpired:
            run.kill()
            out = run.communicate()[0]
        begun = [line.split()[1] for line in out.splitlines() if line.startswith("start ")]
        ended = [line.split()[1] for line in out.splitlines() if line.startswith("done ")]
        under_way = [name for name in begun if name not in ended]
        return True, under_way[-1].split("[")[0] if under_way else "between"

    def check(self, cache, kill):
        out = self.run_whole(cache)
        self.assertEqual(self.results(cache), self.expected, f"kill {kill}\n{out}")
        self.assertEqual(self.ask("SELECT count(*) FROM lease", cache), [(0,)])
        self.assertIn("no damage found", self.massflow("cache", "verify", "--cache", cache))
        return "resumes after" in out

    def test_killed_at_random(self):
        chance = random.Random(options.seed)
        kills, twice, resumed, left, hit = 0, 0, 0, 0, {}
        while kills < options.kills:
            cache = "killed"
            # Spread over the run, a little at random: each part of it is met.
            part = (kills + chance.random()) / options.kills
            landed, where = self.killed(cache, part * self.seconds)
            if not landed:  # the machine has become faster
                self.seconds *= 0.9
                shutil.rmtree(self.path(cache))
                continue
            kills += 1
            hit[where] = hit.get(where, 0) + 1
            if kills % 4 == 0:
                twice += self.killed(cache, chance.random() * self.seconds)[0]
            resumed += self.check(cache, kills)
            left += self.ask("SELECT count(*) FROM checkpoint", cache)[0][0]
            shutil.rmtree(self.path(cache))
        places = ", ".join(f"{name} {count}" for name, count in sorted(hit.items()))
        print(f"{kills} kills, {twice} of them twice, over runs of {self.seconds:.1f} s; {resumed} "
              f"times training went on from a saved state; {left} states were left behind; at work "
              f"when killed: {places}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main(argv=["test_kill"])
