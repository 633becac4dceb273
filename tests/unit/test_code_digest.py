#!/usr/bin/env python3
"""What names a stage's code changes with each source it is built from, and with nothing else:
test_code_digest.py CODE_DIGEST SOURCES_DIGEST"""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT, SOURCES_SCRIPT = map(os.path.abspath, sys.argv[1:3])

FILES = {
    "p/slic.c": '#include <massflow/stage.h>\n#include "shared.h"\n#include "slic.cl.h"\n'
                '#include "slic.code.h"\n',
    "p/shared.h": "int shared(void);\n",
    "p/shared.c": '#include "shared.h"\n#include "deep.h"\nint shared(void) { return DEEP; }\n',
    "p/deep.h": "#define DEEP 1\n",
    "p/slic.cl": '#include "common.cl"\n__kernel void slic(void) {}\n',
    "kernels/include/common.cl": "#define COMMON 1\n",
    "p/other.c": "int other;\n",
}


class CodeDigest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="massflow-test-")
        self.fill(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def fill(self, root):
        for name, text in FILES.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

    def digest(self, root=None, source="p/slic.c"):
        root = root or self.folder.name
        header, depfile = os.path.join(root, "out.h"), os.path.join(root, "out.d")
        subprocess.run([SCRIPT, os.path.join(root, source), header, depfile,
                        os.path.join(root, "kernels/include")], check=True)
        with open(header, encoding="ascii") as file:
            text = file.read()
        self.assertRegex(text, r'^#undef MF_CODE\n#define MF_CODE "[0-9a-f]{64}"\n$')
        with open(depfile, encoding="utf-8") as file:
            self.depends = sorted(os.path.relpath(p, root) for p in file.read().split()[1:])
        return text

    def append(self, name):
        with open(os.path.join(self.folder.name, name), "a", encoding="ascii") as file:
            file.write("/* edited */\n")

    def move(self, name, to):
        to = os.path.join(self.folder.name, to)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.rename(os.path.join(self.folder.name, name), to)

    def edit(self, name, old, new):
        path = os.path.join(self.folder.name, name)
        with open(path, encoding="ascii") as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="ascii") as file:
            file.write(text.replace(old, new))

    def test_depends_on_all_that_is_built_in(self):
        self.digest()
        self.assertEqual(self.depends, sorted(set(FILES) - {"p/other.c"}))

    def test_each_edit_counts(self):
        for name in sorted(set(FILES) - {"p/other.c"}):
            before = self.digest()
            self.append(name)
            self.assertNotEqual(self.digest(), before, name)

    def test_other_stages_do_not_count(self):
        before = self.digest()
        self.append("p/other.c")
        self.assertEqual(self.digest(), before)

    def test_the_place_does_not_count(self):
        with tempfile.TemporaryDirectory(prefix="massflow-test-") as other:
            self.fill(other)
            self.assertEqual(self.digest(other), self.digest())

    def test_a_move_does_not_count(self):
        """Into other folders, with the includes that follow from it in another order."""
        before = self.digest()
        self.move("p/shared.h", "p/rooms/shared.h")
        self.move("p/shared.c", "p/rooms/shared.c")
        self.move("p/deep.h", "p/deep/deep.h")
        self.edit("p/slic.c", '#include "shared.h"\n#include "slic.cl.h"\n',
                  '#include "slic.cl.h"\n#include "rooms/shared.h"\n')
        self.edit("p/rooms/shared.c", '"deep.h"', '"../deep/deep.h"')
        self.assertEqual(self.digest(), before)

    def test_another_include_counts(self):
        """Also where both files are built in already."""
        before = self.digest()
        self.edit("p/shared.c", '#include "deep.h"\n', "")
        self.edit("p/slic.c", '#include "shared.h"\n', '#include "shared.h"\n#include "deep.h"\n')
        self.assertNotEqual(self.digest(), before)

    def test_a_missing_include_is_an_error(self):
        os.remove(os.path.join(self.folder.name, "kernels/include/common.cl"))
        with self.assertRaises(subprocess.CalledProcessError):
            subprocess.run([SCRIPT, os.path.join(self.folder.name, "p/slic.c"), "/dev/null",
                            "/dev/null"], check=True, stderr=subprocess.DEVNULL)

    def sources_digest(self):
        header = os.path.join(self.folder.name, "sources.txt")
        subprocess.run([SOURCES_SCRIPT, "MF_TEST", header, os.path.join(self.folder.name, "sources.d"),
                        os.path.join(self.folder.name, "p")], check=True)
        with open(header, encoding="ascii") as file:
            text = file.read()
        self.assertRegex(text, r'^#define MF_TEST "[0-9a-f]{64}"\n$')
        return text

    def test_sources(self):
        """All sources below a folder: an edit counts, a move into another folder does not."""
        before = self.sources_digest()
        self.move("p/deep.h", "p/deep/deep.h")
        self.edit("p/shared.c", '"deep.h"', '"deep/deep.h"')
        self.assertEqual(self.sources_digest(), before)
        self.append("p/other.c")
        self.assertNotEqual(self.sources_digest(), before)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
