#!/usr/bin/env python3
"""Experiments in one file - axes, failures that are passed over, included files - through the
command: test_experiments.py MASSFLOW COUNTING.so
"""
import unittest

from test_run import Pipeline

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
    def setUp(self):
        super().setUp()
        self.write("graph.yaml", SWEEP)

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


if __name__ == "__main__":
    unittest.main(argv=["test_experiments.py"])
