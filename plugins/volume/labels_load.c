/* labels_load.c - stage labels.load: a label map from a file, on its scan's grid. */
#include "labels_load.code.h"
#include "load.h"
#include "names/names_file.h"
#include "volume_stages.h"
#include <string.h>

typedef struct labels_params {
    const char *path, *orientation, *align;
    mf_labels select_labels;
    int64_t time;
    const char *file_orientation, *labelled, *names, *names_from;
    mf_reals file_spacing;
} labels_params;

static const mf_param params[] = {
    MF_PATH(labels_params, path, NULL, "Label map, in any format that volume.load reads."),
    MF_TEXT(labels_params, orientation, "RAS",
            "Target orientation without `like`, as in volume.load."),
    MF_CHOICE(labels_params, align, "world", "world|index",
              "With `like`. world: the headers must give both the same position. index: only the "
              "voxel order counts."),
    MF_LABELS(labels_params, select_labels, "[]", 1, 2147483647,
              "Labels to keep, by value or name; others become background. Empty: all."),
    MF_NAMES(
        labels_params, names,
        "Names of label values, as in {1: liver, 2: left kidney}. A colour may follow a name: "
        "\"liver #dd8265\". They come before those of names_from and of the file itself. A set "
        "of labels may have a name, too: {1+2+3: whole tumor}."),
    MF_PATH(labels_params, names_from, "",
            "File with names of label values: dataset.json of nnU-Net, label descriptions of "
            "ITK-SNAP, a colour table of 3D Slicer (.ctbl, .txt), a .seg.nrrd, or a CSV with "
            "value,name or value,name,r,g,b."),
    MF_INT(labels_params, time, "-1", -1, 1e6, "",
           "Volume of a 4D file, from 0, such as a layer of overlapping masks. -1: the file must "
           "have one volume."),
    MF_TEXT(labels_params, file_orientation, "",
            "For a file whose header is wrong: where its axes point, such as LAS, whatever it "
            "says. The position of its first voxel stays."),
    MF_REALS(labels_params, file_spacing, "[]", 0, 1000, "mm",
             "For a file whose header is wrong: the spacing along its axes."),
    MF_PATH(labels_params, labelled, "",
            "A 4D label map of the scan: `time` counts only its time points that have a label."),
    MF_END};

static const mf_port inputs[] = {
    MF_PORT("like", "volume?",
            "Scan that the labels belong to. The labels are reoriented and cropped as it was."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "Label map of integers; 0 is background."), MF_END};

static mf_status check(const void *p)
{
    const labels_params *o = p;
    if (strcmp(o->orientation, "keep") && !orient_valid(o->orientation))
        return mf_hint(
            mf_fail(MF_INVALID, "orientation: '%s' does not name three axes", o->orientation),
            "such as RAS, LPS or PSR; or keep");
    mf_names names = {0};
    mf_label_sets sets = {0};
    mf_status status = mf_within(mf_names_parse(o->names, &names), "names");
    if (!status)
        status = mf_within(mf_label_sets_parse(o->names, &sets), "names");
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    MF_TRY(status);
    return load_fix_check(o->file_orientation, &o->file_spacing);
}

/* A file of names has no parts. */
static mf_status parts(const char *param, const char *path, mf_part_call call, void *self)
{
    return strcmp(param, "names_from") ? volume_parts(param, path, call, self) : MF_OK;
}

static mf_status read_names(const labels_params *o, mf_names *names, mf_label_sets *sets)
{
    if (o->names_from)
        MF_TRY(names_file_read(o->names_from, names, sets));
    MF_TRY(mf_label_sets_parse(o->names, sets));
    return mf_names_parse(o->names, names);
}

static mf_status load(mf_task *t, const labels_params *o, const mf_names *names,
                      const mf_label_sets *sets, scan *s, mf_artifact **labels)
{
    labels_options options = {.read = {o->time, NULL, volume_stop, t},
                              .orient = o->orientation,
                              .fix = {o->file_orientation, o->file_spacing, o->labelled},
                              .by_index = !strcmp(o->align, "index"),
                              .only = o->select_labels,
                              .names = names,
                              .sets = sets};
    const mf_artifact *like;
    MF_TRY(mf_in(t, "like", &like));
    return load_labels(o->path, &options, like, s, labels);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    mf_names names = {0};
    mf_label_sets sets = {0};
    scan s;
    mf_artifact *labels;
    (void)session;
    mf_status status = read_names(p, &names, &sets);
    if (!status)
        status = load(t, p, &names, &sets, &s, &labels);
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    MF_TRY(status);
    for (int i = 0; i < s.notes; i++)
        mf_log(t, "%s", s.note[i]);
    return mf_out(t, "labels", labels);
}

MF_STAGE(
    labels_load, "labels.load", 6, "Loads a label map from a file, on the grid of its scan.",
    .help =
        "With the input `like` (a volume from volume.load), the labels are reoriented and cropped "
        "like that volume and match it voxel by voxel. A label map of another size or position is "
        "refused; the message names both. Without `like`, the labels are reoriented to "
        "`orientation`. Values that are stored as real numbers, or scaled, are rounded if they are "
        "within 0.001 of an integer. Others are refused with value and position. Names of the "
        "values go with the label map through the graph; a Slicer segmentation (.seg.nrrd) has its "
        "own.",
    .params = params, .params_size = sizeof(labels_params), .in = inputs, .out = outputs,
    .check = check, .parts = parts, .run = run);
