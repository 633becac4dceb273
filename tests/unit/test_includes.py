#!/usr/bin/env python3
"""The directions of #include and of calls are those that docs/architecture.md lists:
test_includes.py ROOT BUILD"""
import collections
import glob
import os
import re
import subprocess
import sys
import unittest

ROOT, BUILD = map(os.path.abspath, sys.argv[1:3])
PAGE = os.path.join(ROOT, "docs/architecture.md")
FOLDERS = ("engine", "plugins", "tools")
SOURCES = (".c", ".h", ".cc", ".cpp")


def sources_of(top):
    for folder, _, files in os.walk(os.path.join(ROOT, top)):
        for file in files:
            if file.endswith(SOURCES):
                yield os.path.relpath(os.path.join(folder, file), ROOT)


def sources():
    for top in FOLDERS:
        yield from sources_of(top)


def module(path):
    """engine/store/x.c -> store; engine/run/plan/x.c -> run/plan; plugins/sam2/model/x.c ->
    plugins/sam2/model. A tool is one module, whatever its folders."""
    folder = os.path.dirname(path)
    if folder.startswith("engine/include/"):
        return "include"
    if folder.startswith("tools/"):
        return "/".join(folder.split("/")[:2])
    return folder[len("engine/"):] if folder.startswith("engine/") else folder


def includes():
    """{file: set of project files that it includes}"""
    files = sorted(sources())
    names = set(files)
    by_name = collections.defaultdict(list)
    for path in files:
        by_name[os.path.basename(path)].append(path)
    edges = {}
    for path in files:
        edges[path] = set()
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            wanted = re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', file.read(), re.M)
        for name in wanted:
            beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
            for candidate in (beside, "engine/" + name, "engine/include/" + name, "plugins/" + name):
                if candidate in names:
                    edges[path].add(candidate)
                    break
            else:
                # Folders that meson puts on the include path by themselves.
                found = [p for p in by_name[os.path.basename(name)] if p.endswith("/" + name)]
                if len(found) == 1:
                    edges[path].add(found[0])
    return edges


def calls():
    """{module of the engine: {module whose functions or data its objects name: the symbols}}"""
    sources = {os.path.relpath(path, "engine").replace("/", "_"): module(path) for path in sources_of("engine")}
    defined, named = {}, collections.defaultdict(set)
    objects = glob.glob(os.path.join(BUILD, "engine/*.p/*.o"))
    lines = subprocess.run(["nm", "-A", *objects], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        path, rest = line.rsplit(":", 1)
        room = sources.get(os.path.basename(path)[:-len(".o")])
        *_, kind, symbol = rest.split()
        if not room:  # generated, or of a source that is no more
            continue
        if kind == "U":
            named[room].add(symbol)
        elif kind in "TDRB":
            defined[symbol] = room
    edges = {room: collections.defaultdict(set) for room in named}
    for room, symbols in named.items():
        for symbol in symbols & set(defined):
            if defined[symbol] != room:
                edges[room][defined[symbol]].add(symbol)
    return edges


def circles(edges):
    """Strongly connected sets of more than one element (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in sorted(edges.get(v, ())):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while not part or part[-1] != v:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(tuple(sorted(part)))

    sys.setrecursionlimit(10000)
    for v in sorted(edges):
        if v not in index:
            visit(v)
    return sorted(found)


def listed(heading):
    """Rows of the first table below a heading of the page: a list of lists of the names in backquotes."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    section = text.split("\n" + heading + "\n", 1)[1]
    rows = []
    for line in section.splitlines():
        if line.startswith("| `"):
            rows.append([re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")])
        elif rows and not line.startswith("|"):
            break
    return rows


class Includes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.edges = includes()

    def test_modules(self):
        """Each module includes the modules that the page lists, and no other."""
        actual = collections.defaultdict(set)
        for path, targets in self.edges.items():
            actual[module(path)] |= {module(t) for t in targets} - {module(path)}
        page = {row[0][0]: set(row[1]) for row in listed("### Modules and what they include")}
        self.assertEqual({k: sorted(v) for k, v in actual.items() if v},
                         {k: sorted(v) for k, v in page.items() if v})

    def test_no_circle_of_modules(self):
        edges = collections.defaultdict(set)
        for path, targets in self.edges.items():
            edges[module(path)] |= {module(t) for t in targets} - {module(path)}
        self.assertEqual(circles(edges), [])

    def test_no_circle_of_calls(self):
        """Also where a header in front declares what a room behind it defines."""
        edges = calls()
        self.assertGreater(len(edges), 3)
        found = circles(edges)
        shown = [(a, b, sorted(edges[a][b])) for part in found for a in part for b in part if b in edges[a]]
        self.assertEqual(shown, [])

    def test_no_circle_of_files(self):
        self.assertEqual(circles(self.edges), [])

    def test_base_names(self):
        """A reader who is told the name of a file looks in two places at most."""
        folders = collections.defaultdict(set)
        for path in self.edges:
            stem = os.path.splitext(path)[0]
            folders[os.path.basename(stem)].add(os.path.dirname(stem))
        self.assertEqual({name: sorted(f) for name, f in folders.items() if len(f) > 2}, {})

    def test_circles_of_nouns(self):
        """x.c and x.h are one noun. A circle of nouns is in the page, with its reason."""
        edges = collections.defaultdict(set)
        for path, targets in self.edges.items():
            noun = os.path.splitext(path)[0]
            edges[noun] |= {os.path.splitext(t)[0] for t in targets} - {noun}
        page = sorted(tuple(sorted(row[0])) for row in listed("### Circles"))
        self.assertEqual(circles(edges), page)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
