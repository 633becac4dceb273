#!/usr/bin/env python3
"""Experiments in one file - axes, failures that are passed over, included files - through the
command: test_experiments.py MASSFLOW COUNTING.so
"""
import os

from harness import Pipeline, main

SWEEP = """massflow: 1
params: {suffixes: [-x, -y]}
cases: {glob: "scans/{id}.txt"}
axes: {suffix: "${suffixes}", round: [1, 2]}
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: [case, round], in: {text: text}}
  more: {use: count.add, each: [case, suffix], in: {text: text}, with: {suffix: "${suffix}"}}
  all: {use: count.join, each: suffix, in: {texts: "more[*]"}}
  whole: {use: count.join, in: {texts: "more[case!=b]"}}
  rounds: {use: count.join, each: case, in: {texts: "upper[*]"}}
"""


class Axes(Pipeline):
    GRAPH = SWEEP

    def test_what_is_the_same_runs_once(self):
        out = self.massflow("run")
        # `upper` takes nothing from the axis `round`: one action serves both of its values.
        self.assertEqual(self.counts(), {"load": 3, "upper": 3, "add": 6, "join": 6})
        self.assertIn("finished: 18 run, 3 cached in", out)
        self.assertIn("finished: 0 run, 21 cached in", self.massflow("run"))

    def test_stages_are_told_what_they_gather_over(self):
        self.massflow("run")
        self.assertIn("\na     text a-x\nb     text b-x\nc     text c-x\n",
                      self.massflow("show", "all[suffix=-x]"))
        self.assertRegex(self.massflow("show", "whole"),
                         r"\na suffix=-x +text a-x\na suffix=-y +text a-y\n"
                         r"c suffix=-x +text c-x\nc suffix=-y +text c-y\n")
        self.assertRegex(self.massflow("show", "rounds[case=b]"),
                         r"\nb round=1 +TEXT B\nb round=2 +TEXT B\n")

    def test_targets(self):
        self.massflow("run", "more[suffix=-y,case=b]")
        self.assertEqual(self.runs(), ["add text b", "load text b"])
        self.massflow("run", "more[suffix=-y]")
        self.assertEqual(self.counts(), {"load": 2, "add": 2})
        self.massflow("run", "--case", "a", "more")
        self.assertEqual(self.runs(), ["add text a"])
        self.assertIn("--case cannot be used with 'all', which is not per case",
                      self.massflow("run", "--case", "a", "all", code=2))

    def test_a_value_more(self):
        self.massflow("run")
        self.runs()
        self.massflow("run", "--set", "suffixes=[-x, -y, -z]")
        self.assertEqual(self.counts(), {"add": 3, "join": 2})


SKIP = """massflow: 1
params: {skip: "true"}
cases: {glob: "scans/{id}.txt"}
axes: {suffix: [-x, -y]}
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: case, in: {text: text}}
  more: {use: count.add, each: [case, suffix], in: {text: text}, with: {suffix: "${suffix}", refuse: bad}}
  each: {use: count.join, each: suffix, skip_failed: "${skip}", in: {texts: ["more[*]", "upper[*]"]}}
  below: {use: count.join, in: {texts: "each_text[*]"}}
  each_text: {use: count.add, each: case, in: {text: more_text}}
  more_text: {use: count.add, each: case, in: {text: upper}, with: {refuse: A}}
"""


class SkipFailed(Pipeline):
    GRAPH = SKIP.split("  below")[0]

    def shown(self, node):
        lines = self.massflow("show", node).splitlines()
        return [" ".join(line.split()) for line in lines
                if line[:2] in ("a ", "b ", "c ")]

    def test_goes_on_with_what_came_through(self):
        self.write("scans/b.txt", "bad b\n")
        out = self.massflow("run", code=1)
        self.assertIn("each[suffix=-x]: continues without more[case=b,suffix=-x]\n", out)
        self.assertIn("finished: 12 run, 0 cached, 2 failed in", out)
        # What is gathered of the same case goes too: `upper` did not fail.
        self.assertEqual(self.shown("each[suffix=-y]"),
                         ["a text a-y", "c text c-y", "a TEXT A", "c TEXT C"])
        self.runs()
        # The failed ones are tried again; the survivors are the same, so nothing else runs.
        self.massflow("run", code=1)
        self.assertEqual(self.runs(), ["add bad b", "add bad b"])
        self.write("scans/b.txt", "text b\n")
        self.massflow("run")
        self.assertEqual(self.counts(), {"load": 1, "upper": 1, "add": 2, "join": 2})
        self.assertEqual(len(self.shown("each[suffix=-y]")), 6)

    def test_without_it(self):
        self.write("scans/b.txt", "bad b\n")
        out = self.massflow("run", "--set", "skip=false", code=1)
        self.assertIn("blocked  each[suffix=-x]: needs more[case=b,suffix=-x]; 'skip_failed: true' at "
                      "'each' would continue without it\n", out)
        self.assertIn("finished: 10 run, 0 cached, 2 failed, 2 blocked in", out)

    def test_nothing_came_through(self):
        for name in "abc":
            self.write(f"scans/{name}.txt", f"bad {name}\n")
        out = self.massflow("run", code=1)
        self.assertIn("blocked  each[suffix=-y]: needs more, of which none succeeded\n", out)

    def test_what_is_blocked_above(self):
        """Also a node that was blocked, not only one that failed."""
        self.write("graph.yaml", SKIP.replace("below: {", "below: {skip_failed: true, "))
        out = self.massflow("run", "below", code=1)
        # `A` is refused by more_text: each_text[case=a] is blocked, and left out.
        self.assertIn("blocked  each_text[case=a]: needs more_text[case=a]\n", out)
        self.assertIn("below: continues without each_text[case=a]\n", out)


BASE = """massflow: 1
params: {files: scans/*.txt, suffix: "!"}
cases: {glob: "${files}"}
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  more: {use: count.add, each: case, in: {text: text}, with: {suffix: "${suffix}"}}
  all: {use: count.join, in: {texts: "more[*]"}}
  aside: {use: count.upper, each: case, in: {text: text}}
export: {all: base.csv}
"""

ABOVE = """massflow: 1
params: {suffix: "?"}
cases: {list: [{id: x, path: ../scans/c.txt}, {id: y, path: ../scans/b.txt}]}
include: {base: {file: ../base.yaml, set: {suffix: "${suffix}"}}}
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  both: {use: count.join, in: {texts: ["text[*]", "base.more[*]"]}}
"""


class Include(Pipeline):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("sub"))
        self.write("base.yaml", BASE)
        self.write("sub/graph.yaml", ABOVE)

    def test_runs_what_is_needed_of_it(self):
        """The files' cases and folders are their own, and so is what is not asked for."""
        self.massflow("run", "--cache", "cache", graph="sub/graph.yaml")
        self.assertEqual(self.counts(), {"load": 3, "add": 3, "join": 1})
        self.assertEqual(sorted(os.listdir(self.path("sub"))), ["graph.yaml"])
        self.assertFalse(os.path.exists(self.path("base.csv")))
        self.assertRegex(
            self.massflow("show", "both", "--cache", "cache", graph="sub/graph.yaml"),
            r"\nx +text c +\ny +text b +\na +text a\?\nb +text b\?\nc +text c\?\n")
        # What was made for one file serves the other: names are no part of keys.
        out = self.massflow("run", "more", "--set", "suffix=?", "--cache", "cache", graph="base.yaml")
        self.assertIn("finished: 0 run, 6 cached in", out)
        self.massflow("run", "base.aside[case=a]", "--cache", "cache", graph="sub/graph.yaml")
        self.assertEqual(self.runs(), ["upper text a"])

    def test_failures_name_the_node(self):
        self.write("scans/b.txt", "BAD b\n")
        out = self.massflow("run", "--cache", "cache", graph="sub/graph.yaml", code=1)
        self.assertIn("  retry: massflow run sub/graph.yaml 'base.more[case=b]' ", out)


if __name__ == "__main__":
    main(2)
