"""massflow: self-supervised learning on 3D medical images, as a cached dataflow graph.

    import massflow
    g = massflow.Graph("pretrain.yaml", data="/scans/*.nii.gz", seed=1)
    g.plan()
    g.run()
    g["scan[case=012]"].array()
"""
from ._library import Cancelled, Error, Invalid, NotFound
from .artifact import Artifact, Features, File, Image, Item, Labels, Mask, Masks, Model, State, Table, Text, Volume
from .graph import Graph, Items, Node, Plan, Result, RunFailed
from .stages import (
    Keyed,
    Path,
    Range,
    features,
    file,
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
    """What is loaded when it is asked for: processes of stages start faster without."""
    import importlib
    if name == "save_weights":
        return importlib.import_module(".weights", __name__).save_weights
    if name in ("Draft", "draft"):
        draft = importlib.import_module(".draft", __name__)
        return draft.Draft if name == "Draft" else draft
    raise AttributeError(f"module 'massflow' has no attribute '{name}'")


def __dir__():
    return [*globals(), "Draft", "save_weights"]


__version__ = "0.1.0"
__all__ = ["Artifact", "Cancelled", "Draft", "Error", "Features", "File", "Graph", "Image", "Invalid", "Item", "Items", "Keyed", "Labels", "Mask", "Masks",
           "Model", "Node", "NotFound", "Path", "Plan", "Range", "Result", "RunFailed", "State", "Table", "Text", "Volume",
           "features", "file", "image", "labels", "log", "masks", "model", "progress", "save_weights", "stage", "table", "text", "volume"]
