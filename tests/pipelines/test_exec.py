#!/usr/bin/env python3
"""Commands as stages: test_exec.py MASSFLOW

Scripts of Python's standard library read what exec.run hands them and write something back.
"""
import csv
import io
import os
import re
import shutil
import signal
import struct
import zlib

from harness import Commands, main, read_npy

# Labels what is above 100 HU, on the scan's own grid: NIfTI in, NIfTI out.
THRESHOLD = """
import struct, sys
source, target, least = sys.argv[1], sys.argv[2], float(sys.argv[3])
with open(source, "rb") as file:
    data = bytearray(file.read())
kind, = struct.unpack_from("<h", data, 70)
start = int(struct.unpack_from("<f", data, 108)[0])
code, size = {2: ("B", 1), 4: ("h", 2), 16: ("f", 4), 512: ("H", 2)}[kind]
count = (len(data) - start) // size
values = struct.unpack_from(f"<{count}{code}", data, start)
header = data[:start]
struct.pack_into("<hh", header, 70, 2, 8)
with open(target, "wb") as file:
    file.write(bytes(header) + bytes(v > least for v in values))
print("labelled", sum(v > least for v in values), "voxels")
"""

GRAPH = """massflow: 1
params: {least: "100"}
cases: {count: 2}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [32, 28, 24], spacing: [6, 6, 8]}}
  bone:
    use: exec.run
    each: case
    in: {volume: scan.volume}
    with: {command: "python3 {files} {volume.nii} {out.labels.nii} ${least}", files: threshold.py}
  dice: {use: metrics.overlap, in: {pred: "bone.labels[*]", truth: "scan.labels[*]"}}
"""


class Exec(Commands):
    def command(self, command, *, code=1, limits="", more="", inputs="in: {text: note}, "):
        """Runs a graph with one command that is given a text; the report from 'failed:' on."""
        self.write("note.py", "")
        self.write("g.yaml", f"""massflow: 1
stages:
  note: {{use: exec.run, with: {{command: 'sh -c "printf hello >$0" {{out.text}}'}}}}
  it: {{use: exec.run, {limits}{inputs}with: {{command: '{command}'{more}}}}}
""")
        out = self.massflow("run", "g.yaml", code=code)
        return out[out.index("\nfailed: ") + 1:] if code == 1 else out

    def text(self):
        self.massflow("get", "g.yaml", "it.text", "-o", "it.txt")
        return self.read("it.txt")


REPEAT = "  retry: massflow run g.yaml 'it'\n"


class Files(Exec):
    def test_a_script_labels_scans(self):
        self.write("threshold.py", THRESHOLD)
        self.write("g.yaml", GRAPH)
        out = self.massflow("run", "g.yaml")
        self.assertRegex(out, r"bone\[case=000\]: labelled \d+ voxels\n")
        self.assertIn("finished: 5 run, 0 cached in TIME\n", out)
        for name, file in (("scan[case=001].volume", "scan.npy"), ("bone[case=001].labels", "bone.npy")):
            self.massflow("get", "g.yaml", name, "-o", file)
        shape, values = read_npy(self.path("scan.npy"))
        self.assertEqual(read_npy(self.path("bone.npy")),
                         (shape, tuple(int(v > 100) for v in values)))
        # Nothing is left, and nothing is done twice.
        self.assertEqual(os.listdir(self.temporary), [])
        self.assertIn("finished: 0 run, 5 cached in TIME\n", self.massflow("run", "g.yaml"))

    def test_an_edited_script_runs_again(self):
        self.write("threshold.py", THRESHOLD)
        self.write("g.yaml", GRAPH)
        self.massflow("run", "g.yaml", "bone")
        self.write("threshold.py", THRESHOLD + "print('edited')\n")
        out = self.massflow("run", "g.yaml")
        self.assertIn("bone[case=000]: edited\n", out)
        out = self.massflow("run", "g.yaml", "--set", "least=200")
        self.assertIn("finished: 3 run, 2 cached in TIME\n", out)

    def test_results_of_a_reoriented_scan_return_to_its_grid(self):
        """The script sees the file's own grid; its labels come back on the grid of the stage."""
        self.write("threshold.py", THRESHOLD)
        self.write("g.yaml", GRAPH)
        self.massflow("get", "g.yaml", "scan[case=000].volume", "-o", "x.nii.gz", code=2)
        self.massflow("run", "g.yaml", "scan")
        self.massflow("get", "g.yaml", "scan[case=000].volume", "-o", "x.nii.gz")
        self.write("h.yaml", """massflow: 1
stages:
  scan: {use: volume.load, with: {path: x.nii.gz, orientation: PSL, crop: threshold, threshold: 0}}
  bone: {use: exec.run, in: {volume: scan}, with: {files: threshold.py,
         command: "python3 {files} {volume.nii} {out.labels.nii} 100"}}
  same: {use: exec.run, in: {volume: scan}, with: {command: "cp {volume} {out.volume}"}}
""")
        self.massflow("run", "h.yaml")
        for name in ("scan", "bone.labels", "same.volume"):
            self.massflow("get", "h.yaml", name, "-o", name + ".npy")
        shape, values = read_npy(self.path("scan.npy"))
        self.assertEqual(read_npy(self.path("bone.labels.npy")),
                         (shape, tuple(int(v > 100) for v in values)))
        self.assertEqual(read_npy(self.path("same.volume.npy"))[1], values)

    def test_npy_there_and_back(self):
        self.write("threshold.py", THRESHOLD)
        self.write("g.yaml", GRAPH + """  copy: {use: exec.run, each: case, in: {volume: scan.volume},
         with: {command: "cp {volume.npy} {out.volume.npy}"}}
  values: {use: exec.run, each: case, in: {volume: scan.volume},
           with: {command: "cp {volume.npy} {out.features}"}}
""")
        self.massflow("run", "g.yaml", "copy", "values")
        for name, file in (("scan[case=000].volume", "a"), ("copy[case=000].volume", "b"),
                           ("values[case=000].features", "c")):
            self.massflow("get", "g.yaml", name, "-o", file + ".npy")
        self.assertEqual(read_npy(self.path("a.npy")), read_npy(self.path("b.npy")))
        self.assertEqual([float(v) for v in read_npy(self.path("a.npy"))[1]],
                         list(read_npy(self.path("c.npy"))[1]))

    def test_a_folder_of_cases_becomes_a_table(self):
        self.write("list.py", """
import csv, os, sys
with open(sys.argv[2], "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["case", "bytes", "remark"])
    for name in sorted(os.listdir(sys.argv[1])):
        table.writerow([name, os.path.getsize(os.path.join(sys.argv[1], name)), 'a "b", c'])
""")
        self.write("g.yaml", """massflow: 1
cases: {count: 3, id: "p{id}"}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [16, 16, 16], spacing: [9, 9, 9]}}
  sizes: {use: exec.run, in: {volumes: "scan.volume[*]"},
          with: {command: "python3 {files} {volumes.nii} {out.table}", files: list.py}}
  back: {use: exec.run, in: {table: sizes.table}, with: {command: "cp {table} {out.table}"}}
  json: {use: exec.run, in: {table: sizes.table}, with: {command: "cp {table.json} {out.text.json}"}}
""")
        self.massflow("run", "g.yaml")
        texts = []
        for name in ("sizes", "back"):
            self.massflow("get", "g.yaml", name + ".table", "-o", name + ".csv")
            texts.append(self.read(name + ".csv"))
        self.assertEqual(texts[0], texts[1])
        rows = list(csv.reader(io.StringIO(texts[0])))
        self.assertEqual([row[0] for row in rows], ["case", "p000.nii", "p001.nii", "p002.nii"])
        self.assertEqual(rows[1][2], 'a "b", c')

    def test_a_picture(self):
        def chunk(kind, data):
            return (struct.pack(">I", len(data)) + kind + data +
                    struct.pack(">I", zlib.crc32(kind + data)))
        pixels = bytes(range(2 * 3 * 3))
        png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0)) +
               chunk(b"IDAT", zlib.compress(b"".join(b"\0" + pixels[i:i + 9] for i in (0, 9)))) +
               chunk(b"IEND", b""))
        self.write("a.png", png)
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: "cp {files} {out.image}", files: a.png}}
""")
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "it.image", "-o", "b.npy")
        self.assertEqual(read_npy(self.path("b.npy")), ((2, 3, 3), tuple(pixels)))

    def test_all_inputs_in_a_folder(self):
        self.command("python3 -c \"import os, sys; print(os.listdir(sys.argv[1]), file=open(sys.argv[2], chr(119)))\" {in} {out}/text.txt".replace("'", "''"), code=0)
        self.assertEqual(self.text(), "['text.txt']\n")

    def test_a_shell_where_asked(self):
        self.command("tr a-z A-Z <{text} | rev >{out.text}", more=", shell: true", code=0)
        self.assertEqual(self.text(), "OLLEH")

    def test_braces_and_quotes(self):
        self.command('python3 -c "print({{1: 2}}, file=open(\'\'{out.text}\'\', \'\'w\'\'))"', code=0)
        self.assertEqual(self.text(), "{1: 2}\n")

    def test_what_is_not_written_is_missing_below(self):
        self.write("g.yaml", """massflow: 1
cases: {count: 1}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [16, 16, 16], spacing: [9, 9, 9]}}
  it: {use: exec.run, each: case, in: {volume: scan.volume}, with: {command: "touch {out}/text.txt"}}
  found: {use: labels.masks, each: case, in: {labels: it}}
  may: {use: exec.run, each: case, in: {labels: it.labels, text: it.text}, with: {command: "cp {text} {out.text}"}}
""")
        out = self.massflow("run", "g.yaml", code=1)
        self.assertEqual(out[out.index("\nfailed: ") + 1:], """failed: found[case=000]
  it[case=000] did not produce the input of port 'labels'
  retry: massflow run g.yaml 'found[case=000]'
""")
        self.assertIn("finished: 3 run, 0 cached, 1 failed in TIME\n", out)
        self.assertIn("finished: 0 run, 3 cached, 1 failed in TIME\n",
                      self.massflow("run", "g.yaml", code=1))
        self.assertEqual(self.massflow("get", "g.yaml", "it.labels", "-o", "x.nii", code=2),
                         "massflow: error: it[case=000] has no output 'labels'\n"
                         "  it has: 'it[case=000].text'\n")
        # The only one that came out is meant.
        self.assertEqual(self.massflow("show", "g.yaml", "it").splitlines()[0].split()[0], "text")
        self.assertEqual(self.massflow("show", "g.yaml", "it.txt", code=2),
                         "massflow: error: exec.run has no output 'txt'; did you mean 'text'?\n"
                         "  outputs of exec.run: volume, labels, features, table, image, text, file\n")
        self.assertEqual(self.massflow("show", "g.yaml", "scan", code=2),
                         "massflow: error: scan[case=000] has several outputs; take one of them: "
                         "'scan[case=000].volume', 'scan[case=000].labels', 'scan[case=000].facts'\n")


LIST = """
import os, sys
with open(sys.argv[1], "w", encoding="utf-8") as out:
    for name in sys.argv[2:]:
        text = sorted(os.listdir(name)) if os.path.isdir(name) else open(name, encoding="utf-8").read()
        print(*text, sep="\\n" if isinstance(text, list) else "", file=out)
"""

# A table of one number, quickly.
TABLE = """{use: exec.run, each: %s, with: {shell: true, command: "echo n > {out.table}; echo 1 >> {out.table}"}}"""


class Gathered(Exec):
    """The files of elements: as many as elements, whatever these are called."""

    def listed(self, head, gather, command="{tables}"):
        """What a command finds in its folder of gathered tables."""
        self.write("list.py", LIST)
        self.write("g.yaml", f"""massflow: 1
{head}
  it:
    use: exec.run
    in: {{tables: {gather}}}
    with: {{files: list.py, command: "python3 {{files}} {{out.text}} {command}"}}
""")
        self.massflow("run", "g.yaml")
        return self.text().splitlines()

    def test_values_that_join_to_one_text(self):
        names = self.listed("""cases: {count: 1}
axes: {a: [x_y, x], b: [z, y_z]}
stages:
  t: """ + TABLE % "[case, a, b]", '"t.table[*]"')
        self.assertEqual(names, ["000_x_y_y_z.csv", "000_x_y_z-1e2cc3a3.csv",
                                 "000_x_y_z-91c0c9e8.csv", "000_x_z.csv"])
        # The index says which is which, in the order of elements.
        lines = self.listed("""cases: {count: 1}
axes: {a: [x_y, x], b: [z, y_z]}
stages:
  t: """ + TABLE % "[case, a, b]", '"t.table[*]"', "{tables.index}")
        self.assertEqual(lines, ["name,case,a,b", "000_x_y_z-91c0c9e8,000,x_y,z",
                                 "000_x_y_y_z,000,x_y,y_z", "000_x_z,000,x,z",
                                 "000_x_y_z-1e2cc3a3,000,x,y_z", ""])

    def test_case_long_and_odd_names(self):
        """Names that differ in case alone, that are too long, hidden, or like an option."""
        ids = ["P1", "p1", ".hidden", "-rf", "l" * 240 + "1", "l" * 240 + "2", "\u00e4" * 130, "a b:c;d"]
        head = ("cases: {list: [" + ", ".join(f'{{id: "{name}"}}' for name in ids) +
                "]}\nstages:\n  t: " + TABLE % "case")
        names = self.listed(head, '"t.table[*]"')
        self.assertEqual(len(names), len(ids))
        self.assertEqual(len({name.lower() for name in names}), len(ids))
        self.assertTrue(all(len(os.fsencode(name)) <= 204 and name[0] not in ".-" for name in names), names)
        for pattern in ("P1-[0-9a-f]{8}", "p1-[0-9a-f]{8}", "_hidden-[0-9a-f]{8}", "_rf-[0-9a-f]{8}",
                        "l{191}-[0-9a-f]{8}", "\u00e4{95}-[0-9a-f]{8}", "a b:c;d"):
            self.assertTrue([name for name in names if re.fullmatch(pattern + r"\.csv", name)],
                            (pattern, names))

    def test_one_case_of_two_stages(self):
        names = self.listed("cases: {list: [{id: p}, {id: p-2}]}\nstages:\n  t: " + TABLE % "case" +
                            "\n  u: " + TABLE % "case", '["t.table[*]", "u.table[*]"]',
                            "{tables.index} {tables}")
        self.assertEqual(names[:5], ["name,case", "p,p", "p-2,p-2", "p-2-2,p", "p-2-2-2,p-2"])
        self.assertEqual(names[6:], ["p-2-2-2.csv", "p-2-2.csv", "p-2.csv", "p.csv"])

    def test_each_form_has_a_folder(self):
        names = self.listed("cases: {count: 2}\nstages:\n  t: " + TABLE % "case", '"t.table[*]"',
                            "{tables} {tables.json} {tables} {in}")
        self.assertEqual(names, ["000.csv", "001.csv", "000.json", "001.json", "000.csv", "001.csv",
                                 "tables", "tables_json"])


class Values(Exec):
    """What comes from a case is one piece of text, never parted, filled in, or run."""

    ODD = ["a b", "$(touch PWN)", "x;touch PWN", "{in}", "it''s `touch PWN` \"q\" \\\\", "012"]

    def echoed(self, command, shell):
        cases = ", ".join("{id: c%d, v: '%s'}" % (i, v.replace("\\\\", "\\"))
                          for i, v in enumerate(self.ODD))
        command = command.replace("'", "''")
        self.write("g.yaml", f"""massflow: 1
cases: {{list: [{cases}]}}
stages:
  it:
    use: exec.run
    each: case
    with: {{shell: {shell}, command: '{command}'}}
""")
        self.massflow("run", "g.yaml")
        texts = []
        for i in range(len(self.ODD)):
            self.massflow("get", "g.yaml", f"it[case=c{i}].text", "-o", "it.txt")
            texts.append(self.read("it.txt"))
        return texts

    def expected(self, form):
        return [form % v.replace("''", "'").replace("\\\\", "\\") for v in self.ODD]

    def test_without_a_shell(self):
        print_all = """python3 -c "import sys; open(sys.argv[1], 'w').write('|'.join(sys.argv[2:]))" {out.text} """
        self.assertEqual(self.echoed(print_all + "${case.v} -${case.v}- end", "false"),
                         ["|".join((v, f"-{v}-", "end")) for v in self.expected("%s")])

    def test_in_a_shell(self):
        for written in ("${case.v}", '"${case.v}"', "'${case.v}'", '"$(printf %s ${case.v})"',
                        "a\\ b${case.v}"):
            with self.subTest(written):
                form = "a b%s|end" if written.startswith("a") else "%s|end"
                self.assertEqual(self.echoed("printf '%s|' " + written + " >{out.text}; printf end >>{out.text}",
                                             "true"), self.expected(form))
        # A ' is the only character that ends a quoted value, and words stay words.
        self.assertEqual(self.echoed("for v in ${case.v}; do echo [$#:\"$v\"]; done >{out.text}", "true"),
                         self.expected("[0:%s]\n"))

    def refused(self, command, shell="true"):
        command = command.replace("'", "''")
        self.write("g.yaml", f"""massflow: 1
cases: {{list: [{{id: "a b"}}]}}
stages:
  it: {{use: exec.run, each: case, with: {{shell: {shell}, command: '{command}'}}}}
""")
        out = self.massflow("run", "g.yaml", code=2)
        return out[out.index("error: "):].splitlines()[0]

    def test_where_no_quoting_helps(self):
        for command in ("echo `echo ${case.id}` >{out.text}", "cat <<E >{out.text}\n${case.id}\nE",
                        "echo $${{X:-${case.id}}} >{out.text}", "echo {out.text} # ${case.id}",
                        "case x in x) echo ${case.id} >{out.text};; esac"):
            with self.subTest(command):
                self.assertEqual(self.refused(command), "error: exec.run: 'command': \"a b\" stands "
                                 "where it can't be quoted for the shell")
        self.assertEqual(self.refused("sh -c 'echo ${case.id} >$0' {out.text}", "false"),
                         "error: exec.run: 'command': a value of a case or an axis stands in the script "
                         "for sh, which would run it: echo {'a b'} >$0")
        self.assertEqual(self.refused("env X=1 /bin/bash -ec 'echo ${case.id} >$0' {out.text}", "false"),
                         "error: exec.run: 'command': a value of a case or an axis stands in the script "
                         "for /bin/bash, which would run it: echo {'a b'} >$0")

    def test_paths_with_blanks_in_a_shell(self):
        os.mkdir(self.path("my scripts"))
        self.write("my scripts/it.sh", "echo here")
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {shell: true, files: my scripts/it.sh, command: "sh {files} >{out.text}"}}
""")
        self.massflow("run", "g.yaml")
        self.assertEqual(self.text(), "here\n")


class Tables(Exec):
    def table(self, text):
        """A table that a command writes, as massflow understands it."""
        self.write("t.csv", text)
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {files: t.csv, command: "cp {files} {out.table}"}}
""")
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "it", "-o", "it.csv")
        with open(self.path("it.csv"), encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    def test_as_spreadsheets_write_them(self):
        self.assertEqual(self.table(b'\xef\xbb\xbf"case";"ml"\r\n"p;1";2.5\r\np2;3\r\n'),
                         [["case", "ml"], ["p;1", "2.5"], ["p2", "3"]])
        self.assertEqual(self.table(b"case\tml\na,b\t1\n"), [["case", "ml"], ["a,b", "1"]])
        # A decimal comma is text, never another number.
        self.assertEqual(self.table(b"case;ml\np1;1,5\n"), [["case", "ml"], ["p1", "1,5"]])
        self.assertIn("1,5", self.massflow("show", "g.yaml", "it"))
        self.assertEqual(self.table(b'"a;b",c\n1,2\n'), [["a;b", "c"], ["1", "2"]])

    def test_what_is_no_plain_number_comes_back_as_it_was(self):
        header = "case,big,long,hex,far,real"
        rows = ["001,9007199254740993,9007199254740991,0x10,1e999,1.50",
                "002,9007199254740992,1234567890123456,0x11,2,2.25"]
        self.assertEqual(self.table("\n".join([header, *rows, ""]).encode()),
                         [header.split(","), rows[0].replace("1.50", "1.5").split(","), rows[1].split(",")])

    def joined(self, values):
        """A table of each case, joined."""
        self.write("g.yaml", """massflow: 1
cases:
  list: [{id: "007", v: "%s"}, {id: "101", v: "%s"}]
stages:
  it: {use: exec.run, each: case,
       with: {shell: true, command: "printf 'id,v\\n${case.id},${case.v}\\n' > {out.table}"}}
  all: {use: table.join, in: {tables: "it.table[*]"}}
""" % values)

    def test_whole_numbers_join_texts(self):
        self.joined(("1", "2.5"))
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "all", "-o", "all.csv")
        lines = self.read("all.csv").split()
        self.assertEqual(lines, ["case,id,v", "007,007,1", "101,101,2.5"])
        self.joined(("x", "2.5"))
        self.assertIn("the column 'v' holds texts in some tables, and in that of it[case=101] the number 2.5",
                      self.massflow("run", "g.yaml", code=1))


class Outputs(Exec):
    """What a command leaves where an output is to be: only a file is read."""

    LINK = "is a link, not a file\n  the command must write the file itself, or copy it there\n"

    def test_no_file(self):
        for command, words in (
                ("mkfifo {out.text}", "is a pipe, not a file\n  write the bytes to a file, and name that\n"),
                ("ln -s /dev/zero {out.text}", self.LINK), ("ln -s /nowhere {out.text}", self.LINK),
                ("ln -s /etc/passwd {out.text}", self.LINK),
                ("mkdir {out.text}", "is a folder, not a file\n")):
            self.assertEqual(self.command(command), "failed: it\n  FOLDER/out/text.txt: " + words + REPEAT)
        # Where the command was given the folder alone, what has the name of an output is one.
        self.assertEqual(self.command("ln -s /dev/zero {out}/table.csv"),
                         "failed: it\n  FOLDER/out/table.csv: " + self.LINK + REPEAT)

    READ = "has more than the %d bytes that are read\n  the command must write less to it\n"
    MORE = "  if this is intended, raise the limit: disk_limit: %s\n"

    def test_a_file_without_end(self):
        """It is ended while it writes, with all that it started, and what it wrote is removed."""
        text = "FOLDER/out/text.txt: " + self.READ % (64 << 20)
        folder = "the command has written more than 0.1 GB to its folder, FOLDER\n" + self.MORE % "0.2"
        for command, words, limit in (
                ("exec yes >$0", text, "16"),
                ("trap : TERM; while :; do yes; done >$0", text, "16"),
                ("yes >$0 & setsid yes >more & wait", text, "16"),
                ("exec yes >scratch", folder, "0.1"),
                ("mkdir a; while :; do i=x$i; yes | head -c 10000000 >a/$i; done", folder, "0.1")):
            self.assertEqual(self.command(f'sh -c "{command}" {{out.text}}', more=", disk_limit: " + limit),
                             "failed: it\n  " + words + REPEAT)
            self.assertEqual(os.listdir(self.temporary), [])

    def test_a_large_file_of_one_that_has_ended(self):
        self.assertEqual(self.command("truncate -s 1T {out.text}"),
                         "failed: it\n  FOLDER/out/text.txt: " + self.READ % (64 << 20) + REPEAT)
        self.assertEqual(self.command("truncate -s 300M {out}/table.csv"),
                         "failed: it\n  FOLDER/out/table.csv: " + self.READ % (256 << 20) + REPEAT)
        # One with holes takes no place on the disk, but memory once it is read.
        for name in ("features.npy", "labels.nii.gz", "image.png"):
            self.assertEqual(self.command("truncate -s 17G {out}/" + name),
                             f"failed: it\n  FOLDER/out/{name}: has more than 16 GB\n" + self.MORE % 32 + REPEAT)

    def test_what_is_no_output(self):
        """It may be as large as it has to, and holes count for nothing."""
        self.command("truncate -s 1T more; truncate -s 100M {out}/text.txt; echo a >{out.text.json}",
                     more=", shell: true", code=0)
        # What it was given is not what it wrote.
        for limit, code in (("0.0045", 0), ("0.004", 1)):
            self.write("g.yaml", """massflow: 1
stages:
  scan: {use: phantom.volume, with: {size: [128, 128, 128]}}
  it: {use: exec.run, in: {volume: scan.volume}, with: {command: "cp {volume.nii} {out.volume.nii}", disk_limit: %s}}
""" % limit)
            out = self.massflow("run", "g.yaml", code=code)
            if code:
                self.assertIn("\nfailed: it\n  FOLDER/out/volume.nii: has more than 0.004 GB\n" + self.MORE % "0.008",
                              out)
            shutil.rmtree(self.path(".massflow"))

    def test_a_limit_is_no_part_of_the_key(self):
        self.command("touch {out.text}", code=0)
        self.assertIn("finished: 0 run, 2 cached", self.command("touch {out.text}", more=", disk_limit: 1", code=0))

    def test_the_folder_itself(self):
        self.assertEqual(self.command("mv {out} {out}.away"), """failed: it
  the command has removed its folder for outputs, FOLDER/out
""" + REPEAT)
        self.assertEqual(self.command("mv {out} {out}.away; ln -s out.away {out}", more=", shell: true"),
                         """failed: it
  the command has replaced its folder for outputs, FOLDER/out, by a link
""" + REPEAT)

    def test_a_scan_of_two_files(self):
        self.write("two.py", """
import sys
with open(sys.argv[1], "w") as file:
    file.write("ObjectType = Image\\nNDims = 3\\nDimSize = 2 2 2\\nElementType = MET_UCHAR\\n"
               "ElementDataFile = it.raw\\n")
with open(sys.argv[1].replace("volume.mha", "it.raw"), "w") as file:
    file.write("12345678")
""")
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {files: two.py, command: "python3 {files} {out.volume.mha}"}}
""")
        out = self.massflow("run", "g.yaml", code=1)
        self.assertEqual(out[out.index("\nfailed: ") + 1:], """failed: it
  FOLDER/out/volume.mha: has its voxels in another file, it.raw
  an output is one file: .nii.gz, .nrrd or .mha with the voxels inside
""" + REPEAT)


class Temporary(Exec):
    """TMPDIR: of any length, of any characters; and where it can't be used."""

    def uses(self, folder, shell=False, limits=""):
        os.makedirs(folder, exist_ok=True)
        self.temporary = folder
        if shell:
            self.command("(pwd; cat {text}) >{out.text}", more=", shell: true", code=0, limits=limits)
        else:
            self.command('sh -c "(pwd; cat <$1) >$0" {out.text} {text}', code=0, limits=limits)
        self.assertRegex(self.text(), "^" + re.escape(os.path.realpath(folder)) + "/massflow-exec-......\nhello$")
        self.assertEqual(os.listdir(folder), [])
        shutil.rmtree(self.path(".massflow"))

    def test_of_any_length(self):
        folder = os.path.join(self.folder, *["long" * 60] * 14)
        self.assertGreater(len(folder), 3300)
        for limits in ("", "isolate: true, "):
            self.uses(folder, limits=limits)

    def test_of_any_characters(self):
        for shell in (False, True):
            self.uses(self.path("a b'c\"d$(touch PWN){in}`e`;*\u00e4\n-"), shell)
        self.assertFalse(os.path.exists(self.path("PWN")))

    def refused(self, folder, why):
        out = self.massflow("run", "g.yaml", code=1, TMPDIR=folder)
        self.assertEqual(out[out.index("\nfailed: ") + 1:], f"""failed: it
  no folder could be made in {folder}: {why}
  TMPDIR in the environment names another place
""" + REPEAT)

    def massflow(self, *words, code=0, **env):
        if "TMPDIR" in env:
            self.temporary = env.pop("TMPDIR")
        return super().massflow(*words, code=code, **env)

    def test_where_there_is_none(self):
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: "touch {out.text}"}}
""")
        self.refused(self.path("none"), "No such file or directory")
        self.write("file", "")
        self.refused(self.path("file"), "Not a directory")
        self.refused(self.path("x" * 300), "File name too long")
        if os.geteuid():
            os.mkdir(self.path("closed"), 0o500)
            self.refused(self.path("closed"), "Permission denied")


class Hints(Exec):
    def test_a_script_that_is_not_there(self):
        self.assertIn("""  there is no 'score.py' in the folder where the command runs, nor in """
                      f"""{os.path.realpath(self.folder)}; a script is given as 'files', and is {{files}} in the command
""", self.command("python3 score.py {out.text}"))
        self.write("score.py", "")
        self.assertIn(f"""  'score.py' lies in {os.path.realpath(self.folder)}, but a command runs in a folder of """
                      """its own: give it as 'files: score.py', and write {files} in the command
""", self.command("python3 score.py {out.text}"))
        os.mkdir(self.path("all"))
        self.write("all/score.py", "")
        self.assertIn("""  'score.py' lies in the folder 'files': it is {files}/score.py in the command
""", self.command("python3 score.py {out.text}", more=", files: all"))
        self.assertIn("error: exec.run: 'files' is '", self.command("python3 {files} {out.text}", code=2,
                                                                   more=", files: none.py"))

    def test_a_reader_advises_nothing_that_a_command_lacks(self):
        """volume.load would say: nonfinite: zero replaces them by 0."""
        self.write("nan.py", """
import struct, sys
header = struct.pack("<i", 348) + bytes(36) + struct.pack("<8h", 3, 2, 2, 2, 1, 1, 1, 1) + bytes(14)
header += struct.pack("<hh", 16, 32) + bytes(2) + struct.pack("<8f", 1, 1, 1, 1, 1, 1, 1, 1)
header += struct.pack("<f", 352) + bytes(348 - 112)
with open(sys.argv[1], "wb") as file:
    file.write(header[:344] + b"n+1\\0" + bytes(4) + struct.pack("<8f", *[float("nan")] * 8))
""")
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: "python3 {files} {out.volume.nii}", files: nan.py}}
""")
        out = self.massflow("run", "g.yaml", code=1)
        self.assertEqual(out[out.index("\nfailed: ") + 1:], """failed: it
  FOLDER/out/volume.nii: 8 voxels are not a number and 0 are infinite, of 8
  the command must write one finite value per voxel, on the grid of its input
""" + REPEAT)


class Errors(Exec):
    def test_not_found(self):
        self.assertEqual(self.command("segx {text} {out.text}"), """failed: it
  there is no command 'segx' in PATH
""" + REPEAT)

    def test_exit_status_and_last_lines(self):
        out = self.command('python3 -c "import sys; print(1); print(2, file=sys.stderr); sys.exit(3)" {out}')
        self.assertIn("'python3' ended with exit status 3\n  last lines that it printed:\n", out)
        self.assertEqual(sorted(re.findall(r"  \| (.*)", out)), ["1", "2"])

    def test_nothing_written(self):
        self.assertEqual(self.command("touch {out}/label.nii.gz {out.labels.nii.gz}.tmp"), """failed: it
  the command succeeded, but did not write {out.labels}: out/labels.nii.gz
  in {out} there is: """ + "label.nii.gz labels.nii.gz.tmp\n" + REPEAT)
        self.assertEqual(self.command("true {out}"), """failed: it
  the command succeeded, but did not write a file that is an output
  in {out} there is: nothing
""" + REPEAT)

    def test_a_wrong_shape(self):
        self.write("cut.py", """
import struct, sys
header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }".ljust(117) + "\\n"
with open(sys.argv[1], "wb") as file:
    file.write(b"\\x93NUMPY\\1\\0" + struct.pack("<H", 118) + header.encode() + bytes(24))
""")
        self.write("g.yaml", """massflow: 1
cases: {count: 1}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [16, 18, 20], spacing: [9, 9, 9]}}
  it: {use: exec.run, each: case, in: {volume: scan.volume},
       with: {command: "python3 {files} {out.labels.npy}", files: cut.py}}
""")
        out = self.massflow("run", "g.yaml", code=1)
        self.assertEqual(out[out.index("\nfailed: ") + 1:], """failed: it[case=000]
  FOLDER/out/labels.npy: has the shape [2, 3, 4]; the input's is [20, 18, 16] (z, y, x)
  a result on another grid comes back as .nii.gz, which says where it lies
  retry: massflow run g.yaml 'it[case=000]'
""")

    def test_killed(self):
        self.assertEqual(self.command('sh -c "kill -9 $$" {out}'), """failed: it
  'sh' was killed by SIGKILL (Killed)
""" + REPEAT)

    def test_time_out(self):
        for isolate in ("", "isolate: true, "):
            self.assertEqual(self.command("sleep 100; true {out}", limits=isolate + "timeout: 0.2, ",
                                          more=", shell: true"), """failed: it
  it ran longer than its timeout of 0.2 s
""" + REPEAT)

    def test_a_crashed_command_is_tried_again(self):
        out = self.command('sh -c "test -f $0 && cp $0 $1; test -f $0 || {{ touch $0; exit 7; }}" '
                           + self.path("seen") + " {out.text}", limits="retries: 1, ", code=0)
        self.assertIn("it: attempt 1 of 2 failed, retrying: 'sh' ended with exit status 7\n", out)

    def test_the_folder_is_kept_where_asked(self):
        out = self.command("false {text} {out}", more=", keep: true")
        self.assertEqual(out, """failed: it
  'false' ended with exit status 1
  its files are in FOLDER
""" + REPEAT)

    def test_a_file_that_is_no_part_of_the_key_is_said(self):
        self.write("other.py", "")
        out = self.command(f"cp {self.path('other.py')} {{out.text}}", code=0)
        self.assertIn(f"it: {self.path('other.py')} is not part of the key: given as 'files' it is, "
                      "and is {files} in the command\n", out)

    def request(self, command, more=""):
        out = self.command(command, code=2, more=more)
        return out[out.index("error: "):].splitlines()[0]

    def test_requests_that_are_wrong(self):
        self.assertEqual(self.request("x {lables} {out}"),
                         "error: exec.run: 'command': {lables} is unknown")
        self.assertEqual(self.request("x {volume.png} {out}"),
                         "error: exec.run: 'command': volume can't be a .png file")
        self.assertEqual(self.request("x {files} {out}"),
                         "error: exec.run: 'command' takes {files}, but 'files' is not given")
        self.assertEqual(self.request("x {text}"),
                         "error: exec.run: 'command' names no output")
        self.assertEqual(self.request('x "{out}'),
                         "error: exec.run: 'command': a quote is not closed")
        self.assertEqual(self.request("x {out"),
                         "error: exec.run: 'command': a brace is not closed")
        self.assertEqual(self.command("x {labels} {out}"), """failed: it
  the command takes {labels}, but nothing is connected to it
""" + REPEAT)

    def test_an_interrupt_ends_the_command(self):
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: 'sh -c "echo $$; exec sleep 100" {out}'}}
""")
        run = self.start("run", "g.yaml")
        command = os.pidfd_open(int(self.until(run, r"^it: (\d+)$").group(1)))
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)
        with self.assertRaises(ProcessLookupError):
            signal.pidfd_send_signal(command, 0)
        os.close(command)


if __name__ == "__main__":
    main(1)
