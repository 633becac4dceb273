"""massflow: self-supervised learning on 3D medical images, as a cached dataflow graph.

    import massflow
    g = massflow.Graph("pretrain.yaml", data="/scans/*.nii.gz", seed=1)
    g.plan()
    g.run()
    g["scan[case=012]"].array()
"""
from ._library import Cancelled, Error, Invalid, NotFound
from .artifact import Artifact, Image, Mask, Masks, Model, Table, Text, Volume
from .graph import Graph, Node, Plan, Result, RunFailed

__version__ = "0.1.0"
__all__ = ["Artifact", "Cancelled", "Error", "Graph", "Image", "Invalid", "Mask", "Masks", "Model", "Node",
           "NotFound", "Plan", "Result", "RunFailed", "Table", "Text", "Volume"]
