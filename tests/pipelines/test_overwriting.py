#!/usr/bin/env python3
"""Nothing of the user's is overwritten: test_overwriting.py MASSFLOW

Every command that writes a file, against files that massflow did not write, that were changed since
it did, and that it reads.
"""
import os
import re
import shutil
import stat

from harness import MASSFLOW, Commands, dicom_file, flags, main

GRAPH = """massflow: 1
params: {{word: one}}
cases: {{csv: cases.csv}}
stages:
  it: {{use: exec.run, each: case, with: {{files: in, command: 'sh -c "cat $0/a.txt >$1; echo $2 >>$1" {{files}} {{out.text}} ${{word}}'}}}}
  scan: {{use: volume.load, with: {{path: scan/ct.mhd}}}}
{more}"""
MHD = ("ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
       "Offset = 0 0 0\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nElementDataFile = ct.raw\n")
FOREIGN = ": exists, and massflow did not write it or it has changed since\n"
NO_FILE = ", not a file\n  name a file; one that is not there is made\n"
REMEDY = "  --force replaces it; or name another file\n"
OF_RUN = REMEDY.replace("--force", "--overwrite")
ERROR = "massflow: error: "


class Overwriting(Commands):
    def setUp(self):
        super().setUp()
        self.state = self.path("state")
        os.mkdir(self.path("in"))
        self.write("in/a.txt", "a\n")
        self.write("cases.csv", "id\np1\n")
        os.mkdir(self.path("scan"))
        self.write("scan/ct.mhd", MHD)
        self.write("scan/ct.raw", "".join(chr(65 + i) for i in range(24)))
        self.graph()

    def graph(self, more=""):
        self.write("g.yaml", GRAPH.format(more=more))

    def environment(self):
        return {**super().environment(), "XDG_STATE_HOME": self.state}

    def text_of(self, name, *words, code=0):
        return self.massflow("get", "g.yaml", "it[case=p1].text", "-o", name, *words, code=code)


class Exports(Overwriting):
    EXPORT = 'export: {it.text: "out/${case.id}.txt"}\n'
    PLACE = ERROR + "g.yaml:7:19: export of it[case=p1]: "

    def setUp(self):
        super().setUp()
        self.graph(self.EXPORT)

    def foreign(self):
        return self.PLACE + self.path("out/p1.txt") + FOREIGN + OF_RUN

    def test_a_file_that_was_there(self):
        os.mkdir(self.path("out"))
        self.write("out/p1.txt", "mine")
        self.assertEqual(self.massflow("run", "g.yaml", code=2), self.foreign())
        self.assertEqual(self.massflow("runs", "g.yaml"), "")  # nothing has run
        self.assertEqual(self.read("out/p1.txt"), "mine")
        self.assertIn("finished: ", self.massflow("run", "g.yaml", "scan"))  # what is not wanted
        self.assertIn("wrote ", self.massflow("run", "g.yaml", "--overwrite"))
        self.assertEqual(self.read("out/p1.txt"), "a\none\n")
        self.assertNotIn("wrote ", self.massflow("run", "g.yaml"))

    def test_one_that_was_changed(self):
        self.massflow("run", "g.yaml")
        self.write("out/p1.txt", "mine")
        self.assertEqual(self.massflow("run", "g.yaml", code=2), self.foreign())
        self.assertEqual(self.read("out/p1.txt"), "mine")

    def test_one_that_is_as_it_was_written(self):
        self.massflow("run", "g.yaml")
        for word, gone in (("two", ".massflow"), ("three", "state")):
            # By the user's record, and by the cache's.
            shutil.rmtree(self.path(gone))
            self.assertIn("wrote ", self.massflow("run", "g.yaml", "--set", "word=" + word))
            self.assertEqual(self.read("out/p1.txt"), f"a\n{word}\n")
        shutil.rmtree(self.path("state"))
        shutil.rmtree(self.path(".massflow"))
        self.assertEqual(self.massflow("run", "g.yaml", code=2), self.foreign())

    def test_one_that_comes_meanwhile(self):
        self.write("in/a.txt", "a\n")
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: 'sh -c "mkdir -p $1; echo mine >$1/p1.txt; echo a >$0" {out.text} %s'}}
export: {it.text: out/p1.txt}
""" % self.path("out"))
        out = self.massflow("run", "g.yaml", code=1)
        self.assertIn("\nfailed: export of it\n  " + self.path("out/p1.txt") + FOREIGN + OF_RUN, out)
        self.assertEqual(self.read("out/p1.txt"), "mine\n")
        self.assertEqual(os.listdir(self.path("out")), ["p1.txt"])

    def test_one_that_another_run_writes_meanwhile(self):
        """It is massflow's own, also for a run that began before it was there."""
        os.mkfifo(self.path("go"))
        text = self.read("g.yaml")
        self.write("slow.yaml", text.replace("cat $0", f"cat {self.path('go')} $0"))
        slow = self.start("run", "slow.yaml", *flags(word="slow"))
        with open(self.path("go"), "w", encoding="utf-8") as file:  # once it is read
            self.massflow("run", "g.yaml", "--cache", "other")
            self.assertEqual(self.read("out/p1.txt"), "a\none\n")
            file.write("")
        self.assertIn("wrote ", self.rest(slow, 0))
        self.assertEqual(self.read("out/p1.txt"), "a\nslow\n")

    def test_runs_that_write_one_file_at_once(self):
        for k in range(8):
            runs = [self.start("run", "g.yaml", *flags(word=f"{k}-{i}")) for i in range(6)]
            for run in runs:
                self.rest(run, 0)
            self.assertRegex(self.read("out/p1.txt"), rf"\Aa\n{k}-[0-5]\n\Z")

    def test_links(self):
        os.mkdir(self.path("out"))
        self.write("victim", "mine")
        for target in ("../victim", "/nowhere", "../g.yaml"):
            os.symlink(target, self.path("out/p1.txt"))
            self.assertEqual(self.massflow("run", "g.yaml", code=2), self.PLACE + self.path("out/p1.txt") +
                             ": is a link, which massflow did not make\n"
                             "  --overwrite replaces it by a file; or name another file\n")
            os.remove(self.path("out/p1.txt"))
        os.symlink("../victim", self.path("out/p1.txt"))
        self.massflow("run", "g.yaml", "--overwrite")
        self.assertFalse(os.path.islink(self.path("out/p1.txt")))
        self.assertEqual((self.read("victim"), self.read("out/p1.txt")), ("mine", "a\none\n"))

    def test_a_folder_that_is_a_link(self):
        os.mkdir(self.path("disk"))
        os.symlink("disk", self.path("out"))
        self.massflow("run", "g.yaml")
        self.assertEqual(self.read("disk/p1.txt"), "a\none\n")
        self.assertIn("wrote ", self.massflow("run", "g.yaml", "--set", "word=two"))

    def test_a_memory_that_is_no_file(self):
        self.massflow("run", "g.yaml")
        os.remove(self.path(".massflow/exports"))
        os.mkfifo(self.path(".massflow/exports"))
        self.assertEqual(self.massflow("run", "g.yaml", code=2), ERROR + "exports: " +
                         self.path(".massflow/exports: is a pipe, not a file\n"
                                   "  write the bytes to a file, and name that\n"))

    def test_what_is_no_file(self):
        """Nor is a link to it replaced: /dev/stdout is such a link."""
        os.mkdir(self.path("out"))
        os.mkfifo(self.path("pipe"))
        os.mkdir(self.path("folder"))
        os.symlink("/dev/null", self.path("device"))
        for what in ("pipe", "folder", "device"):
            os.symlink("../" + what, self.path("out/p1.txt"))
            for words in ((), ("--overwrite",)):
                self.assertEqual(self.massflow("run", "g.yaml", *words, code=2), self.PLACE +
                                 self.path("out/p1.txt") + f": is a {what}" + NO_FILE)
            self.assertTrue(os.path.islink(self.path("out/p1.txt")))
            os.remove(self.path("out/p1.txt"))
            if what != "device":
                os.rename(self.path(what), self.path("out/p1.txt"))
                self.assertEqual(self.massflow("run", "g.yaml", "--overwrite", code=2), self.PLACE +
                                 self.path("out/p1.txt") + f": is a {what}" + NO_FILE)
                os.rename(self.path("out/p1.txt"), self.path(what))

    def test_inputs(self):
        """--force allows none of them."""
        self.graph('export: {scan: "scan/ct.mhd"}\n')
        for words in ((), ("--overwrite",)):
            out = self.massflow("run", "g.yaml", *words, code=2)
            self.assertIn("error: ", out)
            self.assertEqual(self.read("scan/ct.mhd"), MHD)
        # In a folder that is read a new file would be read too, and all run again for it.
        for name in ("in/a.txt", "in/new.txt", "in/below/new.txt"):
            self.graph('export: {it.text: "%s"}\n' % name)
            for words in ((), ("--overwrite",)):
                self.assertEqual(self.massflow("run", "g.yaml", *words, code=2),
                                 "g.yaml:7:19: error: the export of it[case=p1] lies in a folder that is read: "
                                 f"'{name}'\n    7 | export: {{it.text: \"{name}\"}}\n      |                   " +
                                 "^" + "~" * (len(name) + 1) + "\n  it[case=p1] reads the folder, and would read the "
                                 "export\n")
            self.assertEqual(os.listdir(self.path("in")), ["a.txt"])
        self.assertEqual(self.read("in/a.txt"), "a\n")

    def test_the_cache(self):
        self.massflow("run", "g.yaml")
        self.graph('export: {it.text: ".massflow/exports.txt"}\n')
        for words in ((), ("--overwrite",)):
            self.assertEqual(self.massflow("run", "g.yaml", *words, code=2), ERROR + "g.yaml:7:19: export of "
                             f"it[case=p1]: {self.path('.massflow/exports.txt')}: is in the cache\n"
                             "  write it to another folder\n")


class Get(Overwriting):
    def setUp(self):
        super().setUp()
        self.massflow("run", "g.yaml")

    def test_again_and_again(self):
        for word in ("one", "one", "two", "one"):
            self.massflow("run", "g.yaml", "--set", "word=" + word)
            self.assertEqual(self.text_of("x.txt", "--set", "word=" + word), "x.txt\n")
            self.assertEqual(self.read("x.txt"), f"a\n{word}\n")
        self.assertEqual(sorted(os.listdir(self.folder)),
                         [".massflow", "cases.csv", "g.yaml", "in", "scan", "state", "t", "x.txt"])

    def test_a_file_of_somebodys_own(self):
        self.write("x.txt", "mine")
        self.assertEqual(self.text_of("x.txt", code=1), ERROR + "x.txt" + FOREIGN + REMEDY)
        self.assertEqual(self.read("x.txt"), "mine")
        self.text_of("x.txt", "--force")
        self.assertEqual(self.read("x.txt"), "a\none\n")
        self.write("x.txt", "changed")
        self.assertEqual(self.text_of("./x.txt", code=1), ERROR + "./x.txt" + FOREIGN + REMEDY)
        # The same content is not a loss, whoever wrote it.
        self.write("x.txt", "a\none\n")
        self.text_of("x.txt")

    def test_without_a_record(self):
        self.text_of("x.txt")
        self.massflow("run", "g.yaml", "--set", "word=two")
        why = "neither XDG_STATE_HOME nor HOME names a folder"
        self.assertEqual(self.massflow("get", "g.yaml", "it[case=p1].text", "-o", "x.txt", "--set", "word=two", code=1,
                                       XDG_STATE_HOME="", HOME=""),
                         ERROR + "x.txt" + FOREIGN + "  --force replaces it; or name another file (the record of written files "
                         f"cannot be saved: the record of what was written: {why})\n")
        record = self.path("state/massflow/written")
        os.chmod(record, 0o666)
        self.assertIn(f"the record of written files cannot be saved: {record}: is not the user's alone)\n",
                      self.text_of("x.txt", "--set", "word=two", code=1))
        os.chmod(record, 0o600)
        # A line that was cut off is passed over, and so is what is none.
        with open(record, "a", encoding="utf-8") as file:
            file.write("no line\n\n" + "0" * 64 + "\n" + "1" * 64 + " /nowhere\n" + "2" * 70)
        for word in ("two", "three", "two"):
            self.massflow("run", "g.yaml", "--set", "word=" + word)
            self.text_of("x.txt", "--set", "word=" + word)

    def test_a_kill_between_record_and_name(self):
        """The record is ahead of the file."""
        self.text_of("x.txt")
        record = self.path("state/massflow/written")
        with open(record, "a", encoding="utf-8") as file:
            for digit in "ab":
                file.write(digit * 64 + " " + os.path.realpath(self.path("x.txt")) + "\n")
        self.massflow("run", "g.yaml", "--set", "word=two")
        self.text_of("x.txt", "--set", "word=two")

    def test_a_large_record(self):
        """What is told of files that are gone is dropped."""
        self.text_of("x.txt")
        record = self.path("state/massflow/written")
        with open(record, "a", encoding="utf-8") as file:
            for i in range(50000):
                file.write("a" * 64 + f" /nowhere/at/all/{i}\n")
        self.assertGreater(os.path.getsize(record), 4 << 20)
        self.massflow("run", "g.yaml", "--set", "word=two")
        self.text_of("x.txt", "--set", "word=two")
        self.assertEqual(self.read("x.txt"), "a\ntwo\n")
        self.assertLess(os.path.getsize(record), 1000)
        self.text_of("x.txt")

    def test_odd_names(self):
        for name in ("a\\nb.txt", "a\nb.txt", "a b'\".txt"):
            for word in ("one", "two"):
                self.massflow("run", "g.yaml", "--set", "word=" + word)
                self.text_of(name, "--set", "word=" + word)
            self.assertEqual(self.read(name), "a\ntwo\n")

    def kept(self, name, reason):
        """Whatever is asked for."""
        before = self.read(name)
        for words in ((), ("--force",)):
            self.assertEqual(self.text_of(name, *words, code=1), ERROR + name + ": " + reason)
        self.assertEqual(self.read(name), before)

    def test_what_the_graph_reads(self):
        self.write("sub.yaml", "massflow: 1\nstages: {t: {use: exec.run, with: {command: 'touch {out.text}'}}}\n")
        self.graph("include: {sub: {file: sub.yaml}}\n")
        for name in ("g.yaml", "sub.yaml", "cases.csv"):
            link = name + ".txt"
            os.symlink(name, self.path(link))
            self.assertEqual(self.text_of(link, code=1), ERROR + link + ": is a link, which massflow did not make\n"
                             "  --force replaces it by a file; or name another file\n")
            os.remove(self.path(link))
            os.link(self.path(name), self.path(link))
            self.kept(link, "is a file of the graph\n  name another file\n")
        # A file of a folder that is read, and what is opened beside a header.
        self.kept("in/a.txt", "is read by it[case=p1]\n  name another file\n")
        os.link(self.path("scan/ct.raw"), self.path("raw.txt"))
        self.kept("raw.txt", "is read by scan\n  name another file\n")
        # What a link in such a folder leads to; and what would come to be read.
        self.write("archived.txt", "1")
        os.symlink("../archived.txt", self.path("in/linked.txt"))
        self.massflow("run", "g.yaml")
        self.kept("archived.txt", "is read by it[case=p1]\n  name another file\n")
        for words in ((), ("--force",)):
            self.assertEqual(self.text_of("in/new.txt", *words, code=1), ERROR + "in/new.txt: lies in a folder that "
                             "it[case=p1] reads\n  write it to another folder\n")
        self.assertEqual(sorted(os.listdir(self.path("in"))), ["a.txt", "linked.txt"])

    def test_by_name(self):
        """A graph can have the suffix of a text."""
        os.rename(self.path("g.yaml"), self.path("g.txt"))
        out = self.massflow("get", "g.txt", "it[case=p1].text", "-o", "g.txt", "--force", code=1)
        self.assertEqual(out, ERROR + "g.txt: is a file of the graph\n  name another file\n")
        os.rename(self.path("g.txt"), self.path("g.yaml"))

    def test_the_cache(self):
        self.assertEqual(self.text_of(".massflow/x.txt", "--force", code=1),
                         ERROR + ".massflow/x.txt: is in the cache\n  write it to another folder\n")

    def test_what_is_no_file(self):
        os.mkfifo(self.path("pipe.txt"))
        os.mkdir(self.path("folder.txt"))
        for words in ((), ("--force",)):
            self.assertEqual(self.text_of("pipe.txt", *words, code=1), ERROR + "pipe.txt: is a pipe" + NO_FILE)
            self.assertEqual(self.text_of("folder.txt", *words, code=1), ERROR + "folder.txt: is a folder" + NO_FILE)
        self.assertEqual(self.text_of("none/x.txt", code=1), ERROR + "none/x.txt: No such file or directory\n")

    def test_rights_of_what_is_written(self):
        mask = os.umask(0o027)
        try:
            self.text_of("x.txt")
        finally:
            os.umask(mask)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("x.txt")).st_mode), 0o640)

    def test_every_writer(self):
        """Each writes through the folder that it is given."""
        for name in ("s.nii.gz", "s.nii", "s.nrrd", "s.mha", "s.npy", "s.json"):
            for _ in range(2):
                self.massflow("get", "g.yaml", "scan", "-o", name)
            self.assertGreater(os.path.getsize(self.path(name)), 24)
        self.massflow("show", "s.mha")
        self.massflow("show", "s.nrrd")


class Others(Overwriting):
    """The other commands that write files."""

    def setUp(self):
        super().setUp()
        self.massflow("run", "g.yaml")

    def write_with(self, words, name):
        """The same rules for each."""
        self.write(name, "mine")
        self.assertEqual(self.massflow(*words, code=1), ERROR + name + FOREIGN + REMEDY)
        self.assertEqual(self.read(name), "mine")
        os.remove(self.path(name))
        os.symlink("victim", self.path(name))
        self.assertIn(": is a link, which massflow did not make\n", self.massflow(*words, code=1))
        self.assertFalse(os.path.exists(self.path("victim")))
        os.remove(self.path(name))
        self.massflow(*words)
        self.massflow("run", "g.yaml", "--set", "word=two")  # a further one, for the report to tell
        self.massflow(*words)
        with open(self.path(name), "ab") as file:
            file.write(b"mine")
        self.assertEqual(self.massflow(*words, code=1), ERROR + name + FOREIGN + REMEDY)
        self.massflow(*words, "--force")

    def test_show(self):
        self.write_with(("show", "g.yaml", "scan", "--slice", "z", "-o", "s.png"), "s.png")

    def test_report(self):
        self.write_with(("report", "g.yaml", "-o", "r.html"), "r.html")

    def test_graph(self):
        self.write_with(("graph", "g.yaml", "--svg", "-o", "g.svg"), "g.svg")
        self.write_with(("graph", "g.yaml", "-o", "g.out"), "g.out")
        for words in ((), ("--force",)):
            self.assertEqual(self.massflow("graph", "g.yaml", "-o", "g.yaml", *words, code=1),
                             ERROR + "g.yaml: is a file of the graph\n  name another file\n")
        # A graph that is wrong leaves the file alone.
        before = self.read("g.out")
        self.write("g.yaml", "massflow: 1\nstages: {x: {use: none}}\n")
        self.massflow("graph", "g.yaml", "-o", "g.out", "--force", code=2)
        self.assertEqual(self.read("g.out"), before)

    def test_cache_export(self):
        for graph in ((), ("g.yaml",)):
            self.write_with(("cache", "export", "all.mfx", *graph), "all.mfx")
            os.remove(self.path("all.mfx"))
        self.write("victim", "mine")
        os.symlink("victim", self.path("all.mfx.part"))
        self.massflow("cache", "export", "all.mfx")
        self.assertEqual(self.read("victim"), "mine")
        self.assertEqual(self.massflow("cache", "export", ".massflow/cache.db", "--force", code=1),
                         ERROR + ".massflow/cache.db: is in the cache\n  write it to another folder\n")
        for words in (("g.yaml", "g.yaml"), ("scan/ct.raw", "g.yaml", "--force")):
            self.assertRegex(self.massflow("cache", "export", *words, code=1), "is (read by|a file of the graph)")
        self.assertEqual(len(self.read("scan/ct.raw")), 24)

    def test_what_is_shown(self):
        self.massflow("get", "g.yaml", "scan", "-o", "s.nii")
        os.link(self.path("s.nii"), self.path("s.png"))
        self.assertEqual(self.massflow("show", "s.nii", "-o", "s.png", "--force", code=1),
                         ERROR + "s.png: is an input\n  name another file\n")
        # A picture in a series would be read with it the next time.
        os.mkdir(self.path("series"))
        for i in range(2):
            self.write(f"series/{i}.dcm", dicom_file(3, 4, bytes(range(24)), modality="CT", z=i, signed=1))
        out = self.massflow("show", "series", "-o", "series/s.png", "--force", code=1)
        self.assertEqual(out, ERROR + "series/s.png: is in an input folder\n  write it to another folder\n")
        self.massflow("show", "series", "-o", "series.png")
        self.assertEqual(sorted(os.listdir(self.path("series"))), ["0.dcm", "1.dcm"])

    def test_new(self):
        self.write("mine", "mine")
        self.assertEqual(self.massflow("new", "mine", code=2), ERROR + "mine: File exists\n")
        os.symlink("nowhere", self.path("link"))
        self.assertEqual(self.massflow("new", "link", code=2), ERROR + "link: File exists\n")


class Temporary(Overwriting):
    """What is being written has a folder that nobody else can look into."""

    def test_nothing_stays_where_writing_fails(self):
        self.write("g.yaml", """massflow: 1
stages:
  scan: {use: phantom.volume, with: {size: [64, 64, 64], spacing: [4, 4, 4]}}
""")
        self.massflow("run", "g.yaml")
        os.mkdir(self.path("out"))
        for name, words, why in (("out/x.npy", "get g.yaml scan.volume -o", "writing out/x.npy"),
                                 ("out/x.png", "show g.yaml scan.volume --slice z -o", "writing out/x.png"),
                                 ("out/x.html", "report g.yaml -o", "out/x.html"),
                                 ("out/all.mfx", "cache export", "while exporting to 'out/all.mfx': action ID of phantom.volume: "
                                  "artifact ID")):
            self.write(name, "mine")
            done = self.ended(["bash", "-c", f"ulimit -f 40; {MASSFLOW} {words} {name} --force"], 1)
            self.assertEqual(re.sub("[0-9a-f]{12}", "ID", done.stderr), ERROR + why + ": File too large\n")
            self.assertEqual(os.listdir(self.path("out")), [os.path.basename(name)])
            self.assertEqual(self.read(name), "mine")
            os.remove(self.path(name))


if __name__ == "__main__":
    main(1)
