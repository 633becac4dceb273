#!/usr/bin/env python3
"""What massflow prints and writes of other people's texts: test_output.py MASSFLOW COUNTING.so

Names of files, lines of commands and cells of tables may hold what a terminal, a page or a reader of
JSON obeys.
"""
import csv
import json
import os
import pty
import re

from harness import MASSFLOW, Pipeline, main

# Clears a screen, sets a title and the clipboard, turns the direction, and is no UTF-8.
EVIL = (b"\x1b[2Jred\x1b]52;c;aGk=\x07 \xc2\x9b31m \xe2\x80\xaetxt.exe \xff\xfe caf\xc3\xa9\x08")
SHOWN = ("\\u001b[2Jred\\u001b]52;c;aGk=\\u0007 \\u009b31m \\u202etxt.exe \\xff\\xfe caf\u00e9"
         "\\u0008")
CLEAN = EVIL.decode("utf-8", "replace")

GRAPH = """massflow: 1
cases: {list: [{id: p1}, {id: "a\\u202Ebcd"}]}
stages:
  t: {use: exec.run, each: case, with: {command: "sh {files} {out.table} {out.text} ${case.id}", files: evil.sh}}
  bad: {use: exec.run, with: {command: "sh {files} {out.image}", files: bad.sh}}
"""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Output(Pipeline):
    def setUp(self):
        super().setUp()
        self.write("evil", EVIL)
        self.write("table.csv", b"name,value\n" + EVIL + b",1\n")
        self.write("evil.sh", f"cd {self.path('')}; cat evil; echo; cat evil >&2; echo >&2; "
                              "cp table.csv $1; cp table.csv $2\n")
        self.write("bad.sh", f"cat {self.path('evil')} >&2; exit 3\n")
        self.write("graph.yaml", GRAPH)

    def raw(self, *words, code=0):
        done = self.ended([MASSFLOW, *words], code, text=False)
        return done.stdout + done.stderr

    def check(self, out):
        text = out.decode("utf-8")
        self.assertEqual(OBEYED.findall(text), [])
        return text

    def test_lines_of_commands(self):
        out = self.check(self.raw("run", "graph.yaml", code=1))
        self.assertIn(f"t[case=p1]: {SHOWN}\n", out)
        self.assertIn("done     t[case=a\\u202ebcd]", out)
        self.assertIn(f"  | {SHOWN}", out)  # the last words of the command that failed
        self.assertIn(f"    {SHOWN}\n", self.check(self.raw("log", "graph.yaml")))
        self.assertIn(SHOWN, self.check(self.raw("show", "graph.yaml", "t[case=p1].table")))
        self.check(self.raw("why", "graph.yaml", "bad", code=0))

    def test_events_are_json_in_utf_8(self):
        done = self.ended([MASSFLOW, "run", "graph.yaml", "--log", "json"], 1, text=False)
        self.check(done.stdout)
        events = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
        said = [e["text"] for e in events if e["event"] == "log" and e["node"] == "t[case=p1]"]
        self.assertEqual(said, [CLEAN, CLEAN])
        self.assertIn("t[case=a\u202ebcd]", {e.get("node") for e in events})

    def test_quiet(self):
        """Nothing of what went well, and all of what did not."""
        done = self.ended([MASSFLOW, "run", "graph.yaml", "t", "--quiet"], 0)
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        done = self.ended([MASSFLOW, "run", "graph.yaml", "-q"], 1)
        self.assertRegex(done.stdout, r"\Afailed   bad: .*\nfinished: 0 run, 2 cached, 1 failed in .*\n\Z")
        self.assertIn("failed: bad\n", done.stderr)

    def test_files_are_utf_8(self):
        self.raw("run", "graph.yaml", "t[case=p1]")
        for suffix in ("csv", "json"):
            self.raw("get", "graph.yaml", "t[case=p1].table", "-o", f"t.{suffix}")
        with open(self.path("t.csv"), encoding="utf-8", newline="") as file:
            self.assertEqual(list(csv.reader(file)), [["name", "value"], [CLEAN, "1"]])
        self.assertEqual(self.read_json("t.json")["rows"], [{"name": CLEAN, "value": 1}])

    def test_the_report_shows_controls(self):
        self.raw("run", "graph.yaml", code=1)
        self.raw("report", "graph.yaml", "-o", "r.html")
        page = self.read_bytes("r.html").decode("utf-8")
        self.assertEqual(OBEYED.findall(page), [])
        self.assertIn("\\u202etxt.exe", page)
        self.assertIn("a\\u202ebcd", page)

    def test_a_terminal_gets_our_own_sequences_alone(self):
        """Live lines move the cursor up and clear lines; nothing else of the kind comes through."""
        self.write("bad.sh", f"cat {self.path('evil')}; echo; sleep 1; exit 3\n")
        out = b""
        master, slave = pty.openpty()
        run = self.popen([MASSFLOW, "run", "graph.yaml"], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            out += part
        os.close(master)
        self.assertEqual(run.wait(), 1)
        self.assertIn(b"\x1b[A\x1b[2K", out)
        self.assertIn(b"\x1b[31mfailed  \x1b[0m bad", out)
        for ours in (b"\x1b[A\x1b[2K", b"\x1b[31m", b"\x1b[32m", b"\x1b[33m", b"\x1b[0m"):
            out = out.replace(ours, b"")
        self.check(out.replace(b"\r\n", b"\n"))

    def test_colours_where_they_are_wanted(self):
        """On a terminal, unless NO_COLOR or TERM=dumb."""
        for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True),
                               ({"TERM": "dumb"}, False)):
            master, slave = pty.openpty()
            env = {**self.environment(), "TERM": "xterm", **more}
            if "NO_COLOR" not in more:
                env.pop("NO_COLOR", None)
            plan = self.popen([MASSFLOW, "plan", "graph.yaml"], stdin=slave, stdout=slave, stderr=slave, env=env)
            os.close(slave)
            self.assertEqual(plan.wait(), 0)
            out = os.read(master, 65536)
            os.close(master)
            self.assertEqual(b"\x1b[33mto run\x1b[0m" in out, coloured, more)
            self.assertEqual(b"\x1b" in out, coloured, more)

    def test_many_nodes_share_a_line(self):
        """And what they log is shown once of each kind, and counted; failures and other kinds are not lost."""
        self.write("many.yaml", """massflow: 1
cases: {count: 7}
stages:
  t: {use: exec.run, each: case, with: {shell: true, command: "echo 1${case.id} voxels; test ${case.id} != 005 && echo ${case.id} > {out.text}"}}
  u: {use: exec.run, each: case, in: {text: t.text}, with: {command: "cp {text} {out.text}"}}
""")
        out = self.ended([MASSFLOW, "run", "many.yaml"], 1).stdout
        self.assertRegex(out, r"(?m)^t\[case=00\d\]: 100\d voxels$")
        self.assertEqual(len(re.findall(r"(?m)^t\[case=00\d\]: ", out)), 1, out)
        self.assertRegex(out, r"(?m)^done     t: 6 of 7 nodes \(.* together\)\n           6 more lines like this: # voxels$")
        self.assertRegex(out, r"(?m)^done     u: 6 of 7 nodes ")
        self.assertNotRegex(out, r"(?m)^start")
        self.assertRegex(out, r"(?m)^failed   t\[case=005\]: ")
        self.assertRegex(out, r"(?m)^blocked  u\[case=005\]: needs t\[case=005\]")
        log = self.ended([MASSFLOW, "log", "many.yaml"]).stdout
        self.assertEqual(len(set(re.findall(r"100\d voxels", log))), 7)


class Names(Pipeline):
    def test_a_file_name_with_a_control_character(self):
        for name in ("a\nfailed: b.txt", "a\x1b[2J.txt", "a\x7f.txt"):
            with self.subTest(name=name):
                self.write(f"scans/{name}", "x\n")
                out = self.massflow("run", code=2)
                shown = name.replace("\x1b", "\\u001b").replace("\x7f", "\\u007f")
                self.assertIn(f"the name of '{self.path('scans/' + shown)}' has a control character",
                              out)
                self.assertIn("rename it: such a name can pretend to be a message\n", out)
                os.remove(self.path(f"scans/{name}"))

    def test_an_id_with_a_control_character(self):
        self.write("graph.yaml", 'massflow: 1\ncases: {list: [{id: "x\\u001bc"}]}\n'
                                 "stages: {t: {use: exec.run, each: case, with: {command: "
                                 '"touch {out.text}"}}}\n')
        self.assertIn("'x\\u001bc' is not a valid case id", self.massflow("run", code=2))

    def test_suggested_commands_can_be_pasted(self):
        os.mkdir(self.path("my graphs"))
        graph = "my graphs/it's $HOME.yaml"
        self.write(graph, "massflow: 1\ncases: {list: [{id: \"a;b\"}]}\nparams: {words: \"x y\"}\n"
                          "stages: {t: {use: exec.run, each: case, with: {command: \"false ${words} "
                          "{out.text}\"}}}\n")
        out = self.massflow("run", "--set", "words=p 'q' $r", graph=graph, code=1)
        again = re.search(r"^  retry: massflow (.*)$", out, re.M).group(1)
        told = self.ended(["sh", "-c", f"for w in {again}; do echo \"$w\"; done"]).stdout.splitlines()
        self.assertEqual(told, ["run", graph, "t[case=a;b]", "--set", "words=p 'q' $r", "--plugins",
                                "plugins"])
        done = self.ended(f"{MASSFLOW} {again}", 1, shell=True)
        self.assertIn("failed: t[case=a;b]", done.stderr)


if __name__ == "__main__":
    main(2)
