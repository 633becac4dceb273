#!/usr/bin/env python3
"""Task embeddings and segmentation with them: test_segment.py MASSFLOW GRAPHS

Phantoms of 32^3 voxels and small models nobody trained: what is tested is which numbers go where.
"""
import os
import struct
import sys

from harness import Massflow, flags, main, read_npy

GRAPHS = os.path.abspath(sys.argv[2])

MAKE = """massflow: 1
cases:
  - {count: 2, id: "e{id}", set: example}
  - {count: 1, id: "q{id}", set: query}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1}}
  model: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
  wide: {use: mass.init, with: {channels: [8, 8, 32, 32, 64], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
  other: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32, seed: 7}}
"""
SIZES = "spacing: [6, 6, 6], patch_size: [32, 32, 16]"
EXAMPLES = 'references: "patient.volume[set=example]", labels: "patient.labels[set=example]"'
QUERY = 'query: "patient.volume[set=query]"'
SMALL = ["spacing=[6,6,6]", "patch_size=[32,32,16]"]


def stage(name, use, inputs, **values):
    """A line of a graph; values with their sizes."""
    more = "".join(f", {key}: {value}" for key, value in values.items())
    return f"  {name}: {{use: {use}, in: {{{inputs}}}, with: {{{SIZES}{more}}}}}\n"


def embed(name="embedding", model="model", **values):
    return stage(name, "mass.embed", f"model: {model}, {EXAMPLES}", **values)


def segment(name="found", inputs="embedding: embedding", model="model", **values):
    return stage(name, "mass.segment", f"model: {model}, {inputs}, {QUERY}", threshold=values.pop("threshold", 0.1),
                 **values)


class Segment(Massflow):
    ONE_FOLDER = True

    def graph(self, *stages):
        self.write("g.yaml", MAKE + "".join(stages))

    def id_of(self, node, graph="g.yaml", *words):
        self.massflow("get", graph, node, *words, "-o", "artifact.json", "--force")
        return self.read_json("artifact.json")["id"]

    def array(self, node, name):
        self.massflow("get", "g.yaml", node, "--array", name, "-o", "array.npy", "--force")
        return read_npy(self.path("array.npy"))

    def fails(self, *stages):
        """What the stage `found` says, whole."""
        self.graph(*stages)
        out = self.massflow("run", "g.yaml", "found", code=1)
        text = out.split("\nfailed: found\n  ", 1)[1]
        return text.split("\n  retry: ", 1)[0]


class Embeddings(Segment):
    def test_an_embedding_is_worth_its_references(self):
        self.graph(embed(), segment(), segment("by_references", EXAMPLES))
        self.massflow("run", "g.yaml")
        self.assertEqual(self.id_of("found"), self.id_of("by_references"))
        self.assertEqual(self.array("embedding", "labels")[1], tuple(range(1, 9)))
        self.assertEqual(self.array("embedding", "examples")[1], (2,) * 8)

    def test_some_of_its_labels(self):
        self.graph(embed(), segment(labels="[3, 1]"), segment("by_references", EXAMPLES, labels="[1, 3]"),
                   embed("few", labels="[1, 3]"), segment("by_few", "embedding: few"))
        self.massflow("run", "g.yaml")
        for other in ("by_references", "by_few"):
            self.assertEqual(self.id_of("found"), self.id_of(other))
        self.assertLessEqual(set(self.array("found", "voxels")[1]), {0, 1, 3})

    def test_crops_of_each_script(self):
        """Three forms of crops give three embeddings; parameters go before `like`."""
        self.graph(*(embed(like, like=like) for like in ("inference", "evaluate", "finetune")),
                   embed("as_finetune", reference_crop="mean", normalize="scan"),
                   segment("found", EXAMPLES, like="evaluate"), segment("by_evaluate", "embedding: evaluate", like="evaluate"))
        self.massflow("run", "g.yaml")
        self.assertEqual(len({self.id_of(like) for like in ("inference", "evaluate", "finetune")}), 3)
        self.assertEqual(self.id_of("finetune"), self.id_of("as_finetune"))
        self.assertEqual(self.id_of("found.masks"), self.id_of("by_evaluate.masks"))


class Choices(Segment):
    def test_each_label_alone(self):
        """Masks of all labels, from the threshold on, whatever other labels say."""
        compare = ("  {}: {{use: metrics.overlap, in: {{{}, truth: \"patient.labels[set=query]\"}}, "
                   "with: {{surface_distances: false}}}}\n")
        self.graph(embed(), compare.format("dice", "masks: \"each.masks[*]\""),
                   compare.format("of_map", "pred: \"each.labels[*]\""), segment("each", like="evaluate").replace(
                       "mass.segment", "mass.segment, each: case, where: {set: query}").replace(
                       '"patient.volume[set=query]"', "patient.volume"),
                   segment(like="evaluate", probabilities="true"), segment("map", window="uniform",
                   last_window_twice="true", keep_largest="false", classes_per_forward=8, probabilities="true"))
        self.massflow("run", "g.yaml")
        self.assertEqual(self.id_of("found.probabilities"), self.id_of("map.probabilities"))
        self.assertEqual(self.id_of("found.labels"), self.id_of("map.labels"))
        shape, p = self.array("found.probabilities", "values")
        self.assertEqual(shape, (8, 32, 32, 32))
        voxels = 32 ** 3
        sizes = [sum(v >= 0.1 for v in p[k * voxels:(k + 1) * voxels]) for k in range(8)]
        labels = self.array("found.masks", "label")[1]
        self.assertEqual(labels, tuple(k + 1 for k in range(8) if sizes[k]))
        truth = self.array("patient.labels[case=q000]", "voxels")[1]
        for node in ("dice", "of_map"):
            self.massflow("get", "g.yaml", node + ".table", "-o", node + ".csv")
        alone, competing = ({int(row["label"]): float(row["dice"]) for row in self.read_csv(node + ".csv")}
                            for node in ("dice", "of_map"))
        self.assertEqual(list(alone), list(range(1, 9)))
        for k in range(8):
            both = sum(p[k * voxels + v] >= 0.1 and truth[v] == k + 1 for v in range(voxels))
            self.assertAlmostEqual(alone[k + 1], 2 * both / (sizes[k] + truth.count(k + 1)), 6)
        self.assertNotEqual(alone, competing)
        self.massflow("get", "g.yaml", "found.probabilities", "-o", "p.nii")
        with open(self.path("p.nii"), "rb") as file:
            data = file.read()
        self.assertEqual(struct.unpack_from("<5h", data, 40), (4, 32, 32, 32, 8))
        self.assertEqual(struct.unpack_from("<f", data, 352 + 4 * 7 * voxels + 4 * 12345)[0], p[7 * voxels + 12345])
        best = self.array("found.labels", "voxels")[1]
        for v in range(0, voxels, 97):
            at = [p[k * voxels + v] for k in range(8)]
            self.assertEqual(best[v], at.index(max(at)) + 1 if max(at) >= 0.1 else 0)
        self.assertGreater(sum(sizes), sum(b > 0 for b in best))  # they overlap

    def test_groups_of_labels(self):
        """Labels that pass together influence each other; all in one group is no group."""
        self.graph(embed(), segment(probabilities="true"), segment("all", classes_per_forward=9, probabilities="true"),
                   segment("threes", classes_per_forward=3, probabilities="true"),
                   segment("first", labels="[1, 2, 3]", probabilities="true"))
        self.massflow("run", "g.yaml")
        self.assertEqual(self.id_of("found.probabilities"), self.id_of("all.probabilities"))
        self.assertNotEqual(self.id_of("found.probabilities"), self.id_of("threes.probabilities"))
        threes, first = (self.array(f"{node}.probabilities", "values")[1] for node in ("threes", "first"))
        self.assertEqual(threes[:3 * 32 ** 3], first)

    def test_body_crop_and_flips(self):
        """What is outside of the body's box has no label; flips of nothing are no flips."""
        self.graph(embed(), segment(), segment("inference", like="inference", body_margin="[0, 0, 0]"),
                   segment("uncropped", like="inference", body_crop="false"),
                   segment("margins", like="inference"), segment("flipped", flips="xyz"))
        out = self.massflow("run", "g.yaml")
        self.assertIn("inference: body: voxels ", out)
        self.assertIn("margins: body: voxels 0..31, 0..31, 0..31 of 32 x 32 x 32\n", out)
        self.assertEqual(self.id_of("found"), self.id_of("uncropped"))
        self.assertEqual(self.id_of("found"), self.id_of("margins"))
        self.assertNotEqual(self.id_of("found"), self.id_of("flipped"))
        line = next(line for line in out.splitlines() if line.startswith("inference: body"))
        x, y, z = (tuple(map(int, word.strip(",").split(".."))) for word in line.split()[3:6])
        voxels = self.array("inference", "voxels")[1]
        inside = [v for i, v in enumerate(voxels) if z[0] <= i // 1024 <= z[1] and y[0] <= i // 32 % 32 <= y[1]
                  and x[0] <= i % 32 <= x[1]]
        self.assertLess(len(inside), len(voxels))
        self.assertEqual(sum(v > 0 for v in inside), sum(v > 0 for v in voxels))
        self.assertGreater(sum(v > 0 for v in inside), 0)


class Wrong(Segment):
    AGAIN = "\n  use the model that the embedding was made with, or make the embedding again with this model"

    def test_inputs_that_do_not_go_together(self):
        alone = segment().replace("embedding: embedding, ", "")
        self.assertEqual(self.fails(alone), "nothing says which labels to find\n"
                         "  connect the input embedding, or the inputs references and labels")
        self.assertEqual(self.fails(embed(), segment(inputs=f"embedding: embedding, {EXAMPLES}")),
                         "an embedding together with references\n"
                         "  leave out the input embedding, or the inputs references and labels")
        self.assertEqual(self.fails(segment(inputs='references: "patient.volume[set=example]"')),
                         "2 references with 0 label maps")
        self.assertEqual(self.fails(embed(), segment(reference_crop="mean")),
                         "reference_crop says how references are cropped; the input is an embedding\n"
                         "  set it in mass.embed")
        self.assertEqual(self.fails(embed(), segment(normalize="scan")),
                         "normalize says how references are normalized; the input is an embedding\n"
                         "  set it in mass.embed")

    def test_another_model(self):
        self.assertEqual(self.fails(embed(), segment(model="wide")),
                         "the embedding belongs to a model with channels 8 8 32 32 32; this model has channels "
                         "8 8 32 32 64" + self.AGAIN)
        said = self.fails(embed(), segment(model="other"))
        self.assertRegex(said, r"^the embedding was made with other weights \(fingerprint [0-9a-f]{16}\) than this "
                               r"model's \([0-9a-f]{16}\)" + self.AGAIN + "$")

    def test_other_settings(self):
        wide = segment().replace("spacing: [6, 6, 6]", "spacing: [5, 6, 6]")
        self.assertEqual(self.fails(embed(), wide), "the embedding was made with spacing 6, 6, 6; here it is 5, 6, 6\n"
                         "  set the same value in both stages")
        self.assertEqual(self.fails(embed(window_low=-150, window_high=250), segment()),
                         "the embedding was made with window_low, window_high -150, 250; here it is -991, 500\n"
                         "  set the same value in both stages")
        self.graph(embed(), segment().replace("[32, 32, 16]", "[32, 32, 32]"))
        self.assertIn("found: the examples of the embedding were crops of 32 x 32 x 16 voxels; windows are "
                      "32 x 32 x 32\n", self.massflow("run", "g.yaml"))

    def test_labels_that_are_not_there(self):
        self.assertEqual(self.fails(embed(), segment(labels="[2, 40]")),
                         "the embedding has no label 40; it has 8 labels from 1 to 8")
        self.assertEqual(self.fails(embed("found", labels="[40]")), "no reference has voxels of label 40\n"
                         "  labels of the references: 1 2 3 4 5 6 7 8")
        self.assertEqual(self.fails(segment(inputs=EXAMPLES, labels="[40]")),
                         "no reference has voxels of label 40\n  labels of the references: 1 2 3 4 5 6 7 8")

    def test_labels_on_another_grid(self):
        small = ("  small: {use: phantom.volume, each: case, where: {set: example}, with: {size: [32, 32, 30], "
                 "spacing: [6, 6, 6]}}\n")
        said = self.fails(small, stage("found", "mass.embed", 'model: model, references: "patient.volume[set=example]",'
                                       ' labels: "small.labels[set=example]"'))
        self.assertEqual(said, "reference 1 (patient[case=e000]): the scan (32 x 32 x 32) and its labels "
                         "small[case=e000] (32 x 32 x 30) lie on different grids\n"
                         "  load the labels with labels.load, with the scan as its input `like`")

    def test_masks_that_cannot_be_compared(self):
        found = ("  masks: {use: slic.masks, each: case, where: {set: query}, in: {volume: patient.volume}}\n"
                 '  found: {use: metrics.overlap, in: {%s, truth: "patient.labels[set=query]"}}\n')
        self.assertEqual(self.fails(found % 'masks: "masks[*]"'), "case q000: the masks have no labels\n"
                         "  mass.segment with `compete: false` and sam2.segment give masks with labels")
        self.assertEqual(self.fails(found % 'masks: "masks[*]", pred: "patient.labels[set=query]"'),
                         "label maps and masks are compared one at a time\n"
                         "  leave out the input pred or the input masks")
        self.assertEqual(self.fails('  found: {use: metrics.overlap, in: {truth: "patient.labels[set=query]"}}\n'),
                         "nothing is predicted\n  connect the input pred or the input masks")

    def test_windows_that_leave_gaps(self):
        self.graph(embed(), segment(like="evaluate", overlap=0.25))
        self.assertIn("overlap: windows placed as evaluate.py does leave gaps below 0.5; it is 0.25\n",
                      self.massflow("plan", "g.yaml", code=2))


class Graph(Segment):
    """graphs/embed.yaml."""

    def run_graph(self, name, *settings, model="model.safetensors", data="q000.nii.gz"):
        return self.massflow("run", os.path.join(GRAPHS, name), "found", "--cache", self.path("cache"),
                             *flags([f"model={self.path(model)}", f"examples={self.path('examples.csv')}",
                                     f"data={self.path(data)}", *SMALL, *settings]))

    def test_on_phantoms(self):
        self.graph()
        self.massflow("run", "g.yaml")
        for name in ("e000", "e001", "q000"):
            for output in ("volume", "labels"):
                self.massflow("get", "g.yaml", f"patient.{output}[case={name}]", "-o",
                              name + ("" if output == "volume" else "_labels") + ".nii.gz")
        self.massflow("get", "g.yaml", "model", "-o", "model.safetensors")
        self.write_csv("examples.csv", ["id", "path", "labels"],
                       [[name, self.path(name + ".nii.gz"), self.path(name + "_labels.nii.gz")]
                        for name in ("e000", "e001")])
        self.assertIn("finished: 8 run, 0 cached", self.run_graph("embed.yaml"))
        os.link(self.path("e000.nii.gz"), self.path("x000.nii.gz"))
        # One embedding, whatever is done with it, and for as many scans as there are.
        out = self.run_graph("embed.yaml", "like=evaluate", data="[qx]00?.nii.gz")
        self.assertNotIn("start    embedding", out)
        self.assertIn("start    found[case=x000]", out)


if __name__ == "__main__":
    main(2)
