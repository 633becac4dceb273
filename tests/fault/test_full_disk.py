#!/usr/bin/env python3
"""Every write of a run made to fail in turn: test_full_disk.py MASSFLOW FAILING.so [--all]

Once each write fails alone with an I/O error, once it and all after it fail as on a full disk.
Whatever happens, the run must say so, and the next run with room must end with the results of an
undisturbed one. Without --all a share of the writes, spread over the whole run. At last the same
on file systems that are really full.
"""
import errno
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import MASSFLOW, Massflow, preloading  # noqa: E402 (its folder has to be on the path)

FAILING = os.path.abspath(sys.argv[2])
ALL = "--all" in sys.argv
SHARE = 1 if ALL else 40  # every so-manieth write

GRAPH = """massflow: 1
cases: {count: 2}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [24, 24, 24], spacing: [8, 8, 8]}}
  organs: {use: labels.masks, each: case, in: {labels: patient.labels}}
  sample: {use: mass.prepare, each: case, in: {volume: patient.volume, masks: organs},
           with: {spacing: [8, 8, 8], min_size: [24, 24, 24]}}
  picture: {use: image.overlay, each: case, in: {volume: patient.volume, masks: organs}}
  dice: {use: metrics.overlap, in: {pred: "patient.labels[*]", truth: "patient.labels[*]"}}
export:
  patient.labels: "out/${case.id}.nii.gz"
  picture: "out/${case.id}.png"
  dice.table: out/dice.csv
"""
EXPORTS = ["out/000.nii.gz", "out/001.nii.gz", "out/000.png", "out/001.png", "out/dice.csv"]


class Full(Massflow):
    ONE_FOLDER = True

    def prepare(self):
        count = self.path("count")
        self.begin("calm")
        self.run_graph("calm", code=0, at=0, count=count)
        type(self).expected = self.made("calm")
        type(self).writes = int(self.read("count"))

    def begin(self, where):
        """A folder of a run's own."""
        os.makedirs(self.path(where), exist_ok=True)
        self.write(f"{where}/graph.yaml", GRAPH)

    def run_graph(self, where, code=None, **faults):
        env = self.environment()
        if faults:
            env.update(preloading(FAILING), MASSFLOW_FAULT_FOLDER=self.path(where),
                       **{"MASSFLOW_FAULT_" + name.upper(): str(value) for name, value in faults.items()})
        return self.ended(self.line("run", "graph.yaml"), code, cwd=self.path(where), env=env)

    def made(self, where):
        """What the cache says was made, and the exported bytes."""
        return self.results(f"{where}/.massflow"), [self.read_bytes(f"{where}/{name}") for name in EXPORTS]

    def strangers(self, where):
        """Files in the folder of exports that nobody asked for."""
        return sorted(set(os.listdir(self.path(where + "/out"))) - {os.path.basename(name) for name in EXPORTS})

    def check_told(self, done, place):
        """A failed run says so; one that says nothing is right."""
        said = done.stdout + done.stderr
        self.assertGreaterEqual(done.returncode, 0, f"{place}: {said}")  # no signal
        if done.returncode:
            self.assertRegex(said, r"massflow: error: |failed: ", place)
            self.assertRegex(said, r"(?i)disk (is|not) full|No space left|I/O error|"
                             r"Input/output error", place)

    def check_mended(self, where, place):
        done = self.run_graph(where)
        self.assertEqual(done.returncode, 0, f"{place}: {done.stdout}{done.stderr}")
        self.assertEqual(self.made(where), self.expected, place)
        self.assertEqual(self.strangers(where), [], place)

    def sweep(self, first, **fault):
        failed = 0
        places = range(first, self.writes + 1, SHARE)
        for at in places:
            place = f"write {at} of {self.writes}, {fault}"
            self.begin("run")
            done = self.run_graph("run", at=at, **fault)
            self.check_told(done, place)
            failed += done.returncode != 0
            if done.returncode == 0:
                self.assertEqual(self.made("run"), self.expected, place)
            self.check_mended("run", place)
            shutil.rmtree(self.path("run"))
        print(f"{len(places)} of {self.writes} writes failed in turn ({fault}):"
              f" {failed} runs failed, the others came out right, all were mended")
        self.assertGreater(failed, 0)

    def test_full_disk(self):
        self.sweep(1, errno=errno.ENOSPC, lasts=1)

    def test_one_error(self):
        self.sweep(1 + SHARE // 2, errno=errno.EIO, lasts=0)

    def test_small_file_systems(self):
        mount = self.path("small")
        os.mkdir(mount)
        inner = os.environ.get("MASSFLOW_TEST_INSIDE")
        if not inner:
            try:
                subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                self.skipTest("no file system can be mounted here")
            env = dict(os.environ, MASSFLOW_TEST_INSIDE="1")
            done = subprocess.run(["unshare", "-rm", sys.executable, __file__, MASSFLOW, FAILING,
                                   "Full.test_small_file_systems"] + ["--all"] * ALL,
                                  env=env, check=False)
            self.assertEqual(done.returncode, 0)
            return
        failed = 0
        sizes = range(64, 4096, 64 if ALL else 448)
        for size in sizes:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "small", mount], check=True)
            self.begin("small")
            done = self.run_graph("small")
            self.check_told(done, f"{size} kB")
            failed += done.returncode != 0
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            self.check_mended("small", f"{size} kB")
            subprocess.run(["umount", mount], check=True)
        print(f"{len(sizes)} file systems of 64 kB to 4 MB: {failed} were too small,"
              " all runs were mended")
        self.assertGreater(failed, 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + [word for word in sys.argv[3:] if word != "--all"])
