#!/usr/bin/env python3
"""Runs after `cache gc --size`: test_collect.py MASSFLOW [--limits N] [--seed S]

A graph whose nodes share what they read (a scan; masks of it; pictures, samples and features of both)
has run. Then, for each limit from all to nothing: a part of its data is dropped, some exported files
are deleted, and the graph, or some targets of it, runs with other parameters. One run must end with
exit status 0, all done, all files written; a second one has nothing to do; its results are those of a
cache from which nothing was ever dropped, and `cache verify` finds nothing. Then runs go on while all is
dropped that is in nobody's use. Without --limits a few.
"""
import argparse
import os
import random
import re
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import Massflow, flags  # noqa: E402 (its folder has to be on the path)

GRAPH = """massflow: 1
params: {slices: 2, pool: 1, pad: 24, size: 16}
cases:
  - {count: 2, id: "p{id}"}
stages:
  patient:
    use: phantom.volume
    each: case
    with: {size: [24, 24, 24], spacing: [8, 8, 8], seed: 1}
  found:
    use: slic.masks
    each: case
    in: {volume: patient.volume}
    with: {sizes: [16, 24], min_voxels: 50}
  masks:
    use: masks.nms
    each: case
    in: {masks: found}
    with: {min_voxels: 50, pool: "${pool}"}
  picture:
    use: image.overlay
    each: case
    in: {volume: patient.volume, masks: masks}
    with: {slices: "${slices}"}
  sample:
    use: mass.prepare
    each: case
    in: {volume: patient.volume, masks: masks}
    with: {spacing: [8, 8, 8], min_size: ["${pad}", 24, 24]}
  model:
    use: mass.init
    with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1]}
  features:
    use: mass.features
    each: case
    in: {model: model, volume: patient.volume}
    with: {spacing: [8, 8, 8], roi_size: ["${size}", 16, 16]}
export:
  masks: "out/${case.id}.nii.gz"
  picture: "out/${case.id}.png"
"""
SETTINGS = {"pool": ("1", "2"), "pad": ("24", "32"), "size": ("16", "32")}
TARGETS = ([], ["picture"], ["picture[case=p000]", "sample"], ["picture", "features"],
           ["masks", "picture"])
parser = argparse.ArgumentParser()
parser.add_argument("massflow", type=os.path.abspath)
parser.add_argument("--limits", type=int, default=6)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()


class Collected(Massflow):
    TIMEOUT = 300

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", GRAPH)
        self.massflow("run", "graph.yaml", "--cache", "first")
        self.size = sum(self.ask("SELECT sum(stored) FROM chunk", "first", file)[0][0]
                        for file in ("cache.db", "chunks.db"))

    def exported(self):
        return sorted(os.listdir(self.path("out")))

    def test_any_limit(self):
        chance = random.Random(options.seed)
        files = self.exported()
        self.assertEqual(files, ["p000.nii.gz", "p000.png", "p001.nii.gz", "p001.png"])
        for k in range(options.limits):
            limit = self.size * k // max(options.limits - 1, 1)
            # Pictures are always to be made: they need the scan, and masks that need the scan.
            words = [*chance.choice(TARGETS), "--set", f"slices={3 + k}"]
            for name, values in SETTINGS.items():
                words += ["--set", f"{name}={chance.choice(values)}"]
            shutil.rmtree(self.path("cache"), ignore_errors=True)
            shutil.copytree(self.path("first"), self.path("cache"))
            self.massflow("cache", "gc", "--size", str(limit), "--cache", "cache")
            for name in files:
                if chance.random() < 0.3:
                    os.remove(self.path("out/" + name))
            out = self.massflow("run", "graph.yaml", "--cache", "cache", *words)
            self.assertRegex(out, r"(?m)^finished: \d+ run, \d+ cached in ", f"limit {limit} {words}")
            again = self.massflow("run", "graph.yaml", "--cache", "cache", *words)
            self.assertIn("finished: 0 run, ", again, f"limit {limit} {words}")
            if not words[0].startswith("-"):
                self.massflow("run", "graph.yaml", "--cache", "cache", *words[-8:])
            self.assertEqual(self.exported(), files)
            self.assertIn("no damage found", self.massflow("cache", "verify", "--cache", "cache"))
            self.massflow("run", "graph.yaml", "--cache", "first", *words[-8:])
            expected = self.results("first")
            for key, artifact in self.results("cache").items():
                self.assertEqual(artifact, expected[key])
        print(f"{options.limits} limits of 0 to {self.size} bytes", file=sys.stderr)

    def test_beside_runs(self):
        """Runs of the graph with other parameters, three at a time, while all is dropped that can be."""
        rounds, collected, dropped = max(1, options.limits // 3), 0, 0
        for k in range(rounds):
            runs = [self.start("run", "graph.yaml", "picture", "features", "--cache", "first", "-j", "2",
                               *flags(slices=100 + 3 * k + i, size=16 + 16 * (k % 2))) for i in range(3)]
            while any(run.poll() is None for run in runs):
                out = self.massflow("cache", "gc", "--size", "0", "--cache", "first")
                dropped += int(re.search(r"dropped the data of (\d+) artifacts", out).group(1))
                collected += 1
            for run in runs:
                self.assertRegex(self.rest(run, 0), r"(?m)^finished: \d+ run, \d+ cached in ")
        self.assertIn("no damage found", self.massflow("cache", "verify", "--cache", "first"))
        print(f"{3 * rounds} runs beside {collected} times gc, which dropped {dropped} artifacts",
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main(argv=["test_collect"])
