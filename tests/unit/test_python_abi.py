#!/usr/bin/env python3
"""What the Python package declares is what the headers declare: test_python_abi.py SOURCE

Compared are the fields of each struct, the result and the arguments of each function, the values of enums, and the
messages of workers. The library is not loaded."""

import os
import re
import sys
import unittest
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p

SOURCE = sys.argv[1]
sys.path.insert(0, os.path.join(SOURCE, "tools/python"))
from massflow import _library, _wire  # noqa: E402

HEADERS = ("engine/include/massflow/embed.h", "engine/include/massflow/artifact.h", "engine/include/massflow/array.h",
           "engine/include/massflow/error.h")
STRUCTS = {"mf_setting": "Setting", "mf_workspace_options": "Options", "mf_workspace_stage": "Stage",
           "mf_workspace_ask": "Ask", "mf_workspace_counts": "Counts", "mf_workspace_active": "Active",
           "mf_workspace_event": "Event", "mf_workspace_run_options": "RunOptions",
           "mf_workspace_result": "RunResult", "mf_array": "Array", "mf_array_info": "ArrayInfo"}
PLAIN = {"bool": c_bool, "int": c_int, "size_t": c_size_t, "int64_t": c_int64, "double": c_double, "void": None,
         "mf_stands": c_int, "mf_code": c_int, "mf_dtype": c_int, "mf_attribute_kind": c_int,
         "mf_status": c_void_p, "mf_workspace_watch": _library.WATCH}


def read(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)


def as_ctypes(text, result=False):
    """The type of ctypes for one of C, without the name of what has it."""
    constant = text.strip().startswith("const")
    stars = text.count("*")
    base = re.sub(r"\bconst\b|\*|\bstruct\b", " ", text).strip()
    if base == "char":
        # What is given away is freed by its address; what is borrowed is read as a text.
        found = c_char_p if constant else c_void_p
        stars -= 1
    elif base in STRUCTS:
        found = getattr(_library, STRUCTS[base])
    elif base in PLAIN:
        found = PLAIN[base]
        if found is None and stars:
            found, stars = c_void_p, stars - 1
    else:  # opaque
        assert stars, text
        found, stars = c_void_p, stars - 1
    for _ in range(stars):
        found = POINTER(found)
    return found


def declared(text):
    """(name, type) of each thing that a declaration has: "const char *node, *text", "int64_t shape[MF_MAX_RANK]"."""
    first, *others = text.split(",")
    stem = re.match(r"\s*((?:const\s+)?\w+)", first)
    for part in [first[stem.end():], *others]:
        stars, name, sides = re.match(r"\s*((?:\*|const|\s)*)(\w+)\s*(?:\[(\w+)\])?\s*$", part).groups()
        kind = as_ctypes(stem.group(1) + stars)
        yield name, kind * _library.MAX_RANK if sides else kind


class Declarations(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.text = "\n".join(map(read, HEADERS))

    def test_structs(self):
        for c, python in STRUCTS.items():
            body = re.search(rf"typedef struct {c} {{([^}}]*)}} {c};", self.text).group(1)
            fields = [field for line in body.split(";") if line.strip() for field in declared(line)]
            self.assertEqual(getattr(_library, python)._fields_, fields, c)

    def test_functions(self):
        for name, (result, arguments) in _library.FUNCTIONS.items():
            found = re.search(rf"MF_API\s+(?:MF_MUST_USE\s+)?((?:const\s+)?\w+\s*\**)\s*\b{name}\(([^)]*)\);", self.text)
            self.assertTrue(found, f"no header declares {name}")
            kinds = []
            for argument in found.group(2).split(","):
                if argument.strip() != "void":
                    kind, array = re.match(r"\s*(.*?)\w+(\[3\])?\s*$", argument, re.S).groups()
                    kinds.append(as_ctypes(kind + ("*" if array else "")))
            self.assertEqual(result, as_ctypes(found.group(1)), name)
            self.assertEqual(arguments, kinds, name)

    def test_callback(self):
        self.assertIn("typedef void (*mf_workspace_watch)(void *self, const mf_workspace_event *event);", self.text)
        self.assertEqual((_library.WATCH._restype_, _library.WATCH._argtypes_),
                         (None, (c_void_p, POINTER(_library.Event))))

    def test_values(self):
        self.assertEqual(_library.DTYPES, tuple(re.findall(r'X\(MF_\w+, "(\w+)", \d\)', self.text)))
        codes = re.search(r"#define MF_CODES\(X\)(.*?)\n\n", self.text, re.S).group(1)
        self.assertEqual(_library.KINDS, tuple(re.findall(r'X\(\w+, "([^"]+)"\)', codes)))
        self.assertEqual(re.search(r"#define MF_MAX_RANK (\d+)", self.text).group(1), str(_library.MAX_RANK))

    def test_messages(self):
        names = re.search(r"enum[^{]*{([^}]*MF_WIRE_START[^}]*)}", read("engine/run/worker/wire.h")).group(1)
        names = re.findall(r"MF_WIRE_(\w+)", names)
        self.assertEqual([getattr(_wire, name) for name in names], list(range(len(names))))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
