#!/usr/bin/env python3
"""Graphs and tables as labs have them, from the file to the voxels: test_tables.py MASSFLOW

What was reported is read from MASSFLOW_DATA/reports and skipped without it; beside it stands one of
the same kind that is made here.
"""
import os
import shutil
import struct
import unittest

from harness import DATA, Massflow, dicom_file, main, write_nifti

REPORTS = os.path.join(DATA, "reports/misc")
REPORTED = unittest.skipUnless(os.path.isdir(REPORTS), "no MASSFLOW_DATA")


def slice_of(modality, z):
    """Of 4 x 4 voxels."""
    return dicom_file(4, 4, struct.pack("<16H", *range(16 * z, 16 * z + 16)), modality=modality, z=3 * z, spacing=2,
                      series=f"1.2.3.{ord(modality[0])}",
                      more=[(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.128"),
                            (0x00080018, "UI", f"1.2.3.4.{z + 1}"), (0x0020000d, "UI", "1.2.3"),
                            (0x00200011, "IS", "7"), (0x00200013, "IS", str(z + 1))])


class Tables(Massflow):
    def shown(self, graph, node):
        """What `show` says of a volume: {attribute: text}."""
        lines = self.massflow("show", graph, node).splitlines()[1:]
        return dict(line.split(None, 1) for line in lines)

    @REPORTED
    def test_reported(self):
        for name in os.listdir(REPORTS):
            shutil.copy(os.path.join(REPORTS, name), self.folder)
        self.massflow("run", "bom.yaml")
        self.assertEqual(self.shown("bom.yaml", "s")["modality"], "MR")
        self.write("g.yaml", """massflow: 1
cases: {csv: excel_empty_rows.csv}
stages: {s: {use: volume.load, each: case, with: {path: "${case.path}", modality: mr}}}
""")
        self.massflow("run", "g.yaml")
        self.assertEqual(self.shown("g.yaml", "s[case=a]")["voxels"],
                         "i16 [5, 6, 7]  min -978  max 1988  mean 538.795")

    def test_made(self):
        """A mark in graph and table, semicolons, CRLF, rows that were emptied, spellings of PET."""
        write_nifti(self.path("a.nii"), (2, 3, 4), range(24), spacing=(1.5, 2, 3))
        write_nifti(self.path("b.nii"), (2, 3, 4), range(100, 124), spacing=(1.5, 2, 3))
        table = ("\ufeffid;path;kind;window;kg\r\nP 1;a.nii;PT;[3, 5];71,5\r\n;;;;\r\n"
                 "P 2; b.nii ;Pet;\"[1,\r\n 2]\";80\r\n;;;;\r\n")
        self.write("lab.csv", table)
        self.write("g.yaml", """\ufeffmassflow: 1\r
cases: {csv: lab.csv}\r
stages:\r
  s: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.kind}"}}\r
  l: {use: labels.load, each: case, with: {path: "${case.path}", select_labels: "${case.window}"}}\r
""")
        out = self.massflow("run", "g.yaml")
        # Labels that are asked for may be missing, as one of a patient without the lesion; it is said.
        self.assertIn(f"l[case=P 2]: {self.path('b.nii')}: has none of the labels of select_labels; its largest is 123\n",
                      out)
        self.assertNotIn("l[case=P 1]: ", out)
        for case, values in (("P 1", "min 0  max 23"), ("P 2", "min 100  max 123")):
            shown = self.shown("g.yaml", f"s[case={case}]")
            self.assertEqual(shown["modality"], "PET")
            self.assertIn(values, shown["voxels"])
        self.assertIn("min 0  max 5 ", self.shown("g.yaml", "l[case=P 1]")["voxels"])
        # One spelling or another is one key.
        self.write("lab.csv", table.replace("PT", "pet"))
        self.assertIn("finished: 0 run, 4 cached", self.massflow("run", "g.yaml"))

    def test_modality_as_dicom_has_it(self):
        """PT and MR, straight from the column that the series have."""
        for modality in ("PT", "MR"):
            os.makedirs(self.path("study/" + modality))
            for z in range(3):
                self.write(f"study/{modality}/{z}.dcm", slice_of(modality, z))
        self.write("study/PT/._0.dcm", b"\0\5\x16\7" + bytes(128) + b"DICM")
        self.write("g.yaml", """massflow: 1
cases: {dicom: study}
stages:
  s: {use: volume.load, each: case, with: {path: "${case.path}", series: "${case.series}", modality: "${case.modality}"}}
""")
        self.massflow("run", "g.yaml")
        for case, modality in (("PT", "PET"), ("MR", "MR")):
            shown = self.shown("g.yaml", f"s[case={case}]")
            self.assertEqual((shown["modality"], shown["size"], shown["spacing"]), (modality, "4 4 3", "2 2 3"))
            self.assertIn("min 0  max 47 ", shown["voxels"])
        self.assertIn(f"\ndicom {os.path.realpath(self.path('study'))}: 2 cases; 1 hidden file passed over, such as ._0.dcm\n",
                      self.massflow("graph", "g.yaml"))
        # A modality that is none of a scan's is said, with the case.
        self.write("g.yaml", """massflow: 1
cases: {dicom: study, modality_of_lab: NM}
stages:
  s: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.modality_of_lab}"}}
""")
        self.assertIn("volume.load: 'modality' is 'NM', which is none of auto, ct, mr, pet\n",
                      self.massflow("run", "g.yaml", code=2))


if __name__ == "__main__":
    main(1)
