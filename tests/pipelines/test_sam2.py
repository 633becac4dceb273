#!/usr/bin/env python3
"""SAM 2 from a scan to masks, with the small model that ships: test_sam2.py MASSFLOW GRAPHS

Real scans come from MASSFLOW_DATA; tests that read them are skipped without it.
"""
import os
import struct
import subprocess
import sys

from harness import DATA, REAL, Massflow, flags, main, nifti_bytes, read_nifti, read_npy, write_nifti

GRAPHS = os.path.abspath(sys.argv[2])
# Everything in one file, on a phantom or on a scan. `some` is little work, whatever the model is worth.
GRAPH = """massflow: 1
params:
  weights: {graphs}/models/sam2-small.safetensors
  points: 6
  batch: 128
  layers: 0
  iou: 0.01
  stability: 0.01
  together: 0
  things: 16
  features: 2048
  least: 3
  axis: slices
  share: 0.9
  checkpoint: 120
stages:
  scan: {scan}
  slices: {{use: window.rgb, in: {{volume: scan{port}}}, with: {{axis: z}}}}
  weights: {{use: model.load, with: {{path: "${{weights}}"}}}}
  seeds:
    use: sam2.masks
    in: {{slices: slices, model: weights{body}}}
    with: {{points_per_side: "${{points}}", points_per_batch: "${{batch}}", crop_n_layers: "${{layers}}",
           pred_iou_thresh: "${{iou}}", stability_score_thresh: "${{stability}}", box_nms_thresh: 0.95,
           crop_nms_thresh: 0.95, max_masks_per_slice: 5, min_slices_per_sample: "${{least}}", physical_interval_mm: 1000,
           axis: "${{axis}}", min_body_fraction: "${{share}}", checkpoint_interval: "${{checkpoint}}"}}
  found:
    use: sam2.propagate
    in: {{slices: slices, seeds: seeds, model: weights}}
    with: {{min_voxels: 1, objects_per_batch: "${{things}}", objects_per_pass: "${{together}}", feature_cache: "${{features}}",
           checkpoint_interval: "${{checkpoint}}"}}
"""
PHANTOM = "{use: phantom.volume, with: {size: [32, 28, 16], spacing: [6, 6, 12]}}"


class Sam2(Massflow):
    TIMEOUT = 900

    def graph(self, scan, port=".volume", body="", more=""):
        self.write("g.yaml", GRAPH.format(graphs=GRAPHS, scan=scan, port=port, body=body) + more)

    def massflow(self, command, *words, code=0, graph="g.yaml", cache="cache", **values):
        return super().massflow(command, graph, *words, *flags(**values), "--cache", cache, code=code)

    def json(self, node, **values):
        self.massflow("get", node, "-o", "a.json", **values)
        return self.read_json("a.json")

    def count(self, node, **values):
        return self.json(node, **values)["arrays"]["box"]["shape"][0]

    def array(self, node, name, **values):
        """An integer array of an artifact, flat."""
        self.massflow("get", node, "--array", name, "-o", "a.npy", **values)
        return list(read_npy(self.path("a.npy"))[1])


class Phantoms(Sam2):
    def test_from_a_scan_to_masks(self):
        """Seeds lie on their slices, masks cross them, a second run does nothing, and neither batch
        nor memory changes a bit."""
        self.graph(PHANTOM)
        self.massflow("run", "found")
        seeds, found = self.json("seeds"), self.json("found")
        self.assertEqual(seeds["attributes"]["min_pixels"], 500)
        count = seeds["arrays"]["box"]["shape"][0]
        self.assertGreater(count, 0)
        boxes, seed = self.array("seeds", "box"), self.array("seeds", "seed")
        for k in range(count):
            z0, _, _, z1, _, _ = boxes[6 * k:6 * k + 6]
            self.assertEqual((seed[2 * k], z0, z1), (0, seed[2 * k + 1], seed[2 * k + 1] + 1))
        self.assertGreaterEqual(len(set(seed[1::2])), 1)
        boxes, seed = self.array("found", "box"), self.array("found", "seed")
        for k in range(found["arrays"]["box"]["shape"][0]):
            self.assertTrue(boxes[6 * k] <= seed[2 * k + 1] < boxes[6 * k + 3])
        self.assertIn("finished: 0 run, ", self.massflow("run", "found", batch=5, things=1, together=2,
                                                         features=0))
        self.massflow("run", "found", cache="other", batch=5, things=1, together=2, features=0)
        for node, one in (("seeds", seeds), ("found", found)):
            self.massflow("get", node, "-o", "b.json", cache="other")
            self.assertEqual(self.read_json("b.json")["id"], one["id"])

    def test_all_axes_inside_a_body(self):
        """Slices across all axes are seeded where the body is; masks are kept that lie in it far enough."""
        self.graph(PHANTOM, body=", body: scan.labels")
        self.massflow("run", "found", axis="all", points=4, share=0.3)
        seed = self.array("seeds", "seed", axis="all", points=4, share=0.3)
        self.assertEqual(set(seed[::2]), {0, 1, 2})
        self.massflow("get", "scan.labels", "-o", "body.nii.gz")
        size, (body,) = read_nifti(self.path("body.nii.gz"))
        for axis, slice_ in zip(seed[::2], seed[1::2]):
            step = (size[0] * size[1], size[0], 1)[axis]
            here = (body[i] for i in range(len(body)) if i // step % size[2 - axis] == slice_)
            self.assertTrue(any(here))
        self.massflow("get", "seeds", "-o", "seeds.nii.gz", axis="all", points=4, share=0.3)
        shape, layers = read_nifti(self.path("seeds.nii.gz"))
        self.assertEqual(shape, size)
        area, inside = [0] * (len(seed) // 2), [0] * (len(seed) // 2)
        for layer in layers:
            for i, value in enumerate(layer):
                if value:
                    area[value - 1] += 1
                    inside[value - 1] += body[i] != 0
        for k, pixels in enumerate(area):
            self.assertGreater(pixels, 0)
            self.assertGreaterEqual(inside[k], 0.3 * pixels)

    def test_killed_and_started_again(self):
        """Killed in the middle, both stages go on from their last state and end with the same bytes."""
        self.graph(PHANTOM)
        self.massflow("run", "found", cache="other")
        for node in ("seeds", "found"):
            run = self.start("run", "g.yaml", node, "--cache", "cache", *flags(checkpoint=0),
                             stdout=subprocess.DEVNULL)
            self.wait_for("a state is saved before it is over",
                          lambda: self.ask_early("SELECT * FROM checkpoint", "cache"), run, seconds=300)
            run.kill()
            run.wait()
            self.assertIn(f"{node}: resumes after ", self.massflow("run", node, checkpoint=0))
            self.assertEqual(self.json(node)["id"], self.json(node, cache="other")["id"])

    def test_point_at_a_thing(self):
        """Things that are pointed at, boxed or labelled; in voxels and in mm they are the same."""
        more = """
  points: {use: sam2.segment, in: {slices: slices, model: weights}, with: {points: [16, 14, 8], min_voxels: 0}}
  world: {use: sam2.segment, in: {slices: slices, model: weights}, with: {points: [MM], unit: mm, min_voxels: 0}}
  box: {use: sam2.segment, in: {slices: slices, model: weights},
        with: {box: [8, 8, 8, 22, 20, 8], points: [4, 14, 6], obj_ids: [7, 2], axis: z}}
  shown: {use: sam2.segment, in: {slices: slices, model: weights, prompt: scan.labels}}
"""
        self.graph(PHANTOM)
        self.massflow("run", "scan")
        attributes = self.json("scan.volume")["attributes"]
        place = [o + s * i for o, s, i in zip(attributes["origin"], attributes["spacing"], (16, 14, 8))]
        self.graph(PHANTOM, more=more.replace("MM", ", ".join(map(str, place))))
        self.massflow("run", "points", "world", "box", "shown")
        self.assertEqual(self.json("points")["id"], self.json("world")["id"])
        self.assertEqual(self.array("points", "seed"), [0, 8])
        self.assertEqual(self.array("box", "label"), [2, 7])
        self.assertEqual(self.array("box", "seed"), [0, 8, 0, 6])
        labels = self.array("shown", "label")
        self.assertEqual(labels, sorted(set(labels)))
        self.massflow("get", "scan.labels", "-o", "labels.nii.gz")
        _, (voxels,) = read_nifti(self.path("labels.nii.gz"))
        self.assertTrue(set(labels) <= set(voxels) - {0})


class BadInput(Sam2):
    def scan(self, size, voxels):
        write_nifti(self.path("scan.nii.gz"), size, voxels)
        return "{use: volume.load, with: {path: scan.nii.gz, modality: mr}}"

    def stripes(self, size):
        row = struct.pack(f"<{size[0]}h", *(x // 5 % 2 * 400 for x in range(size[0])))
        return row * (size[1] * size[2])

    def test_one_slice(self):
        size = (40, 36, 1)
        self.graph(self.scan(size, self.stripes(size)), port="")
        self.massflow("run", "found")
        self.assertEqual(set(self.array("found", "seed")), {0})

    def test_slices_of_any_size(self):
        for size in ((16, 16, 3), (4096, 4096, 1)):
            self.graph(self.scan(size, self.stripes(size)), port="")
            self.massflow("run", "found", points=2)
            boxes = self.array("found", "box", points=2)
            self.assertTrue(all(b <= size[2 - i % 3] for i, b in enumerate(boxes)))

    def test_nothing_found(self):
        """No mask is surer than sure: empty seeds and masks, and it says so."""
        self.graph(PHANTOM)
        out = self.massflow("run", "found", iou=1)
        self.assertIn("seeds: no mask was found on any of the slices that were searched", out)
        self.assertIn("found: 0 masks of 0 seeds", out)
        self.assertEqual((self.count("seeds", iou=1), self.count("found", iou=1)), (0, 0))

    def test_wrong_inputs(self):
        self.graph(PHANTOM, more="""
  other: {use: mass.init, with: {channels: [8, 16, 32, 32, 32], num_block: [1, 1, 1, 1]}}
  wrong: {use: sam2.masks, in: {slices: slices, model: other}}
  apart: {use: phantom.volume, with: {size: [20, 20, 20]}}
  alien: {use: sam2.masks, in: {slices: slices, model: weights, body: apart.labels}}
  third: {use: window.rgb, in: {volume: apart.volume}}
  lost: {use: sam2.propagate, in: {slices: third, seeds: seeds, model: weights}}
  outside: {use: sam2.segment, in: {slices: slices, model: weights}, with: {points: [16, 99, 8]}}
  nothing: {use: sam2.segment, in: {slices: slices, model: weights}}
""")
        for node, message in (("wrong", "the model is iris, not a SAM 2"),
                              ("alien", "body does not lie on the slices' grid"),
                              ("lost", "the seeds do not lie on the slices' grid"),
                              ("outside", "point 16, 99, 8 (16, 99, 8 in the slices' order) lies outside of "
                                          "their 32 x 28 x 16 voxels"),
                              ("nothing", "there is no prompt")):
            self.assertIn(message, self.massflow("run", node, code=1))

    def test_wrong_parameters(self):
        for words, message in (("points_per_side: 4, crop_n_layers: 2, crop_n_points_downscale_factor: 3",
                                "no points are left in crop layer 2"),
                               ("point_grids: [0.5]", "point_grids: 1 numbers; x and y of each point are "
                                                      "an even count"),
                               ("points_per_side: 0", "'points_per_side' is 0; it must be 1 to 512")):
            self.graph(PHANTOM, more=f"""
  bad: {{use: sam2.masks, in: {{slices: slices, model: weights}}, with: {{{words}}}}}
""")
            self.assertIn(message, self.massflow("run", "bad", code=2))


class Graphs(Sam2):
    @REAL
    def test_sam2_on_ct(self):
        """The graph that ships, on a scan: masks on the scan's own grid, and a picture."""
        words = dict(data=f"{DATA}/ct/ct_abdomen_pelvis_A.nii.gz", points_per_side=8,
                     crop_n_layers=0, min_slices_per_sample=2, physical_interval_mm=1000)
        graph = os.path.join(GRAPHS, "sam2.yaml")
        self.massflow("run", graph=graph, **words)
        node = "[case=ct_abdomen_pelvis_A]"
        self.massflow("get", "masks" + node, "-o", "m.nii.gz", graph=graph, **words)
        self.massflow("get", "picture" + node, "-o", "p.png", graph=graph, **words)
        size, _ = read_nifti(self.path("m.nii.gz"))
        self.assertEqual(size, struct.unpack_from("<3h", nifti_bytes(words["data"]), 42))
        self.assertGreater(os.path.getsize(self.path("p.png")), 20000)
        self.assertIn("finished: 0 run, ", self.massflow("run", graph=graph, **words))


if __name__ == "__main__":
    main(2)
