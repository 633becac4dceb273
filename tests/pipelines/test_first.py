#!/usr/bin/env python3
"""docs/README.md, done as it says: test_first.py MASSFLOW BUILD PAGE

The ```yaml file (its first line names it) is written, ```sh is typed, and the lines of ```text have
to stand in the output of what was typed before.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

MASSFLOW, BUILD, PAGE = map(os.path.abspath, sys.argv[1:4])
TIME = re.compile(r" in \d\S* (ms|s|min)\b.*$")


class Page(unittest.TestCase):
    def test_page(self):
        env = dict(os.environ, PATH=os.path.dirname(MASSFLOW) + ":" + os.environ["PATH"],
                   PKG_CONFIG_PATH=BUILD + "/engine")
        for name in ("MASSFLOW_PLUGINS", "MESON_TEST_ITERATION", "LD_LIBRARY_PATH"):
            env.pop(name, None)
        with open(PAGE, encoding="utf-8") as file:
            blocks = re.findall(r"^```(yaml|sh|text)\n(.*?)^```$", file.read(), re.S | re.M)
        printed, told = "", 0
        with tempfile.TemporaryDirectory(prefix="massflow-test-") as folder:
            for kind, text in blocks:
                if kind == "yaml":
                    name = re.match(r"# (\w+\.yaml) - ", text).group(1)
                    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                        file.write(text)
                elif kind == "sh":
                    done = subprocess.run(["sh", "-e"], input=text, cwd=folder, env=env, timeout=280,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    printed = [TIME.sub("", line) for line in done.stdout.splitlines()]
                else:
                    for line in text.splitlines():
                        self.assertIn(TIME.sub("", line), printed)
                        told += 1
        self.assertEqual(told, 7)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
