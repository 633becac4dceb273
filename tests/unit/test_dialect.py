#!/usr/bin/env python3
"""Where sources have one way to say a thing, no other is left: test_dialect.py ROOT"""
import os
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(os.path.abspath(sys.argv[1]))
FOLDERS = ("engine", "plugins", "tools", "tests")
ELSEWHERE = ("tests/plugins/interface_1_1/", "tests/plugins/older.c")  # as they were written for interface 1.1
# Functions of these hold two statuses at once.
TWO = ("engine/store/digest.c", "engine/store/lazy.c")
# These grow arrays of bounds, which have one more than what they bound.
BOUNDS = ("plugins/sam2/shared/area.c", "plugins/slic/regions.c")
COMPARISON = re.compile(r"\b(?:str(?:n?casecmp|n?cmp)|memcmp)\(")


def without_comments(text):
    """Comments become spaces; lines stay where they are."""
    return re.sub(r'("(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\')|/\*.*?\*/',
                  lambda m: m.group(1) or re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.S)


def without_texts(code):
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', code)


def sources():
    """(path from the root, text without comments) of each C and C++ file."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in (".c", ".h", ".cc") and not name.startswith(ELSEWHERE):
                yield name, without_comments(path.read_text(encoding="utf-8"))


def end_of(text, at):
    """Where the parenthesis that opens there is closed."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return len(text)


SOURCES = list(sources())


class Dialect(unittest.TestCase):
    maxDiff = None

    def found(self, pattern, allowed=(), texts=False):
        """FILE:LINE of each place."""
        return [f"{name}:{text.count(chr(10), 0, m.start()) + 1}" for name, code in SOURCES if name not in allowed
                for text in [code if texts else without_texts(code)] for m in re.finditer(pattern, text)]

    def test_equal_texts(self):
        """!strcmp(a, b), not strcmp(a, b) == 0."""
        places = []
        for name, code in SOURCES:
            text = without_texts(code)
            for m in COMPARISON.finditer(text):
                if re.match(r"\s*==\s*0\b", text[end_of(text, m.end() - 1) + 1:][:20]):
                    places.append(f"{name}:{text.count(chr(10), 0, m.start()) + 1}")
        self.assertEqual(places, [])

    def test_a_status_is_called_status(self):
        self.assertEqual(self.found(r"\bmf_status \**(?:failed|error|err)\b(?! *\()",
                                    ("engine/base/error.c", "engine/include/massflow/error.h", *TWO)), [])

    def test_out_of_memory(self):
        """mf_no_memory, whose text and remedy are the same everywhere."""
        self.assertEqual(self.found(r'"(?:%s: )?no memory\b', texts=True), [])
        self.assertEqual(self.found(r'mf_fail\(\s*MF_NO_MEMORY,\s*"[^"]*(?:no|out of|lack of) memory',
                                    ("engine/base/error.c", "tests/unit/test_sam2_propagation.c"), texts=True), [])
        calls = self.found(r"\bmf_no_memory\(")
        self.assertGreater(len(calls), 300)

    def test_the_clock(self):
        """mf_seconds; lines.c waits until a time of the same clock."""
        self.assertEqual(self.found(r"clock_gettime\(CLOCK_MONOTONIC|\buv_hrtime\(|\buv_now\(",
                                    ("engine/base/seconds.c", "engine/run/schedule/lines.c")), [])

    def test_arrays_that_grow_by_one(self):
        """mf_list_more."""
        self.assertEqual(self.found(r"\brealloc\([^;]*\+ 1\)? \* sizeof \*", BOUNDS), [])

    def test_stages(self):
        """MF_STAGE and MF_PORT."""
        self.assertEqual([place for place in self.found(r"\bmf_stage \w+ = \{|\bmf_port \w+\[\] = \{\s*\{")
                          if place.startswith("plugins/")], [])



if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
