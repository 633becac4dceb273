#!/usr/bin/env python3
"""What names a stage's code changes with each source it is built from, and with nothing else:
test_code_digest.py CODE_DIGEST"""
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.abspath(sys.argv[1])

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

    def test_a_missing_include_is_an_error(self):
        os.remove(os.path.join(self.folder.name, "kernels/include/common.cl"))
        with self.assertRaises(subprocess.CalledProcessError):
            subprocess.run([SCRIPT, os.path.join(self.folder.name, "p/slic.c"), "/dev/null",
                            "/dev/null"], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
