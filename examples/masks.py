#!/usr/bin/env python3
"""From scans to class-agnostic masks: masks.py [--scans '/scans/{id}.nii.gz'] [--folder OUT]

Builds a graph, runs it, and says what the masks of each scan are. Without scans it makes two phantoms."""
import argparse
import os

import massflow


def build(scans):
    d = massflow.Draft()
    sizes = d.param("sizes", [20, 40], "mm: edge lengths of the supervoxels")
    if scans:
        d.cases(glob=scans)
        scan = d.volume.load("scan", each="case", path=d.case("path")).volume
    else:
        d.cases(count=2)
        scan = d.phantom.volume("scan", each="case").volume
    found = d.slic.masks("found", each="case", volume=scan, sizes=sizes)
    masks = d.masks.nms("masks", each="case", masks=found, min_voxels=20)
    d.image.overlay("picture", each="case", volume=scan, masks=masks)
    return d


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--scans", help="a pattern of files, such as '/scans/{id}.nii.gz'")
    words.add_argument("--folder", default="masks", help="where the graph and the results are put")
    given = words.parse_args()
    os.makedirs(given.folder, exist_ok=True)
    g = build(given.scans).open(os.path.join(given.folder, "masks.yaml"), force=True)
    g.run()
    for case in g.cases:
        masks = g[f"masks[case={case}]"]
        x, y, z = masks.spacing
        largest = max((mask.voxels for mask in masks), default=0) * x * y * z / 1000
        print(f"case {case}: {len(masks)} masks, the largest has {largest:.0f} ml")
        g.save(f"picture[case={case}]", os.path.join(given.folder, f"{case}.png"))


if __name__ == "__main__":
    main()
