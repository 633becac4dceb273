#!/usr/bin/env python3
"""massflow desk finds a label or a clicked object in another scan: test_desk_example.py MASSFLOW

The model has random weights and the threshold 0, so that something is found at once; what is right is said by the same
stage in the graph itself.
"""
import gzip
import struct

import harness
from desk import Desk
from page_of_desk import BROWSER, Page

SIZES = "spacing: [8, 8, 8], patch_size: [32, 32, 32]"
STAGES = """massflow: 1
cases: {count: 2}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [8, 8, 8]}}
  model: {use: mass.init, with: {channels: [8, 16, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
"""
SEGMENT = STAGES + f"""  organs:
    use: mass.segment
    each: case
    where: {{id: "001"}}
    in: {{model: model, references: "patient.volume[case=000]", labels: "patient.labels[case=000]", query: patient.volume}}
    with: {{labels: [3], threshold: 0, {SIZES}}}
"""
TRAINED = STAGES.replace("model: {use: mass.init, with: {", "model: {use: mass.train, in: {pairs: views}, with: {steps: 1, ") + """
  parts: {use: labels.masks, each: case, in: {labels: patient.labels}}
  sample: {use: mass.prepare, each: case, in: {volume: patient.volume, masks: parts}, with: {spacing: [8, 8, 9], min_size: [32, 32, 32], window_low: -200}}
  views: {use: augment.views, in: {samples: "sample[*]"}, with: {patch_size: [32, 16, 32], margin: 0, masks: 2, seed: 1}}
"""


def words(desk, **more):
    """A request about patient 000 as the example and 001 as the scan, by the ids of now."""
    nodes = desk.nodes()

    def named(node, output):
        return {"output": f"{node}.{output}", "id": next(o["id"] for o in nodes[node]["outputs"] if o["name"] == output)}
    return {"scan": named("patient[case=001]", "volume"), "model": named("model", "model"),
            "example": named("patient[case=000]", "volume"), "labels": named("patient[case=000]", "labels"), "label": 3, **more}


def voxels(desk, artifact):
    """A NIfTI of 32 x 32 x 32 as the desk writes it: its affine and its values."""
    data = gzip.decompress(desk.ask("GET", "/api/look/file?id=" + artifact).body)
    code, = struct.unpack_from("<h", data, 70)
    return data[280:328], struct.unpack_from("<%d%s" % (32 ** 3, {2: "B", 4: "h", 8: "i", 512: "H"}[code]), data, 352)


class Example(harness.Massflow):
    def start_desk(self, graph, *targets):
        self.write("graph.yaml", graph)
        self.massflow("run", "graph.yaml", *targets)
        return Desk(self, "graph.yaml")

    def test_label(self):
        """The result is that of the graph's own stage: the same artifact."""
        desk = self.start_desk(SEGMENT)
        own = next(o["id"] for o in desk.nodes()["organs[case=001]"]["outputs"] if o["name"] == "labels")
        answer = desk.post("/api/click/example", words(desk))
        self.assertEqual(answer["id"], own)
        self.assertEqual(answer["from"], "organs[case=001]")
        self.assertEqual(answer["params"]["threshold"], 0)
        other = desk.post("/api/click/example", words(desk, label=1))
        self.assertNotEqual(other["id"], own)
        self.assertEqual(set(voxels(desk, other["id"])[1]), {1})  # all of the scan, as the threshold is 0
        self.assertFalse(desk.get("/api/click")["running"])

    def test_object(self):
        """An object that was clicked is the example, on the grid of its scan."""
        desk = self.start_desk(SEGMENT, "patient", "model")
        prompts = {"axis": 2, "slice": 16, "points": [[12, 16, 16, 1], [26, 26, 16, 0]]}
        asked = {k: v for k, v in words(desk, object=prompts).items() if not k.startswith("label")}
        answer = desk.post("/api/click/example", asked)
        affine, found = voxels(desk, answer["id"])
        self.assertEqual(set(found), {1})
        self.assertEqual(affine, voxels(desk, asked["scan"]["id"])[0])
        with open(answer["graph"], encoding="utf-8") as file:
            self.assertIn("use: sam2.segment", file.read())
        # The mask of the same click is the one that the example was made of: nothing is computed again.
        masks = desk.post("/api/click/volume", {**prompts, **{"id": asked["example"]["id"], "volume": asked["example"]["output"]}})
        self.assertLess(masks["seconds"], 20)
        self.assertGreater(masks["masks"], 0)

    def test_settings_of_the_training(self):
        """Without a stage mass.segment they are those of the samples and views."""
        desk = self.start_desk(TRAINED)
        answer = desk.post("/api/click/example", words(desk))
        self.assertEqual(answer["from"], "sample[case=000] and views")
        self.assertEqual((answer["params"]["spacing"], answer["params"]["patch_size"], answer["params"]["window_low"]),
                         ([8, 8, 9], [32, 16, 32], -200))

    def test_what_cannot_be_found(self):
        desk = self.start_desk(SEGMENT, "patient", "model")
        asked = words(desk)

        def refused(words_, code=400, **more):
            self.assertIn(words_, desk.post("/api/click/example", {**asked, **more}, code)["error"])
        refused("the example is the scan itself", scan=asked["example"])
        refused("the graph has no result 'patient[case=007].volume'", 404, scan={"output": "patient[case=007].volume", "id": "0"})
        refused("patient[case=000].labels is no volume", example=asked["labels"])
        refused("is another one than the page shows", model={**asked["model"], "id": "0" * 64})
        refused("label 77", label=77)
        refused("'label'", label=0)
        refused("'labels' has to be", labels=None)
        refused("there is no prompt", object={"axis": 2, "slice": 4, "points": []})
        refused("'axis' has to be a whole number", object={"slice": 4, "points": [[1, 1, 4, 1]]})

    def test_a_graph_that_says_nothing(self):
        desk = self.start_desk(STAGES)
        error = desk.post("/api/click/example", words(desk), 404)["error"]
        self.assertIn("does not say with which spacing, clipping and patch size the model works", error)
        self.assertIn("add a stage mass.segment", error)


@BROWSER
class OnThePage(Page):
    def choose(self, select, start):
        find = ("const o = [...document.getElementById(arguments[0]).options].find((e) => e.text.startsWith(arguments[1]));"
                "if (!o) return false; o.parentNode.value = o.value; o.parentNode.dispatchEvent(new Event('change'));"
                "return true;")
        self.until(lambda: self.browser.execute_script(find, select, start), f"{start} can be chosen")

    def test_label(self):
        """A label of the scan that is shown is found in the next one, which is shown then with the result over it."""
        self.write("graph.yaml", SEGMENT)
        self.massflow("run", "graph.yaml", "patient", "model")
        self.open(SEGMENT)
        self.go("look")
        self.until_text(".look-status .look-name", "patient[case=000].volume")
        self.one("#example summary").click()
        self.assertTrue(self.one("#example-find").get_attribute("disabled"))
        self.choose("look-layer", "patient[case=000].labels")
        self.choose("example-label", "label 3")
        self.choose("example-scan", "patient[case=001].volume")
        self.one("#example-find").click()
        self.until_text("#example-note", "by the example of patient[case=000].volume. Settings of organs[case=001].")
        self.until_text(".look-status .look-name", "patient[case=001].volume")
        self.assertEqual([e.text.split("\n")[0] for e in self.all(".layer header label")], ["label 3 by example"])
        self.look("example")
        asked = words(self.desk)
        answer = self.desk.post("/api/click/example", asked)
        shown = self.one(".layer header a").get_attribute("href")
        self.assertTrue(shown.endswith(answer["id"]), shown)


if __name__ == "__main__":
    harness.main(1)
