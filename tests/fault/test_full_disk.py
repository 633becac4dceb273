#!/usr/bin/env python3
"""Every write of a run made to fail in turn: test_full_disk.py MASSFLOW FAILING.so [--all]

Once each write fails alone with an I/O error, once it and all after it fail as on a full disk.
Whatever happens, the run must say so, and the next run with room must end with the results of an
undisturbed one. Without --all a share of the writes, spread over the whole run. At last the same
on file systems that are really full.
"""
import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
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


class Folder:
    """A graph and its cache in a folder of its own."""

    def __init__(self, where):
        self.where = where
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, "graph.yaml"), "w", encoding="utf-8") as file:
            file.write(GRAPH)

    def massflow(self, *words, **faults):
        env = dict(os.environ)
        if faults:
            env["LD_PRELOAD"] = FAILING
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
            env["MASSFLOW_FAULT_FOLDER"] = self.where
            for name, value in faults.items():
                env["MASSFLOW_FAULT_" + name.upper()] = str(value)
        return subprocess.run([MASSFLOW, *words], cwd=self.where, env=env, capture_output=True,
                              text=True, timeout=120, check=False)

    def results(self):
        """What the cache says was made, and the exported bytes."""
        path = f"file:{self.where}/.massflow/cache.db?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as cache:
            made = sorted(cache.execute(
                "SELECT hex(a.key), o.port, o.position, hex(x.id) FROM action a"
                " JOIN output o ON o.action = a.num JOIN artifact x ON x.num = o.artifact"))
        files = []
        for name in EXPORTS:
            with open(os.path.join(self.where, name), "rb") as file:
                files.append(file.read())
        return made, files

    def strangers(self):
        """Files in the folder of exports that nobody asked for."""
        return sorted(set(os.listdir(os.path.join(self.where, "out"))) -
                      {os.path.basename(name) for name in EXPORTS})


class Full(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix="massflow-test-")
        calm = Folder(os.path.join(cls.top, "calm"))
        count = os.path.join(cls.top, "count")
        done = calm.massflow("run", "graph.yaml", at=0, count=count)
        assert done.returncode == 0, done.stderr
        cls.expected = calm.results()
        with open(count, encoding="ascii") as file:
            cls.writes = int(file.read())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.top)

    def check_told(self, done, place):
        """A failed run says so; one that says nothing is right."""
        said = done.stdout + done.stderr
        self.assertGreaterEqual(done.returncode, 0, f"{place}: {said}")  # no signal
        if done.returncode:
            self.assertRegex(said, r"massflow: error: |failed: ", place)
            self.assertRegex(said, r"(?i)disk (is|not) full|No space left|I/O error|"
                             r"Input/output error", place)

    def check_mended(self, folder, place):
        done = folder.massflow("run", "graph.yaml")
        self.assertEqual(done.returncode, 0, f"{place}: {done.stdout}{done.stderr}")
        self.assertEqual(folder.results(), self.expected, place)
        self.assertEqual(folder.strangers(), [], place)

    def sweep(self, first, **fault):
        failed = 0
        places = range(first, self.writes + 1, SHARE)
        for at in places:
            place = f"write {at} of {self.writes}, {fault}"
            folder = Folder(os.path.join(self.top, "run"))
            done = folder.massflow("run", "graph.yaml", at=at, **fault)
            self.check_told(done, place)
            failed += done.returncode != 0
            if done.returncode == 0:
                self.assertEqual(folder.results(), self.expected, place)
            self.check_mended(folder, place)
            shutil.rmtree(folder.where)
        print(f"{len(places)} of {self.writes} writes failed in turn ({fault}):"
              f" {failed} runs failed, the others came out right, all were mended")
        self.assertGreater(failed, 0)

    def test_full_disk(self):
        self.sweep(1, errno=errno.ENOSPC, lasts=1)

    def test_one_error(self):
        self.sweep(1 + SHARE // 2, errno=errno.EIO, lasts=0)

    def test_small_file_systems(self):
        mount = os.path.join(self.top, "small")
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
            folder = Folder(mount)
            done = folder.massflow("run", "graph.yaml")
            self.check_told(done, f"{size} kB")
            failed += done.returncode != 0
            subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
            self.check_mended(folder, f"{size} kB")
            subprocess.run(["umount", mount], check=True)
        print(f"{len(sizes)} file systems of 64 kB to 4 MB: {failed} were too small,"
              " all runs were mended")
        self.assertGreater(failed, 2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + [word for word in sys.argv[3:] if word != "--all"])
