#!/usr/bin/env python3
"""massflow desk by plain HTTP: who may ask, what is refused, a run that is followed, what is told of it:
test_desk.py MASSFLOW"""
import http.client
import os
import signal
import socket
import struct

import harness
from desk import PHANTOMS, Desk, until_ended

SLOW = """massflow: 1
stages:
  it: {use: exec.run, with: {shell: true, command: "echo begun; exec sleep 1000 >{out.text}"}}
"""


class OnPhantoms(harness.Massflow):
    """One desk for all tests of a class."""

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", PHANTOMS)
        self.desk = Desk(self, "graph.yaml")


class Gate(OnPhantoms):
    def test_token(self):
        d = self.desk
        for path in ("/", "/main.js", "/api/session", "/api/nodes", "/api/events", "/nothing"):
            self.assertEqual(d.bare("GET", path).status, 403, path)
        self.assertIn("open the address that the command printed", d.bare("GET", "/").text)
        wrong = "0" * 64
        self.assertEqual(d.bare("GET", f"/?token={wrong}").status, 403)
        self.assertEqual(d.bare("GET", f"/?token={d.token[:-1]}").status, 403)
        self.assertEqual(d.bare("GET", "/", {"Cookie": f"massflow-desk-{d.port}={wrong}"}).status, 403)
        self.assertEqual(d.bare("GET", "/", {"Authorization": "Bearer " + wrong}).status, 403)
        # The token in an address opens the page alone, not what is behind it.
        self.assertEqual(d.bare("GET", f"/api/session?token={d.token}").status, 403)

    def test_cookie(self):
        d = self.desk
        entered = d.bare("GET", f"/?token={d.token}")
        self.assertEqual((entered.status, entered.headers["Location"]), (303, "/"))
        self.assertEqual(entered.headers["Set-Cookie"],
                         f"massflow-desk-{d.port}={d.token}; Path=/; HttpOnly; SameSite=Strict")
        page = d.bare("GET", "/", {"Cookie": f"massflow-desk-{d.port}={d.token}"})
        self.assertEqual((page.status, page.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertNotIn(d.token, page.text)

    def test_headers(self):
        """Of every answer, refusals too."""
        for answer in (self.desk.ask("GET", "/"), self.desk.ask("GET", "/api/session"), self.desk.bare("GET", "/")):
            policy = answer.headers["Content-Security-Policy"]
            for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
                self.assertIn(part, policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer.headers["Referrer-Policy"], "no-referrer")
            self.assertEqual(answer.headers["Cache-Control"], "no-store")
            self.assertEqual(answer.headers["Cross-Origin-Resource-Policy"], "same-origin")

    def test_host(self):
        """A name of somebody else that points here (DNS rebinding) is not answered, whatever it knows."""
        d = self.desk
        known = {"Authorization": "Bearer " + d.token}
        for host in ("evil.example", f"evil.example:{d.port}", f"127.0.0.1.evil.example:{d.port}", "", "[::1",
                     f"localhost.evil.example:{d.port}"):
            self.assertEqual(d.bare("GET", "/api/session", {**known, "Host": host}).status, 421, host)
        for host in (f"127.0.0.1:{d.port}", f"localhost:{d.port}", f"[::1]:{d.port}", "localhost:9000"):
            self.assertEqual(d.bare("GET", "/api/session", {**known, "Host": host}).status, 200, host)

    def test_origin(self):
        """With the cookie, which a browser adds by itself, only this page may act."""
        d = self.desk
        cookie = {"Cookie": f"massflow-desk-{d.port}={d.token}", "Content-Type": "application/json"}
        for more, code in (({}, 403), ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
                           ({"Origin": f"http://127.0.0.1:{d.port + 1}"}, 403),
                           ({"Origin": d.own, "Sec-Fetch-Site": "cross-site"}, 403),
                           ({"Origin": d.own, "Sec-Fetch-Site": "same-site"}, 403),
                           ({"Origin": d.own, "Sec-Fetch-Site": "same-origin"}, 200), ({"Origin": d.own}, 200)):
            self.assertEqual(d.bare("POST", "/api/stop", {**cookie, **more}, "{}").status, code, more)
        self.assertEqual(d.bare("GET", "/api/session", {**cookie, "Origin": "http://evil.example"}).status, 403)
        self.assertEqual(d.bare("GET", "/api/session", {**cookie, "Sec-Fetch-Site": "cross-site"}).status, 403)

    def test_only_this_machine(self):
        """Without --listen it is bound to the loopback address."""
        with open(f"/proc/{self.desk.process.pid}/net/tcp", encoding="ascii") as file:
            bound = [line.split()[1] for line in file if line.split()[3] == "0A"]
        self.assertIn(f"0100007F:{self.desk.port:04X}", bound)
        self.assertNotIn(f"00000000:{self.desk.port:04X}", bound)


class Limits(OnPhantoms):
    def test_requests(self):
        d = self.desk
        known = {"Authorization": "Bearer " + d.token}
        sent = {**known, "Content-Type": "application/json"}
        self.assertEqual(d.bare("POST", "/api/open", sent, b"{" + b" " * 300000 + b"}").status, 413)
        self.assertEqual(d.bare("POST", "/api/open", {**known, "Content-Type": "text/plain"}, "{}").status, 415)
        self.assertEqual(d.bare("POST", "/api/open", {**sent, "Transfer-Encoding": "chunked"}, [b"{}"]).status, 411)
        for body in ("", "{", "[]", "1", '{"set": {}} more', "[" * 100 + "]" * 100):
            self.assertEqual(d.bare("POST", "/api/open", sent, body).status, 400, body)
        self.assertEqual(d.bare("PUT", "/api/run", sent, "{}").status, 405)
        self.assertEqual(d.bare("DELETE", "/api/run", known).status, 405)
        self.assertEqual(d.bare("POST", "/api/nodes", sent, "{}").status, 405)
        self.assertEqual(d.bare("GET", "/nothing", known).status, 404)
        self.assertEqual(d.bare("GET", "/../../etc/passwd", known).status, 404)
        self.assertIn(d.bare("GET", "/", {**known, "X-Long": "x" * 100000}).status, (400, 413, 431))
        self.assertEqual(d.get("/api/session")["cases"], 2)

    def test_connections(self):
        """Many that say nothing do not end it, and make room when they go."""
        held = []
        for _ in range(100):
            held.append(socket.create_connection(("127.0.0.1", self.desk.port), timeout=10))
        for connection in held:
            connection.close()
        self.wait_for("the desk answers again", self.answers, self.desk.process)

    def answers(self):
        try:
            return self.desk.bare("GET", "/").status == 403
        except (OSError, http.client.HTTPException):
            return False

    def test_listeners(self):
        """More pages than can be told of events are refused in words, and those before them go on."""
        connections = []
        try:
            codes = []
            for _ in range(17):
                connections.append(http.client.HTTPConnection("127.0.0.1", self.desk.port, timeout=60))
                connections[-1].request("GET", "/api/events", headers={"Authorization": "Bearer " + self.desk.token})
                codes.append(connections[-1].getresponse())
            self.assertEqual([c.status for c in codes], 16 * [200] + [409])
            self.assertIn("too many pages", codes[-1].read().decode())
        finally:
            for connection in connections:
                connection.close()

    def test_asked_wrongly(self):
        d = self.desk
        for path, code, words in (
                ("/api/table", 400, "'node' is missing"), ("/api/table?id=abc", 400, "64 hex digits"),
                ("/api/table?id=" + "0" * 64, 404, "no cache"), ("/api/table?node=nothing", 404, "no stage 'nothing'"),
                ("/api/why?node=nothing", 404, "the graph has no node 'nothing'"),
                ("/api/runs/nodes?run=x", 400, "is a whole number"), ("/api/runs/nodes?run=0", 400, "is from 1"),
                ("/api/runs/nodes?run=99999999999999999999", 400, "is a whole number"),
                ("/api/log?node=%ff", 400, "'node' is missing")):
            with self.subTest(path):
                self.assertIn(words, d.get(path, code)["error"])
        for body, words in (({}, "'set' has to be"), ({"set": {"sizes": 3}}, "has to be a text"),
                            ({"set": {}, "graph": "../graph.yaml"}, "there is no graph"),
                            ({"set": {}, "graph": "/etc/passwd"}, "there is no graph")):
            with self.subTest(body):
                answer = d.ask("POST", "/api/open", body, 404 if "graph" in body else 400)
                self.assertIn(words, answer.json["error"])
        for targets in ("patient", [1], [None], ["nothing"] * 257):
            with self.subTest(targets):
                self.assertIn("target", d.post("/api/run", {"targets": targets}, 400)["error"])


class Runs(OnPhantoms):
    def test_run(self):
        d = self.desk
        self.assertEqual({n["state"] for n in d.nodes().values()}, {"to run", "undecided"})
        self.assertEqual(d.get("/api/runs"), [])
        seen = d.run()
        kinds = [event["kind"] for event in seen]
        self.assertEqual(kinds[0], "planned")
        self.assertEqual((kinds.count("started"), kinds.count("done")), (6, 6))
        end = seen[-1]
        self.assertEqual((end["status"], end["counts"]["done"], end["counts"]["failed"]), ("done", 6, 0))
        nodes = d.nodes()
        self.assertEqual({n["state"] for n in nodes.values()}, {"cached"})
        self.results(nodes)
        self.told(end["run"])
        # The same again computes nothing; a target alone, with another setting, what it needs.
        self.assertEqual(d.run()[-1]["counts"]["cached"], 6)
        self.assertEqual(d.post("/api/open", {"set": {"sizes": "[30]"}})["settings"], {"sizes": "[30]"})
        self.assertIn("sizes: [20,40] -> [30]", d.get("/api/why?node=found%5Bcase=000%5D")["why"])
        self.assertEqual(d.run({"targets": ["found[case=000]"]})[-1]["counts"]["done"], 1)
        past = d.get("/api/past?node=found%5Bcase=000%5D")
        self.assertEqual([p["params"]["sizes"] for p in past], [[30], [20, 40]])
        self.assertNotEqual(past[0]["outputs"]["masks"], past[1]["outputs"]["masks"])

    def results(self, nodes):
        outputs = {o["name"]: o for o in nodes["patient[case=000]"]["outputs"]}
        table = self.desk.ask("GET", "/api/table?id=" + outputs["facts"]["id"])
        self.assertIn("immutable", table.headers["Cache-Control"])
        self.assertEqual((table.json["rows"], table.json["columns"][0]["name"]), (1, "lesion"))
        by_name = self.desk.get("/api/table?node=patient%5Bcase=000%5D.facts")
        self.assertEqual(by_name, table.json)
        self.assertIn("it is of type volume, not table",
                      self.desk.get("/api/table?id=" + outputs["volume"]["id"], 400)["error"])
        picture = self.desk.ask("GET", "/api/picture?node=picture%5Bcase=000%5D")
        self.assertEqual(picture.headers["Content-Type"], "image/png")
        self.assertEqual(picture.body[:8], b"\x89PNG\r\n\x1a\n")
        self.massflow("get", "graph.yaml", "picture[case=000]", "-o", "own.png")
        self.assertEqual(picture.body, self.read_bytes("own.png"))
        self.assertEqual(struct.unpack(">2I", picture.body[16:24])[0] > 0, True)

    def told(self, number):
        run, = self.desk.get("/api/runs")
        self.assertEqual((run["run"], run["status"], run["counts"], run["command"]),
                         (number, "done", {"done": 6}, "massflow desk"))
        self.assertEqual({n["outcome"] for n in self.desk.get(f"/api/runs/nodes?run={number}")}, {"done"})
        log = self.desk.get("/api/log?node=found%5Bcase=001%5D")
        self.assertEqual((log["run"], log["met"]["outcome"]), (number, "done"))
        self.assertIn("masks of", log["lines"][-1]["text"])

    def test_form(self):
        """What the page makes a form of: values, comments of the file, what stages say of them."""
        sizes, seed = self.desk.get("/api/session")["params"]
        self.assertEqual((sizes["value"], sizes["written"], sizes["set"], sizes["comment"], sizes["stage"]),
                         ("[20, 40]", "[20, 40]", False, "mm, of supervoxels", "slic.masks"))
        self.assertEqual((sizes["param"]["kind"], sizes["param"]["unit"]), ("reals", "mm"))
        self.assertIn("range", seed["param"])
        self.assertNotIn("comment", seed)
        sizes, _ = self.desk.post("/api/open", {"set": {"sizes": "[10]"}})["params"]
        self.assertEqual((sizes["value"], sizes["written"], sizes["set"]), ("[10]", "[20, 40]", True))

    def test_wrong_settings(self):
        """They are refused with the place, and what is open stays."""
        error = self.desk.post("/api/open", {"set": {"sizes": "[-1]"}}, 400)["error"]
        self.assertIn("--set sizes=[-1]", error)
        self.assertIn("0.1 to 1000 mm", error)
        self.assertIn("did you mean 'sizes'", self.desk.post("/api/open", {"set": {"size": "[1]"}}, 400)["error"])
        self.assertEqual(self.desk.get("/api/session")["settings"], {})
        self.assertEqual(len(self.desk.nodes()), 6)

    def test_drawing(self):
        drawing = self.desk.get("/api/drawing")
        self.assertEqual([(link["from"], link["to"], link["type"]) for link in drawing["links"]],
                         [(0, 1, "volume"), (0, 2, "volume"), (1, 2, "masks")])
        tops = [box[1] for box in drawing["boxes"]]
        self.assertEqual(tops, sorted(tops))
        for link in drawing["links"]:
            x, y, width, height = drawing["boxes"][link["from"]]
            self.assertTrue(x <= link["points"][0] <= x + width and abs(link["points"][1] - y - height) < 1)

    def test_other_process(self):
        """A run of another process is seen by what it writes."""
        with self.desk.events() as stream:
            self.massflow("run", "graph.yaml")
            self.assertEqual(next(name for name, _ in stream), "cache")
        self.assertEqual({n["state"] for n in self.desk.nodes().values()}, {"cached"})
        run, = self.desk.get("/api/runs")
        self.assertTrue(run["command"].startswith(harness.MASSFLOW) or "run" in run["command"])


class Ends(harness.Massflow):
    def begun(self):
        self.write("graph.yaml", SLOW)
        desk = Desk(self, "graph.yaml")
        events = desk.events()
        stream = events.__enter__()
        self.addCleanup(events.__exit__, None, None, None)
        desk.post("/api/run")
        while next(stream)[1].get("text") != "begun":
            pass
        return desk, stream

    def test_stop(self):
        desk, stream = self.begun()
        now = desk.get("/api/run")
        self.assertEqual((now["running"], now["stopping"]), (True, False))
        self.assertIn("a run is going on", desk.post("/api/run", {}, 409)["error"])
        desk.post("/api/stop")
        end = until_ended(stream)[-1]
        self.assertEqual(end["status"], "interrupted")
        self.assertEqual(desk.get("/api/runs")[0]["status"], "interrupted")
        self.assertFalse(desk.get("/api/run")["running"])

    def test_interrupt(self):
        """Ctrl-C ends the run as Stop does, and then the desk, pages that listen or not."""
        desk, _ = self.begun()
        self.assertEqual(desk.stop(), 0)
        self.assertIn("interrupted", self.massflow("runs", "graph.yaml"))

    def test_idle(self):
        self.write("graph.yaml", PHANTOMS)
        desk = Desk(self, "graph.yaml")
        desk.process.send_signal(signal.SIGTERM)
        self.assertEqual(desk.process.wait(timeout=60), 0)
        self.assertFalse(os.path.exists(self.path(".massflow")))


class Files(harness.Massflow):
    def test_broken_graph(self):
        """The page comes up and says what is wrong and where; mended, it goes on."""
        self.write("graph.yaml", PHANTOMS.replace("slic.masks", "slic.mask"))
        desk = Desk(self, "graph.yaml")
        session = desk.get("/api/session")
        self.assertRegex(session["trouble"], r"graph\.yaml:\d+:\d+: error: ")
        self.assertIn("did you mean 'slic.masks'?", session["trouble"])
        self.assertIn("slic.mask", desk.get("/api/nodes", 400)["error"])
        self.assertIn("slic.mask", desk.post("/api/run", {}, 400)["error"])
        self.write("graph.yaml", PHANTOMS)
        self.assertNotIn("trouble", desk.post("/api/open", {"set": {}}))
        self.assertEqual(len(desk.nodes()), 6)

    def test_without_a_graph(self):
        self.write("b.yaml", PHANTOMS)
        self.write("a.yml", SLOW)
        self.write("other.yaml", "a: 1\n")
        os.mkfifo(self.path("pipe.yaml"))   # would be waited for
        desk = Desk(self)
        session = desk.get("/api/session")
        self.assertEqual((session["graphs"], session["trouble"]), (["a.yml", "b.yaml"], "no graph is chosen"))
        self.assertEqual(desk.post("/api/open", {"graph": "b.yaml", "set": {}})["cases"], 2)
        self.assertEqual(len(desk.nodes()), 6)

    def test_hostile_names(self):
        """Texts that are markup, or no UTF-8, come as they are, in JSON that nobody reads as a page."""
        markup = '<img src=x onerror="alert(1)">'
        self.write("graph.yaml", PHANTOMS.replace("mm, of supervoxels", markup))
        desk = Desk(self, "graph.yaml")
        answer = desk.ask("GET", "/api/session")
        self.assertEqual(answer.json["params"][0]["comment"], markup)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        self.write("graph.yaml", 'massflow: 1\nstages:\n  it: {use: exec.run, with: {shell: true, command: '
                                 '"printf \'\\\\303<b>\\\\n\'; echo x >{out.text}"}}\n')
        desk.post("/api/open", {"set": {}})
        seen = desk.run()
        self.assertIn("\ufffd<b>", [event.get("text") for event in seen])
        self.assertIn("\ufffd<b>", desk.get("/api/log?node=it")["lines"][0]["text"])

    def test_refused(self):
        self.write("graph.yaml", PHANTOMS)
        for words, said in ((("--port", "x"), "a port is a number from 0 to 65535, not 'x'"),
                            (("--port", "70000"), "a port is a number"),
                            (("--listen", "8080"), "--listen is HOST:PORT"),
                            (("--listen", "127.0.0.1:1", "--port", "2"), "--port is of this machine alone"),
                            (("--code", "x"), "--code is 'digest' or 'version'"),
                            (("--set", "x"), "--set is NAME=VALUE")):
            with self.subTest(words):
                self.assertIn(said, self.massflow("desk", "graph.yaml", *words, code=2))
        self.assertIn("no.yaml", self.massflow("desk", "no.yaml", code=2))
        desk = Desk(self, "graph.yaml")
        self.assertIn("can't listen at 127.0.0.1", self.massflow("desk", "--port", str(desk.port), code=2))


if __name__ == "__main__":
    harness.main(1)
