#!/usr/bin/env python3
"""Every op of tensor programs and every kernel is reached by the list of checks, in both forms of the
kernels: test_check_list.py ROOT CHECK_REACHED

Ops are the names in the `mf_op_type` of engine/program; kernels are what the driver finds in the
modules that the list builds, and the names in kernels/*.cl, so that a file that the list never builds
shows too."""
import glob
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.abspath(sys.argv[1])
REACHED = os.path.abspath(sys.argv[2])


def texts(pattern):
    for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
        with open(path, encoding="utf-8") as file:
            yield os.path.relpath(path, ROOT), re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)


def op_names(text):
    """Of each op type that a source defines: those with launches."""
    for definition in re.findall(r"\bmf_op_type \w+(?:\[\w*\])?\s*=\s*\{(.*?)\};", text, flags=re.S):
        rows = re.findall(r'"([^"]+)",\s*(\w+),\s*(\w+)', definition)
        yield from (name for name, _, record in rows if record != "NULL")


def kernel_names(text):
    """Those that are written out; names that a macro makes are known from the driver."""
    macros = "".join(re.findall(r"^[ \t]*#define(?:.*\\\n)*.*$", text, flags=re.M))
    return set(re.findall(r"__kernel\s+void\s+(\w+)\s*\(", text.replace(macros, ""))) - set(
        re.findall(r"__kernel\s+void\s+(\w+)\s*\(", macros))


def reached(form):
    done = subprocess.run([REACHED, form], check=True, capture_output=True, text=True)
    built, ops, kernels = set(), set(), set()
    for line in done.stdout.splitlines():
        what, name = line.split(" ", 1)
        if what == "built":
            built.add(name)
            continue
        op, _, kernel = name.rpartition("/")
        ops.add(op)
        kernels.add(kernel)
    return built, ops, kernels


def missing(ops, kernels, forms):
    """What no case reaches, as lines."""
    lines = []
    for form, (built, launched_ops, launched) in forms.items():
        lines += [f"{path}: no case of engine/check has op \"{name}\" ({form} form)"
                  for path, name in ops if name not in launched_ops]
        lines += [f"kernel {name} is launched by no case of engine/check ({form} form)"
                  for name in sorted(built - launched)]
    everywhere = set().union(*(built for built, _, _ in forms.values()))
    lines += [f"{path}: kernel {name} is in no module that a case of engine/check builds"
              for path, name in kernels if name not in everywhere]
    return lines


class CheckList(unittest.TestCase):
    maxDiff = None

    def test_every_op_and_kernel_is_reached(self):
        ops = [(path, name) for path, text in texts("engine/program/**/*.c")
               for name in op_names(text)]
        kernels = [(path, name) for path, text in texts("kernels/*.cl")
                   for name in sorted(kernel_names(text))]
        self.assertGreater(len(ops), 40)
        self.assertGreater(len(kernels), 50)
        forms = {form: reached(form) for form in ("cpu", "gpu")}
        self.assertEqual("\n".join(missing(ops, kernels, forms)), "")

    def test_first_use_checks_ops_that_there_are(self):
        """A name that no op has would leave its check out, in silence."""
        sources = dict(texts("engine/check/*.c"))
        lists = re.findall(r"\bfirst_of_\w+\[\] = \{(.*?)NULL\}", sources.pop("engine/check/sweep.c"), flags=re.S)
        self.assertEqual(len(lists), 2)
        for names in lists:
            names = re.findall(r'"([^"]+)"', names)
            self.assertGreater(len(names), 2)
            for name in names:
                self.assertIn(f'"{name}"', "".join(sources.values()))
        gpus = set(re.findall(r'"([^"]+)"', lists[0])) # what an I3D computes with, too
        self.assertLessEqual({"batch_norm", "max_pool3d", "conv3d, strided", "running statistics"}, gpus)

    def test_what_is_not_reached_is_named(self):
        source = ('static const mf_op_type a_type = {"a", NULL, record_a, 0};\n'
                  'static const mf_op_type types[] = {\n    {"b", gradient_b, record_b, 1},\n'
                  '    {"c", gradient_c, NULL, 0}};\n')
        self.assertEqual(list(op_names(source)), ["a", "b"])
        kernels = kernel_names("ITEMS __kernel void one(long n)\n{\n}\n#define UNARY(name) \\\n"
                               "    ITEMS __kernel void name(long n)\nUNARY(two)\n")
        self.assertEqual(kernels, {"one"})
        forms = {"cpu": ({"k", "two"}, {"a"}, {"k"}), "gpu": ({"k"}, {"a", "b"}, {"k"})}
        self.assertEqual(missing([("x.c", "a"), ("x.c", "b")], [("x.cl", "one"), ("x.cl", "k")],
                                 forms),
                         ["x.c: no case of engine/check has op \"b\" (cpu form)",
                          "kernel two is launched by no case of engine/check (cpu form)",
                          "x.cl: kernel one is in no module that a case of engine/check builds"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
