#!/usr/bin/env python3
"""Label maps as DICOM Segmentation objects: dicom_seg.py SERIES --labels FILE [--output seg.dcm]

This file is a plugin (--plugins dicom_seg.py) with the stage lab.dicom_seg, and a script that writes the labels of one
scan. It needs numpy, pydicom and highdicom:

    pip install highdicom

The object belongs to the scan's own series: the same patient, study and frame of reference, a frame for each image
that has a label, a segment for each label value. Segments have the names and colours of the labels."""
import argparse
import os
from typing import Annotated

import massflow

SCHEME = "99MASSFLOW"  # a code of our own: names of organs are words of users, not codes of SNOMED CT
LONGEST = 64           # characters of a segment's label (VR LO)
NEAR = 0.1             # voxels that an image's pixels may lie beside those of the labels


def read_series(folder, uid, time):
    """The images of the scan, in the order of their positions; at each position that of one time."""
    import numpy
    import pydicom

    files = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names] \
        if os.path.isdir(folder) else [folder]
    found = {}
    for path in sorted(files):
        try:
            image = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        if "PixelData" in image and "ImagePositionPatient" in image:
            # A copy of a file has the same UID, and is one image.
            found.setdefault(str(image.SeriesInstanceUID), {})[str(image.SOPInstanceUID)] = image
        elif "NumberOfFrames" in image and image.Modality != "SEG":
            raise massflow.Invalid(f"{path} has several frames; this stage is for series of single images")
    if uid:
        found = {key: images for key, images in found.items()
                 if key == uid or uid == str(next(iter(images.values())).get("SeriesNumber", ""))}
    if len(found) != 1:
        raise massflow.Invalid(f"{folder} has {len(found)} series{' of that number' if uid else ''}: say which by the "
                               "parameter series, as for volume.load")
    images = list(next(iter(found.values())).values())
    across = numpy.cross(*numpy.reshape(images[0].ImageOrientationPatient, (2, 3)).astype(float))
    places = {}
    for image in sorted(images, key=lambda one: int(one.get("InstanceNumber") or 0)):
        depth = float(numpy.dot(across, numpy.array(image.ImagePositionPatient, float)))
        places.setdefault(round(depth, 3), []).append(image)
    most = max(map(len, places.values()))
    if most > 1 and time < 0:
        raise massflow.Invalid(f"the series has up to {most} images at one position: say which volume by the parameter "
                               "time, as for volume.load")
    if min(map(len, places.values())) <= max(time, 0):
        raise massflow.Invalid(f"the series has no volume {time} at every position")
    return [images[max(time, 0)] for _, images in sorted(places.items())]


def pixels_of(image, labels, affine):
    """The labels [row, column] at the pixels of an image, whatever the axes of both are."""
    import numpy

    across, down = numpy.reshape(image.ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, image.PixelSpacing)
    to_ras = numpy.array([-1, -1, 1])  # DICOM's world is LPS, massflow's RAS
    first = to_ras * numpy.array(image.ImagePositionPatient, float)
    inverse = numpy.linalg.inv(affine)
    origin = inverse[:3, :3] @ first + inverse[:3, 3]
    per_column = inverse[:3, :3] @ (to_ras * across * between_columns)
    per_row = inverse[:3, :3] @ (to_ras * down * between_rows)
    rows, columns = numpy.indices((image.Rows, image.Columns))
    index = origin + rows[..., None] * per_row + columns[..., None] * per_column
    voxel = numpy.rint(index).astype(int)
    if abs(index - voxel).max() > NEAR:
        raise massflow.Invalid("the labels do not lie on the pixels of the series: put them on the grid of the scan by "
                               "labels.resample with like, and give this stage what it makes")
    size = numpy.array(labels.shape[::-1])
    inside = ((voxel >= 0) & (voxel < size)).all(-1)  # the scan may have been cropped
    x, y, z = numpy.moveaxis(numpy.clip(voxel, 0, size - 1), -1, 0)
    return numpy.where(inside, labels[z, y, x], 0)


def segment(number, value, name, colour):
    import highdicom
    from pydicom.sr.codedict import codes

    if len(name) > LONGEST:
        raise massflow.Invalid(f"label {value} is called '{name}'; a segment's name has at most {LONGEST} characters")
    return highdicom.seg.SegmentDescription(
        segment_number=number, segment_label=name, segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=highdicom.sr.CodedConcept(str(value), SCHEME, name),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            "massflow", codes.DCM.ArtificialIntelligence, massflow.__version__),
        display_color=None if colour is None else highdicom.color.CIELabColor.from_rgb(*colour))


def settle(made, uid, date, time):
    """What highdicom takes from the clock and by chance: the same inputs are to give the same bytes."""
    for item in made.iterall():
        if item.keyword == "DimensionOrganizationUID":
            item.value = uid("dimensions")
        elif item.keyword == "ContributionDateTime":
            item.value = date + time
    for keyword, value in (("ContentDate", date), ("ContentTime", time), ("InstanceCreationDate", date),
                           ("InstanceCreationTime", time), ("SeriesDate", date), ("SeriesTime", time)):
        setattr(made, keyword, value)
    made.SpecificCharacterSet = "ISO_IR 192"  # names are UTF-8


@massflow.stage("lab.dicom_seg", version=1, packages=["highdicom", "pydicom"])
def dicom_seg(labels: massflow.Labels,
              series: Annotated[massflow.Path, "Folder or file of the scan's own DICOM images."],
              uid: Annotated[str, "Series of that folder, by number or UID, where there are several."] = "",
              time: Annotated[int, massflow.Range(-1, 100000, help="Volume of a series with several, from 0.")] = -1,
              series_number: Annotated[int, massflow.Range(1, 2 ** 31 - 1, help="Of the new series.")] = 9000,
              made: Annotated[str, "When it says that it was made, YYYYMMDDHHMMSS. By default as the scan."] = ""
              ) -> massflow.File:
    """Writes labels as a DICOM Segmentation of the scan's own series."""
    import hashlib
    import io

    import highdicom
    import numpy
    from pydicom.uid import generate_uid

    images = read_series(str(series), uid, time)
    array = labels.array().astype("int64")
    values = [int(value) for value in numpy.unique(array) if value > 0]
    if not values or array.min() < 0:
        raise massflow.Invalid("the labels have no voxel" if not values else "a label is below 0")
    planes = numpy.stack([pixels_of(image, array, labels.affine) for image in images])
    if numpy.count_nonzero(planes) != numpy.count_nonzero(array):
        raise massflow.Invalid(f"{numpy.count_nonzero(array)} voxels have a label, and {numpy.count_nonzero(planes)} pixels "
                               "of the series lie on them: these are labels of another scan")
    numbers = numpy.zeros(max(values) + 1, "uint16")
    numbers[values] = range(1, len(values) + 1)
    names, colours = labels.names, labels.colors
    digest = hashlib.sha256(planes.astype("<i8").tobytes() + repr((names, colours, series_number, made)).encode()).hexdigest()

    def new_uid(what):
        return generate_uid(entropy_srcs=[digest, *(image.SOPInstanceUID for image in images), what])

    result = highdicom.seg.Segmentation(
        source_images=images, pixel_array=numbers[planes], segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment(i + 1, value, names.get(value, f"label {value}"), colours.get(value))
                              for i, value in enumerate(values)],
        series_instance_uid=new_uid("series"), series_number=series_number, sop_instance_uid=new_uid("instance"),
        instance_number=1, manufacturer="massflow", manufacturer_model_name="lab.dicom_seg",
        software_versions=massflow.__version__, device_serial_number="1", content_label="SEGMENTATION",
        series_description="massflow")
    date = made[:8] or images[0].get("SeriesDate") or images[0].get("StudyDate") or "19000101"
    clock = made[8:] or images[0].get("SeriesTime") or images[0].get("StudyTime") or "000000"
    settle(result, new_uid, str(date), str(clock))
    content = io.BytesIO()
    result.save_as(content)
    return massflow.file("seg.dcm", content.getvalue(), "application/dicom")


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("series", help="folder with the scan's DICOM images")
    words.add_argument("--labels", required=True, help="label map of that scan, in any format that massflow reads")
    words.add_argument("--names", help="names of the labels: dataset.json, ITK-SNAP, a colour table of Slicer, CSV")
    words.add_argument("--time", type=int, default=-1, help="volume of a series with several, from 0")
    words.add_argument("--output", default="seg.dcm")
    words.add_argument("--graph", default="dicom_seg.yaml", help="the graph that is written and run")
    given = words.parse_args()
    d = massflow.Draft(plugins=__file__)
    series = os.path.abspath(given.series)
    scan = d.volume.load("scan", path=series, time=given.time)
    named = {"names_from": os.path.abspath(given.names)} if given.names else {}
    labels = d.labels.load("labels", like=scan, path=os.path.abspath(given.labels), **named)
    d.lab.dicom_seg("seg", labels=labels, series=series, time=given.time)
    g = d.open(given.graph, force=True)
    g.run()
    g.save("seg", given.output)
    print(f"{given.output}: {', '.join(g['labels'].names.values()) or 'labels without names'}")


if __name__ == "__main__":
    main()
