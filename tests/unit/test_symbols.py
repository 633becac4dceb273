#!/usr/bin/env python3
"""What library, command and plugins export, read from their dynamic symbol tables, and that no name stands
for two functions.

test_symbols.py ROOT LIBRARY COMMAND PLUGIN...
"""
import collections
import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT, LIBRARY, COMMAND, *PLUGINS = (os.path.abspath(path) for path in sys.argv[1:])
HEADERS = f"{ROOT}/engine/include/massflow"
OLDER_HEADERS = f"{ROOT}/tests/plugins/interface_1_1/massflow"
VERSION = "MASSFLOW_1"


def symbols(path, *options):
    """(name, version) of each dynamic symbol; not the versions themselves, which are symbols too."""
    lines = subprocess.run(["nm", "-D", "--with-symbol-versions", *options, path], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    found = [re.split("@+", line.split()[-1]) for line in lines if line.split()[-2] != "A"]
    return [(name, version[0] if version else "") for name, *version in found]


def declared(folder):
    """The functions of public headers."""
    text = "".join(path.read_text(encoding="utf-8") for path in pathlib.Path(folder).glob("*.h"))
    text = re.sub(r"/\*.*?\*/|^#(\\\n|.)*?$", " ", text, flags=re.S | re.M)
    return set(re.findall(r"MF_API\b[^;{]*?\b(mf_\w+)\(", text))


def shared_names(*files):
    """What the files of an archive's objects see of each other."""
    lines = subprocess.run(["nm", "--defined-only", *files], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    return [line.split()[2] for line in lines if re.match(r"\w+ [TDBR] ", line)]


def dynamic(path):
    return subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True).stdout


class Symbols(unittest.TestCase):
    def test_the_library_exports_its_public_headers_and_nothing_else(self):
        self.assertEqual(sorted(symbols(LIBRARY, "--defined-only")),
                         sorted((name, VERSION) for name in declared(HEADERS)))

    def test_the_command_exports_the_same_to_its_plugins(self):
        """Besides, the linker makes visible where a program has its copies of variables: the C
        library's, such as stdout, and the address sanitizer's."""
        exported = [one for one in symbols(COMMAND, "--defined-only")
                    if not one[1].startswith("GLIBC") and not one[0].startswith("__asan_")]
        self.assertEqual(sorted(exported),
                         sorted((name, VERSION) for name in declared(HEADERS)))

    def test_no_function_of_an_older_interface_is_gone(self):
        self.assertGreater(len(declared(OLDER_HEADERS)), 100)
        self.assertEqual(declared(OLDER_HEADERS) - declared(HEADERS), set())

    def test_names_that_files_share_have_the_prefix(self):
        objects = glob.glob(f"{os.path.dirname(LIBRARY)}/*.p/*.o")
        self.assertGreater(len(objects), 100)
        shared = shared_names(*objects)
        self.assertGreater(len(shared), 500)
        self.assertEqual([name for name in shared if not name.startswith(("mf_", "_"))], [])

    def test_one_name_for_what_plugins_ask_for(self):
        """Plugins ask for the library by its name, with a version; the command bears it, so that its
        plugins find it and bring no second engine along."""
        for path in (LIBRARY, COMMAND):
            self.assertIn("Library soname: [libmassflow.so.1]", dynamic(path))
        self.assertNotIn("Shared library: [libmassflow", dynamic(COMMAND))

    def test_a_plugin_exports_its_entry_and_uses_public_functions(self):
        engine = set(shared_names(*(path for archive in ("engine", "numerics") for path in
                                    glob.glob(f"{os.path.dirname(LIBRARY)}/libmassflow-{archive}.a.p/*.o"))))
        self.assertIn("mf_fail", engine)
        self.assertGreater(len(PLUGINS), 10)
        for path in PLUGINS:
            with self.subTest(os.path.basename(path)):
                self.assertEqual(symbols(path, "--defined-only"), [("massflow_plugin", "")])
                used = [one for one in symbols(path, "--undefined-only")
                        if one[0].startswith("mf_")]
                self.assertNotEqual(used, [])
                self.assertEqual([one for one in used if one[1] != VERSION], [])
                self.assertIn("Shared library: [libmassflow.so.1]", dynamic(path))
                self.assertEqual(engine & set(shared_names(path)), set())

    def test_no_two_functions_of_one_name(self):
        """A test or a tool is linked with several archives, where the first of two would be called."""
        folders = [glob.glob(f"{os.path.dirname(LIBRARY)}/*.a.p"),
                   glob.glob(f"{os.path.dirname(LIBRARY)}/../plugins/*/*.a.p")]
        self.assertTrue(all(folders))
        names = collections.Counter(shared_names(*(path for folder in sum(folders, [])
                                                   for path in glob.glob(f"{folder}/*.o"))))
        self.assertIn("mf_fail", names)
        self.assertEqual([name for name, count in names.items()
                          if count > 1 and not name.startswith("_Z")], [])

    def test_each_public_header_compiles_alone(self):
        for path in sorted(glob.glob(f"{HEADERS}/*.h")):
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
