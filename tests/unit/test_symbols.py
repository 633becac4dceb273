#!/usr/bin/env python3
"""What library and plugins export, read from their dynamic symbol tables.

test_symbols.py ROOT LIBRARY PLUGIN...
"""
import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT, LIBRARY, *PLUGINS = (os.path.abspath(path) for path in sys.argv[1:])
HEADERS = sorted(glob.glob(f"{ROOT}/engine/include/massflow/*.h"))
PUBLIC, PRIVATE = "MASSFLOW_1", "MASSFLOW_PRIVATE"


def symbols(path, *options):
    """(name, version) of each dynamic symbol."""
    lines = subprocess.run(["nm", "-D", "--with-symbol-versions", *options, path], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    found = [re.split("@+", line.split()[-1]) for line in lines]
    return [(name, version[0] if version else "") for name, *version in found]


def declared():
    """The functions of the public headers."""
    text = "".join(pathlib.Path(path).read_text(encoding="utf-8") for path in HEADERS)
    text = re.sub(r"/\*.*?\*/|^#(\\\n|.)*?$", " ", text, flags=re.S | re.M)
    return set(re.findall(r"MF_API\b[^;{]*?\b(mf_\w+)\(", text))


class Symbols(unittest.TestCase):
    def test_the_library_exports_its_public_headers(self):
        exported = [one for one in symbols(LIBRARY, "--defined-only") if one[0] != one[1]]
        exported = [one for one in exported if one[0] not in (PUBLIC, PRIVATE)]
        self.assertEqual({name for name, version in exported if version == PUBLIC}, declared())
        self.assertEqual([one for one in exported if one[1] not in (PUBLIC, PRIVATE)], [])
        self.assertEqual([one for one in exported if not one[0].startswith("mf_")], [])

    def test_names_that_files_share_have_the_prefix(self):
        objects = glob.glob(f"{os.path.dirname(LIBRARY)}/*.p/*.o")
        self.assertGreater(len(objects), 100)
        lines = subprocess.run(["nm", "--defined-only", *objects], check=True, capture_output=True,
                               text=True).stdout.splitlines()
        shared = [line.split()[2] for line in lines if re.match(r"\w+ [TDBR] ", line)]
        self.assertGreater(len(shared), 500)
        self.assertEqual([name for name in shared if not name.startswith(("mf_", "_"))], [])

    def test_the_library_has_a_name_with_a_version(self):
        text = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True,
                              text=True).stdout
        self.assertIn("Library soname: [libmassflow.so.1]", text)

    def test_a_plugin_exports_its_entry_and_uses_public_functions(self):
        self.assertGreater(len(PLUGINS), 10)
        for path in PLUGINS:
            with self.subTest(os.path.basename(path)):
                self.assertEqual(symbols(path, "--defined-only"), [("massflow_plugin", "")])
                used = [one for one in symbols(path, "--undefined-only")
                        if one[0].startswith("mf_")]
                self.assertNotEqual(used, [])
                self.assertEqual([one for one in used if one[1] != PUBLIC], [])

    def test_each_public_header_compiles_alone(self):
        for path in HEADERS:
            for compiler, language, standard in (("cc", "c", "c11"), ("c++", "c++", "c++17")):
                with self.subTest(os.path.basename(path), standard=standard), \
                        tempfile.TemporaryDirectory() as folder:
                    name = os.path.join(folder, "alone")
                    with open(name, "w", encoding="utf-8") as file:
                        file.write(f'#include "massflow/{os.path.basename(path)}"\n')
                    done = subprocess.run(
                        [compiler, f"-std={standard}", "-x", language, "-Wall", "-Wextra",
                         "-pedantic", "-Werror", "-fsyntax-only", "-I", f"{ROOT}/engine/include",
                         name], capture_output=True, text=True, check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
