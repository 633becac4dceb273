#!/usr/bin/env python3
"""Stages written in Python: test_python_stages.py MASSFLOW LIBRARY PACKAGE

They need numpy; without it they are skipped, but for what a file is refused for."""
import importlib.util
import json
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


@massflow.stage("lab.above", version=1)
def above(volume: massflow.Volume,
          threshold: Annotated[float, massflow.Range(-2000, 4000, unit="HU", help="Voxels at or above it.")] = 0.0,
          side: Literal["high", "low"] = "high") -> massflow.Labels:
    """Labels the voxels at or above a value.

    Or those below."""
    print("process", os.getpid())
    massflow.progress(1, 2, "half")
    found = volume.array() >= threshold + LIMIT
    return found if side == "high" else ~found


@massflow.stage("lab.named")
def named(labels: massflow.Labels, name: str = "") -> massflow.Labels:
    """Its names, and one more."""
    names = {**labels.names, 7: name} if name else labels.names
    return massflow.labels(labels.array(), like=labels, names=names, colors={**labels.colors, 7: (1, 2, 255)})


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


@massflow.stage("lab.told")
def told(labels: Annotated[List[massflow.Labels], massflow.Keyed], other: Optional[massflow.Labels] = None) -> massflow.Text:
    """Which cases it got."""
    if other is not None:
        return other.case
    return "; ".join(f"{one.case} {sorted(one.case_columns.items())}" for one in labels)


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


@massflow.stage("lab.report")
def report(labels: massflow.Labels, name: str = "r.txt", kind: str = "text/plain") -> massflow.File:
    """A file."""
    return massflow.file(name, f"{sorted(labels.names.items())}".encode() + b"\\0", kind)


@massflow.stage("lab.again")
def again(file: massflow.File, labels: massflow.Labels, keep: bool = True) -> massflow.Labels:
    """Labels, with their names where they are kept."""
    assert bytes(file).endswith(b"\\0") and file.file_name == "r.txt"
    return massflow.labels(labels.array(), like=labels, **({} if keep else {"names": {}}))


@massflow.stage("lab.fails")
def fails(volume: massflow.Volume, how: str = "raise") -> massflow.Labels:
    """Goes wrong."""
    if how == "raise":
        raise ValueError("no vessels here")
    if how == "exit":
        os._exit(7)
    if how == "real":
        return volume.array() * 0.5
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
    def test_names(self):
        """Names of labels in a stage, from a stage, and refused."""
        self.write("names.yaml", """massflow: 1
params: {name: aorta}
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  one: {use: labels.remap, in: {labels: patient.labels}, with: {map: {5: 5}, names: {1: liver, 2: "spleen #0000ff"}}}
  two: {use: lab.named, in: {labels: one}, with: {name: "${name}"}}
""")
        self.massflow("run", "names.yaml", "--plugins", "lab.py")
        self.assertIn("names            1 liver\n                   2 spleen #0000ff\n                   7 aorta #0102ff\n",
                      self.massflow("show", "names.yaml", "two", "--plugins", "lab.py"))
        self.massflow("run", "names.yaml", "--plugins", "lab.py", "--set", "name=")
        self.assertNotIn("aorta", self.massflow("show", "names.yaml", "two", "--plugins", "lab.py", "--set", "name="))
        self.assertIn("names: label 7 is called ' x', which is not one line of text",
                      self.massflow("run", "names.yaml", "--plugins", "lab.py", "--set", "name= x", code=1))

    @NUMPY
    def test_a_file_and_kept_names(self):
        self.write("f.yaml", """massflow: 1
params: {name: r.txt, kind: text/plain}
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  named: {use: lab.named, in: {labels: patient.labels}, with: {name: new}}
  report: {use: lab.report, in: {labels: named}, with: {name: "${name}", kind: "${kind}"}}
  kept: {use: lab.again, in: {file: report, labels: named}}
  bare: {use: lab.again, in: {file: report, labels: named}, with: {keep: false}}
""")
        self.massflow("run", "f.yaml", "--plugins", "lab.py")
        self.massflow("get", "f.yaml", "report", "-o", "got.txt", "--plugins", "lab.py")
        self.assertEqual(self.read_bytes("got.txt"), b"[(7, 'new')]\0")
        self.assertIn("7 new", self.massflow("show", "f.yaml", "kept", "--plugins", "lab.py"))
        self.assertNotIn("names", self.massflow("show", "f.yaml", "bare", "--plugins", "lab.py"))
        for change, words in (("name=../x", "'../x' is no name of a file"), ("kind=x", "'x' is no media type")):
            self.assertIn(words, self.massflow("run", "f.yaml", "report", "--plugins", "lab.py", "--set", change, code=1))

    @NUMPY
    def test_nodes_share_a_process(self):
        self.write("g.yaml", GRAPH)
        said = self.run_graph("-j", "1")
        self.assertEqual(len({line.split()[-1] for line in said.splitlines() if ": process " in line}), 1)
        self.assertEqual(said.count(": process "), 3)
        self.assertIn("finished: 13 run, 0 cached", said)
        self.assertIn("[1, 2] (1.0, 2.0, 3.0) True x", self.massflow("show", "g.yaml", "sums.text", "--plugins", "lab.py"))
        self.check_results()
        self.check_changes()

    @NUMPY
    def test_cases_are_told_where_they_are_asked_for(self):
        """And are part of the key then."""
        self.write("c.csv", "id,age\na,30\nb,41\n")
        graph = """massflow: 1
cases: {csv: c.csv}
axes: {t: [0, 50]}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  above: {use: lab.above, each: [case, t], in: {volume: patient.volume}, with: {threshold: "${t}"}}
  told: {use: lab.told, in: {labels: "above[*]"}}
"""
        self.write("g.yaml", graph)
        self.run_graph()
        self.assertIn("a [('age', '30'), ('t', '0')]; a [('age', '30'), ('t', '50')]; b [('age', '41'), ('t', '0')]; b",
                      self.massflow("show", "g.yaml", "told", "--plugins", "lab.py"))
        self.write("c.csv", "id,age\na,30\nb,42\n")
        self.assertIn("finished: 1 run, 6 cached", self.run_graph())
        self.assertIn("b [('age', '42')", self.massflow("show", "g.yaml", "told", "--plugins", "lab.py"))
        self.write("g.yaml", graph.replace('"above[*]"}', '"above[*]", other: "above[case=a,t=0]"}'))
        self.assertIn("the input 'other' is not told its cases: annotate it as Annotated[..., massflow.Keyed]",
                      self.run_graph(code=1))

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
        self.assertEqual(str(g["read[case=000]"]), "2 True 0.5")
        lower = massflow.Graph(self.path("g.yaml"), plugins=self.path("lab.py"), t=40)
        self.assertEqual(lower.run("above", progress=False).done, 3)

    def check_changes(self):
        """Code is known by the file and by what it declares, not by its date."""
        os.utime(self.path("lab.py"), (1, 1))
        self.assertIn("0 run, 13 cached", self.run_graph())
        self.write("helper.py", "LIMIT = 10\n")
        self.assertRegex(self.massflow("why", "g.yaml", "above[case=000]", "--plugins", "lab.py"), "to run\n  code: ")
        self.assertIn("finished: 10 run, 3 cached", self.run_graph())
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
        self.write("g.yaml", """massflow: 1
axes: {how: [raise, exit, real, shape]}
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  bad: {use: lab.fails, each: how, in: {volume: patient.volume}, with: {how: "${how}"}}
""")
        line = next(i for i, text in enumerate(LAB.splitlines(), 1) if "raise ValueError" in text)
        said = self.run_graph(code=1)
        self.assertIn(f"""
failed: bad[how=raise]
  ValueError: no vessels here
  File "{self.path('lab.py')}", line {line}, in fails
    raise ValueError("no vessels here")
""", said)
        self.assertIn("failed: bad[how=exit]\n  its Python process ended with exit status 7\n", said)
        self.assertIn("failed: bad[how=real]\n  labels are integers, and the array is float64", said)
        self.assertIn("failed: bad[how=shape]\n  the labels is [19, 18, 16], and the grid that it is to lie on "
                      "[20, 18, 16] (z, y, x)", said)
        self.write("g.yaml", FAILS % ", timeout: 0.3")
        self.assertIn("it ran longer than its timeout of 0.3 s", self.run_graph("--set", "how=slow", code=1))
        self.write("g.yaml", FAILS % ", isolate: true")
        self.assertEqual(self.run_graph(code=2), """massflow: error: 'bad' is isolated, and lab.fails is a stage in Python
  stages in Python run in processes of their own: write isolate: false there, and no memory
""")

    OWN = """import functools
import massflow
from around import around


@massflow.stage("lab.wrapped")
@around
def wrapped(count: int) -> massflow.Text:
    \"\"\"A decorator of another file lies around it.\"\"\"
    return f"{count} one"


@massflow.stage("lab.late", uses=["parts", "facts.txt"])
def late(count: int) -> massflow.Text:
    \"\"\"Imports when it runs.\"\"\"
    from parts import known
    if count > 1:
        import stray
    return f"{known.WORD} {open(__file__[:-6] + 'facts.txt').read()}"
"""
    OWN_GRAPH = """massflow: 1
params: {count: 1}
stages:
  wrapped: {use: lab.wrapped, with: {count: "${count}"}}
  late: {use: lab.late, with: {count: "${count}"}}
"""

    def write_own(self):
        self.write("own.py", self.OWN)
        self.write("around.py", "import functools\n\n\ndef around(f):\n    @functools.wraps(f)\n"
                   "    def inner(**values):\n        return f(**values)\n    return inner\n")
        os.mkdir(self.path("parts"))
        self.write("parts/known.py", "WORD = 'a'\n")
        self.write("facts.txt", "b")
        self.write("stray.py", "")
        self.write("own.yaml", self.OWN_GRAPH)

    @unittest.skipIf(sanitized(), "Python is not instrumented")
    def test_code_is_all_that_makes_a_result(self):
        """The file under a decorator, what it imports, folders that it declares; what is not declared is refused."""
        import massflow
        self.write_own()

        def opened(**params):
            g = massflow.Graph(self.path("own.yaml"), plugins=self.path("own.py"), **params)
            self.addCleanup(g.close)
            return g

        def states(g):
            return [node.state for node in g.plan()]

        g = opened()
        self.assertEqual(states(g), ["to run", "to run"])
        g.run(jobs=1, progress=False)
        self.assertEqual(states(g), ["cached", "cached"])
        for file, content, expected in (("own.py", self.OWN.replace("one", "two"), ["to run", "to run"]),
                                        ("around.py", self.read("around.py") + "\n", ["to run", "to run"]),
                                        ("parts/known.py", "WORD = 'c'\n", ["cached", "to run"]),
                                        ("facts.txt", "d", ["cached", "to run"])):
            before = self.read(file)
            self.write(file, content)
            changed = opened()
            self.assertEqual(states(changed), expected, file)
            self.write(file, before)
        self.write("facts.txt", "d")
        changed.run("late", progress=False)
        self.assertEqual((str(changed["wrapped"]), str(changed["late"])), ("1 one", "a d"))
        result = opened(count=2).run("late", progress=False, check=False)
        self.assertIn("stray.py is imported while a stage runs, and the stage does not declare it", result.failures["late"])

    @unittest.skipIf(sanitized(), "Python is not instrumented")
    def test_what_is_described_is_what_runs(self):
        """Though the worker was started before a file changed, and reads it later."""
        import massflow
        self.write_own()
        for file, content in (("parts/known.py", "WORD = 'c'\n"), ("facts.txt", "d")):
            with massflow.Graph(self.path("own.yaml"), plugins=self.path("own.py")) as g:
                self.write(file, content)
                result = g.run("late", progress=False, check=False)
                self.assertIn(f"{self.path(file)} has changed since its stages were read; run the graph again",
                              result.failures["late"])

    @NUMPY
    def test_a_stage_that_forks(self):
        """A child keeps away from the conversation of its parent."""
        self.write("forks.py", """import multiprocessing
import massflow


def work(volume, queue):
    print("in a child")
    massflow.log("too")
    massflow.progress(1, 2)
    try:
        volume.array()
    except massflow.Error as error:
        queue.put(str(error))


@massflow.stage("lab.forks")
def forks(volume: massflow.Volume) -> massflow.Text:
    \"\"\"Starts a process.\"\"\"
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=work, args=(volume, queue))
    child.start()
    child.join()
    print("it ended with", child.exitcode)
    print("said:", queue.get())
    return "done"
""")
        self.write("forks.yaml", """massflow: 1
stages:
  patient: {use: phantom.volume, with: {size: [16, 18, 20], spacing: [8, 9, 10]}}
  forks: {use: lab.forks, in: {volume: patient.volume}}
""")
        said = self.massflow("run", "forks.yaml", "--plugins", "forks.py")
        self.assertIn("it ended with 0", said)
        self.assertIn("said: an input can't be read in a forked process: call .array() before it is started", said)

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

    def refused(self, texts):
        """What files of these texts are refused for, all asked in one process."""
        said = self.ended([sys.executable, "-c", """if True:
            import json, sys
            from massflow import _worker, stages
            said = []
            for text in json.load(sys.stdin):
                open("bad.py", "w").write(text)
                stages.DECLARED.clear()
                worker = _worker.Worker("bad.py", None)
                try:
                    worker.described()
                    said.append("nothing")
                except BaseException as error:
                    said.append(worker.failure(error))
            print(json.dumps(said))
            """], input=json.dumps(texts), env=dict(os.environ)).stdout
        return json.loads(said)

    def test_what_a_file_is_refused_for(self):
        head = "from typing import Optional\nimport massflow\n"
        cases = (
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
                 "stage a.b: needs the package no-such"))
        for (_, expected), said in zip(cases, self.refused([head + text for text, _ in cases])):
            self.assertIn(expected, said)
        for text, expected in (
                cases[0],
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
