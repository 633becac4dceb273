#!/usr/bin/env python3
"""Links between pages lead somewhere, docs/README.md leads to every page, and the names of files and
functions on the pages for developers exist: test_docs.py ROOT"""
import os
import re
import sys
import unittest

ROOT = os.path.abspath(sys.argv[1])
DEVELOPERS = ("docs/architecture.md", "CONTRIBUTING.md")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.S | re.M)


def pages():
    top = [name for name in os.listdir(ROOT) if name.endswith(".md")]
    return sorted(top + ["docs/" + name for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md")])


def read(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read()


def links(page):
    """(path from the root, fragment) of each link to a file of the project"""
    for target in LINK.findall(CODE.sub("", read(page))):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        yield target, path, fragment


def anchors(page):
    """Fragments of headings, as GitHub makes them: lower case, without punctuation, - for a space."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", CODE.sub("", read(page)), re.M):
        text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number, name = 0, anchor
        while name in found:
            number += 1
            name = f"{anchor}-{number}"
        found.add(name)
    return found


class Links(unittest.TestCase):
    maxDiff = None

    def test_links_lead_somewhere(self):
        broken = [f"{page}: {target}" for page in pages() for target, path, _ in links(page)
                  if not os.path.exists(os.path.join(ROOT, path))]
        self.assertEqual(broken, [])

    def test_fragments_are_headings(self):
        broken = [f"{page}: {target}" for page in pages() for target, path, fragment in links(page)
                  if fragment and path.endswith(".md") and fragment not in anchors(path)]
        self.assertEqual(broken, [])

    def test_every_page_is_reached(self):
        """docs/README.md itself links to each page, and says a sentence about it."""
        reached = {path for _, path, _ in links("docs/README.md")} | {"docs/README.md"}
        self.assertEqual([page for page in pages() if page not in reached], [])
        for line in read("docs/README.md").splitlines():
            if line.startswith("| ["):
                self.assertRegex(line, r"^\| \[[^\]]+\]\([^)]+\) \| .{20,}\. \|$")


class Names(unittest.TestCase):
    """What stands in backquotes in the pages for developers."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.words = set()
        for top in ("engine", "plugins", "tools", "tests", "kernels"):
            for folder, _, files in os.walk(os.path.join(ROOT, top)):
                for name in files:
                    if name.endswith((".c", ".h", ".cc", ".cl", ".in", ".py", ".build")):
                        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                            cls.words.update(re.findall(r"\w+", file.read()))

    def quoted(self):
        for page in DEVELOPERS:
            for text in re.findall(r"`([^`\n]+)`", CODE.sub("", read(page))):
                yield page, text

    def test_files_exist(self):
        """A noun may stand for its .h and .c file."""
        top = "engine/", "plugins/", "tools/", "tests/", "kernels/", "docs/", "graphs/"
        gone = [f"{page}: {text}" for page, text in self.quoted()
                if text.startswith(top) and re.fullmatch(r"[\w./+-]+", text) and not re.search("NAME|STAGE", text)
                and not any(os.path.exists(os.path.join(ROOT, text + end)) for end in ("", ".h"))]
        self.assertEqual(gone, [])

    def test_names_of_files_exist(self):
        """A file without its folder."""
        names = set(os.listdir(ROOT))
        for top in ("engine", "plugins", "tools", "tests", "kernels", "docs", "graphs"):
            for _, _, files in os.walk(os.path.join(ROOT, top)):
                names.update(files)
        gone = [f"{page}: {text}" for page, text in self.quoted()
                if re.fullmatch(r"[\w-]+\.(c|h|cc|cl|py|md|build|map|yaml)", text) and text not in names]
        self.assertEqual(gone, [])

    def test_functions_exist(self):
        gone = [f"{page}: {text}" for page, text in self.quoted()
                for name in re.findall(r"\b(?:mf|MF)_\w+", text)
                if name not in self.words and not any(w.startswith(name) for w in self.words if name.endswith("_"))]
        self.assertEqual(gone, [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
