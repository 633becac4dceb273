#!/usr/bin/env python3
"""docs/writing-a-stage.md, done as it says: test_writing.py MASSFLOW BUILD PAGE"""

from harness import MASSFLOW, main
from page import Page, blocks


class Writing(Page):
    def test_page(self):
        self.assertGreater(self.told(), 10)

    def test_sources_on_the_page_are_those_of_new(self):
        """What the page shows of lab.c and lab.cl is what `massflow new` writes."""
        self.ended([MASSFLOW, "new", "lab"])
        made = self.read("lab/lab.c") + self.read("lab/lab.cl")
        parts = [text for kind, text in blocks() if kind == "c" and not text.startswith(("/* cubes.c", "/* lines.c"))]
        self.assertEqual(len(parts), 2)
        for part in parts:
            self.assertIn(part, made)


if __name__ == "__main__":
    main(3)
