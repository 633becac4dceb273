#!/usr/bin/env python3
"""Any byte of a cache changed, or its end cut off: test_flip.py MASSFLOW COUNTING.so [PLACES [SEED]]

After each change the cache is used as a user would: results are asked for, the graph is run, and
where something was said, the cache is repaired and the graph run again. A result that differs from
the undisturbed one, a command that dies by a signal or does not end fails the test. Prints how many
places were found damaged and how many were harmless.
"""
import hashlib
import os
import random
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import MASSFLOW, Pipeline  # noqa: E402 (its folder has to be on the path)

PLACES = int(sys.argv[3]) if len(sys.argv) > 3 else 60
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
FILES = ("cache.db", "chunks.db")
GRAPH = """massflow: 1
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: case, in: {text: text}}
  more: {use: count.add, each: case, in: {text: upper}, with: {suffix: "!"}}
  all: {use: count.join, in: {texts: "more[*]"}}
  numbers: {use: count.numbers, with: {seed: 1}}
  rows: {use: count.collect, in: {items: numbers}, with: {count: 2100}}
"""
WANTED = {"all": "all.csv", "rows": "rows.csv", "upper[case=b]": "b.json"}


class Flip(Pipeline):
    GRAPH = GRAPH

    def setUp(self):
        super().setUp()
        self.massflow("run")
        self.massflow("run")
        shutil.copytree(self.path(".massflow"), self.path("sound"))
        self.assertLess(set(FILES), set(os.listdir(self.path("sound"))))
        self.used = {file: self.not_zero(file) for file in FILES}
        self.results = {node: self.get(node) for node in WANTED}
        self.assertNotIn(None, self.results.values())
        self.said = 0

    def not_zero(self, file):
        """Half of the changes go here: most of a small database is empty."""
        with open(self.path("sound/" + file), "rb") as f:
            return [i for i, byte in enumerate(f.read()) if byte]

    def command(self, *words):
        """Exit status and output; dying by a signal or not ending is not a way to say anything."""
        if words[0] != "cache":
            words = (words[0], "graph.yaml", *words[1:], "--plugins", "plugins")
        done = self.ended([MASSFLOW, *words], (0, 1, 2), timeout=60, errors="replace")
        if done.returncode:
            self.assertIn("error: ", done.stderr + "error: " * (words[0] in ("run", "cache")))
        return done.returncode, done.stdout + done.stderr

    def get(self, node):
        """The digest of a result as a file; None where the command says why it can't be had."""
        file = self.path(WANTED[node])
        if os.path.exists(file):
            os.remove(file)
        code, _ = self.command("get", node, "-o", file)
        if code:
            self.said += 1
            return None
        with open(file, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def right(self, where, all_there):
        for node, want in self.results.items():
            got = self.get(node)
            self.assertIn(got, (want,) if all_there else (want, None), f"{where}: {node}")

    def use(self, where):
        """True where something was found damaged."""
        self.said = 0
        self.right(where, False)
        code, _ = self.command("run")
        found = code != 0 or self.said > 0
        if code:
            # What a run has dropped may be all there was; else the cache has to be repaired.
            code, out = self.command("run")
            if code:
                _, out = self.command("cache", "repair")
                code, out = self.command("run")
            self.assertEqual(code, 0, f"{where}: {out}")
        code, _ = self.command("cache", "verify")
        if code:
            found = True
            code, out = self.command("cache", "repair")
            self.assertEqual(code, 0, f"{where}: {out}")
            code, out = self.command("run")
            self.assertEqual(code, 0, f"{where}: {out}")
            code, out = self.command("cache", "verify")
            self.assertEqual(code, 0, f"{where}: {out}")
        self.right(where, True)
        return found

    def put_back(self):
        shutil.rmtree(self.path(".massflow"))
        shutil.copytree(self.path("sound"), self.path(".massflow"))

    def change(self, random_, file):
        path = self.path(".massflow/" + file)
        size = os.path.getsize(path)
        at = random_.randrange(size)
        if random_.random() < 0.5:
            at = random_.choice(self.used[file])
        if random_.random() < 0.05:
            os.truncate(path, at)
            return f"{file} cut off at {at}"
        value = random_.randrange(1, 256)
        with open(path, "r+b") as f:
            f.seek(at)
            old = f.read(1)[0]
            f.seek(at)
            f.write(bytes([old ^ value]))
        return f"{file} at {at}: {old} -> {old ^ value}"

    def test_places(self):
        random_ = random.Random(SEED)
        found = {file: 0 for file in FILES}
        for i in range(PLACES):
            file = FILES[i % 2]
            self.put_back()
            where = self.change(random_, file)
            found[file] += self.use(where)
        for n, file in enumerate(FILES):
            tried = (PLACES + 1 - n) // 2
            print(f"{file}: {tried} places: {found[file]} found, {tried - found[file]} harmless")
            self.assertGreater(found[file], 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
