"""A desk as tests drive it: started on a graph, asked by plain HTTP, followed by its events."""
import contextlib
import http.client
import json
import re

import harness

# Two phantoms, their masks and a picture: a few seconds.
PHANTOMS = """massflow: 1
params:
  sizes: [20, 40]   # mm, of supervoxels
  seed: 1
cases: {count: 2}
stages:
  patient:
    use: phantom.volume
    each: case
    with: {size: [24, 24, 24], spacing: [8, 8, 8], seed: "${seed}"}
  found:
    use: slic.masks
    each: case
    in: {volume: patient.volume}
    with: {sizes: "${sizes}", min_voxels: 50}
  picture:
    use: image.overlay
    each: case
    in: {volume: patient.volume, masks: found}
    with: {slices: 2}
"""


# Two nodes that wait until the test has them go on.
WAITING = """massflow: 1
cases: {count: 2}
stages:
  it:
    use: exec.run
    each: case
    with: {shell: true, command: "until test -e GO; do sleep 0.05; done; echo ${case.id} >{out.text}"}
"""


class Pools:
    """A file of pools in a test's folder: `here`, whose worker is another process of this machine, and `other`."""

    def __init__(self, test):
        self.test = test
        self.graph = WAITING.replace("GO", test.path("go"))
        worker = (f"{harness.MASSFLOW} worker --connect {{connect}} --token {{token}} --pool {{pool}} --slots 1 "
                  f"--cache {test.path('worker')}")
        pools = "".join(f"  {name}: {{submit: command, max: 1, slots: 1, command: '{worker}'}}\n" for name in ("here", "other"))
        test.write("pools.yaml", f"listen: 127.0.0.1\nfolder: {test.path('site')}\npools:\n{pools}")

    def go(self):
        self.test.write("go", "")


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Desk:
    """Started by a test of harness.Massflow, and ended with it."""

    def __init__(self, test, *words):
        self.test = test
        self.process = test.start("desk", *words)
        self.url = test.until(self.process, r"^massflow desk: (http://\S+)$").group(1)
        self.port, self.token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([0-9a-f]{64})", self.url).groups()
        self.port = int(self.port)
        self.own = f"http://127.0.0.1:{self.port}"

    def bare(self, method, path, headers=None, body=None):
        """A request with these headers alone."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers or {})
            return Answer(connection.getresponse())

    def ask(self, method, path, body=None, code=200, **headers):
        """With the token; what is sent is JSON."""
        given = {"Authorization": "Bearer " + self.token, **headers}
        if body is not None:
            given["Content-Type"] = "application/json"
        answer = self.bare(method, path, given, None if body is None else json.dumps(body))
        self.test.assertEqual(answer.status, code, answer.body)
        return answer

    def get(self, path, code=200):
        return self.ask("GET", path, code=code).json

    def post(self, path, body=None, code=200):
        return self.ask("POST", path, body or {}, code).json

    @contextlib.contextmanager
    def events(self):
        """A generator of (name, data), from now on."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request("GET", "/api/events", headers={"Authorization": "Bearer " + self.token})
            response = connection.getresponse()
            self.test.assertEqual(response.status, 200)
            stream = read_events(response)
            self.test.assertEqual(next(stream)[0], "anew")
            yield stream

    def run(self, body=None):
        """Starts a run and follows it: what happened, the end last."""
        with self.events() as stream:
            self.post("/api/run", body)
            return until_ended(stream)

    def nodes(self):
        return {node["name"]: node for node in self.get("/api/nodes")}

    def stop(self):
        self.process.send_signal(2)
        return self.process.wait(timeout=60)


def read_events(response):
    name = None
    for line in response:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:])


def until_ended(stream):
    seen = []
    for name, data in stream:
        if name == "run":
            seen.append(data)
            if data["kind"] == "ended":
                return seen
    raise AssertionError("the events ended before the run did")
