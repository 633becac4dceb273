#!/usr/bin/env python3
"""docs/README.md, done as it says: test_first.py MASSFLOW BUILD PAGE"""

from harness import main
from page import Page


class First(Page):
    def test_page(self):
        self.assertEqual(self.told(), 7)


if __name__ == "__main__":
    main(3)
