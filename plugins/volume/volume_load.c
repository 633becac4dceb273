/* volume_load.c - stage volume.load: a scan from a file or a DICOM folder. */
#include "load.h"
#include "reader.h"
#include "volume_load.code.h"
#include "volume_stages.h"
#include <string.h>
#include <sys/stat.h>

typedef struct load_params {
    const char *path, *orientation, *crop;
    double threshold, margin;
    const char *labels, *modality, *series;
    int64_t time;
    const char *nonfinite, *file_orientation, *labelled;
    mf_reals file_spacing;
} load_params;

static const mf_param params[] = {
    MF_PATH(load_params, path, NULL,
            "Scan: .nii .nii.gz .hdr/.img .nrrd .nhdr .mha .mhd .dcm, or a folder of DICOM files."),
    MF_TEXT(load_params, orientation, "RAS",
            "Target orientation: the directions in which x, y, z increase (R or L, A or P, S or I, "
            "in any order), or keep."),
    MF_CHOICE(
        load_params, crop, "none", "none|threshold|labels",
        "Crop to the largest component above `threshold`, or to the bounding box of `labels`."),
    MF_REAL(
        load_params, threshold, "-500", -1e9, 1e9, "HU",
        "crop: threshold: voxels above this value are body. For MR and PET, in the scan's unit."),
    MF_REAL(load_params, margin, "20", 0, 1000, "mm", "Margin around the cropped region."),
    MF_PATH(load_params, labels, "", "crop: labels: the scan's label map."),
    MF_CHOICE_FOLDED(load_params, modality, "auto", "auto|" MF_MODALITIES,
                     "auto: from DICOM; else ct if a value is at or below -500; else unknown."),
    MF_TEXT(load_params, series, "",
            "Series of a DICOM folder, by number or UID. Required if there are several."),
    MF_INT(load_params, time, "-1", -1, 1e6, "",
           "Time point of a 4D scan, or volume of a DICOM series (echo, phase, ...), from 0. -1: "
           "the scan must have one volume."),
    MF_CHOICE(load_params, nonfinite, "refuse", "refuse|zero",
              "Voxels that are NaN or infinite: refuse the scan, or replace them by 0."),
    MF_TEXT(load_params, file_orientation, "",
            "For a file whose header is wrong: where its axes point, such as LAS, whatever it "
            "says. The position of its first voxel stays."),
    MF_REALS(load_params, file_spacing, "[]", 0, 1000, "mm",
             "For a file whose header is wrong: the spacing along its axes."),
    MF_PATH(load_params, labelled, "",
            "A 4D label map of the scan: `time` counts only its time points that have a label."),
    MF_END};

static const mf_port inputs[] = {MF_END};
static const mf_port outputs[] = {
    MF_PORT(
        "volume", "volume",
        "The scan in the smallest type that holds its values, with its grid, the grid of its file, "
        "and its modality (CT, MR, PET or unknown)."),
    MF_END};

static mf_status check(const void *p)
{
    const load_params *o = p;
    if (strcmp(o->orientation, "keep") && !orient_valid(o->orientation))
        return mf_hint(
            mf_fail(MF_INVALID, "orientation: '%s' does not name three axes", o->orientation),
            "such as RAS, LPS or PSR; or keep");
    if (!strcmp(o->crop, "labels") && !o->labels)
        return mf_fail(MF_INVALID, "crop: labels needs the parameter labels");
    return load_fix_check(o->file_orientation, &o->file_spacing);
}

static mf_status add_size(void *self, const char *part)
{
    struct stat about;
    size_t *bytes = self;
    if (!stat(part, &about))
        *bytes += (size_t)about.st_size;
    return MF_OK;
}

/* A guess from the size on disk: a compressed scan is about a third of its voxels, which exist
 * twice while they are turned. A small file may be a header with its voxels in others. */
static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const load_params *o = p;
    struct stat about;
    size_t length = strlen(o->path);
    (void)t;
    if (stat(o->path, &about) || !S_ISREG(about.st_mode))
        return MF_OK;
    bool packed = length > 3 && !strcmp(o->path + length - 3, ".gz");
    size_t bytes = (size_t)about.st_size;
    if (bytes < 1 << 16)
        mf_error_free(scan_parts(o->path, add_size, &bytes)); /* run() says what is wrong */
    n->host_bytes = bytes * (packed ? 9 : 3);
    n->cost = (double)n->host_bytes * 3e-9;
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    load_options options = {.read = {o->time, o->series, volume_stop, t},
                            .fix = {o->file_orientation, o->file_spacing, o->labelled},
                            .orient = o->orientation,
                            .crop = o->crop,
                            .threshold = o->threshold,
                            .margin = o->margin,
                            .labels = o->labels,
                            .modality = o->modality,
                            .zero_odd = !strcmp(o->nonfinite, "zero")};
    scan s;
    mf_artifact *volume;
    (void)session;
    MF_TRY(load_volume(o->path, &options, &s, &volume));
    for (int i = 0; i < s.notes; i++)
        mf_log(t, "%s", s.note[i]);
    return mf_out(t, "volume", volume);
}

MF_STAGE(
    volume_load, "volume.load", 4, "Loads a scan from a file or a folder of DICOM files.",
    .help = "Reads NIfTI (also NIfTI-2 and Analyze), NRRD, MetaImage and DICOM, and applies the "
            "rescaling of the file. The volume is reoriented to `orientation` by permuting and "
            "flipping axes, without interpolation. Results for the scan are written on the grid of "
            "its file. Refused with a message: damaged or incomplete files; colour; several time "
            "points, echoes or image types (choose one by `time`); DICOM folders with several "
            "series (choose one by `series`; localizers are ignored), with missing or shifted "
            "slices, or with a tilted gantry. Load label maps of the scan with labels.load, with "
            "this stage as its input `like`. PET keeps the unit of its file. If DICOM has dose, "
            "weight and times, the attribute suv_factor converts the values to SUV.",
    .params = params, .params_size = sizeof(load_params), .in = inputs, .out = outputs,
    .check = check, .needs = needs, .parts = volume_parts, .run = run);
