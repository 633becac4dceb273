#!/usr/bin/env python3
"""Runs killed at random moments: test_kill.py MASSFLOW WHOLE.yaml [--kills N] [--seed S]

Each time a run of the whole graph on a fresh cache is killed (SIGKILL) after a random part of the
time that an undisturbed one takes, every fourth time once more as it goes on; then a run to the end.
Its results must be those of the undisturbed run, byte for byte, and `cache verify` must find
nothing. How many states of trainings are left is told: a kill between the record of a training and
the end of its states leaves one. Without --kills a few kills, spread over the whole run.
"""
import argparse
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

SETTINGS = [w for setting in ("patients=2", "judges=3", "steps=4", "epochs=4")
            for w in ("--set", setting)]
PHANTOM = """massflow: 1
stages:
  patient: {use: phantom.volume, with: {size: [24, 24, 24], spacing: [8, 8, 8], seed: 7}}
"""
OUTCOMES = ("SELECT hex(a.key) || a.stage || '.' || o.port, hex(f.id) FROM action a"
            " JOIN output o ON o.action = a.num JOIN artifact f ON f.num = o.artifact")

parser = argparse.ArgumentParser()
parser.add_argument("massflow", type=os.path.abspath)
parser.add_argument("graph", type=os.path.abspath)
parser.add_argument("--kills", type=int, default=8)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()


class Killed(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        shutil.copy(options.graph, self.path("graph.yaml"))
        with open(self.path("phantom.yaml"), "w", encoding="utf-8") as file:
            file.write(PHANTOM)
        self.massflow("run", "phantom.yaml", "--cache", "phantom")
        self.massflow("get", "phantom.yaml", "patient.volume", "--cache", "phantom", "-o",
                      "scan.nii.gz")
        self.run_whole("undisturbed")  # the device's programs are built and kept by its driver
        self.expected = self.outcomes("undisturbed")
        shutil.rmtree(self.path("undisturbed"))
        begin = time.monotonic()
        self.run_whole("undisturbed")
        self.seconds = time.monotonic() - begin
        self.assertEqual(self.outcomes("undisturbed"), self.expected)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def massflow(self, *words):
        done = subprocess.run([options.massflow, *words], cwd=self.folder, timeout=300,
                              check=False, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def run_whole(self, cache):
        return self.massflow("run", "graph.yaml", "--cache", cache, *SETTINGS)

    def ask(self, cache, query):
        with contextlib.closing(sqlite3.connect(self.path(cache + "/cache.db"))) as db:
            return db.execute(query).fetchall()

    def outcomes(self, cache):
        return dict(self.ask(cache, OUTCOMES))

    def killed(self, cache, after):
        """Whether it was still running then, and the stage that had a state saved or was at work."""
        with subprocess.Popen([options.massflow, "run", "graph.yaml", "--cache", cache,
                               *SETTINGS],
                              cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as run:
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
        self.assertEqual(self.outcomes(cache), self.expected, f"kill {kill}\n{out}")
        self.assertEqual(self.ask(cache, "SELECT count(*) FROM lease"), [(0,)])
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
            left += self.ask(cache, "SELECT count(*) FROM checkpoint")[0][0]
            shutil.rmtree(self.path(cache))
        places = ", ".join(f"{name} {count}" for name, count in sorted(hit.items()))
        print(f"{kills} kills, {twice} of them twice, over runs of {self.seconds:.1f} s; {resumed} "
              f"times training went on from a saved state; {left} states were left behind; at work "
              f"when killed: {places}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main(argv=["test_kill"])
