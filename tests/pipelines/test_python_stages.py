#!/usr/bin/env python3
"""Stages written in Python: test_python_stages.py MASSFLOW LIBRARY PACKAGE

They need numpy; without it they are skipped, but for what a file is refused for."""
import importlib.util
import os
import signal
import sys
import unittest

from harness import Massflow, main, sanitized

LIBRARY, PACKAGE = map(os.path.abspath, sys.argv[2:4])
os.environ.update(MASSFLOW_LIBRARY=LIBRARY, PYTHONPATH=PACKAGE, MASSFLOW_PYTHON=sys.executable)
sys.path.insert(0, PACKAGE)
NUMPY = unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")

LAB = '''import os
import time
from typing import Annotated, List, Literal, NamedTuple, Optional, Tuple

import massflow
from helper import LIMIT


@massflow.stage("lab.above", version=1, uses=["helper.py"])
def above(volume: massflow.Volume,
          threshold: Annotated[float, massflow.Range(-2000, 4000, unit="HU", help="Voxels at or above it.")] = 0.0,
          side: Literal["high", "low"] = "high") -> massflow.Labels:
    """Labels the voxels at or above a value.

    Or those below."""
    print("process", os.getpid())
    massflow.progress(1, 2, "half")
    found = volume.array() >= threshold + LIMIT
    return found if side == "high" else ~found


class Sums(NamedTuple):
    table: massflow.Table
    text: massflow.Text


@massflow.stage("lab.sums")
def sums(labels: List[massflow.Labels], factors: List[int] = [1, 2], where: Tuple[float, float, float] = (1, 2, 3),
         again: bool = True, name: str = "x") -> Sums:
    """Counts voxels."""
    return Sums({"voxels": [int(one.array().sum()) for one in labels], "name": ["a"] * len(labels)},
                f"{factors} {where} {again} {name}")


@massflow.stage("lab.masks")
def masks(volume: massflow.Volume, body: Optional[massflow.Labels] = None) -> massflow.Masks:
    """Two masks and an empty one."""
    voxels = volume.array()
    return massflow.masks([voxels > 0, voxels > 50, voxels > 1e6], like=volume, scores=[1, 0.5, 0])


@massflow.stage("lab.read")
def read(masks: massflow.Masks) -> massflow.Text:
    """Reads masks."""
    return f"{len(masks)} {masks[1].voxels == masks[1].crop().sum() == masks[1].array().sum()} {masks[1].score}"


@massflow.stage("lab.layouts")
def layouts(volume: massflow.Volume, how: Literal["plain", "fortran", "swapped", "strided", "wide"]) -> massflow.Volume:
    """The same values, however they lie in memory."""
    import numpy
    voxels = volume.array()
    if how == "fortran":
        return numpy.asfortranarray(voxels)
    if how == "swapped":
        return voxels.astype(">i2")
    if how == "strided":
        return numpy.repeat(voxels, 2, axis=2)[:, :, ::2]
    return massflow.volume(voxels.astype("int64").astype("int16") if how == "wide" else voxels, like=volume)


@massflow.stage("lab.fails")
def fails(volume: massflow.Volume, how: str = "raise") -> massflow.Labels:
    """Goes wrong."""
    if how == "raise":
        raise ValueError("no vessels here")
    if how == "exit":
        os._exit(7)
    if how == "shape":
        return volume.array()[1:]
    open("it runs", "w").close()
    time.sleep(1000)
'''

GRAPH = """massflow: 1
params: {t: 0}
cases: {count: 3}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  above: {use: lab.above, each: case, in: {volume: patient.volume}, with: {threshold: "${t}"}}
  sums: {use: lab.sums, in: {labels: "above[*]"}}
  masks: {use: lab.masks, each: case, in: {volume: patient.volume}}
  read: {use: lab.read, each: case, in: {masks: masks}}
"""

FAILS = """massflow: 1
params: {how: raise}
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  bad: {use: lab.fails, in: {volume: patient.volume}, with: {how: "${how}"}%s}
"""


class Stages(Massflow):
    REPLACED = ()

    def setUp(self):
        super().setUp()
        self.write("lab.py", LAB)
        self.write("helper.py", "LIMIT = 0\n")

    def run_graph(self, *words, code=0):
        return self.massflow("run", "g.yaml", "--plugins", "lab.py", *words, code=code)

    @NUMPY
    def test_nodes_share_a_process(self):
        self.write("g.yaml", GRAPH)
        said = self.run_graph("-j", "1")
        self.assertEqual(len({line.split()[-1] for line in said.splitlines() if ": process " in line}), 1)
        self.assertEqual(said.count(": process "), 3)
        self.assertIn("finished: 13 run, 0 cached", said)
        self.assertIn("0 run, 13 cached", self.run_graph())
        self.assertIn("[1, 2] (1.0, 2.0, 3.0) True x", self.massflow("show", "g.yaml", "sums.text", "--plugins", "lab.py"))
        self.assertIn("2 True 0.5", self.massflow("show", "g.yaml", "read[case=000]", "--plugins", "lab.py"))
        self.check_results()
        self.check_changes()

    def check_results(self):
        import massflow
        g = massflow.Graph(self.path("g.yaml"), plugins=self.path("lab.py"))
        volume, labels = g["patient[case=001].volume"], g["above[case=001]"]
        self.assertTrue((labels.array() == (volume.array() >= 0)).all())
        self.assertEqual(labels.grid, volume.grid)
        self.assertEqual({name: value for name, value in labels.attributes.items() if name.startswith("scan.")},
                         {name: value for name, value in volume.attributes.items() if name.startswith("scan.")})
        self.assertEqual(list(g["sums.table"]["voxels"]),
                         [float(g[f"above[case={case}]"].array().sum()) for case in g.cases])
        lower = massflow.Graph(self.path("g.yaml"), plugins=self.path("lab.py"), t=40)
        self.assertEqual(lower.run("above", progress=False).done, 3)

    def check_changes(self):
        """Code is known by the file and by what it declares, not by its date."""
        os.utime(self.path("lab.py"), (1, 1))
        self.assertIn("0 run, 13 cached", self.run_graph())
        self.write("helper.py", "LIMIT = 10\n")
        self.assertRegex(self.massflow("why", "g.yaml", "above[case=000]", "--plugins", "lab.py"), "to run\n  code: ")
        self.assertRegex(self.run_graph(), r"finished: \d+ run, (9|10) cached")
        self.write("lab.py", LAB + "\n")
        self.assertIn("patient                   3 cached\nabove                     3 to run      code: ",
                      self.massflow("plan", "g.yaml", "--plugins", "lab.py"))

    def test_a_description(self):
        said = self.massflow("describe", "lab.above", "--plugins", "lab.py")
        self.assertTrue(said.startswith("""lab.above - Labels the voxels at or above a value.

Or those below.

in
  volume  volume  An input.

out
  labels  labels  The result.

with
  threshold  Voxels at or above it.
             number, -2000 to 4000 HU; default 0.0
  side       A parameter.
             choice: high, low; default high

plugin lab.py ("""), said)

    @NUMPY
    def test_failures(self):
        self.write("g.yaml", FAILS % "")
        line = next(i for i, text in enumerate(LAB.splitlines(), 1) if "raise ValueError" in text)
        said = self.run_graph(code=1)
        self.assertIn(f"""
failed: bad
  ValueError: no vessels here
  File "{self.path('lab.py')}", line {line}, in fails
    raise ValueError("no vessels here")
""", said)
        self.assertIn("its Python process ended with exit status 7", self.run_graph("--set", "how=exit", code=1))
        self.assertIn("the labels is [19, 18, 16], and the grid that it is to lie on [20, 18, 16] (z, y, x)",
                      self.run_graph("--set", "how=shape", code=1))
        self.write("g.yaml", FAILS % ", timeout: 0.3")
        self.assertIn("it ran longer than its timeout of 0.3 s", self.run_graph("--set", "how=slow", code=1))
        self.write("g.yaml", FAILS % ", isolate: true")
        self.assertEqual(self.run_graph(code=2), """massflow: error: 'bad' is isolated, and lab.fails is a stage in Python
  stages in Python run in processes of their own: write isolate: false there, and no memory
""")

    @NUMPY
    def test_layouts_of_arrays(self):
        """The bytes of a result do not depend on how numpy has its array in memory."""
        self.write("g.yaml", """massflow: 1
axes: {how: [plain, fortran, swapped, strided, wide]}
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  other: {use: lab.layouts, each: how, in: {volume: patient.volume}, with: {how: "${how}"}}
""")
        self.run_graph()
        ids = {value for name, value in self.results().items() if "lab.layouts" in name}
        self.assertEqual(len(ids), 1)

    def worker_of(self, process):
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    @NUMPY
    def test_the_end_of_massflow_is_that_of_its_workers(self):
        self.write("g.yaml", FAILS % "")
        for number in (signal.SIGINT, signal.SIGKILL):
            process = self.start("run", "g.yaml", "--plugins", "lab.py", "--set", "how=slow")
            self.wait_for("the stage", lambda: os.path.exists(self.path("it runs")), process)
            worker = os.pidfd_open(self.worker_of(process))
            process.send_signal(number)
            process.wait(60)
            self.wait_for_death(worker)
            os.remove(self.path("it runs"))

    def test_what_a_file_is_refused_for(self):
        head = "from typing import Optional\nimport massflow\n"
        for text, expected in (
                ("x = 1\n", "declares no stage: put @massflow.stage(\"lab.name\", version=1) before a function"),
                ("x = 1 +\n", "SyntaxError: invalid syntax"),
                ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
                ("@massflow.stage('a.b')\ndef f(a): pass\n", "stage a.b: 'a' has no annotation"),
                ("@massflow.stage('a.b')\ndef f(a: dict) -> massflow.Text: pass\n",
                 "a parameter is bool, int, float, str, Literal[...]"),
                ("@massflow.stage('a.b')\ndef f(a: int): pass\n", "stage a.b: say what it returns: one of massflow.Volume"),
                ("@massflow.stage('a.b')\ndef f(a: Optional[massflow.Volume]) -> massflow.Text: pass\n",
                 "the input 'a' is optional where its annotation is Optional[...] and its default None, and only there"),
                ("@massflow.stage('a.b', uses=['no.py'])\ndef f(a: int) -> massflow.Text: pass\n",
                 "which can't be read: No such file or directory"),
                ("@massflow.stage('a.b', packages=['no-such'])\ndef f(a: int) -> massflow.Text: pass\n",
                 "stage a.b: needs the package no-such"),
                ("@massflow.stage('a')\ndef f(a: int) -> massflow.Text: pass\n", "stage 'a'"),
                ("@massflow.stage('volume.load')\ndef f(a: int) -> massflow.Text: pass\n",
                 "stage 'volume.load' is in both")):
            self.write("bad.py", head + text)
            self.assertIn(expected, self.massflow("stages", "--plugins", "bad.py", code=2))
        self.assertEqual(self.massflow("stages", "--plugins", "no.py", code=2),
                         "massflow: error: there is no Python file no.py\n"
                         "  --plugins takes a folder of plugins, or a file NAME.py\n")
        self.assertEqual(self.massflow("stages", "--plugins", "lab.py", code=2, MASSFLOW_PYTHON="/no/python"),
                         "massflow: error: /no/python can't be started: No such file or directory\n"
                         f"  MASSFLOW_PYTHON names the Python for the stages of {self.path('lab.py')}\n")


if sanitized():
    Stages.check_results = lambda self: None  # Python itself is not instrumented


if __name__ == "__main__":
    main(3)
