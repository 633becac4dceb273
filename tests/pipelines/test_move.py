#!/usr/bin/env python3
"""Carrying a cache to another machine: test_move.py MASSFLOW COUNTING.so"""
import os
import random
import shutil
import sqlite3
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_run import Pipeline  # noqa: E402 (its folder has to be on the path)

GRAPH = """massflow: 1
params: {n: "20"}
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: case, in: {text: text}}
  all: {use: count.join, in: {texts: "upper[*]"}}
  numbers: {use: count.numbers, with: {seed: 1}}
  rows: {use: count.collect, in: {items: numbers}, with: {count: "${n}"}}
"""


class Move(Pipeline):
    def setUp(self):
        super().setUp()
        self.write("graph.yaml", GRAPH)
        self.massflow("run")
        self.runs()

    def file(self, name):
        return self.path(name)

    def sql(self, query):
        db = sqlite3.connect(self.path(".massflow/cache.db"))
        rows = db.execute(query).fetchall()
        db.commit()
        db.close()
        return rows

    def elsewhere(self):
        """From here on this is another machine: the same scans and graph, no cache."""
        shutil.move(self.path(".massflow"), self.path("first"))

    def test_all_is_cached_elsewhere(self):
        self.massflow("run", "--set", "n=2100")  # has a chunk in chunks.db
        self.runs()
        before = self.massflow("cache", "ls")
        out = self.massflow("cache", "export", "all.mfx")
        self.assertRegex(out, r"^all.mfx: 9 actions, 9 artifacts, 8 chunks \(\S+ kB\)\n$")
        self.elsewhere()
        out = self.massflow("cache", "import", "all.mfx")
        self.assertRegex(out, r"^all.mfx: 9 actions \(9 new\), 9 artifacts, 8 chunks \(\S+ kB new\)"
                              r"\n$")
        self.assertIn("finished: 0 run, 8 cached in", self.massflow("run", "--set", "n=2100"))
        self.assertEqual(self.runs(), [])
        self.assertIn("all is sound\n", self.massflow("cache", "verify"))

        def ids(listing):
            return sorted(line.split()[0] for line in listing.splitlines())
        self.assertEqual(ids(self.massflow("cache", "ls")), ids(before))
        out = self.massflow("cache", "import", "all.mfx")
        self.assertRegex(out, r"9 actions \(0 new\), 9 artifacts, 8 chunks \(0 B new\)\n$")

    def test_a_part(self):
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "upper[case=b]",
                            "--plugins", "plugins")
        self.assertIn("part.mfx: 2 actions, 2 artifacts, 0 chunks (0 B)\n", out)
        self.elsewhere()
        self.massflow("cache", "import", "part.mfx")
        self.massflow("run")
        self.assertEqual(self.counts(), {"load": 2, "upper": 2, "join": 1, "collect": 1})

    def test_what_is_not_cached_is_said(self):
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "rows", "--plugins",
                            "plugins", "--cache", "none", code=2)
        self.assertEqual(out, "massflow: error: there is no cache to export from; make it with: "
                              "massflow run graph.yaml\n")
        self.sql("DELETE FROM action WHERE stage = 'count.join'")
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "--plugins", "plugins")
        self.assertIn("1 of 8 nodes are not in the cache: left out\n", out)

    def test_dropped_data_stays_dropped(self):
        self.massflow("cache", "gc", "--size", "0")
        self.massflow("cache", "export", "all.mfx")
        self.elsewhere()
        self.massflow("cache", "import", "all.mfx")
        self.assertEqual(self.sql("SELECT count(*) FROM artifact WHERE present = 0"), [(2,)])
        self.massflow("run", "upper")
        self.assertEqual(self.runs(), [])

    def test_a_damaged_export_is_refused_whole(self):
        self.massflow("cache", "export", "all.mfx")
        with open(self.path("all.mfx"), "rb") as f:
            sound = f.read()
        self.elsewhere()
        random_ = random.Random(3)
        for i in range(25):
            at = random_.randrange(len(sound))
            damaged = sound[:at] if i % 5 == 0 else \
                sound[:at] + bytes([sound[at] ^ random_.randrange(1, 256)]) + sound[at + 1:]
            with open(self.path("all.mfx"), "wb") as f:
                f.write(damaged)
            out = self.massflow("cache", "import", "all.mfx", code=1)
            self.assertIn("massflow: error: while importing: 'all.mfx' is ", out)
        self.assertEqual(self.sql("SELECT (SELECT count(*) FROM action), (SELECT count(*) FROM "
                                  "artifact)"), [(0, 0)])
        with open(self.path("all.mfx"), "wb") as f:
            f.write(sound + b"x")
        self.assertEqual(self.massflow("cache", "import", "all.mfx", code=1),
                         "massflow: error: while importing: 'all.mfx' is damaged: bytes follow its "
                         "end\n")

    def test_no_file(self):
        self.assertEqual(self.massflow("cache", "import", "none.mfx", code=1),
                         "massflow: error: while importing: cannot read 'none.mfx': No such file "
                         "or directory\n")
        self.assertEqual(self.massflow("cache", "export", code=2),
                         "massflow: error: which file? massflow cache export FILE\n")
        self.assertFalse(os.path.exists(self.path("none.mfx")))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
