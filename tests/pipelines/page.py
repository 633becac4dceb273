"""A page of docs/, done as it says.

Blocks are taken in their order: ```sh is typed, ```diff is applied, a whole ```c or ```yaml file (its
first line names it) is written, and the lines of ```text have to stand in the output of what was typed
before.
"""
import os
import re
import subprocess
import sys

from harness import MASSFLOW, TIMES, Massflow

BUILD, PAGE = map(os.path.abspath, sys.argv[2:4])
MARK = "=== end of block"

def blocks():
    with open(PAGE, encoding="utf-8") as file:
        return re.findall(r"^```(sh|text|c|yaml|diff)\n(.*?)^```$", file.read(), re.S | re.M)


def here(command, text):
    return f"{command} <<'END-OF-FILE'\n{text}END-OF-FILE\n"


def script():
    """The page as one shell script; after each block its number."""
    lines = ["set -e\n"]
    for i, (kind, text) in enumerate(blocks()):
        named = re.match(r"(?:/\*|#) (\w+\.(?:c|yaml)) - ", text)
        if kind == "sh":
            lines.append(text)
        elif kind == "diff":
            lines.append(here("patch -p0 --batch --fuzz=0", text))
        elif kind in ("c", "yaml") and named:
            lines.append(here("cat >" + named.group(1), text))
        if kind != "text":
            lines.append(f"echo '{MARK} {i}'\n")
    return "".join(lines)


class Page(Massflow):
    TIMEOUT = 280
    REPLACED = TIMES

    def told(self):
        """How many lines of ```text were looked for, all of which stood there."""
        env = dict(self.environment(), PATH=os.path.dirname(MASSFLOW) + ":" + os.environ["PATH"],
                   PKG_CONFIG_PATH=BUILD + "/engine")
        for name in ("MESON_TEST_ITERATION", "LD_LIBRARY_PATH"):
            env.pop(name, None)
        done = self.ended(["sh"], input=script(), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        printed, before = {}, ""
        parts = re.split(rf"{MARK} (\d+)\n", done.stdout)
        for output, number in zip(parts[0::2], parts[1::2]):
            printed[int(number)] = output
        told = 0
        for i, (kind, text) in enumerate(blocks()):
            if kind != "text":
                before = [self.replaced(line) for line in printed[i].splitlines()]
                continue
            for line in text.splitlines():
                self.assertIn(self.replaced(line), before)
                told += 1
        return told
