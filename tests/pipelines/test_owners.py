#!/usr/bin/env python3
"""One cache and several users: test_owners.py MASSFLOW COUNTING.so OWNER.so

Each user is a process with other ids, which only root can start; so these tests run as root, and are
skipped elsewhere. No account is made.
"""
import os
import shutil
import stat
import subprocess
import sys
import unittest

from harness import MASSFLOW, WAIT, Pipeline, main, preloading

OWNER = os.path.abspath(sys.argv[3])
PLANNED = "text                      3 cached\nupper                     3 cached\nmore                      3 cached\n"
ANN, BEN, EVE = 30001, 30002, 30003
LAB = 30100


def why_not():
    if os.geteuid() != 0:
        return "only root can be several users"
    try:
        done = subprocess.run([MASSFLOW, "version"], user=ANN, group=ANN, extra_groups=[], capture_output=True,
                              cwd="/", timeout=60)
        return None if done.returncode == 0 else "another user cannot run the massflow of this build"
    except OSError:
        return "another user cannot reach the massflow of this build"


@unittest.skipIf(why_not(), why_not())
class Owners(Pipeline):
    """A project's folder that belongs to Ann and the group lab; Ben is in that group, Eve is not."""

    def setUp(self):
        super().setUp()
        os.remove(self.path("plugins/counting.so"))
        shutil.copy(*self.PLUGINS, self.path("plugins/counting.so"))
        os.chmod(self.path("plugins/counting.so"), 0o755)
        self.write("log", "")
        os.chmod(self.log, 0o666)
        for user in (ANN, BEN, EVE, 0):
            os.mkdir(self.path(f"home{user}"), 0o700)
            os.chown(self.path(f"home{user}"), user, user)
        for path in (self.folder, self.path("scans"), self.path("graph.yaml")):
            os.chown(path, ANN, LAB)
        os.chmod(self.folder, 0o2775)
        self.cache = self.path(".massflow")

    def steps_logged(self):
        with open(self.log, "r+", encoding="utf-8") as file:
            lines = file.read().splitlines()
            file.truncate(0)
        return lines

    def user(self, user, *words, umask=0o002, code=0, preload=None, graph=True):
        command, *rest = words
        line = [MASSFLOW, command, *rest]
        if command in ("run", "plan", "show"):
            line = self.line(command, *rest)
        env = {key: value for key, value in self.environment().items() if key != "XDG_CONFIG_HOME"}
        env["HOME"] = self.path(f"home{user}")
        env["XDG_CACHE_HOME"] = self.path(f"home{user}")
        if preload:
            env.update(preloading(preload))
        ids = {} if user == 0 else {"user": user, "group": user,
                                    "extra_groups": [LAB] if user != EVE else []}
        done = self.ended(line, code, env=env, umask=umask, **ids)
        return done.stdout + done.stderr

    def refusal(self, owner, prefix="while opening the cache: ", what="the cache", dir=".massflow"):
        return (f"massflow: error: {prefix}{what} '{dir}' belongs to uid {owner}, not to you\n"
                "  whoever can write there decides what your runs find. If you take their results: "
                f"massflow cache trust {self.cache}\n")

    def modes(self):
        found = {}
        for name in [".", *os.listdir(self.cache)]:
            about = os.stat(os.path.join(self.cache, name))
            self.assertEqual(about.st_gid, LAB, name)
            found[name] = stat.S_IMODE(about.st_mode)
        return found

    def test_two_users_of_a_group(self):
        self.assertIn("finished: 10 run, 0 cached in", self.user(ANN, "run"))
        self.assertEqual(self.modes(), {".": 0o2775, "cache.db": 0o664, "chunks.db": 0o664,
                                        "chunks.db-journal": 0o664, "lock": 0o664})
        dir = f"{self.folder}/.massflow"
        for words in (["run"], ["plan"], ["cache", "stat"], ["cache", "gc"]):
            prefix = "while opening the cache: "
            if words[-1] == "gc":
                prefix = "while collecting in the cache: " + prefix
            shown = dir if words[0] in ("run", "plan") else ".massflow"
            self.assertEqual(self.user(BEN, *words, code=1 if words[-1] == "gc" else 2),
                             self.refusal(ANN, prefix, dir=shown))
        for verb, prefix in (("verify", "checking"), ("repair", "repairing")):
            self.assertEqual(self.user(BEN, "cache", verb, code=2 if verb == "verify" else 1),
                             self.refusal(ANN, f"while {prefix} the cache: "))
        out = self.user(BEN, "cache", "trust", ".massflow")
        self.assertEqual(out, f"trusted: {self.cache} of uid {ANN}\n"
                              "  results that others write there are used like your own, until\n"
                              f"  massflow cache trust --forget {self.cache}\n")
        self.runs()
        self.assertIn("finished: 0 run, 10 cached in", self.user(BEN, "run"))
        self.assertIn("finished: 4 run, 6 cached in", self.user(BEN, "run", "--set", "suffix=?"))
        self.assertEqual(len(self.runs()), 4)
        # Ben looks: what SQLite makes for it is his, and must not keep Ann out.
        self.user(BEN, "plan")
        self.assertEqual({os.stat(os.path.join(self.cache, name)).st_uid for name in os.listdir(self.cache)},
                         {ANN, BEN})
        self.assertEqual(set(self.modes().values()), {0o2775, 0o664})
        self.assertIn("finished: 0 run, 10 cached in", self.user(ANN, "run", "--set", "suffix=?"))
        self.assertIn("finished: 4 run, 6 cached in", self.user(ANN, "run", "--set", "suffix=:"))
        self.assertIn("finished: 0 run, 10 cached in", self.user(BEN, "run", "--set", "suffix=:"))
        self.assertIn("no damage found\n", self.user(BEN, "cache", "verify"))
        self.user(BEN, "cache", "gc", "--size", "0")
        self.assertIn("finished: ", self.user(ANN, "run"))
        self.assertEqual(set(self.modes().values()), {0o2775, 0o664})

    def test_a_file_that_ben_replaces_stays_the_groups(self):
        self.user(ANN, "run")
        with open(os.path.join(self.cache, "cache.db"), "r+b") as file:
            file.seek(0)
            file.write(bytes(16))
        self.user(BEN, "cache", "trust", ".massflow")
        self.user(BEN, "cache", "repair", umask=0o077)
        self.assertEqual(self.modes()["cache.db"], 0o664)
        self.assertEqual(os.stat(os.path.join(self.cache, "cache.db")).st_uid, BEN)
        self.runs()
        self.assertIn("finished: 0 run, 10 cached in", self.user(ANN, "run"))
        self.assertIn("finished: 0 run, 10 cached in", self.user(BEN, "run"))

    def test_bens_umask_makes_no_files_of_his_own(self):
        self.user(ANN, "run")
        self.user(BEN, "cache", "trust", ".massflow")
        self.user(BEN, "run", "--set", "suffix=?", umask=0o077)
        self.user(BEN, "plan", umask=0o077)
        self.assertEqual(set(self.modes().values()), {0o2775, 0o664})
        self.user(ANN, "run", "--set", "suffix=:")

    def test_a_umask_that_shuts_others_out(self):
        self.user(ANN, "run", umask=0o077)
        self.assertEqual(set(self.modes().values()), {0o2700, 0o600})
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(BEN, "run", code=2), self.refusal(ANN, dir=dir))
        self.user(BEN, "cache", "trust", ".massflow")
        self.assertEqual(self.user(BEN, "run", code=2),
                         f"massflow: error: while opening the cache: the cache folder '{dir}' cannot be "
                         "written: Permission denied\n  --cache DIR puts the cache into another folder\n")
        self.assertEqual(self.user(BEN, "plan", code=2),
                         f"massflow: error: while opening the cache: the cache folder '{dir}' cannot be "
                         "read: Permission denied\n")
        self.assertEqual(self.user(BEN, "cache", "verify", code=2),
                         "massflow: error: while checking the cache: the cache folder '.massflow' cannot "
                         "be read: Permission denied\n")

    def test_files_alone_that_ben_may_not_write(self):
        self.user(ANN, "run", umask=0o022)
        os.chmod(self.cache, 0o2775)  # the folder, but not the files
        self.user(BEN, "cache", "trust", ".massflow")
        out = self.user(BEN, "run", code=2)
        self.assertEqual(out, f"massflow: error: while opening the cache: cannot open '{self.cache}/lock': "
                              "Permission denied\n  --cache DIR puts the cache into another folder\n")
        # Looking leaves nothing of his that Ann could not write.
        self.assertIn(PLANNED, self.user(BEN, "plan"))
        self.assertEqual({os.stat(os.path.join(self.cache, name)).st_uid for name in os.listdir(self.cache)},
                         {ANN})
        self.assertIn("finished: 4 run, 6 cached in", self.user(ANN, "run", "--set", "suffix=?"))

    def test_who_may_only_read_looks(self):
        self.user(ANN, "run")

        def all_files():
            return {name: os.stat(os.path.join(self.cache, name)) for name in os.listdir(self.cache)}
        before = all_files()
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(EVE, "plan", code=2), self.refusal(ANN, dir=dir))
        self.user(EVE, "cache", "trust", ".massflow")
        self.assertIn(PLANNED, self.user(EVE, "plan"))
        self.assertIn("TEXT A", self.user(EVE, "show", "all"))
        self.assertIn("actions    10", self.user(EVE, "cache", "stat"))
        self.assertIn("no damage found\n", self.user(EVE, "cache", "verify"))
        self.assertEqual(self.user(EVE, "run", code=2),
                         f"massflow: error: while opening the cache: the cache folder '{dir}' cannot be "
                         "written: Permission denied\n  --cache DIR puts the cache into another folder\n")
        after = all_files()
        self.assertEqual(before.keys(), after.keys())
        for name, about in before.items():
            self.assertEqual((about.st_mtime_ns, about.st_ino, about.st_size),
                             (after[name].st_mtime_ns, after[name].st_ino, after[name].st_size), name)

    def test_who_looks_while_ann_has_it_open(self):
        self.user(ANN, "run")
        self.user(EVE, "cache", "trust", ".massflow")
        self.user(ANN, "plan")  # leaves what SQLite makes for readers
        self.assertIn("cache.db-shm", os.listdir(self.cache))
        self.assertIn(PLANNED, self.user(EVE, "plan"))

    def test_who_looks_while_ann_runs(self):
        self.write("graph.yaml", WAIT)
        env = dict(self.environment(), HOME=self.path(f"home{ANN}"))
        run = self.start("run", "--set", "file=" + self.path("go"), env=env, user=ANN, group=ANN,
                         extra_groups=[LAB], umask=0o022)
        self.until(run, r"start    wait\[case=a\]")  # the texts are done and recorded
        self.user(EVE, "cache", "trust", ".massflow")
        self.assertRegex(self.user(EVE, "plan", "--set", "file=" + self.path("go")),
                         r"^text +(3 cached|2 cached|1 cached)")
        self.write("go", "")
        self.rest(run, 0)
        self.assertRegex(self.user(EVE, "plan", "--set", "file=" + self.path("go")),
                         r"^text +3 cached\nwait +3 cached\n")

    def test_root_names_it_as_well(self):
        self.user(ANN, "run")
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(0, "plan", code=2), self.refusal(ANN, dir=dir))
        self.user(0, "cache", "trust", ".massflow")
        self.assertIn(PLANNED, self.user(0, "plan"))
        self.assertIn("finished: 4 run, 6 cached in", self.user(0, "run", "--set", "suffix=?"))
        self.user(0, "plan")
        self.assertIn("finished: 0 run, 10 cached in", self.user(ANN, "run", "--set", "suffix=?"))

    def test_what_root_alone_can_write_is_used(self):
        os.chown(self.folder, 0, LAB)
        self.user(0, "run", umask=0o022)
        self.assertIn(PLANNED, self.user(BEN, "plan"))
        os.chmod(self.cache, 0o2775)
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(BEN, "plan", code=2),
                         f"massflow: error: while opening the cache: the cache '{dir}' belongs to root "
                         "(uid 0), and others may write to it\n"
                         "  whoever can write there decides what your runs find. If you take their "
                         f"results: massflow cache trust {self.cache}\n")
        self.user(BEN, "cache", "trust", ".massflow")
        self.assertIn(PLANNED, self.user(BEN, "plan"))

    def test_where_everybody_may_write_each_names_it(self):
        os.chmod(self.folder, 0o777)
        self.user(ANN, "run", umask=0)
        self.user(EVE, "cache", "trust", ".massflow")
        self.user(EVE, "plan")  # cache.db-wal is hers
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(ANN, "run", code=2),
                         self.refusal(EVE, what="'cache.db-wal' in the cache", dir=dir))
        self.user(ANN, "cache", "trust", ".massflow")
        self.assertIn("finished: 0 run, 10 cached in", self.user(ANN, "run"))

    def test_another_owner_is_not_the_one_that_was_trusted(self):
        self.user(ANN, "run")
        self.user(BEN, "cache", "trust", ".massflow")
        os.chown(self.cache, EVE, LAB)
        dir = f"{self.folder}/.massflow"
        self.assertEqual(self.user(BEN, "plan", code=2), self.refusal(EVE, dir=dir))
        self.assertEqual(self.user(BEN, "cache", "trust", "--list"),
                         f"{self.cache}  of uid {ANN}; it has another owner now, and is not used\n")

    def test_the_list(self):
        self.user(ANN, "run")
        odd = self.path("a \\ folder\nof 'mine'")
        os.mkdir(odd)
        os.chown(odd, EVE, LAB)
        os.chmod(odd, 0o755)
        self.assertEqual(self.user(BEN, "cache", "trust", "--list"), "")
        self.assertIn(f" of uid {EVE}\n", self.user(BEN, "cache", "trust", odd))
        self.user(BEN, "cache", "trust", ".massflow")
        self.user(BEN, "cache", "trust", ".massflow")  # twice is once
        file = self.path(f"home{BEN}/.config/massflow/trusted")
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        with open(file, encoding="utf-8") as f:
            lines = f.read().splitlines()
        real = os.path.realpath(odd).replace("\\", "\\\\").replace("\n", "\\n")
        self.assertEqual(lines[1:], [f"{EVE} {real}", f"{ANN} {self.cache}"])
        self.assertIn("there is no cache in", self.user(BEN, "cache", "stat", "--cache", odd, code=2))
        shutil.rmtree(odd)
        self.assertRegex(self.user(BEN, "cache", "trust", "--list"),
                         rf"of uid {EVE}; it is not there now\n{self.cache}  of uid {ANN}\n$")
        self.assertIn("no longer trusted: ", self.user(BEN, "cache", "trust", "--forget", odd))
        self.assertEqual(self.user(BEN, "cache", "trust", "--forget", ".massflow"),
                         "no longer trusted: .massflow\n")
        self.assertEqual(self.user(BEN, "cache", "trust", "--forget", ".massflow", code=2),
                         "massflow: error: '.massflow' is not among the trusted caches: massflow cache "
                         "trust --list\n")
        self.user(BEN, "plan", code=2)

    def test_a_list_that_is_not_bens_own_is_not_believed(self):
        self.user(ANN, "run")
        self.user(BEN, "cache", "trust", ".massflow")
        file = self.path(f"home{BEN}/.config/massflow/trusted")
        says = (f"massflow: error: while opening the cache: '{file}' is not the user's alone\n"
                "  it says whose results are used: chmod 600, or delete it\n")
        os.chmod(file, 0o620)
        self.assertEqual(self.user(BEN, "plan", code=2), says)
        os.chmod(file, 0o600)
        self.user(BEN, "plan")
        os.rename(file, file + "2")
        os.symlink(file + "2", file)
        self.assertIn(f"cannot read '{file}': Too many levels of symbolic links", self.user(BEN, "plan", code=2))
        os.remove(file)
        with open(file, "w", encoding="utf-8") as f:
            f.write(f"# a list\n\n{ANN} {self.cache}\nx /y\n")
        self.assertEqual(self.user(BEN, "plan", code=2), says)  # root's
        os.chown(file, BEN, BEN)
        self.assertEqual(self.user(BEN, "plan", code=2),
                         f"massflow: error: while opening the cache: {file}:4: is not a uid and path\n"
                         "  delete the line; `massflow cache trust DIR` writes it anew\n")

    def test_what_is_named_must_be_a_cache(self):
        self.user(ANN, "run")
        self.assertEqual(self.user(BEN, "cache", "trust", code=2),
                         "massflow: error: no folder is given: massflow cache trust DIR\n")
        self.assertEqual(self.user(BEN, "cache", "trust", ".", code=2),
                         "massflow: error: '.' is not a cache, but has one in it: massflow cache trust "
                         "./.massflow\n")
        self.assertEqual(self.user(BEN, "cache", "trust", "none", code=2),
                         "massflow: error: 'none': No such file or directory\n")
        self.assertEqual(self.user(BEN, "cache", "trust", "graph.yaml", code=2),
                         "massflow: error: 'graph.yaml' is not a folder of a cache\n")

    def test_where_what_is_made_gets_another_owner(self):
        """Made here, it is used here."""
        self.assertIn("finished: 10 run, 0 cached in", self.user(ANN, "run", preload=OWNER))
        self.assertIn("finished: 0 run, 10 cached in", self.user(ANN, "run", preload=OWNER))
        self.assertEqual(self.user(ANN, "cache", "trust", "--list", preload=OWNER),
                         f"{self.cache}  of uid {ANN}\n")
        # What was there before is not.
        shutil.rmtree(self.path(f"home{ANN}/.config"))
        self.assertIn(f"belongs to uid {ANN}, not to you\n", self.user(ANN, "run", preload=OWNER, code=2))

    def test_a_folder_that_may_not_be_read_hides_no_case(self):
        """What a pattern would have found in it is not left out in silence."""
        for name, mode in (("p1", 0o755), ("p2", 0o755), ("other", 0o700)):
            os.makedirs(self.path(f"data/{name}/ct"))
            self.write(f"data/{name}/ct/a.txt", name)
            os.chmod(self.path(f"data/{name}"), mode)
        os.symlink("nowhere", self.path("data/p3"))  # is not a folder

        def cases(source, code=0):
            self.write("graph.yaml", "massflow: 1\ncases: {" + source + "}\nstages:\n  text: "
                       "{use: count.load, each: case, with: {path: \"${case.path}\"}}\n")
            return self.user(BEN, "plan", code=code)

        patterns = ("data/{id}/ct/a.txt", "data/p*/ct/*.txt", "data/{id}/c?/a.txt", "data/*/ct/a.txt",
                    "data/*/*/a.txt")
        self.assertIn("total: 2 nodes; ", cases("glob: \"data/p{id}/ct/a.txt\""))
        os.chmod(self.path("data/p2"), 0o700)
        for name in (".snapshot", "lost+found"):  # these never matter
            os.makedirs(self.path(f"data/{name}/ct"), 0o700)
        self.assertIn("total: 1 node; ", cases("glob: \"data/{id}[1l.]*/ct/a.txt\""))
        for pattern in patterns:
            self.assertRegex(cases("glob: \"" + pattern + "\"", 2),
                             rf"cannot read the folder {self.folder}/data/(p2|other): Permission denied\n"
                             r"(.*\n)*  scans in it would be left out: narrow the pattern, or get the right to read it\n")
        self.assertIn(f"cannot read the folder {self.folder}/data/other: Permission denied\n",
                      cases("dicom: data", 2))
        os.chmod(self.path("data"), 0o744)  # names are seen, and nothing more
        self.assertIn(f"cannot read {self.folder}/data/p1: Permission denied\n", cases("dicom: data", 2))


if __name__ == "__main__":
    main(3)
