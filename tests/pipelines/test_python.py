#!/usr/bin/env python3
"""The Python package: test_python.py MASSFLOW LIBRARY PACKAGE

Its parts that need numpy, pandas, nibabel, SimpleITK or torch are skipped where these are not installed. What
concerns a whole process (Ctrl-C, forks, the end of Python) runs in one of its own."""
import copy
import gc
import importlib.util
import inspect
import math
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import unittest

from harness import Massflow, main, nifti_header, sanitized

LIBRARY, PACKAGE = map(os.path.abspath, sys.argv[2:4])
os.environ["MASSFLOW_LIBRARY"] = LIBRARY
os.environ["PYTHONPATH"] = PACKAGE
sys.path.insert(0, PACKAGE)

if not sanitized():  # Python itself is not instrumented; test_embed is, and calls the same
    import massflow

GRAPH = """massflow: 1
params: {sizes: [20, 40], seed: 0}
cases: {count: 2}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [16, 18, 20], spacing: [8, 9, 10], seed: "${seed}"}}
  found: {use: slic.masks, each: case, in: {volume: patient.volume}, with: {sizes: "${sizes}", min_voxels: 1}}
  model: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1]}}
  picture: {use: image.overlay, each: case, in: {volume: patient.volume, masks: found}}
  scores: {use: metrics.overlap, in: {pred: "patient.labels[*]", truth: "patient.labels[*]"}}
  words: {use: exec.run, with: {command: "cp /proc/self/comm {out.text}"}}
export:
  "patient.facts": "out/${case.id}.csv"
"""

# A stage that says that it runs, and does not end; before it one that has devices opened and kernels compiled.
SLEEP = """massflow: 1
stages:
  patient: {use: phantom.volume, with: {size: [16, 16, 16], spacing: [8, 8, 8]}}
  found: {use: slic.masks, in: {volume: patient.volume}, with: {sizes: [20], min_voxels: 1}}
  slow: {use: exec.run, in: {masks: found}, with: {shell: true, command: "cat {masks} > {out.text}; touch '%s'; sleep 1000"}}
"""


def has(module):
    return unittest.skipUnless(importlib.util.find_spec(module), f"{module} is not installed")


@unittest.skipIf(sanitized(), "Python is not instrumented for the address sanitizer; test_embed is")
class Python(Massflow):
    ONE_FOLDER = True

    def prepare(self):
        self.write("g.yaml", GRAPH)
        cls = type(self)
        cls.g = massflow.Graph(self.path("g.yaml"), sizes=[20, 40])
        cls.planned = cls.g.plan()
        cls.ran = cls.g.run(progress=False)

    def python(self, text, code=0):
        """What a program says that begins with the graph `g`."""
        return self.ended([sys.executable, "-c", "import massflow\ng = massflow.Graph('g.yaml')\n" + text], code,
                          env=dict(os.environ))

    # Graphs, plans, runs.

    def test_what_a_graph_has(self):
        self.assertEqual(self.g.cases, ["000", "001"])
        self.assertEqual([stage.name for stage in self.g.stages],
                         ["patient", "model", "words", "found", "scores", "picture"])
        self.assertEqual(self.g.nodes[1], "patient[case=001]")
        self.assertEqual(self.g.outputs("patient[case=000]"), {"volume": "volume", "labels": "labels", "facts": "table"})
        self.assertIn("patient  phantom.volume  x 2 cases", str(self.g))

    def test_errors_have_places(self):
        self.write("wrong.yaml", "massflow: 1\nstages:\n  a: {use: phantom.volume, with: {organs: 99}}\n")
        with self.assertRaises(massflow.Invalid) as caught:
            massflow.Graph(self.path("wrong.yaml"))
        self.assertIn("wrong.yaml:3:43: error: phantom.volume: 'organs' is 99; it must be 1 to 14",
                      str(caught.exception))
        with self.assertRaises(massflow.NotFound) as caught:
            self.g["patiet"]
        self.assertIn("did you mean 'patient'?", str(caught.exception))
        self.assertEqual(caught.exception.kind, "not found")
        with self.assertRaisesRegex(massflow.Invalid, "names 2 nodes; take one of them: 'patient\\[case=000\\]'"):
            self.g["patient"]
        with self.assertRaisesRegex(massflow.Invalid, r"a parameter is a text, a number, .* not \{\}"):
            massflow.Graph(self.path("g.yaml"), seed={})
        with self.assertRaisesRegex(massflow.Invalid, "a result is named by a text, .* not 0"):
            self.g[0]
        with self.assertRaisesRegex(massflow.Invalid, "targets are texts"):
            self.g.plan(3)

    def test_settings(self):
        class Number(float):
            """As numpy's: its repr is no number."""

            def __repr__(self):
                return f"np.float64({float(self)})"

            def tolist(self):
                return float(self)

        for value, expected in ((True, "true"), (1, "1"), (0.1, "0.1"), ("a b", "a b"), ([1, 2.5], "[1, 2.5]"),
                                (Number(0.5), "0.5"), ([Number(0.5)], "[0.5]"), (memoryview(b"ab"), "[97, 98]"),
                                (["it's", 2], "['it''s', 2]"), ((), "[]")):
            self.assertEqual(massflow.graph.setting(value), expected)
        self.assertEqual(massflow.draft._flow([Number(0.5)]), "[0.5]")
        with self.assertRaisesRegex(massflow.Invalid, "a parameter is a text"):
            massflow.graph.setting(b"ab")

    @has("numpy")
    def test_settings_of_numpy(self):
        import numpy
        for value, expected in ((numpy.float64(0.5), "0.5"), (numpy.float32(0.5), "0.5"), (numpy.True_, "true"),
                                (numpy.int64(3), "3"), (numpy.array(3), "3"), (numpy.array([1.0, 2]), "[1.0, 2.0]")):
            self.assertEqual(massflow.graph.setting(value), expected)
            self.assertEqual(massflow.draft._flow(value), expected)

    def test_a_plan(self):
        self.assertEqual(self.planned.counts, {"to run": 4, "undecided": 5})
        self.assertEqual(self.planned.by_stage()[0], ("patient", "to run", 2, "never run"))
        self.assertEqual(self.g.plan().counts, {"cached": 9})
        other = massflow.Graph(self.path("g.yaml"), sizes=[20, 30])
        self.assertEqual(repr(other.plan("picture")), """patient       2 cached
found         2 to run     parameter sizes: [20,40] -> [20,30]
picture       2 undecided  depends on found[case=000]""")
        self.assertEqual(other.why("found[case=001]"),
                         "found[case=001]: to run\n  parameter sizes: [20,40] -> [20,30]")
        self.assertEqual(other.plan(cases=["001"]).nodes[0], ("patient[case=001]", "patient", "cached"))
        plan = other.plan()
        other.close()
        self.assertIn("to run", plan.why("found[case=000]"))  # it keeps what it needs
        with self.assertRaisesRegex(massflow.Invalid, "the graph .*g.yaml is closed"):
            other.plan()

    def test_a_run(self):
        self.assertEqual((self.ran.done, self.ran.cached, self.ran.failed, self.ran.left), (9, 0, 0, 0))
        self.assertEqual(sorted(os.path.basename(path) for path in self.ran.exports), ["000.csv", "001.csv"])
        again = self.g.run(progress=False)
        self.assertEqual((again.done, again.cached), (0, 9))
        self.assertRegex(str(again), r"^finished: 0 run, 9 cached in \d+\.\d s$")

    def test_a_cache_that_is_deleted(self):
        """Under an open graph: what is planned and read afterwards is of what is there."""
        g = massflow.Graph(self.path("g.yaml"), cache=self.path("gone"))
        g.run("words", progress=False)
        before = g.plan("words")
        self.assertEqual(before.counts, {"cached": 1})
        shutil.rmtree(self.path("gone"))
        self.assertEqual(g.plan("words").counts, {"to run": 1})
        with self.assertRaisesRegex(massflow.NotFound, "words is not in the cache"):
            str(g["words.text"])
        self.assertIn("words: cached", before.why("words"))  # it keeps what it was made of
        g.run("words", progress=False)
        self.assertEqual(g.plan("words").counts, {"cached": 1})
        self.assertTrue(str(g["words.text"]))

    def test_failures(self):
        self.write("fails.yaml", "massflow: 1\nstages:\n  a: {use: exec.run, with: {shell: true, command: \"echo no > {out.text}; exit 3\"}}\n"
                   "  b: {use: exec.run, in: {text: a.text}, with: {command: \"cp {text} {out.text}\"}}\n")
        g = massflow.Graph(self.path("fails.yaml"))
        with self.assertRaises(massflow.RunFailed) as caught:
            g.run(progress=False)
        self.assertEqual(list(caught.exception.result.failures), ["a"])
        self.assertIn("finished: 0 run, 0 cached, 1 failed, 1 blocked", str(caught.exception))
        self.assertIn("failed: a\n", str(caught.exception))
        self.assertEqual(g.run(progress=False, check=False).failed, 1)

    def test_report_and_drawing(self):
        self.assertEqual(self.g.report(self.path("r.html")), self.path("r.html"))
        self.assertIn("<html", self.read("r.html"))
        self.assertIn("<svg", self.g.svg())
        self.write("mine.html", "mine")
        with self.assertRaisesRegex(massflow.Error, "mine.html"):
            self.g.report(self.path("mine.html"))
        self.assertEqual(self.read("mine.html"), "mine")

    def test_files(self):
        self.assertEqual(self.g.save("patient[case=000].volume", self.path("v.nii.gz")), self.path("v.nii.gz"))
        self.assertGreater(os.path.getsize(self.path("v.nii.gz")), 1000)

    def test_html_is_escaped(self):
        self.assertIn("<b>", self.g._repr_html_())
        self.assertNotIn("<img", massflow._html._table(["<img>"], []))
        failed = massflow.Result()
        failed.failures["<b>"] = "<script>"
        self.assertNotIn("<script>", failed._repr_html_())
        self.assertIn("cached", self.g.plan()._repr_html_())

    # Graphs that are built.

    def draft(self):
        d = massflow.Draft()
        sizes = d.param("sizes", [20, 40], "mm")
        d.cases(count=2, set="pre")
        patient = d.phantom.volume("patient", each="case", size=[16, 16, 16], spacing=[8, 8, 8.5])
        found = d.slic.masks("found", each="case", volume=patient.volume, sizes=sizes, modality="ct")
        d.metrics.overlap("scores", pred=patient.labels.all(), truth=patient.labels.where(set="pre"))
        d.exec.run("words", command="cp /proc/self/comm {out.text}", timeout=60)
        d.export(found, "out/${case.id}.json")
        return d, patient

    def test_a_draft_reads_well(self):
        self.assertEqual(str(self.draft()[0]), """massflow: 1

params:
  sizes: [20, 40] # mm

cases: {count: 2, set: pre}

stages:
  patient:
    use: phantom.volume
    each: case
    with: {size: [16, 16, 16], spacing: [8, 8, 8.5]}

  found:
    use: slic.masks
    each: case
    in: {volume: patient.volume}
    with: {sizes: "${sizes}", modality: ct}

  scores:
    use: metrics.overlap
    in: {pred: "patient.labels[*]", truth: "patient.labels[set=pre]"}

  words:
    use: exec.run
    timeout: 60
    with: {command: "cp /proc/self/comm {out.text}"}

export:
  found: "out/${case.id}.json"
""")

    def test_a_draft_is_a_graph(self):
        d, _ = self.draft()
        g = d.open(self.path("draft.yaml"), sizes=[30])
        self.assertEqual(g.plan().counts, {"to run": 2, "cached": 1, "undecided": 3})
        self.assertEqual(d.save(self.path("draft.yaml")), self.path("draft.yaml"))  # the same again
        self.write("other.yaml", "mine")
        with self.assertRaisesRegex(massflow.Invalid, "other.yaml exists and is another graph"):
            d.save(self.path("other.yaml"))
        for value, expected in (("yes", '"yes"'), ("1", '"1"'), ("a: b", '"a: b"'), ("", '""'), (0.5, "0.5"), (True, "true"),
                                ("a\"b", '"a\\"b"'), ({"a": [1, "x y"]}, '{a: [1, "x y"]}')):
            self.assertEqual(massflow.draft._flow(value), expected)

    def test_what_a_draft_refuses(self):
        d, patient = self.draft()
        for call, expected in (
                (lambda: d.slic.mask, "no stage 'slic.mask'; did you mean 'masks'?"),
                (lambda: d.slik, "no stage begins with 'slik.'; did you mean 'slic'?"),
                (lambda: d.slic.masks("x", volum=1), "slic.masks has no input or parameter 'volum'; did you mean 'volume'?"),
                (lambda: d.slic.masks("x"), "slic.masks: nothing is connected to 'volume' (volume: The scan.)"),
                (lambda: d.slic.masks("x", volume=patient),
                 "'patient' has several outputs; take one of them: .volume, .labels, .facts"),
                (lambda: d.slic.masks("x", volume=patient.labels),
                 "slic.masks: 'volume' takes volume, and 'patient.labels' is labels"),
                (lambda: d.model.load("x"), "model.load: the parameter 'path' is required: "),
                (lambda: patient.label, "'patient' has no output 'label'; did you mean 'labels'?"),
                (lambda: d.phantom.volume("found"), "there is a stage 'found' already"),
                (lambda: d.phantom.volume("a b"), "'a b' is no name of a stage"),
                (lambda: d.add("x", "slic.mask"), "no stage 'slic.mask'; did you mean 'slic.masks'?")):
            with self.assertRaises((massflow.Error, AttributeError)) as caught:
                call()
            self.assertIn(expected, str(caught.exception))
        self.assertIn("0.1 to 1000 mm", d.slic.masks.__doc__)
        self.assertIn("sizes: 'reals' = '[12, 18, 28, 48]'", str(inspect.signature(d.slic.masks)))

    # Results.

    def test_attributes(self):
        v = self.g["patient[case=000].volume"]
        self.assertEqual(v.type, "volume")
        self.assertEqual(v.attributes["lesion"], 0)
        self.assertEqual(v.grid["size"], (16, 18, 20))
        self.assertEqual(v.spacing, (8, 9, 10))
        self.assertEqual(v.arrays["voxels"], ("i16", (20, 18, 16), None))
        self.assertRegex(v.id, "^[0-9a-f]{64}$")
        self.assertEqual(repr(v), "<volume patient[case=000].volume: voxels i16 [20, 18, 16]>")
        with self.assertRaisesRegex(massflow.NotFound, "has no array 'voxel'; it has: voxels"):
            v.buffer("voxel")
        self.assertIn("model", self.g)
        self.assertNotIn("nothing", self.g)

    def test_a_buffer_needs_no_numpy(self):
        v = self.g["patient[case=000].volume"]
        view = v.buffer()
        del v
        gc.collect()
        self.assertEqual((view.shape, view.format, view.readonly), ((20, 18, 16), "h", True))
        self.assertEqual(view[0, 0, 0], view.tolist()[0][0][0])

    @has("numpy")
    def test_an_array_is_not_copied_and_read_only(self):
        v = self.g["patient[case=000].volume"]
        a, again = v.array(), v.array()
        self.assertEqual(a.ctypes.data, again.ctypes.data)
        self.assertEqual((a.shape, str(a.dtype)), ((20, 18, 16), "int16"))
        with self.assertRaises(ValueError):
            a[0, 0, 0] = 1
        with self.assertRaises(ValueError):
            a.setflags(write=True)
        total = int(a.sum())
        del v, again
        gc.collect()
        self.assertEqual(int(a.sum()), total)  # it keeps what it needs
        self.assertEqual(str(self.g["patient[case=000].volume"].array(dtype="float64").dtype), "float64")

    @has("numpy")
    def test_boxes_and_affines(self):
        v = self.g["patient[case=000].volume"]
        self.assertTrue((v.box((1, 2, 3), (5, 6, 7)) == v.array()[1:5, 2:6, 3:7]).all())
        self.assertEqual(v.box((1, 2, 3), (1, 6, 7)).shape, (0, 4, 4))
        with self.assertRaisesRegex(massflow.Invalid, r"the box \[0, 0, 0\] to \[21, 1, 1\] is not inside"):
            v.box((0, 0, 0), (21, 1, 1))
        self.assertEqual(v.affine.tolist(), [[8, 0, 0, -60], [0, 9, 0, -76.5], [0, 0, 10, -95], [0, 0, 0, 1]])

    @has("numpy")
    def test_masks(self):
        masks = self.g["found[case=000]"]
        self.assertGreater(len(masks), 3)
        self.assertEqual(len(list(masks)), len(masks))
        self.assertEqual(masks[-1].index, len(masks) - 1)
        mask = masks[2]
        whole = mask.array()
        self.assertEqual((whole.shape, str(whole.dtype)), ((20, 18, 16), "bool"))
        self.assertEqual(int(whole.sum()), mask.voxels)
        box = tuple(slice(a, b) for a, b in zip(mask.lo, mask.hi))
        self.assertTrue((whole[box] == mask.crop()).all())
        with self.assertRaises(IndexError):
            masks[len(masks)]

    def test_tables_and_texts(self):
        facts = self.g["patient[case=001].facts"]
        self.assertEqual(facts.columns, ["lesion", "volume_ml", "x_mm", "y_mm", "z_mm"])
        self.assertEqual(len(facts), 1)
        scores = self.g["scores.table"]
        self.assertEqual(scores["case"][0], "000")
        self.assertEqual(next(iter(scores))["case"], "000")
        self.assertEqual(scores["dice"][0], 1.0)
        with self.assertRaisesRegex(massflow.NotFound, "has no column 'dic'; it has: case"):
            scores["dic"]
        self.assertEqual(str(self.g["words"]), "cp\n")

    @has("numpy")
    def test_weights(self):
        model = self.g["model"]
        weights = model.weights()
        self.assertEqual(sorted(weights), sorted(model.arrays))
        self.assertEqual(str(next(iter(weights.values())).dtype), "float32")

    @has("numpy")
    def test_html(self):
        for name, found in (("patient[case=000].volume", ">R<img"), ("patient[case=000].labels", "<img"),
                            ("picture[case=000]", "<img"), ("found[case=000]", "score"), ("scores.table", "dice"),
                            ("words", "<pre>cp"), ("model", "arrays")):
            self.assertIn(found, self.g[name]._repr_html_().replace("</div>", ""), name)

    @has("numpy")
    def test_pictures_show_the_patient_the_same_way(self):
        """However the axes of the array run."""
        self.write("odd.yaml", "massflow: 1\nstages:\n"
                   "  patient: {use: phantom.volume, with: {size: [17, 19, 21], spacing: [8, 9, 10]}}\n")
        g = massflow.Graph(self.path("odd.yaml"))
        g.run(progress=False)
        g.save("patient.volume", self.path("turned.nii.gz"))
        self.write("turned.yaml", """massflow: 1
axes: {to: [RAS, LPS, LAI, RPI]}
stages:
  turned: {use: volume.load, each: to, with: {path: turned.nii.gz, orientation: "${to}"}}
""")
        g = massflow.Graph(self.path("turned.yaml"))
        g.run(progress=False)
        shown = [re.findall(r">([RLAPSI])<img|base64,([^']+)'|>([RLAPSI])</div>", g[node]._repr_html_())
                 for node in g.stages[-1].nodes]
        self.assertEqual(len(shown), 4)
        self.assertEqual([one[0] or one[2] for one in shown[0] if not one[1]], ["R", "L", "R", "L", "A", "P"])
        self.assertTrue(all(one == shown[0] for one in shown))

    @has("pandas")
    def test_pandas(self):
        frame = self.g["scores.table"].to_pandas()
        self.assertEqual(list(frame.columns), self.g["scores.table"].columns)
        self.assertEqual(frame["case"][0], "000")

    @has("nibabel")
    def test_nibabel(self):
        import nibabel
        v = self.g["patient[case=000].volume"]
        image = v.to_nibabel()
        self.assertEqual(image.affine.tolist(), v.affine.tolist())
        self.g.save("patient[case=000].volume", self.path("n.nii.gz"))
        written = nibabel.load(self.path("n.nii.gz"))
        self.assertTrue((written.get_fdata() == image.get_fdata()).all())
        self.assertTrue((abs(written.affine - image.affine) < 1e-4).all())

    @has("SimpleITK")
    def test_sitk(self):
        import SimpleITK
        self.g.save("patient[case=000].volume", self.path("s.nii.gz"))
        written = SimpleITK.ReadImage(self.path("s.nii.gz"))
        image = self.g["patient[case=000].volume"].to_sitk()
        for a, b in ((image.GetOrigin(), written.GetOrigin()), (image.GetDirection(), written.GetDirection()),
                     (image.GetSpacing(), written.GetSpacing())):
            self.assertTrue(all(math.isclose(x, y, abs_tol=1e-4) for x, y in zip(a, b)), (a, b))
        self.assertTrue((SimpleITK.GetArrayFromImage(image) == SimpleITK.GetArrayFromImage(written)).all())

    def oblique(self):
        """A scan whose axes are turned and one of them reversed, kept as it lies in its file."""
        affine = [[-1.2, -2.4, 0, 11], [-1.6, 1.8, 0, -22], [0, 0, 4, 33], [0, 0, 0, 1]]
        header = bytearray(nifti_header((16, 16, 18), "h", (2, 3, 4)))
        struct.pack_into("<12f", header, 280, *affine[0], *affine[1], *affine[2])
        self.write("oblique.nii", bytes(header) + bytes(range(128)) * (2 * 16 * 16 * 18 // 128))
        self.write("oblique.yaml", "massflow: 1\nstages:\n"
                   "  scan: {use: volume.load, with: {path: oblique.nii, orientation: keep}}\n")
        g = massflow.Graph(self.path("oblique.yaml"))
        g.run(progress=False)
        return affine, g["scan"]

    def near(self, found, expected):
        self.assertEqual(len(found), len(expected))
        self.assertTrue(all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(found, expected)), found)

    @has("numpy")
    def test_an_oblique_scan(self):
        affine, scan = self.oblique()
        self.near(scan.affine.ravel().tolist(), sum(affine, []))
        self.near(scan.spacing, (2, 3, 4))
        self.near(scan.grid["direction"], (-0.6, -0.8, 0, -0.8, 0.6, 0, 0, 0, 1))

    @has("SimpleITK")
    def test_an_oblique_scan_in_itk(self):
        _, scan = self.oblique()
        image = scan.to_sitk()
        self.near(image.GetOrigin(), (-11, 22, 33))
        self.near(image.GetDirection(), (0.6, 0.8, 0, 0.8, -0.6, 0, 0, 0, 1))
        # RAS+ of a voxel by the affine is LPS of ITK with x and y negated.
        x, y, z = image.TransformIndexToPhysicalPoint((3, 5, 7))
        self.near((scan.affine @ (3, 5, 7, 1))[:3], (-x, -y, z))

    @has("torch")
    def test_torch(self):
        import torch
        tensor = self.g["patient[case=000].volume"].to_torch(torch.float32)
        self.assertEqual(tuple(tensor.shape), (20, 18, 16))
        tensor[0, 0, 0] = 7  # it is a copy
        self.assertNotEqual(int(self.g["patient[case=000].volume"].buffer()[0, 0, 0]), 7)
        state = self.g["model"].state_dict()
        self.assertTrue(all(isinstance(value, torch.Tensor) for value in state.values()))

    # Processes and threads.

    def test_pickling_is_refused(self):
        for one in (self.g, self.g.plan(), self.g["patient[case=000].volume"]):
            for take in (pickle.dumps, copy.copy, copy.deepcopy):
                with self.assertRaisesRegex(TypeError, "can't be pickled or copied: it is a handle of this process"):
                    take(one)

    @has("numpy")
    def test_the_examples(self):
        examples = os.path.join(os.path.dirname(os.path.dirname(PACKAGE)), "examples")
        said = self.ended([sys.executable, os.path.join(examples, "masks.py"), "--folder", self.path("masks")],
                          env=dict(os.environ)).stdout
        self.assertRegex(said, r"^case 000: \d+ masks, the largest has \d+ ml\n")
        if not importlib.util.find_spec("skimage"):
            self.skipTest("scikit-image is not installed: examples/vessels.py is left out")
        said = self.ended([sys.executable, os.path.join(examples, "vessels.py"), "--folder", self.path("vessels")],
                          env=dict(os.environ)).stdout
        self.assertRegex(said, r"^case 000: \d+ voxels in \d+ vessels\n")

    def test_two_graphs_at_once(self):
        """Two runs in two threads, on one cache."""
        graphs = [massflow.Graph(self.path("g.yaml"), seed=seed) for seed in (5, 6)]
        results = {}

        def work(k):
            results[k] = graphs[k].run("patient", progress=False)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([results[k].done for k in range(2)], [2, 2])
        ids = {g["patient[case=000].volume"].id for g in (*graphs, self.g)}
        self.assertEqual(len(ids), 3)

    def test_a_forked_child_opens_its_own(self):
        v = self.g["patient[case=000].volume"]
        context = multiprocessing.get_context("fork")
        answers = context.Queue()

        def child():
            try:
                v.buffer()
            except massflow.Invalid as error:
                answers.put(str(error))
            answers.put(massflow.Graph(self.path("g.yaml"), sizes=[20, 40])["patient[case=000].volume"].id)

        process = context.Process(target=child)
        process.start()
        self.assertRegex(answers.get(timeout=60), "the result .* belongs to process .* of which this one is a fork")
        self.assertEqual(answers.get(timeout=60), v.id)
        process.join(60)
        self.assertEqual(process.exitcode, 0)

    def test_python_ends_with_all_open(self):
        done = self.python("import atexit\na = g['patient[case=000].volume'].buffer()\np = g.plan()\n"
                           "atexit.register(lambda: print(a.shape, p.counts))\n")
        self.assertEqual(done.stdout, "(20, 18, 16) {'cached': 9}\n")
        self.assertEqual(done.stderr, "")

    def test_lines_where_nobody_looks(self):
        done = self.python("g.run()")
        self.assertRegex(done.stderr, r"^finished: 0 run, 9 cached in \d\.\d s\n$")

    def test_interrupted(self):
        """Ctrl-C, after a driver has set its handlers; what was done is kept, and the graph goes on being used."""
        self.write("sleep.yaml", SLEEP % self.path("it runs"))
        process = subprocess.Popen([sys.executable, "-c", """if True:
            import massflow
            g = massflow.Graph("sleep.yaml")
            try:
                g.run()
            except KeyboardInterrupt:
                print("interrupted", g.plan().counts)
            """], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.wait_for("the stage", lambda: os.path.exists(self.path("it runs")), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(out, "interrupted {'cached': 2, 'to run': 1}\n")
        self.assertRegex(err, r"^cancelling: running stages end .*\ncancelled: 2 run, 0 cached, 1 left in ")
        self.assertEqual(process.returncode, 0)

    def test_cancelled_by_another_thread(self):
        self.write("wait.yaml", "massflow: 1\nstages:\n  slow: {use: exec.run, with: {shell: true, command: \"touch '%s'; sleep 1000 > {out.text}\"}}\n"
                   % self.path("it waits"))
        g = massflow.Graph(self.path("wait.yaml"))

        def cancel():
            self.wait_for("the stage", lambda: os.path.exists(self.path("it waits")))
            g.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        result = g.run(progress=False)
        thread.join()
        self.assertTrue(result.cancelled)
        self.assertEqual(result.left, 1)


if __name__ == "__main__":
    main(3)
