#!/usr/bin/env python3
"""docs/writing-a-stage.md, done as it says: test_writing.py MASSFLOW BUILD PAGE"""
import os
import subprocess
import sys
import tempfile
import unittest

from page import MASSFLOW, Page, blocks


class Writing(Page):
    def test_page(self):
        self.assertGreater(self.told(), 10)

    def test_sources_on_the_page_are_those_of_new(self):
        """What the page shows of lab.c and lab.cl is what `massflow new` writes."""
        with tempfile.TemporaryDirectory(prefix="massflow-test-") as folder:
            subprocess.run([MASSFLOW, "new", "lab"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)
            made = ""
            for name in ("lab.c", "lab.cl"):
                with open(os.path.join(folder, "lab", name), encoding="utf-8") as file:
                    made += file.read()
        parts = [text for kind, text in blocks() if kind == "c" and not text.startswith(("/* cubes.c", "/* lines.c"))]
        self.assertEqual(len(parts), 2)
        for part in parts:
            self.assertIn(part, made)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
