#!/usr/bin/env python3
"""Results belong to what was read: test_inputs.py MASSFLOW COUNTING.so STEPS.so

Files that name others, files that change under a run, and what is not part of a folder.
"""
import hashlib
import os
import shutil
import struct
import sys

from harness import Pipeline, main, nifti_header

STEPS = os.path.abspath(sys.argv[3])

# A command that goes first (the plan ranks it so) and does something to the files of what follows.
MEDDLE = """massflow: 1
isolate: ISOLATE
stages:
  first: {use: exec.run, with: {command: "sh {files} {out.text}", files: meddle.sh}}
  text: {use: count.load, with: {path: "scans/a.txt"}}
  second: {use: exec.run, in: {text: first}, with: {command: "sh {files} {out.text}", files: second.sh}}
  both: {use: count.join, in: {texts: [text, first, second]}}
"""


class Inputs(Pipeline):
    PLUGINS = (*Pipeline.PLUGINS, STEPS)

    def old(self, *names):
        """Long enough ago, so that a change shows in the times of a file system of any kind."""
        for name in names:
            os.utime(self.path(name), (1e9, 1e9))


class Headers(Inputs):
    """What a header points to is read, so it is in the key."""

    GRAPH = """massflow: 1
cases: {glob: "{id}/head.txt"}
stages:
  text: {use: count.header, each: case, with: {path: "${case.path}"}}
"""

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", self.GRAPH)
        for patient in ("p1", "p2"):
            os.mkdir(self.path(patient))
            self.write(f"{patient}/head.txt", "voxels.raw\n")
            self.write(f"{patient}/voxels.raw", f"of {patient}\n")

    def test_equal_headers_with_other_voxels_are_other_scans(self):
        self.massflow("run", "-j", "1")
        self.assertEqual(self.runs(), ["load of p1", "load of p2"])
        self.assertIn("of p1", self.massflow("show", "text[case=p1]"))
        self.assertIn("of p2", self.massflow("show", "text[case=p2]"))
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_new_voxels_under_an_old_header_run_again(self):
        self.massflow("run")
        self.runs()
        self.write("p1/voxels.raw", "anew p1\n")
        self.assertRegex(self.massflow("why", "text[case=p1]"), r"^text\[case=p1\]: to run\n"
                         r"  content of path: [0-9a-f]{12} -> [0-9a-f]{12}\n$")
        self.massflow("run")
        self.assertEqual(self.runs(), ["load anew p1"])

    def test_missing_voxels_fail_before_anything_runs(self):
        os.remove(self.path("p1/voxels.raw"))
        out = self.massflow("run", code=1)
        self.assertIn(f"failed: text[case=p1]\n  cannot read '{self.path('p1/voxels.raw')}': "
                      "No such file or directory\n", out)
        self.assertEqual(self.runs(), ["load of p2"])

    def test_a_file_alone_keeps_its_key(self):
        """A path with nothing beside it has the digest of its bytes, as ever."""
        self.write("graph.yaml", self.GRAPH.replace("count.header", "count.load"))
        self.massflow("run", "text[case=p1]")
        out = hashlib.sha256(self.read_bytes("p1/head.txt")).hexdigest()[:12]
        self.write("p1/head.txt", "other\n")
        self.assertIn(f"content of path: {out} -> ", self.massflow("why", "text[case=p1]"))


class Scans(Inputs):
    """Scans of two files: patients with equal headers are told apart by their voxels."""

    GRAPH = """massflow: 1
cases: {list: [{id: p1, path: p1/FILE}, {id: p2, path: p2/FILE}]}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: mr}}
  labels: {use: labels.load, each: case, with: {path: "${case.path}"}}
"""
    MHD = ("ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
           "ElementSpacing = 2 2 2\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
           "ElementDataFile = ct.raw\n")
    NHDR = ("NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\n"
            "space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,2)\n"
            "endian: little\nencoding: raw\ndata file: ct.raw\n")
    NII = nifti_header((4, 4, 4), spacing=(2, 2, 2), magic=b"ni1\0")

    def make(self, name, header, voxels):
        for number, patient in enumerate(("p1", "p2"), 1):
            os.makedirs(self.path(patient), exist_ok=True)
            self.write(f"{patient}/{name}", header)
            self.write(f"{patient}/{voxels}", struct.pack("<64h", *[100 * number] * 63, 0))
        self.write("graph.yaml", self.GRAPH.replace("FILE", name))

    def test_equal_headers(self):
        for name, header, voxels in (("ct.mhd", self.MHD.encode(), "ct.raw"),
                                     ("ct.nhdr", self.NHDR.encode(), "ct.raw"),
                                     ("t.hdr", self.NII, "t.img"),
                                     ("u.img", None, "u.img")):
            with self.subTest(name=name):
                if name == "u.img":  # a pair may be named by its voxels
                    self.make("u.hdr", self.NII, voxels)
                    self.write("graph.yaml", self.GRAPH.replace("FILE", name))
                else:
                    self.make(name, header, voxels)
                self.massflow("run", "-j", "1")
                for stage in ("scan", "labels"):
                    for number in (1, 2):
                        self.assertIn(f"max {number}00 ",
                                      self.massflow("show", f"{stage}[case=p{number}]"))
                self.assertIn("finished: 0 run, 4 cached", self.massflow("run"))
                self.write(f"p1/{voxels}", struct.pack("<64h", *[7] * 63, 0))
                self.assertIn("content of path", self.massflow("why", "scan[case=p1]"))
                self.massflow("run")
                for stage in ("scan", "labels"):
                    self.assertIn("max 7 ", self.massflow("show", f"{stage}[case=p1]"))

    def test_voxels_replaced_under_a_run(self):
        self.make("ct.mhd", self.MHD.encode(), "ct.raw")
        self.write("meddle.sh", f"cp {self.path('p2/ct.raw')} {self.path('p1/ct.raw')}; echo x > $1")
        self.write("graph.yaml", """massflow: 1
stages:
  first: {use: exec.run, with: {command: "sh {files} {out.text}", files: meddle.sh}}
  second: {use: exec.run, in: {text: first}, with: {command: "cp {text} {out.text}"}}
  scan: {use: volume.load, with: {path: p1/ct.mhd, modality: mr}}
""")
        out = self.massflow("run", "-j", "1", code=1)
        self.assertIn("failed: scan\n"
                      f"  {self.path('p1/ct.raw')} changed after the run was planned: the result was discarded\n", out)

    def test_voxels_outside_of_the_header_s_folder(self):
        self.make("ct.mhd", self.MHD.replace("= ct.raw", "= ../p2/ct.raw").encode(), "ct.raw")
        out = self.massflow("run", code=1)
        self.assertIn("p2/ct.raw", out)
        self.assertIn("failed: scan[case=p1]", out)


class Changed(Inputs):
    """A file that is written between the plan and the end of the stage that reads it."""

    def meddle(self, script, isolate="false", code=1):
        self.write("meddle.sh", script + "; echo x > $1\n")
        self.write("second.sh", "echo one > $1\n")
        self.old("meddle.sh", "second.sh", "scans/a.txt")
        self.write("graph.yaml", MEDDLE.replace("ISOLATE", isolate))
        return self.massflow("run", "-j", "1", code=code)

    def check_refused(self, out, what, node):
        path = self.path(what)
        self.assertIn(f"failed: {node}\n"
                      f"  {path} changed after the run was planned: the result was discarded\n"
                      "  run again to use the new content\n", out)

    def check_next(self, what, back):
        """With the old content the next run has the old result, with the new one the new."""
        node, old = ("second.text", "one") if "second" in what else ("text", "text a")
        new = self.read(what)
        self.write("meddle.sh", "echo x > $1\n")
        for content, expected in ((back, old), (new, "two")):
            self.write(what, content)
            self.massflow("run")
            self.assertIn(expected, self.massflow("show", node))

    def test_a_scan_replaced_before_it_is_read(self):
        for isolate in ("false", "true"):
            with self.subTest(isolate=isolate):
                shutil.rmtree(self.path(".massflow"), ignore_errors=True)
                self.write("scans/a.txt", "text a\n")
                # `text` waits for the command by the one slot: the command takes it first.
                out = self.meddle(f"echo two > {self.path('scans/a.txt')}", isolate)
                self.check_refused(out, "scans/a.txt", "text")
                self.check_next("scans/a.txt", "text a\n")

    def test_a_command_edited_and_reverted(self):
        out = self.meddle(f"echo 'echo two > $1' > {self.path('second.sh')}")
        self.check_refused(out, "second.sh", "second")
        self.check_next("second.sh", "echo one > $1\n")

    def test_touched_but_the_same(self):
        self.meddle(f"touch {self.path('second.sh')} {self.path('scans/a.txt')}", code=0)

    def test_written_while_the_stage_runs_though_reverted(self):
        """The content is the same before and after, but not what the stage may have read."""
        mine = self.path("meddle.sh")
        out = self.meddle(f"cp -p {mine} {mine}.kept; echo '# more' >> {mine}; "
                          f"cat {mine}.kept > {mine}; touch -r {mine}.kept {mine}")
        self.assertIn(
            f"failed: first\n  {mine} changed while the stage ran: the result was discarded\n"
            "  run again once nothing writes to it; a command that writes beside its own "
            "files has to write to {out} or elsewhere\n", out)

    def test_a_new_mode_is_no_new_content(self):
        self.meddle(f"chmod 600 {self.path('meddle.sh')}", code=0)

    def test_a_command_that_writes_to_its_own_folder_is_told(self):
        os.mkdir(self.path("mine"))
        self.write("mine/do.sh", "echo x > mine.log; echo x > $1; echo x > ${0%/*}/my.log\n")
        self.write("graph.yaml", """massflow: 1
stages:
  first: {use: exec.run, with: {command: "sh {files}/do.sh {out.text}", files: mine}}
""")
        out = self.massflow("run", code=1)
        self.assertIn(f"{self.path('mine')} changed while the stage ran (last: my.log): the result was discarded\n", out)

    def test_a_state_of_another_file_is_not_saved(self):
        graph = """massflow: 1
params: {write: -1}
isolate: ISOLATE
stages: {numbers: {use: steps.do, with: {steps: 6, file: in.txt, write: "${write}"}}}
"""
        for isolate in ("false", "true"):
            with self.subTest(isolate=isolate):
                self.write("graph.yaml", graph.replace("ISOLATE", isolate))
                self.write("in.txt", f"{isolate}\n")
                self.old("in.txt")
                out = self.massflow("run", "--set", "write=3", code=1)
                self.assertIn(f"{self.path('in.txt')} changed while the stage ran: the result was discarded", out)
                self.assertEqual(self.runs(), ["step 0", "step 1", "step 2", "step 3"])
                self.write("in.txt", f"{isolate}\n")
                self.massflow("run")
                self.assertEqual(self.runs(), ["step 3", "step 4", "step 5"])


class Ignored(Inputs):
    """What systems and editors leave in folders is not part of their content."""

    LEFT = ["__pycache__/do.cpython-311.pyc", ".DS_Store", "._do.sh", "Thumbs.db", "desktop.ini",
            ".git/HEAD", ".hg/x", ".svn/x", ".do.sh.swp", ".do.sh.swo", ".nfs00ab",
            ".ipynb_checkpoints/a.ipynb", "below/__pycache__/x.pyc", ".mypy_cache/x",
            ".ruff_cache/x", ".pytest_cache/x", ".idea/x", ".vscode/x", "__MACOSX/x", "@eaDir/x",
            ".fuse_hidden0001", "#do.sh#", ".do.sh.kate-swp", ".~lock.do.sh#"]
    COUNTED = [".hidden", "a.swp", ".swp", "below/.gitignore", "pycache/x", "Thumbs.db.txt", "do.sh~", "#do.sh"]

    def test_what_is_left_behind(self):
        os.makedirs(self.path("mine/below"))
        self.write("mine/do.sh", "echo x > $1; for f in "
                   + " ".join(f"'{name}'" for name in self.LEFT)
                   + "; do mkdir -p ${0%/*}/$(dirname $f); echo x > ${0%/*}/$f; done\n")
        self.write("mine/below/other.sh", "")
        self.write("graph.yaml", """massflow: 1
stages:
  first: {use: exec.run, with: {command: "sh {files}/do.sh {out.text}", files: mine}}
""")
        self.assertIn("finished: 1 run, 0 cached", self.massflow("run"))
        self.assertTrue(os.path.exists(self.path("mine/.git/HEAD")))
        os.symlink("someone@host.4711:1", self.path("mine/.#do.sh"))  # as Emacs locks a file
        self.assertIn("finished: 0 run, 1 cached", self.massflow("run"))
        for name in self.COUNTED:
            with self.subTest(name=name):
                os.makedirs(os.path.dirname(self.path(f"mine/{name}")), exist_ok=True)
                self.write(f"mine/{name}", "x")
                self.assertIn("content of files", self.massflow("why", "first"))
                os.remove(self.path(f"mine/{name}"))

    def test_a_python_command_runs_once(self):
        os.mkdir(self.path("mine"))
        self.write("mine/helper.py", "X = 1\n")
        self.write("mine/main.py", "import sys, helper\nopen(sys.argv[1], 'w').write('done')\n")
        self.write("graph.yaml", """massflow: 1
cases: {count: 3}
stages:
  it: {use: exec.run, each: case,
       with: {command: "python3 {files}/main.py {out.text} ${case.index}", files: mine}}
""")
        env = os.environ
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
            env.pop(name, None)
        self.assertIn("finished: 3 run, 0 cached", self.massflow("run"))
        self.assertTrue(os.path.isdir(self.path("mine/__pycache__")))
        self.assertIn("finished: 0 run, 3 cached", self.massflow("run"))


if __name__ == "__main__":
    main(3)
