#!/usr/bin/env python3
"""Care of a cache through the command: test_upkeep.py MASSFLOW COUNTING.so"""
import fcntl
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import tarfile

from harness import CHAIN, MASSFLOW, WAIT, Pipeline, main


class Upkeep(Pipeline):
    def ids(self):
        """All artifacts' ids, by type."""
        out = self.massflow("cache", "ls")
        return sorted(line.split()[0] for line in out.splitlines())

    def sql(self, file, *statements):
        self.change(*statements, file=file)

    def ask_of(self, file, query):
        return self.ask(query, file=file)

    def damage(self, file, at, size=1):
        """Inverts bytes of a file of the cache."""
        path = self.path(".massflow/" + file)
        with open(path, "r+b") as f:
            f.seek(at)
            old = f.read(size)
            f.seek(at)
            f.write(bytes(b ^ 0xff for b in old))

class Locks(Upkeep):
    """Who waits says for what, and for whom: the process of this test."""

    def waits_for(self, process, file):
        self.assertRegex(process.stderr.readline(),
                         rf"^massflow: waiting for the cache for 1 s: process {os.getpid()} \(.*python.*\) "
                         rf"has locked '{re.escape(self.path('.massflow/' + file))}'$")

    def ends(self, process):
        out, error = process.communicate(timeout=60)
        self.assertEqual((process.returncode, error), (0, ""))
        return out

    def lock(self):
        """As a `cache gc` that was stopped holds it."""
        file = os.open(self.path(".massflow/lock"), os.O_RDWR)
        fcntl.fcntl(file, 38, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))  # F_OFD_SETLK
        return file

    def test_a_run(self):
        self.massflow("run")
        file = self.lock()
        process = self.start("run", stderr=subprocess.PIPE)
        self.waits_for(process, "lock")
        os.close(file)
        self.assertIn("finished: 0 run, 10 cached in ", self.ends(process))

    def test_gc(self):
        self.massflow("run")
        file = self.lock()
        process = self.start("cache", "gc", "--size", "1", stderr=subprocess.PIPE)
        self.assertRegex(process.stderr.readline(),
                         rf"^massflow: waiting for the cache for 1 s: process {os.getpid()} \(.*\) has "
                         r"locked '\.massflow/lock'$")
        os.close(file)
        self.ends(process)

    def test_a_command_that_looks(self):
        self.massflow("run")
        for file, words in (("chunks.db", ("plan",)), ("cache.db", ("why", "all"))):
            db = sqlite3.connect(self.path(".massflow/" + file), isolation_level=None)
            if file == "cache.db":  # in WAL mode only a process that has it for itself keeps others out
                db.execute("PRAGMA journal_mode = DELETE")
            db.execute("BEGIN EXCLUSIVE")
            process = self.start(*words, stderr=subprocess.PIPE)
            self.waits_for(process, file)
            db.execute("ROLLBACK")
            db.close()
            self.ends(process)


class Verify(Upkeep):
    def test_a_sound_cache(self):
        self.massflow("run")
        out = self.massflow("cache", "verify")
        self.assertRegex(out, r"^checked \d+ chunks \(\d+ B\), 10 artifacts, 10 actions, "
                              r"\d+ digests of files\nno damage found\n$")
        self.assertEqual(self.massflow("cache", "repair"), "no damage found; nothing was changed\n")
        self.runs()
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_there_is_no_cache(self):
        self.assertEqual(self.massflow("cache", "verify", code=2),
                         "massflow: error: while checking the cache: there is no cache in "
                         "'.massflow'\n  the first `massflow run` of a graph creates one\n")

    def test_unknown_verb(self):
        self.assertEqual(self.massflow("cache", "verfy", code=2),
                         "massflow: error: unknown command 'cache verfy'; did you mean 'cache "
                         "verify'?\n")

    def test_a_damaged_record_of_an_artifact(self):
        self.massflow("run")
        before = self.ids()
        (num, art), = self.ask_of("cache.db", "SELECT f.num, lower(hex(f.id)) FROM artifact f JOIN "
                                           "output o ON o.artifact = f.num JOIN action a ON "
                                           "a.num = o.action WHERE a.stage = 'count.join'")
        self.sql("cache.db", f"UPDATE artifact SET record = CAST(x'15' || substr(record, 2) AS "
                             f"BLOB) WHERE num = {num}")
        out = self.massflow("cache", "verify", code=1)
        self.assertIn(f"damaged: the record of artifact {art[:12]} (output 'table' of count.join) does not match "
                      "its id\n"
                      "  runs refuse it; after a repair the next run computes it again when needed\n", out)
        self.assertIn("1 damaged items; repair them with: massflow cache repair\n", out)
        out = self.massflow("cache", "repair")
        self.assertIn("1 artifacts deleted\n", out)
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))
        self.runs()
        self.massflow("run")
        self.assertEqual(self.counts(), {"join": 1})
        self.assertEqual(self.ids(), before)

    def test_a_damaged_action(self):
        self.massflow("run")
        self.sql("cache.db", "UPDATE component SET json = replace(json, '!', '?') WHERE action = "
                             "(SELECT min(num) FROM action WHERE stage = 'count.add')")
        out = self.massflow("cache", "verify", code=1)
        self.assertRegex(out, "damaged: the record of action [0-9a-f]{12} of count.add does not "
                              "match its key\n")
        self.assertIn("1 actions deleted: run again when needed\n", self.massflow("cache", "repair"))
        self.runs()
        self.massflow("run")
        self.assertEqual(self.counts(), {"add": 1})
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))

    def test_a_lost_index_of_sqlite_is_rebuilt(self):
        self.massflow("run")
        (page, size), = self.ask_of("cache.db", "SELECT rootpage, (SELECT page_size FROM "
                                             "pragma_page_size) FROM sqlite_schema WHERE name = "
                                             "'artifact_type'")
        self.damage("cache.db", (page - 1) * size + size - 4, 2)
        out = self.massflow("cache", "verify", code=1)
        self.assertIn("damaged: '.massflow/cache.db' is damaged: ", out)
        self.massflow("cache", "repair")
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))
        self.assertEqual([n for n in os.listdir(self.path(".massflow")) if "damaged" in n], [])
        self.runs()
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_a_destroyed_page_costs_only_what_lay_on_it(self):
        self.massflow("run")
        before = self.ids()
        (page, size), = self.ask_of("cache.db", "SELECT rootpage, (SELECT page_size FROM "
                                             "pragma_page_size) FROM sqlite_schema WHERE name = "
                                             "'output'")
        self.damage("cache.db", (page - 1) * size, 100)
        self.massflow("cache", "verify", code=1)
        out = self.massflow("cache", "repair")
        self.assertRegex(out, r"the damaged file was replaced; it is kept as "
                              r".massflow/cache\.db\.damaged-\d{8}-\d{6}\n")
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))
        self.massflow("run")
        self.assertEqual(self.ids(), before)

    def test_a_destroyed_header_costs_nothing(self):
        self.massflow("run")
        self.damage("cache.db", 0, 16)
        out = self.massflow("cache", "verify", code=1)
        self.assertIn("damaged: '.massflow/cache.db' is not an SQLite database\n", out)
        self.massflow("cache", "repair")
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))
        self.runs()
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_an_unreadable_index_is_kept_aside(self):
        self.massflow("run")
        before = self.ids()
        size = os.path.getsize(self.path(".massflow/cache.db"))
        self.write(".massflow/cache.db", b"\xa5" * size)
        out = self.massflow("run", code=2)
        self.assertIn("'%s' is not an SQLite database\n"
                      "  `massflow cache repair` recovers what is readable; the rest is computed again\n" % self.path(".massflow/cache.db"), out)
        out = self.massflow("cache", "repair")
        aside, = re.findall(r"kept as (\S+)", out)
        self.assertEqual(self.read_bytes(aside), b"\xa5" * size)
        self.runs()
        self.massflow("run")
        self.assertEqual(len(self.runs()), 10)
        self.assertEqual(self.ids(), before)

    def test_lost_chunks(self):
        self.massflow("run")
        os.remove(self.path(".massflow/chunks.db"))
        out = self.massflow("cache", "verify", code=1)
        self.assertIn("damaged: '.massflow/chunks.db' is missing or empty\n", out)
        self.massflow("cache", "repair")
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))


class Rows(Upkeep):
    """A row that was changed is not believed, whatever changed it."""

    def setUp(self):
        super().setUp()
        self.massflow("run")
        self.before = self.ids()
        self.runs()

    def refused(self, stage):
        out = self.massflow("plan", code=2)
        self.assertRegex(out, r"error: the record of action [0-9a-f]{12} in '.*/cache.db' is damaged\n  `massflow "
                              r"cache repair` recovers what is readable; the rest is computed again\n$")
        out = self.massflow("cache", "verify", code=1)
        self.assertRegex(out, f"the record of action [0-9a-f]{{12}} of {stage} does not match its "
                              "sum\n")
        self.massflow("cache", "repair")
        self.massflow("run")
        self.assertEqual(self.ids(), self.before)
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))

    def test_an_output_that_is_another(self):
        self.sql("cache.db", "UPDATE output SET artifact = artifact % 3 + 1 WHERE action = "
                             "(SELECT min(num) FROM action WHERE stage = 'count.load')")
        self.refused("count.load")
        self.assertEqual(self.counts(), {"load": 1})

    def test_an_output_that_is_lost(self):
        self.sql("cache.db", "DELETE FROM output WHERE action = "
                             "(SELECT num FROM action WHERE stage = 'count.join')")
        self.refused("count.join")
        self.assertEqual(self.counts(), {"join": 1})

    def test_a_key_that_is_another(self):
        (one,), (two,), _ = self.ask_of("cache.db", "SELECT num FROM action WHERE stage = "
                                                 "'count.load'")
        self.sql("cache.db", f"UPDATE action SET device = 'x' WHERE num = {one}",
                 f"UPDATE action SET key = (SELECT key FROM action WHERE num = {one}) WHERE num = "
                 f"{two}")
        self.refused("count.load")

    def test_a_digest_of_an_input_file(self):
        self.sql("cache.db", "UPDATE file SET digest = randomblob(32), hashed = hashed + 10000000000"
                             " WHERE path LIKE '%a.txt'")
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_a_mark(self):
        self.sql("chunks.db", "UPDATE meta SET value = randomblob(32) WHERE name = 'pair'")
        out = self.massflow("run", code=2)
        self.assertIn("chunks.db' is damaged: its mark does not match its sum\n", out)
        self.massflow("cache", "repair")
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_a_version(self):
        for version in (0, 1, 2, 3, 4, 6):
            self.sql("cache.db", f"PRAGMA user_version = {version}")
            out = self.massflow("run", code=2)
            self.assertIn("cache.db' is damaged: its header and its tables differ in what they "
                          "are\n", out)
            self.massflow("cache", "repair")
            self.massflow("run")
            self.assertEqual(self.runs(), [])


class Dropped(Upkeep):
    """Data that was dropped is made again where it is asked for, and only there."""

    def drop(self, stage):
        self.sql("cache.db", "UPDATE artifact SET present = 0 WHERE num IN (SELECT o.artifact FROM "
                             f"output o JOIN action a ON a.num = o.action WHERE stage = '{stage}')")

    def test_what_lies_between_is_not_made_again(self):
        self.massflow("run")
        self.runs()
        self.drop("count.upper")
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_what_a_run_ends_in_is_made_again(self):
        self.massflow("run")
        self.runs()
        self.drop("count.join")
        self.assertIn("all                       1 to run      its result is not in the cache any "
                      "more\n", self.massflow("plan"))
        self.massflow("run")
        self.assertEqual(self.counts(), {"join": 1})

    def test_a_target_is_made_again_with_what_it_needs(self):
        self.massflow("run")
        self.runs()
        for stage in ("count.load", "count.upper"):
            self.drop(stage)
        self.massflow("run", "upper[case=b]")
        self.assertEqual(self.counts(), {"load": 1, "upper": 1})

    def test_a_target_that_another_target_reads_is_made_again(self):
        self.massflow("run")
        self.runs()
        self.drop("count.upper")
        self.assertIn("upper                     1 to run      its result is not in the cache any "
                      "more\n", self.massflow("plan", "upper[case=b]", "more"))
        self.massflow("run", "upper[case=b]", "more")
        self.assertEqual(self.counts(), {"upper": 1})
        self.massflow("get", "upper[case=b]", "-o", "b.txt")

    def test_what_is_exported_is_made_again_where_its_file_is_gone(self):
        self.write("graph.yaml", CHAIN + "export:\n  more: \"out/${case.id}.txt\"\n")
        self.massflow("run")
        self.runs()
        self.drop("count.add")
        self.massflow("run")
        self.assertEqual(self.runs(), [])  # the files stand
        os.remove(self.path("out/b.txt"))
        self.assertRegex(self.massflow("run"), "wrote .*/out/b.txt\n")
        self.assertEqual(self.counts(), {"add": 1})


class Collect(Upkeep):
    def setUp(self):
        super().setUp()
        self.massflow("run")
        self.runs()
        self.before = self.ids()

    def present(self):
        return self.ask_of("cache.db", "SELECT count(*) FROM artifact WHERE present = 1")[0][0]

    def chunks(self):
        return sum(self.ask_of(f, "SELECT count(*) FROM chunk")[0][0] for f in ("cache.db", "chunks.db"))

    def test_nothing_goes_that_is_needed(self):
        self.massflow("cache", "gc")
        self.assertEqual(self.present(), 10)
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_dry_run_changes_nothing(self):
        out = self.massflow("cache", "gc", "--age", "1h", "--dry-run")
        self.assertIn("would delete the data of 0 artifacts", out)
        out = self.massflow("cache", "gc", "--size", "10", "--dry-run")
        self.assertRegex(out, r"88db4f037ea6  table          64 B  used \d{4}-\d\d-\d\d  made in \d+ ms "
                              r"+count.join: the cache is over its size\nwould delete the data of 1 artifacts "
                              r"\(64 B\) and 0 unused chunks \(0 B\)\n9 artifacts are kept \(0 B\)\n$")
        self.assertEqual((self.present(), self.chunks()), (10, 4))

    def test_a_limit_of_size(self):
        self.massflow("cache", "gc", "--size", "10")
        self.assertEqual((self.present(), self.chunks()), (9, 0))
        self.assertEqual(self.ask_of("cache.db", "SELECT count(*) FROM action"), [(10,)])
        self.massflow("cache", "verify")
        self.massflow("run")
        self.assertEqual(self.counts(), {"join": 1})
        self.assertEqual(self.ids(), self.before)

    def test_chunks_that_nothing_names(self):
        self.sql("cache.db", "INSERT INTO chunk_data (num, codec, bytes) VALUES (99, 0, x'78797a')",
                 "INSERT INTO chunk VALUES (x'3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a"
                 "6fa16c3c9282', 99, 3, 3)")
        self.assertIn("1 chunks (3 B) are unused: 'massflow cache gc' deletes them\n",
                      self.massflow("cache", "verify"))
        out = self.massflow("cache", "gc")
        self.assertIn("dropped the data of 0 artifacts (0 B) and 1 unused chunks (3 B)\n",
                      out)
        self.assertEqual(self.chunks(), 4)

    def test_a_run_that_goes_on_keeps_what_it_uses(self):
        self.sql("cache.db", f"UPDATE run SET status = 'running', ended = NULL, pid = {os.getpid()}")
        out = self.massflow("cache", "gc", "--size", "0")
        self.assertIn("10 artifacts are kept (64 B); 10 of them are in use by 1 active runs\n", out)
        self.assertIn("more than --size is kept: the rest is in use, or a checkpoint that a stage may resume "
                      "from\n", out)
        self.sql("cache.db", "UPDATE run SET pid = 999999999")
        self.massflow("cache", "gc", "--size", "0")
        self.assertEqual(self.present(), 9)

    def test_gc_waits_for_who_is_planning(self):
        with open(self.path(".massflow/lock"), "r+") as lock:
            fcntl.lockf(lock, fcntl.LOCK_SH, 1)
            gc = self.start("cache", "gc", "--size", "0")
            with self.assertRaises(subprocess.TimeoutExpired):
                gc.wait(0.5)
            self.assertEqual(self.present(), 10)
            fcntl.lockf(lock, fcntl.LOCK_UN, 1)
        self.assertIn("dropped the data of 1 artifacts", gc.communicate()[0])
        self.assertEqual(gc.returncode, 0)

    def test_limits_that_are_none(self):
        for words in (["--size", "20X"], ["--age", "30"], ["--age", "x"], ["--size", "-1"]):
            self.assertEqual(self.massflow("cache", "gc", *words, code=2),
                             "massflow: error: --size is a number with k, M, G or T (bytes), --age "
                             "one with s, m, h, d or w: cache gc --size 20G --age 30d\n")


class Uses(Upkeep):
    """What belongs to which graph, stage and case; and dropping it."""

    def rows(self, *words):
        """name: artifacts, of a table of sums."""
        return {row[0]: int(row[1]) for row in (line.split() for line in self.massflow("cache", "ls", *words).splitlines()
                                                if not line.startswith(("4 ", "1 "))) if row[1] != "artifacts"}

    def test_sums(self):
        self.massflow("run")
        self.assertEqual(self.rows("--by", "stage"), {"all": 1, "more": 3, "text": 3, "upper": 3, "total": 10})
        self.assertEqual(self.rows("--by", "case", "--stage", "more"), {"a": 1, "b": 1, "c": 1, "total": 3})
        self.assertEqual(self.rows("--by", "graph"), {self.path("graph.yaml"): 10, "total": 10})
        self.massflow("run", "more[case=a]", "--set", "suffix=?")
        self.assertEqual(self.rows("--by", "stage", "--graph", "graph.yaml", "--case", "a"),
                         {"more": 2, "text": 1, "upper": 1, "total": 4})
        out = self.massflow("cache", "ls", "--stage", "more", "--case", "a")
        self.assertEqual(len(re.findall(r"(?m)^[0-9a-f]{12}  text .* more\[case=a\]\.text$", out)), 2)
        self.assertIn("error: --by is 'graph', 'stage' or 'case', not 'x'", self.massflow("cache", "ls", "--by", "x", code=2))

    def drop(self, *words, code=0):
        done = self.ended([MASSFLOW, "cache", "drop", *words, "--plugins", "plugins"], code)
        return done.stdout + done.stderr

    def test_drop(self):
        self.massflow("run")
        self.massflow("run", "more", "--set", "suffix=?")
        self.runs()
        dry = self.drop("graph.yaml", "more[case=b]", "-n")
        self.assertRegex(dry, r"\Adrops    text +\d+ B  more\[case=b\]\nwould drop 1 result \(")
        self.assertRegex(self.drop("graph.yaml", "more[case=b]"), r"\Adropped  text .* more\[case=b\]\ndropped 1 result \(")
        self.assertIn("no damage found", self.massflow("cache", "verify"))
        self.assertEqual(self.drop("graph.yaml", "more[case=b]"), "nothing of it is in the cache\n")
        self.massflow("run")  # nothing needs it
        self.assertEqual(self.runs(), [])
        self.massflow("run", "more[case=b]")
        self.assertEqual(self.counts(), {"add": 1})
        self.assertIn("dropped 6 results", self.drop("graph.yaml", "more", "--all"))

    def test_what_others_share_is_kept(self):
        text = self.read("graph.yaml")
        self.massflow("run")
        # The same keys, and another stage that comes to the same bytes.
        self.write("twin.yaml", text + "  again: {use: count.upper, each: case, in: {text: upper}}\n")
        self.massflow("run", graph="twin.yaml")
        out = self.drop("graph.yaml", "upper[case=a]")
        self.assertRegex(out, r"\Akept     text .*upper\[case=a\].*: another result is the same\ndropped 0 results \(0 B\); 1 kept\n")
        self.assertIn(self.path("twin.yaml") + " again[case=a]", out)

    def test_a_run_that_goes_on_keeps_what_it_uses(self):
        self.write("graph.yaml", WAIT)
        run = self.start("run", "text", "wait[case=a]", "--set", f"file={self.path('go')}")
        self.wait_for("the run", lambda: self.ask_early("SELECT 1 FROM run_node WHERE node LIKE 'wait%' AND outcome = 5"), run)
        out = self.drop("graph.yaml", "text", "--set", f"file={self.path('go')}")
        self.assertIn("a run that goes on uses it", out)
        self.assertIn("dropped 0 results", out)
        run.kill()
        run.wait()

    def test_refusals(self):
        self.massflow("run")
        self.assertIn("error: name a graph and what to drop of it", self.drop("graph.yaml", code=2))
        self.assertIn("error: graph.yaml has no stage 'mor'", self.drop("graph.yaml", "mor", code=2))
        self.assertIn("names an output; a node is dropped with all of them", self.drop("graph.yaml", "more.text", code=2))
        self.assertEqual(self.drop("graph.yaml", "more", "--set", "suffix=~"), "nothing of it is in the cache\n")


class Migration(Upkeep):
    """cache-1.tar.xz is a cache of schema version 1, with its graph; cache-2.tar.xz one of version 2,
    with results of a run and such that were imported (suffix: ?)."""

    OUTPUTS = ("SELECT hex(a.key), a.device, o.port, o.position, hex(f.id), f.present FROM action a"
               " JOIN output o ON o.action = a.num JOIN artifact f ON f.num = o.artifact"
               " ORDER BY 1, 2, 3, 4")

    def setUp(self):
        super().setUp()
        self.unpack(1)

    def unpack(self, version):
        here = os.path.dirname(os.path.abspath(__file__))
        for folder in ("scans", ".massflow"):
            shutil.rmtree(self.path(folder), ignore_errors=True)
        with tarfile.open(os.path.join(here, f"cache-{version}.tar.xz")) as tar:
            tar.extractall(self.folder, filter="data")

    def schema(self, file):
        return self.ask_of(file, "SELECT m.name, t.name, t.type FROM sqlite_schema m, "
                              "pragma_table_info(m.name) t ORDER BY 1, 2")

    def test_results_come_forward(self):
        before = self.ask_of("cache.db", self.OUTPUTS)
        self.assertEqual(len(before), 11)
        self.assertEqual(self.ask_of("cache.db", "PRAGMA user_version"), [(1,)])
        # Built programs lay there once; a cache comes from others, so nobody may run them.
        self.sql("cache.db", "INSERT INTO binary VALUES ('k', x'00', 0, x'7f454c46')")
        out = self.massflow("run", "--code", "version")
        self.assertIn("finished: 0 run, 11 cached in", out)
        self.assertEqual(self.runs(), [])
        self.assertEqual(self.ask_of("cache.db", self.OUTPUTS), before)
        for file in ("cache.db", "chunks.db"):
            self.assertEqual(self.ask_of(file, "PRAGMA user_version"), [(5,)])
        self.assertEqual(self.ask_of("cache.db", "SELECT name FROM sqlite_schema WHERE name = 'binary'"), [])
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))
        out = self.massflow("show", "rows", "--code", "version")
        self.assertEqual(len(out.splitlines()), 6003)

    def test_what_was_imported_comes_forward_as_that(self):
        self.unpack(2)
        before = self.ask_of("cache.db", self.OUTPUTS)
        self.assertEqual(len(before), 15)
        out = self.massflow("run", "--code", "version")
        self.assertIn("finished: 0 run, 11 cached in", out)
        out = self.massflow("run", "--code", "version", "--set", "suffix=?")
        self.assertIn("11 of 11 nodes are cached, 4 of them imported\n", out)
        self.assertEqual(self.runs(), [])
        self.assertEqual(self.ask_of("cache.db", self.OUTPUTS), before)
        self.assertEqual(self.ask_of("cache.db", "SELECT import, count(*) FROM action GROUP BY import"),
                         [(0, 11), (1, 4)])
        self.assertRegex(self.massflow("why", "all", "--code", "version", "--set", "suffix=?"),
                         r"^all: cached, imported\n  imported [-\d]+ [:\d]+, when it was not yet "
                         r"recorded from where\n  made there in \d+ ms\n  since the result before "
                         r"that:\n")
        self.assertIn("  import 1: a file that is not known: 4 actions\n", self.massflow("cache", "stat"))
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))

    def test_a_damaged_row_does_not_become_sound(self):
        self.unpack(2)
        self.sql("cache.db", "UPDATE action SET seconds = 17 WHERE num IN (1, 12)")
        self.massflow("run", "rows", "--code", "version")
        out = self.massflow("cache", "verify", code=1)
        for stage in ("count.load", "count.add"):
            self.assertRegex(out, f"the record of action [0-9a-f]{{12}} of {stage} does not match its "
                                  "sum\n")
        self.assertIn("2 damaged items; ", out)

    def test_what_comes_forward_has_the_tables_of_a_new_one(self):
        self.massflow("run", "--code", "version")
        old = {file: self.schema(file) for file in ("cache.db", "chunks.db")}
        shutil.rmtree(self.path(".massflow"))
        self.write("graph.yaml", CHAIN)
        self.massflow("run")
        self.assertEqual({file: self.schema(file) for file in ("cache.db", "chunks.db")}, old)

    def test_commands_that_only_look_leave_it_alone(self):
        files = [self.path(".massflow/" + f) for f in ("cache.db", "chunks.db")]
        before = [open(f, "rb").read() for f in files]
        for words in (["plan"], ["cache", "stat"], ["cache", "verify"]):
            out = self.massflow(*words, code=2)
            self.assertRegex(out, r"cache.db' has schema version 1, of an older massflow; this one reads version "
                                  r"5\n  any `massflow run` with this cache upgrades it; no result is lost\n$")
        self.assertEqual([open(f, "rb").read() for f in files], before)


if __name__ == "__main__":
    main(2)
