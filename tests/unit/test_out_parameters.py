#!/usr/bin/env python3
"""The rule of error.h on out parameters, held against the sources: test_out_parameters.py ROOT

A function that hands an object out (T **out) sets *out before anything can fail, or its first call
that can fail is one that does so for it.
"""
import glob
import os
import re
import sys
import unittest

ROOT = os.path.abspath(sys.argv[1])
FUNCTION = re.compile(r"^(static |extern \"C\" )?mf_status (\w+)\(([^;{]*?)\)\n\{\n(.*?)^\}", re.M | re.S)
TEXT_OR_COMMENT = re.compile(r'"(\\.|[^"\\])*"|/\*.*?\*/', re.S)
# Lists that are read, not handed out.
READ = {("mf_files_new", "paths"), ("args_parse", "argv"), ("past_run", "nodes"),
        ("mf__map_add", "entry"), ("mf__record_read", "arrays")}


def outs(parameters):
    for parameter in " ".join(parameters.split()).split(","):
        found = re.match(r"^(.*?)\*\*(\w+)$", parameter.strip())
        if found and "* const" not in parameter and "*const" not in parameter:
            yield found.group(2)


def settled(body, out):
    """Whether the first statement that names `out` comes no later than the first that can fail."""
    for statement in TEXT_OR_COMMENT.sub("", body).split(";"):
        if re.search(rf"\b{out}\b", statement):
            return True
        if re.search(r"MF_TRY|\breturn\b|\bgoto\b", statement):
            return False
    return False


def offenders(source):
    for found in FUNCTION.finditer(source):
        static, name, parameters, body = found.groups()
        for out in outs(parameters):
            if not (static or (name, out) in READ or settled(body, out)):
                yield f"{name} ({out})"


class OutParameters(unittest.TestCase):
    def test_all_sources(self):
        found, files = [], 0
        for folder in ("engine", "plugins", "tools/massflow"):
            for path in glob.glob(os.path.join(ROOT, folder, "**", "*.c*"), recursive=True):
                if path.endswith((".c", ".cc")):
                    files += 1
                    with open(path, encoding="utf-8") as file:
                        found += [f"{path}: {name}" for name in offenders(file.read())]
        self.assertGreater(files, 200)
        self.assertEqual(found, [])

    def test_what_is_found(self):
        late = """mf_status make(int n, thing **made)
{
    thing *t = calloc(1, sizeof *t);
    if (!t)
        return mf_fail(MF_NO_MEMORY, "nothing made");
    *made = t;
    return MF_OK;
}
"""
        self.assertEqual(list(offenders(late)), ["make (made)"])
        self.assertEqual(list(offenders(late.replace("    if", "    *made = NULL;\n    if", 1))), [])
        handed_on = """mf_status make(int n, thing **made)
{
    MF_TRY(thing_new(n, made));
    return thing_fill(*made);
}
"""
        self.assertEqual(list(offenders(handed_on)), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
