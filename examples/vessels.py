#!/usr/bin/env python3
"""A stage of your own, with scikit-image: vessels.py [--folder OUT]

This file is a plugin (--plugins vessels.py) with the stage lab.vessels, and a script that runs it on two
phantoms. It needs numpy and scikit-image."""
import argparse
import os
from typing import Annotated, NamedTuple

import massflow


class Found(NamedTuple):
    labels: massflow.Labels
    table: massflow.Table


@massflow.stage("lab.vessels", version=1, packages=["scikit-image"])
def vessels(volume: massflow.Volume,
            sigma: Annotated[float, massflow.Range(0.5, 10, unit="voxels", help="Radius that is looked for.")] = 1.5,
            percentile: Annotated[float, massflow.Range(0, 100, unit="%", help="Responses above it are vessels.")] = 99.0,
            min_voxels: Annotated[int, massflow.Range(1, 1000000, help="Smaller ones are dropped.")] = 5) -> Found:
    """Labels bright tubes by their Hessian (Sato et al. 1998)."""
    import numpy
    from skimage import filters, measure  # slow to import: once for each process

    response = filters.sato(volume.array(dtype="float32"), sigmas=[sigma], black_ridges=False)
    massflow.progress(1, 2, "filtered")
    tubes = response > numpy.percentile(response, percentile)
    labels = measure.label(tubes)
    sizes = numpy.bincount(labels.ravel())
    small = numpy.flatnonzero(sizes < min_voxels)
    labels[numpy.isin(labels, small)] = 0
    labels, count = measure.label(labels > 0, return_num=True)
    return Found(massflow.labels(labels.astype("uint16"), like=volume),
                 {"vessel": range(1, count + 1), "voxels": numpy.bincount(labels.ravel())[1:]})


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", default="vessels", help="where the graph and the results are put")
    given = words.parse_args()
    os.makedirs(given.folder, exist_ok=True)
    d = massflow.Draft(plugins=__file__)
    d.cases(count=2)
    patient = d.phantom.volume("patient", each="case")
    d.lab.vessels("vessels", each="case", volume=patient.volume)
    g = d.open(os.path.join(given.folder, "vessels.yaml"), force=True)
    g.run()
    for case in g.cases:
        table = g[f"vessels[case={case}].table"]
        print(f"case {case}: {sum(table['voxels']):.0f} voxels in {len(table)} vessels")


if __name__ == "__main__":
    main()
