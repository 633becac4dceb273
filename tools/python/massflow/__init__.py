"""massflow: self-supervised learning on 3D medical images, as a cached dataflow graph.

    import massflow
    g = massflow.Graph("pretrain.yaml", data="/scans/*.nii.gz", seed=1)
    g.plan()
    g.run()
    g["scan[case=012]"].array()
"""
from ._library import Cancelled, Error, Invalid, NotFound
from .artifact import Artifact, Features, Image, Labels, Mask, Masks, Model, Table, Text, Volume
from .graph import Graph, Node, Plan, Result, RunFailed
from .stages import (
    Keyed,
    Path,
    Range,
    features,
    image,
    labels,
    log,
    masks,
    model,
    progress,
    stage,
    table,
    text,
    volume,
)


def __getattr__(name):
    """Draft is loaded when it is asked for: processes of stages start faster without."""
    if name in ("Draft", "draft"):
        import importlib
        draft = importlib.import_module(".draft", __name__)
        return draft.Draft if name == "Draft" else draft
    raise AttributeError(f"module 'massflow' has no attribute '{name}'")


def __dir__():
    return [*globals(), "Draft"]


__version__ = "0.1.0"
__all__ = ["Artifact", "Cancelled", "Draft", "Error", "Features", "Graph", "Image", "Invalid", "Keyed", "Labels", "Mask", "Masks",
           "Model", "Node", "NotFound", "Path", "Plan", "Range", "Result", "RunFailed", "Table", "Text", "Volume",
           "features", "image", "labels", "log", "masks", "model", "progress", "stage", "table", "text", "volume"]
