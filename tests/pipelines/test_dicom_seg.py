#!/usr/bin/env python3
"""The example that writes DICOM Segmentation objects: test_dicom_seg.py MASSFLOW LIBRARY PACKAGE EXAMPLES

It needs highdicom (pip install highdicom), and is skipped without. What is written is read back by pydicom alone: the
world coordinates of each segment's pixels are those of the label's voxels."""
import hashlib
import importlib.util
import os
import random
import sys
import unittest

from harness import Massflow, main, sanitized

LIBRARY, PACKAGE, EXAMPLES = map(os.path.abspath, sys.argv[2:5])
os.environ.update(MASSFLOW_LIBRARY=LIBRARY, PYTHONPATH=PACKAGE, MASSFLOW_PYTHON=sys.executable)
sys.path.insert(0, PACKAGE)
GE = os.path.join(os.path.dirname(PACKAGE), *[os.pardir] * 2, "shared/data/dicom/mr_epi_ge")
MISSING = [name for name in ("numpy", "pydicom", "highdicom") if not importlib.util.find_spec(name)]

# Labels without any symmetry, on the grid that stages see.
LABEL = """import sys
import numpy
voxels = numpy.load(sys.argv[1])
z, y, x = numpy.indices(voxels.shape)
labels = numpy.where((x > 1) & (y < 2), 7, 0) + numpy.where((z == 1) & (x < 3), 300, 0)
labels[0, -1, -1] = 2
numpy.save(sys.argv[2], labels.astype("uint16"))
"""
GRAPH = """massflow: 1
stages:
  scan: {{use: volume.load, with: {{path: "{series}", time: {time}, orientation: {orientation}}}}}
  crop: {{use: volume.crop, in: {{volume: scan}}, with: {{box: [0, 0, 0, 3, 3, 2]}}}}
  labels:
    use: exec.run
    in: {{volume: {of}}}
    with:
      command: "{python} {{files}} {{volume.npy}} {{out.labels.npy}}"
      files: label.py
      names: {{2: "left kidney", 7: "Größe #dd8265"}}
  finer: {{use: labels.resample, in: {{labels: labels}}, with: {{spacing: [1, 1, 1]}}}}
  seg: {{use: lab.dicom_seg, in: {{labels: {labels}}}, with: {{series: "{series}", time: {time}}}}}
"""


@unittest.skipIf(sanitized(), "Python itself is not instrumented")
@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class DicomSeg(Massflow):
    def series(self, folder, row, column, step, origin=(-31.5, 12.25, 407.5), position="FFS", copies=1):
        """A CT series of 4 rows and 5 columns, its files in an order of no meaning."""
        import numpy
        import pydicom
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
        os.makedirs(self.path(folder))
        study, series, frame = (generate_uid(entropy_srcs=[folder, what]) for what in "abc")
        shuffled = random.Random(3)
        numbers = shuffled.sample(range(9 * copies), 3 * copies)
        for i in range(3 * copies):
            image = pydicom.Dataset()
            image.file_meta = pydicom.dataset.FileMetaDataset()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[folder, str(i)])
            image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
            image.Modality, image.PatientID, image.PatientName, image.PatientPosition = "CT", "p7", "Made^Up", position
            image.PatientBirthDate = image.PatientSex = image.StudyID = image.AccessionNumber = ""
            image.StudyDate, image.StudyTime, image.SeriesNumber = "20260102", "030405", 4
            image.InstanceNumber = i + 1
            image.PositionReferenceIndicator = image.ReferringPhysicianName = image.Manufacturer = ""
            image.ImageOrientationPatient = [*row, *column]
            image.ImagePositionPatient = [f"{a + b * (i % 3):.6f}" for a, b in zip(origin, step)]
            image.PixelSpacing, image.SliceThickness = [0.75, 1.5], 2.5
            image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 4, 5, 1, "MONOCHROME2"
            image.BitsAllocated = image.BitsStored = 16
            image.HighBit, image.PixelRepresentation = 15, 1
            image.RescaleIntercept, image.RescaleSlope = 0, 1
            pixels = numpy.arange(20, dtype="<i2") * 7 + 100 * i
            image.PixelData = pixels.tobytes()
            image.save_as(self.path(f"{folder}/{numbers[i]}.dcm"), enforce_file_format=True)
        return self.path(folder)

    def made(self, series, time=-1, orientation="RAS", of="scan", labels="labels", error=None):
        import massflow
        self.write("label.py", LABEL)
        self.write("seg.yaml", GRAPH.format(series=series, time=time, orientation=orientation, of=of, labels=labels,
                                            python=sys.executable))
        g = massflow.Graph(self.path("seg.yaml"), plugins=os.path.join(EXAMPLES, "dicom_seg.py"))
        if error:
            with self.assertRaisesRegex(massflow.RunFailed, error):
                g.run("seg", progress=False)
            return None
        g.run("seg", progress=False)
        return g

    def labelled(self, artifact):
        """World coordinates, LPS in 1/100 mm, of the voxels of each label."""
        import numpy
        voxels = artifact.array()
        found = {}
        for value in map(int, numpy.unique(voxels)):
            z, y, x = numpy.nonzero(voxels == value)
            ras = numpy.stack([x, y, z, numpy.ones_like(x)], 1) @ artifact.affine.T
            found[value] = self.points(ras[:, :3] * [-1, -1, 1])
        del found[0]
        return found

    @staticmethod
    def points(lps):
        import numpy
        return sorted(map(tuple, numpy.rint(lps * 100).astype(int).tolist()))

    def segmented(self, path):
        """The same of the segments of a file, by their names."""
        import numpy
        import pydicom
        seg = pydicom.dcmread(path)
        names = {int(one.SegmentNumber): one.SegmentLabel for one in seg.SegmentSequence}
        self.assertEqual(list(names), list(range(1, len(names) + 1)))
        shared, found = seg.SharedFunctionalGroupsSequence[0], {name: [] for name in names.values()}
        for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)):
            def group(name, frame=frame):
                return (frame if name in frame else shared)[name][0]
            across, down = numpy.reshape(group("PlaneOrientationSequence").ImageOrientationPatient, (2, 3)).astype(float)
            first = numpy.array(group("PlanePositionSequence").ImagePositionPatient, float)
            rows, columns = map(float, group("PixelMeasuresSequence").PixelSpacing)
            row, column = numpy.nonzero(pixels)
            lps = first + row[:, None] * rows * down + column[:, None] * columns * across
            found[names[int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)]] += self.points(lps)
        return seg, {name: sorted(points) for name, points in found.items()}

    def check(self, g, label="labels"):
        """That the segments are the labels; the read object."""
        g.save("seg", self.path("seg.dcm"), force=True)
        artifact = g[label]
        seg, found = self.segmented(self.path("seg.dcm"))
        expected = {artifact.names.get(value, f"label {value}"): points
                    for value, points in self.labelled(artifact).items()}
        self.assertEqual(len(expected), len(self.labelled(artifact)))
        self.assertEqual(found, expected)
        return seg

    # An oblique scan: rows and columns are turned about two axes; the normal follows.
    OBLIQUE = ((0.8, 0.6, 0.0), (-0.36, 0.48, -0.8), (-1.2, 1.6, 1.5))

    def test_an_oblique_feet_first_series_in_no_order(self):
        import pydicom
        row, column, step = self.OBLIQUE
        # The step along the normal: cross(row, column) = (-0.48, 0.64, 0.6), times 2.5 mm.
        series = self.series("oblique", row, column, step)
        g = self.made(series)
        seg = self.check(g)
        source = pydicom.dcmread(os.path.join(series, os.listdir(series)[0]))
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
            self.assertEqual(seg[keyword].value, source[keyword].value)
        self.assertNotEqual(seg.SeriesInstanceUID, source.SeriesInstanceUID)
        self.assertEqual((seg.SeriesNumber, seg.ContentDate), (9000, "20260102"))
        self.assertEqual([one.SegmentLabel for one in seg.SegmentSequence],
                         ["left kidney", "Größe", "label 300", "label 307"])
        colour = seg.SegmentSequence[1].RecommendedDisplayCIELabValue
        self.assertEqual(len(colour), 3)
        self.assertNotIn("RecommendedDisplayCIELabValue", seg.SegmentSequence[0])
        self.assertEqual((g["seg"].file_name, g["seg"].media_type), ("seg.dcm", "application/dicom"))
        # Each frame names the image that it was made on, which lies where the frame lies.
        images = {image.SOPInstanceUID: image for image in
                  (pydicom.dcmread(os.path.join(series, name)) for name in os.listdir(series))}
        for frame in seg.PerFrameFunctionalGroupsSequence:
            uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            self.assertEqual([float(a) for a in images[uid].ImagePositionPatient],
                             [float(a) for a in frame.PlanePositionSequence[0].ImagePositionPatient])

    def test_whatever_the_axes_of_the_labels_are(self):
        row, column, step = self.OBLIQUE
        series = self.series("turned", row, column, [-side for side in step], position="HFP")
        for orientation in ("keep", "LPS", "PSR"):
            self.check(self.made(series, orientation=orientation))
        self.check(self.made(series, of="crop"))

    def test_the_same_bytes_again(self):
        series = self.series("plain", (1, 0, 0), (0, 1, 0), (0, 0, 2.5))
        digests = set()
        for i in range(2):
            g = self.made(series)
            digests.add(hashlib.sha256(bytes(g["seg"])).hexdigest())
            g.close()
            os.rename(self.path(".massflow"), self.path(f"cache{i}"))
        self.assertEqual(len(digests), 1)

    def test_what_is_refused(self):
        import massflow
        series = self.series("one", (1, 0, 0), (0, 1, 0), (0, 0, 2.5))
        self.made(series, labels="finer", error="the labels do not lie on the pixels of the series")
        other = self.series("two", (1, 0, 0), (0, 1, 0), (0, 0, 2.5), copies=2)
        self.check(self.made(other, time=1))
        self.write("seg.yaml", self.read("seg.yaml").replace(f'series: "{other}", time: 1', f'series: "{other}"'))
        with self.assertRaisesRegex(massflow.RunFailed, "up to 2 images at one position: say which volume"):
            massflow.Graph(self.path("seg.yaml"), plugins=os.path.join(EXAMPLES, "dicom_seg.py")).run("seg", progress=False)

    @unittest.skipUnless(os.path.isdir(GE), "the GE series is not there")
    def test_a_real_series(self):
        seg = self.check(self.made(os.path.abspath(GE), time=3))
        self.assertEqual(seg.Modality, "SEG")


if __name__ == "__main__":
    main(4)
