#!/usr/bin/env python3
"""The example notebooks, executed: test_notebooks.py MASSFLOW LIBRARY PACKAGE EXAMPLES

By nbclient where it and a kernel are installed (tools/packages notebooks). They are stored without outputs."""
import glob
import importlib.util
import json
import os
import sys
import unittest

from harness import MASSFLOW, Massflow, main, sanitized

LIBRARY, PACKAGE, EXAMPLES = map(os.path.abspath, sys.argv[2:5])
# In the test pretraining is a word, not a result.
SHORTER = {"few_shot": ("steps = 300", "steps = 2")}
JUPYTER = all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel"))


def notebooks():
    return sorted(glob.glob(os.path.join(EXAMPLES, "*.ipynb")))


class Stored(unittest.TestCase):
    def test_without_outputs(self):
        self.assertEqual(len(notebooks()), 3)
        for path in notebooks():
            with open(path, encoding="utf-8") as file:
                text = file.read()
            notebook = json.loads(text)
            for cell in notebook["cells"]:
                self.assertEqual((cell.get("outputs", []), cell.get("execution_count")), ([], None), path)
            self.assertEqual(text, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", path)


@unittest.skipIf(sanitized(), "Python itself is not instrumented")
@unittest.skipUnless(JUPYTER, "nbclient or ipykernel is not installed")
class Executed(Massflow):
    TIMEOUT = 300

    def execute(self, name):
        """All cells, in a folder of the test; the notebook with its outputs."""
        import nbclient
        import nbformat
        os.environ.update(MASSFLOW_LIBRARY=LIBRARY, PYTHONPATH=PACKAGE,
                          PATH=os.path.dirname(MASSFLOW) + os.pathsep + os.environ["PATH"])
        with open(os.path.join(EXAMPLES, name + ".ipynb"), encoding="utf-8") as file:
            text = file.read()
        if name in SHORTER:
            self.assertIn(SHORTER[name][0], text)
            text = text.replace(*SHORTER[name])
        notebook = nbformat.reads(text, as_version=4)
        nbclient.NotebookClient(notebook, timeout=self.TIMEOUT, kernel_name="python3",
                                resources={"metadata": {"path": self.folder}}).execute()
        return notebook

    def said(self, notebook):
        """What all cells printed, and their results as text."""
        outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
        return "".join(one.get("text", "") or one.get("data", {}).get("text/plain", "") + "\n" for one in outputs)

    def test_scan_to_masks(self):
        said = self.said(self.execute("scan_to_masks"))
        self.assertIn("(32, 32, 32)", said)
        self.assertRegex(said, r"\d+\.\d ml  score \d")
        self.assertTrue(os.path.getsize(self.path("scan.nii.gz")))

    def test_few_shot(self):
        notebook = self.execute("few_shot")
        self.assertRegex(self.said(notebook), r"label 0: \d+ ml")
        shown = [one["data"]["text/html"] for cell in notebook.cells for one in cell.get("outputs", [])
                 if "text/html" in one.get("data", {})]
        self.assertTrue(any("dice" in text for text in shown))

    @unittest.skipUnless(importlib.util.find_spec("skimage"), "scikit-image is not installed")
    def test_own_stage(self):
        notebook = self.execute("own_stage")
        self.assertIn("bones    2 to run", " ".join(self.said(notebook).split()).replace("bones 2", "bones    2"))


if __name__ == "__main__":
    main(4)
