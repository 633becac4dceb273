#!/usr/bin/env python3
"""Carrying a cache to another machine: test_move.py MASSFLOW COUNTING.so"""
import hashlib
import os
import pwd
import random
import re
import shutil
import struct

from harness import Pipeline, main

DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
GRAPH = """massflow: 1
params: {n: "20"}
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: case, in: {text: text}}
  all: {use: count.join, in: {texts: "upper[*]"}}
  numbers: {use: count.numbers, with: {seed: 1}}
  rows: {use: count.collect, in: {items: numbers}, with: {count: "${n}"}}
"""


class Move(Pipeline):
    def setUp(self):
        super().setUp()
        self.write("graph.yaml", GRAPH)
        self.massflow("run")
        self.runs()

    def elsewhere(self):
        """From here on this is another machine: the same scans and graph, no cache."""
        shutil.move(self.path(".massflow"), self.path("first"))

    def test_all_is_cached_elsewhere(self):
        self.massflow("run", "--set", "n=2100")  # has a chunk in chunks.db
        self.runs()
        before = self.massflow("cache", "ls")
        out = self.massflow("cache", "export", "all.mfx")
        self.assertRegex(out, r"^all.mfx: 9 actions, 9 artifacts, 8 chunks \(\S+ kB\)\n$")
        self.elsewhere()
        out = self.massflow("cache", "import", "all.mfx")
        self.assertRegex(out, r"^all.mfx: 9 actions \(9 new\), 9 artifacts, 8 chunks \(\S+ kB new\)"
                              r"\n$")
        out = self.massflow("run", "--set", "n=2100")
        self.assertIn("8 of 8 nodes are cached, 8 of them imported\n", out)
        self.assertIn("finished: 0 run, 8 cached (8 imported) in", out)
        self.assertEqual(self.runs(), [])
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))

        def ids(listing):
            return sorted(line.split()[0] for line in listing.splitlines())
        self.assertEqual(ids(self.massflow("cache", "ls")), ids(before))
        out = self.massflow("cache", "import", "all.mfx")
        self.assertRegex(out, r"9 actions \(0 new\), 9 artifacts, 8 chunks \(0 B new\)\n$")

    def test_a_part(self):
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "upper[case=b]",
                            "--plugins", "plugins")
        self.assertIn("part.mfx: 2 actions, 2 artifacts, 0 chunks (0 B)\n", out)
        self.elsewhere()
        self.massflow("cache", "import", "part.mfx")
        self.massflow("run")
        self.assertEqual(self.counts(), {"load": 2, "upper": 2, "join": 1, "collect": 1})

    def test_what_is_not_cached_is_said(self):
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "rows", "--plugins",
                            "plugins", "--cache", "none", code=2)
        self.assertEqual(out, "massflow: error: there is no cache to export from; make it with: "
                              "massflow run graph.yaml\n")
        self.change("DELETE FROM action WHERE stage = 'count.join'")
        out = self.massflow("cache", "export", "part.mfx", "graph.yaml", "--plugins", "plugins")
        self.assertIn("1 of 8 nodes are not in the cache: left out\n", out)

    def test_dropped_data_stays_dropped(self):
        self.massflow("cache", "gc", "--size", "0")
        self.massflow("cache", "export", "all.mfx")
        self.elsewhere()
        self.massflow("cache", "import", "all.mfx")
        self.assertEqual(self.ask("SELECT count(*) FROM artifact WHERE present = 0"), [(2,)])
        self.massflow("run", "upper")
        self.assertEqual(self.runs(), [])

    def test_a_damaged_export_is_refused_whole(self):
        self.massflow("cache", "export", "all.mfx")
        sound = self.read_bytes("all.mfx")
        self.elsewhere()
        random_ = random.Random(3)
        for i in range(25):
            at = random_.randrange(len(sound))
            damaged = sound[:at] if i % 5 == 0 else \
                sound[:at] + bytes([sound[at] ^ random_.randrange(1, 256)]) + sound[at + 1:]
            self.write("all.mfx", damaged)
            out = self.massflow("cache", "import", "all.mfx", code=1)
            self.assertIn("massflow: error: while importing: 'all.mfx' is ", out)
        self.assertEqual(self.ask("SELECT (SELECT count(*) FROM action), (SELECT count(*) FROM "
                                  "artifact)"), [(0, 0)])
        self.write("all.mfx", sound + b"x")
        self.assertEqual(self.massflow("cache", "import", "all.mfx", code=1),
                         "massflow: error: while importing: 'all.mfx' is damaged: bytes follow its "
                         "end\n")

    def test_where_results_are_from(self):
        self.massflow("cache", "export", "all.mfx")
        (created, host), = self.ask("SELECT a.created, r.host FROM action a JOIN run r ON r.num = "
                                    "a.run WHERE a.stage = 'count.join'")
        self.assertRegex(self.massflow("show", "all"), rf"(?m)^  made {DATE} in \d+ ms by run 1$")
        self.elsewhere()
        # It is imported an hour later, by another clock and on another host.
        self.massflow("cache", "import", "all.mfx")
        self.assertEqual(self.ask("SELECT created, host, run, import FROM action WHERE stage = "
                                  "'count.join'"), [(created, host, 0, 1)])
        user = re.escape(pwd.getpwuid(os.getuid()).pw_name)
        words = (rf"  imported {DATE} by {user} from {re.escape(self.path('all.mfx'))}, written "
                 rf"{DATE} by {user} on host {re.escape(host)}\n"
                 rf"  made there {DATE} on host {re.escape(host)} in \d+ ms\n")
        self.assertRegex(self.massflow("why", "all"), rf"^all: cached, imported\n{words}$")
        self.assertRegex(self.massflow("show", "all"), rf"^table [0-9a-f]{{12}}\n{words}")
        (art,), = self.ask("SELECT lower(hex(id)) FROM artifact WHERE type = 'table' AND num IN (SELECT "
                           "artifact FROM output o JOIN action a ON a.num = o.action WHERE a.stage = "
                           "'count.join')")
        self.assertRegex(self.massflow("show", graph=art[:12]), rf"^table [0-9a-f]{{12}}\n{words}")
        self.assertIn("text                      3 cached      3 of them imported\n",
                      self.massflow("plan"))
        self.assertRegex(self.massflow("cache", "stat"), r"(?m)^  actions    8 \(8 imported\)$")
        self.assertRegex(self.massflow("cache", "stat"),
                         rf"(?m)^  import 1: {re.escape(self.path('all.mfx'))}, {DATE} by {user}: 8 "
                         r"actions$")
        # What stages took there tells how long they will take here.
        self.assertRegex(self.massflow("plan", "rows", "--set", "n=30"),
                         r"expected \d+ ms, from 1 imported result of it\n")
        # Carried on, it is still from where it was made.
        self.massflow("cache", "export", "again.mfx")
        shutil.rmtree(self.path(".massflow"))
        self.massflow("cache", "import", "again.mfx")
        self.assertEqual(self.ask("SELECT created, host FROM action WHERE stage = 'count.join'"),
                         [(created, host)])

    def forge(self, name, stage, device):
        """all.mfx, with another artifact as what came out of a stage, and made by another device."""
        whole = self.read_bytes("all.mfx")
        at, out, other = 18, whole[:18], None
        while whole[at:at + 1] != b"z":
            size, = struct.unpack_from("<Q", whole, at + 1)
            letter, body = whole[at:at + 1], whole[at + 9:at + 9 + size]
            at += 9 + size
            if letter == b"a" and other is None:
                other = body[:32]
            if letter == b"x" and stage in body:
                self.assertEqual(body[32:40], struct.pack("<q", 0))
                body = body[:32] + struct.pack("<q", len(device)) + device + body[40:-32] + other
            out += letter + struct.pack("<Q", len(body)) + body
        out += b"z" + struct.pack("<Q", 32) + hashlib.sha256(out).digest()
        self.write(name, out)
        return other.hex()[:12]

    def test_what_was_made_here_stays(self):
        self.massflow("cache", "export", "all.mfx")
        other = self.forge("forged.mfx", b"count.join", b"elsewhere")
        shown = self.massflow("show", "all").splitlines()[4:]
        (key, mine), = self.ask("SELECT lower(hex(a.key)), lower(hex(f.id)) FROM action a JOIN output o "
                                "ON o.action = a.num JOIN artifact f ON f.num = o.artifact WHERE a.stage "
                                "= 'count.join'")
        says = (f"differs: count.join, here all (action {key[:12]}): table is {other} in the file, "
                f"{mine[:12]} here; made on elsewhere, here on no device\n")
        for new in (1, 0):
            out = self.massflow("cache", "import", "forged.mfx")
            self.assertIn(says, out)
            self.assertIn(f"forged.mfx: 8 actions ({new} new), ", out)
            self.assertIn("1 of them differs from what is here for the same key; the local results stay in use\n", out)
        self.assertIn("finished: 0 run, 8 cached in", self.massflow("run"))
        self.assertEqual(self.massflow("show", "all").splitlines()[4:], shown)
        out = self.massflow("cache", "verify")
        self.assertIn(f"differs: count.join (action {key[:12]}) imported from "
                      f"{self.path('forged.mfx')}: table is {other}, {mine[:12]} here\n"
                      "  the local result is used\n", out)
        self.assertTrue(out.endswith("1 imported result differs from the local one\nno damage found\n"))
        # Also where its data was dropped and is made again.
        self.change("UPDATE artifact SET present = 0 WHERE type = 'table'")
        self.runs()
        self.massflow("run", "all")
        self.assertEqual(self.counts(), {"join": 1})

    def test_what_was_imported_first_stays_until_it_is_made_here(self):
        self.massflow("cache", "export", "all.mfx")
        other = self.forge("forged.mfx", b"count.join", b"")
        self.elsewhere()
        self.massflow("cache", "import", "forged.mfx")
        self.assertEqual(self.massflow("show", "all.table").split()[1], other)
        out = self.massflow("cache", "import", "all.mfx")
        self.assertIn("; the one here was imported before\n", out)
        self.assertIn("(1 new)", out)
        self.assertEqual(self.massflow("show", "all.table").split()[1], other)
        self.assertIn("  the first import is used\n", self.massflow("cache", "verify"))
        # Asked for while its data is gone it is made here, and that is what counts from then on.
        self.change(f"UPDATE artifact SET present = 0 WHERE id = x'{self.whole(other)}'")
        self.runs()
        self.massflow("run", "all")
        self.assertEqual(self.counts()["join"], 1)
        self.assertNotEqual(self.massflow("show", "all.table").split()[1], other)
        self.assertRegex(self.massflow("why", "all"), r"^all: cached\n  made ")
        self.massflow("run", "all")
        self.assertEqual(self.runs(), [])
        self.assertEqual(self.massflow("cache", "verify").count("  the local result is used\n"), 1)

    def whole(self, prefix):
        (found,), = self.ask(f"SELECT hex(id) FROM artifact WHERE lower(hex(id)) LIKE '{prefix}%'")
        return found

    def test_an_import_that_is_told_to_be_from_here_is_damage(self):
        self.massflow("cache", "export", "all.mfx")
        self.elsewhere()
        self.massflow("cache", "import", "all.mfx")
        self.change("UPDATE action SET import = 0 WHERE stage = 'count.join'")
        self.assertRegex(self.massflow("cache", "verify", code=1),
                         "the record of action [0-9a-f]{12} of count.join does not match its sum\n")
        self.assertIn("is damaged", self.massflow("plan", code=2))

    def test_a_file_of_an_older_massflow(self):
        """Without sections 'h' and 'p'."""
        self.massflow("cache", "export", "all.mfx")
        whole = self.read_bytes("all.mfx")
        at, out = 18, whole[:18]
        while whole[at:at + 1] != b"z":
            size, = struct.unpack_from("<Q", whole, at + 1)
            if whole[at:at + 1] not in b"hp":
                out += whole[at:at + 9 + size]
            at += 9 + size
        self.write("old.mfx", out + b"z" + struct.pack("<Q", 32) + hashlib.sha256(out).digest())
        self.elsewhere()
        self.massflow("cache", "import", "old.mfx")
        self.assertRegex(self.massflow("why", "all"),
                         rf"^all: cached, imported\n  imported {DATE} by \S+ from \S+/old.mfx\n"
                         r"  made there in \d+ ms\n$")

    def test_no_file(self):
        self.assertEqual(self.massflow("cache", "import", "none.mfx", code=1),
                         "massflow: error: while importing: none.mfx: No such file "
                         "or directory\n")
        os.mkfifo(self.path("pipe.mfx"))
        for name, what in (("pipe.mfx", "pipe"), ("/dev/zero", "device")):
            self.assertEqual(self.massflow("cache", "import", name, code=1),
                             f"massflow: error: while importing: {name}: is a {what}, not a file\n"
                             "  write the bytes to a file, and name that\n")
        self.assertEqual(self.massflow("cache", "export", code=2),
                         "massflow: error: no file is given: massflow cache export FILE\n")
        self.assertFalse(os.path.exists(self.path("none.mfx")))


if __name__ == "__main__":
    main(2)
