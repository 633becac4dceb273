#!/usr/bin/env python3
"""Holds massflow's readers against nibabel, pynrrd, SimpleITK and pydicom, on all scans of a folder.

    tools/reference/read_all.py [MASSFLOW] [FOLDER]     default: build/tools/massflow/massflow ../shared/data

Every file and DICOM folder below FOLDER is loaded by volume.load in the order of its voxels and
written as NIfTI; of series the first and the last time point. Voxels must be those of the other
readers to the last bit of a 32-bit real, and affines agree within 1e-4 mm. What differs, or is
refused, must be one of EXPLAINED, which docs/scans.md tells too. Exit status 1: something is not.

Needs numpy, nibabel, pynrrd, SimpleITK and pydicom (pip install numpy nibabel pynrrd SimpleITK pydicom).
"""

import collections
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import nibabel
import nrrd
import numpy as np
import pydicom
import SimpleITK as sitk
from nibabel.nicom import dicomwrappers

warnings.simplefilter("ignore")
nibabel.imageglobals.logger.disabled = True
sitk.ProcessObject.SetGlobalWarningDisplay(False)

# What massflow says when it refuses, and why that is right.
EXPLAINED = [
    (r"has \d+ values a voxel|colour|complex voxels", "colour, vectors and complex numbers are no scan"),
    (r"MGH format is not read", "MGH is not read"),
    (r"is empty|is no NIfTI file|is no DICOM file|damaged DICOM|cut off|is no scan that can be read",
     "damaged, or no scan"),
    (r"damaged header|damaged gzip data|lies outside of its folder|claims an impossible size",
     "damaged or contradictory headers are not guessed at"),
    (r"gives the slope .* and an intercept that is no number", "readers differ on such a slope: nibabel refuses, "
     "ITK takes an intercept of 0"),
    (r"sheared scan|gantry|evenly spaced|may be missing|shifted|series, not one|multi-frame|mosaic",
     "series that are no regular grid of one volume"),
    (r"holds no (pixels|picture|image|scan)|no pixel|is no image", "holds no picture"),
    (r"has \d+ x \d+ pixels, .* has|do not match its header", "slices, or pixels and header, that contradict "
     "each other"),
]
# Where a reader differs and massflow is right, by the name of the file.
DIFFERENCES = {
    r"reports/nifti-values/negative_pixdim_qform\.nii$": {
        "SimpleITK": "negative pixdim with a qform: the sign turns the axis in ITK, not in nibabel; noted"},
    r"reports/nifti-values/spm\.(hdr|img)$|odd_analyze_ras\.(hdr|img)$|odd_no_qs_form\.nii\.gz$": {
        "SimpleITK": "ITK knows nothing of SPM's factor and origin, and takes files that say nothing of "
                     "orientation as right-handed, with the origin in a corner; nibabel and SPM as LAS, with the "
                     "origin in the middle"},
    r"dicom-rounded-iop/": {
        "SimpleITK": "ITK makes rounded cosines orthogonal in another way: less than 0.01 mm"},
    r"mosaic/.*\.dcm$": {
        "SimpleITK": "ITK takes a mosaic of Siemens for one slice"},
    r"simpleitk_two_line_value\.mha$": {
        "SimpleITK": "MetaIO takes the line after a line without a sign for its value, and so does not read what "
                     "it wrote"},
}
SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima", ".mgz", ".mgh")


# ---- the other readers: [x, y, z] or [x, y, z, t] and the RAS+ affine of one volume --------------


def lps_to_ras(affine):
    return np.diag([-1.0, -1, 1, 1]) @ affine


def by_nibabel(path):
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj)
    affine = image.affine.astype(float)
    if isinstance(image, (nibabel.Nifti1Image, nibabel.Nifti1Pair)):
        unit = image.header.get_xyzt_units()[0]
        affine[:3] *= {"meter": 1e3, "micron": 1e-3}.get(unit, 1)
    return data.reshape(data.shape + (1,) * (3 - data.ndim)), affine


def by_simpleitk(path):
    image = sitk.ReadImage(str(path))
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError("several values a voxel")
    data = sitk.GetArrayFromImage(image)
    data = data.transpose(range(data.ndim)[::-1])
    rank = image.GetDimension()
    affine = np.eye(4)
    n = min(rank, 3)
    direction = np.array(image.GetDirection()).reshape(rank, rank)[:n, :n]
    affine[:n, :n] = direction * np.array(image.GetSpacing())[:n]
    affine[:n, 3] = image.GetOrigin()[:n]
    return data.reshape(data.shape + (1,) * (3 - data.ndim)), lps_to_ras(affine)


def by_pynrrd(path):
    """The voxels are pynrrd's; what their header means for the place is written here."""
    data, header = nrrd.read(str(path))
    space = header.get("space", "left-posterior-superior").lower()
    directions = header.get("space directions")
    affine = np.eye(4)
    if directions is None:
        affine[:3, :3] = np.diag(header["spacings"][:3])
    else:
        kept = [row for row in np.asarray(directions, dtype=float) if np.isfinite(row).all()]
        affine[:3, :3] = np.array(kept)[:3, :3].T
        series = [i for i, row in enumerate(np.asarray(directions, dtype=float)) if not np.isfinite(row).all()]
        data = np.moveaxis(data, series, range(data.ndim - len(series), data.ndim)) if series else data
    affine[:3, 3] = header.get("space origin", [0, 0, 0])[:3]
    sides = {"right-anterior-superior": (1, 1), "ras": (1, 1), "rast": (1, 1),
             "left-anterior-superior": (-1, 1), "las": (-1, 1), "last": (-1, 1)}
    x, y = sides.get(space.replace("-time", ""), (-1, -1))
    return data, np.diag([x, y, 1.0, 1]) @ affine


def slices_of(path):
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file())
    read = []
    for file in files:
        try:
            read.append(pydicom.dcmread(file))
        except pydicom.errors.InvalidDicomError:
            continue
    return [d for d in read if "PixelData" in d]


def right_angled(cosines, third=None):
    """The unit vectors at right angles next to rounded cosines: both turned alike, and off `third`."""
    pair = np.array(cosines, float).reshape(2, 3).T
    pair = pair / np.linalg.norm(pair, axis=0)
    if third is not None:
        third = third / np.linalg.norm(third)
        pair = pair - np.outer(third, third @ pair)
    left, _, right = np.linalg.svd(pair, full_matrices=False)
    return (left @ right).T


def by_nicom(path):
    """A mosaic of Siemens: nibabel reads its private header."""
    mosaic = dicomwrappers.wrapper_from_file(path)
    affine = mosaic.affine[:, [1, 0, 2, 3]]
    return np.asarray(mosaic.get_data(), float).transpose(1, 0, 2), lps_to_ras(affine)


def by_pydicom(path):
    """One frame a file, sorted by place along the normal. Volumes: as many as slices at a place, by echo
    and instance number."""
    slices = slices_of(path)
    if not slices:
        raise ValueError("no pixels")
    if any(getattr(d, "NumberOfFrames", 1) not in (1, "1") or d.SamplesPerPixel != 1 for d in slices):
        raise ValueError("several frames or colours")
    if "MOSAIC" in str(getattr(slices[0], "ImageType", "")):
        return by_nicom(path)
    cosines = getattr(slices[0], "ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
    across, down = right_angled(cosines)
    normal = np.cross(across, down)
    places = collections.defaultdict(list)
    for d in slices:
        at = np.array(getattr(d, "ImagePositionPatient", [0, 0, 0]), float)
        number = (int(getattr(d, "EchoNumbers", None) or 0), int(getattr(d, "InstanceNumber", None) or 0))
        places[round(float(at @ normal), 3)].append((number, at, d))
    order = sorted(places)
    counts = {len(v) for v in places.values()}
    if len(counts) != 1:
        raise ValueError("places with different numbers of slices")
    volumes = []
    for t in range(counts.pop()):
        planes = []
        for z in order:
            d = sorted(places[z], key=lambda s: s[0])[t][2]
            # A dose has a scaling of its own (PS3.3 C.8.8.3), for which pydicom has no function.
            slope, intercept = getattr(d, "RescaleSlope", 1), getattr(d, "RescaleIntercept", 0)
            if getattr(d, "Modality", "") == "RTDOSE":
                slope, intercept = getattr(d, "DoseGridScaling", 1), 0
            plane = d.pixel_array.astype(float) * float(slope) + float(intercept)
            planes.append(plane.T)
        volumes.append(np.stack(planes, -1))
    first = places[order[0]][0][1]
    last = places[order[-1]][0][1]
    down_mm, across_mm = map(float, getattr(slices[0], "PixelSpacing", [1, 1]))
    if len(order) > 1:
        step = (last - first) / (len(order) - 1)
        across, down = right_angled(cosines, step)
    else:
        thick = getattr(slices[0], "SpacingBetweenSlices", None) or getattr(slices[0], "SliceThickness", None) or 1
        step = normal * float(thick)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = across * across_mm, down * down_mm, step, first
    data = np.stack(volumes, -1)
    return data[..., 0] if data.shape[-1] == 1 else data, lps_to_ras(affine)


def by_conversion(path):
    """dcm2niix turns rows round: what it made is turned to the order of the slices, as pydicom has it."""
    image = nibabel.load(path.with_name(path.name + "_ref.nii"))
    first = slices_of(path)[0]
    across, down = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    axes = lps_to_ras(np.column_stack([across, down, np.cross(across, down), [0, 0, 0]]).tolist() + [[0, 0, 0, 1]])
    wanted = nibabel.orientations.io_orientation(axes)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted)
    image = image.as_reoriented(turn)
    return np.asanyarray(image.dataobj), image.affine


def readers_of(path):
    name = path.name.lower()
    if path.is_dir():
        beside = path.with_name(path.name + "_ref.nii").exists()
        return {"dcm2niix": by_conversion} if beside else {"pydicom": by_pydicom}
    if re.search(r"\.(nii|hdr|img)(\.gz)?$", name):
        return {"nibabel": by_nibabel, "SimpleITK": by_simpleitk}
    if re.search(r"\.n(rrd|hdr)$", name):
        return {"pynrrd": by_pynrrd, "SimpleITK": by_simpleitk}
    if re.search(r"\.mh[ad]$", name):
        return {"SimpleITK": by_simpleitk}
    return {"pydicom": by_pydicom, "SimpleITK": by_simpleitk}


# ---- massflow --------------------------------------------------------------------------------------


GRAPH = """massflow: 1
cases: {csv: cases.csv}
stages:
  scan:
    use: volume.load
    each: case
    isolate: true
    with: {path: "${case.path}", time: "${case.time}", nonfinite: "${case.nonfinite}", orientation: keep}
export: {scan: "out/${case.id}.nii"}
"""


def by_massflow(massflow, jobs, folder):
    """jobs: (path, time, nonfinite). For each the NIfTI that massflow wrote and its notes, or its error."""
    folder.mkdir()
    (folder / "g.yaml").write_text(GRAPH)
    with open(folder / "cases.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "path", "time", "nonfinite"])
        for i, (path, time, nonfinite) in enumerate(jobs):
            rows.writerow([f"n{i}", path, time, nonfinite])
    run = subprocess.run([massflow, "run", "g.yaml", "--log", "json"], cwd=folder, capture_output=True, text=True,
                         check=False)
    errors, notes = {}, collections.defaultdict(list)
    for line in run.stdout.splitlines():
        event = json.loads(line)
        node = re.search(r"case=n(\d+)", event.get("node", ""))
        if event["event"] == "failed" and node:
            errors[int(node[1])] = event["error"]
        elif event["event"] == "log" and node:
            notes[int(node[1])].append(event["text"])
    if run.returncode not in (0, 1):
        sys.exit(f"massflow run: exit status {run.returncode}\n{run.stderr}")
    made = []
    for i, _ in enumerate(jobs):
        out = folder / "out" / f"n{i}.nii"
        made.append((None if i in errors else out, errors.get(i, ""), notes[i]))
    return made


# ---- the comparison --------------------------------------------------------------------------------


def difference(ours, theirs, time, nonfinite):
    """What differs, in words; "" where nothing does."""
    image = nibabel.load(ours)
    data, affine = np.asanyarray(image.dataobj), image.affine
    other, other_affine = theirs
    if other.ndim > 3:
        other = other.reshape(other.shape[:3] + (-1,))
        if other.shape[3] > 1 and time < 0:
            return f"one volume, not {other.shape[3]}"
        other = other[..., max(time, 0)]
    other = other.reshape(other.shape[:3])
    if data.shape != other.shape:
        return f"{data.shape} voxels, not {other.shape}"
    with np.errstate(over="ignore"):
        other = other.astype(np.float64)
        if nonfinite == "zero":
            other = np.where(np.isfinite(other.astype(np.float32)), other, 0)
        off = np.abs(data.astype(np.float64) - other) > 2.0**-23 * np.abs(other)
    if off.any():
        at = tuple(np.argwhere(off)[0])
        return f"{off.sum()} of {off.size} voxels differ, the first at {tuple(map(int, at))}: {data[at]}, not {other[at]}"
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(data.shape) - 1
    # Of one slice the readers may take another thickness; all else shows at its corners.
    apart = np.abs((corners @ (affine - other_affine).T)[:, :3]).max()
    return f"its place is {apart:.4g} mm away" if not apart < 1e-3 else ""


def is_series(folder):
    """Whether the DICOM files of a folder belong together, and are not just kept together."""
    files = [f for f in folder.iterdir() if f.suffix.lower() in (".dcm", ".ima")]
    series = set()
    for file in files:
        try:
            series.add(pydicom.dcmread(file, stop_before_pixels=True, force=True).get("SeriesInstanceUID"))
        except Exception:  # damaged
            series.add(None)
    return len(files) > 1 and len(series) == 1 and None not in series


def inputs_of(root):
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            if is_series(path):
                yield path
        elif path.name.lower().endswith(SUFFIXES):
            yield path


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    massflow = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else here / "build/tools/massflow/massflow").resolve()
    root = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else here / "../shared/data").resolve()
    if not root.is_dir():
        sys.exit(f"{root}: no such folder")
    jobs = [(path, -1, "refuse") for path in inputs_of(root)]
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(3):  # again with the time points and the replacement that were asked for
            made = by_massflow(massflow, jobs, pathlib.Path(scratch) / str(turn))
            again = []
            for job, (out, error, notes) in zip(jobs, made):
                path, time, nonfinite = job
                several = re.search(r"has (\d+) (time points|volumes along)|positions with (\d+) slices", error)
                if several and time < 0:
                    count = int(several[1] or several[3])
                    again += [(path, 0, nonfinite), (path, count - 1, nonfinite)]
                elif "nonfinite: zero" in error and nonfinite == "refuse":
                    again.append((path, time, "zero"))
                else:
                    results.append(judge(root, job, out, error, notes))
            jobs = again
            if not jobs:
                break
    return report(results)


def known_difference(path, reader):
    return next((d[reader] for p, d in DIFFERENCES.items() if re.search(p, str(path)) and reader in d), None)


def judge(root, job, out, error, notes):
    path, time, nonfinite = job
    name = str(path.relative_to(root)) + (f" time {time}" if time >= 0 else "")
    if error:
        why = next((text for pattern, text in EXPLAINED if re.search(pattern, error)), None)
        return name, "refused" if why else "REFUSED", error.splitlines()[0].replace(f"{path}: ", ""), notes
    said, agree, explained = [], [], None
    for reader, read in readers_of(path).items():
        try:
            theirs = read(path)
        except Exception as failure:  # whatever the other reader raises, it gave no volume
            known = known_difference(path, reader)
            explained = explained or known
            said.append(f"{reader} refuses it: {known}" if known else
                        f"{reader} refuses it ({str(failure).strip().splitlines()[-1] if str(failure) else failure})")
            continue
        differs = difference(out, theirs, time, nonfinite)
        known = known_difference(path, reader)
        if not differs:
            agree.append(reader)
        elif known:
            said.append(f"{reader}: {differs}: {known}")
        else:
            said.append(f"{reader}: {differs}: UNEXPLAINED")
    bad = any("UNEXPLAINED" in s for s in said)
    if not agree and not bad and explained:
        return name, "read by massflow", "; ".join(said), notes
    if not agree and not bad:
        return name, "ALONE", "; ".join(said), notes
    return name, "DIFFERS" if bad else "equal to " + " and ".join(agree), "; ".join(said), notes


def report(results):
    """A line for each folder and outcome, then each that is not plainly equal."""
    table = collections.Counter()
    for name, outcome, _, _ in results:
        table[(str(pathlib.Path(name).parent), outcome)] += 1
    for (folder, outcome), count in sorted(table.items()):
        print(f"{count:6}  {folder:45}  {outcome}")
    print()
    for name, outcome, text, notes in results:
        if text or (notes and "sets/" not in name):
            print(f"{outcome:20}  {name}")
            for line in [text] if text else []:
                print(f"{'':22}{line}")
            for note in notes:
                print(f"{'':22}note: {note.split(': ', 1)[-1]}")
    bad = [r for r in results if r[1] in ("REFUSED", "DIFFERS", "ALONE")]
    print(f"\n{len(results)} volumes, {len(bad)} unexplained")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
