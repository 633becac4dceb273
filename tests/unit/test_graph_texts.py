#!/usr/bin/env python3
"""Each text that the graph language can say is shown by a test: test_graph_texts.py SOURCE

The formats of errors, warnings and notes are read from engine/graph and from the sources of cases that
plugins declare; each has to occur, with
something in the place of its conversions, in what the tests expect.
"""
import glob
import os
import re
import sys
import unittest

SOURCE = sys.argv.pop(1)
SAYS = re.compile(r"\b(?:mf__graph_error|mf_diagnostics_(?:error|warning|note)|error_at|wrong|mf_fail|mf_hint"
                  r"|mf_cases_(?:warn|note))\(")
SOURCES = ("engine/graph/**/*.c", "plugins/nnunet/*.c", "plugins/volume/**/dicom_cases.c")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
CHARACTER = re.compile(r"'(?:[^'\\\n]|\\.)'")
COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|/\*.*?\*/', re.S)
CONVERSION = re.compile(r"%[-0-9.*+ ]*(?:hh|ll|[hlzjt])?[a-zA-Z]")
# Nothing but names in the place of words: a test can't tell them from anything else.
LEAST_LETTERS = 6


def arguments(text, start):
    """What stands between the bracket that ends at `start` and its partner."""
    depth, i = 1, start
    while depth:
        literal = LITERAL.match(text, i) or CHARACTER.match(text, i)
        if literal:
            i = literal.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        i += 1
    return text[start:i - 1]


def formats(path):
    """(line, format) of all that a source says. Adjacent literals are one."""
    with open(path, encoding="utf-8") as file:
        text = COMMENT.sub(lambda m: m[1] or "\n" * m[0].count("\n"), file.read())
    for call in SAYS.finditer(text):
        joined = re.sub(r'"\s*\n\s*"', "", arguments(text, call.end()))
        for literal in LITERAL.findall(joined):
            plain = CONVERSION.sub("", literal)
            literal = literal.removeprefix("%s: ")
            if " " in literal and sum(map(str.isalpha, plain)) >= LEAST_LETTERS:
                yield text.count("\n", 0, call.start()) + 1, literal


def unescaped(text):
    return text.replace('\\"', '"').replace("\\n", " ").replace("\\\\", "\\").replace("%%", "%")


def is_shown(said, shown):
    parts = [re.sub(r"\s+", " ", unescaped(part)) for part in CONVERSION.split(said)]
    longest = max(parts, key=len)
    whole = re.compile(".{0,200}?".join(map(re.escape, parts)))
    at = shown.find(longest)
    while at >= 0:
        if whole.search(shown, max(0, at - 600), at + len(longest) + 600):
            return True
        at = shown.find(longest, at + 1)
    return False


def expected():
    """All that tests expect, with literals that follow each other joined and one space a gap."""
    texts = []
    for kind in ("c", "h", "py", "txt"):
        for path in glob.glob(os.path.join(SOURCE, "tests", "**", "*." + kind), recursive=True):
            if path == os.path.abspath(__file__):
                continue
            with open(path, encoding="utf-8") as file:
                text = re.sub(r"[\"']\s*\n\s*[rf]?[\"']", "", file.read())
            texts.append(re.sub(r"\s+", " ", unescaped(text)))
    return "\n".join(texts)


class Texts(unittest.TestCase):
    def test_all_are_shown_by_a_test(self):
        shown, missing, count = expected(), [], 0
        for path in sorted(path for pattern in SOURCES
                           for path in glob.glob(os.path.join(SOURCE, pattern), recursive=True)):
            for line, said in formats(path):
                count += 1
                if not is_shown(said, shown):
                    missing.append(f"{os.path.relpath(path, SOURCE)}:{line}: {said}")
        self.assertGreater(count, 100)
        self.assertEqual(missing, [], "\n".join(["no test shows:", *missing]))


if __name__ == "__main__":
    unittest.main()
