/* older.c - a plugin built with the headers of stage interface 1.1 (interface_1_1): it has no
 * mf_stage.parts and no mf_type.check. What lies behind its tables is no pointer that could be
 * called. */
#include <massflow/stage.h>

#include <stdio.h>
#include <string.h>

typedef struct make_params {
    mf_int3 size;
    double value;
} make_params;

static const mf_param make_table[] = {
    MF_INT3(make_params, size, "[3, 2, 1]", 1, 100, "voxels", "Size along x, y, z."),
    MF_REAL(make_params, value, "2", -100, 100, "", "Of all voxels."), MF_PARAMS_END};
static const mf_port volume_out[] = {{"volume", "volume", "Made.", 0}, {NULL, NULL, NULL, 0}};

static mf_status make_run(mf_task *t, const void *params, void *session)
{
    const make_params *p = params;
    const double spacing[3] = {1, 1, 1};
    mf_array *voxels;
    mf_grid grid;

    (void)session;
    mf_grid_identity(&grid, p->size.v, spacing);
    MF_TRY(mf_out_volume(t, "volume", &grid, MF_F32, &voxels));
    for (int64_t i = 0; i < mf_array_count(voxels); i++)
        ((float *)voxels->data)[i] = (float)p->value;
    return MF_OK;
}

/* ---- on the device --------------------------------------------------------------------------- */

typedef struct scale_params {
    double factor;
    const char *path;
} scale_params;

static const mf_param scale_table[] = {
    MF_REAL(scale_params, factor, "3", -100, 100, "", "Times this."),
    MF_PATH(scale_params, path, "", "A file that is not read."), MF_PARAMS_END};
static const mf_port volume_in[] = {{"volume", "volume", "To scale.", 0}, {NULL, NULL, NULL, 0}};
static const mf_port scale_out[] = {{"volume", "volume", "Scaled.", 0},
                                    {"note", "note", "What was done.", 0},
                                    {NULL, NULL, NULL, 0}};
static const char *const kernels[] = {
    "kernel void scale(global const float *from, global float *to, float factor, int count)\n"
    "{\n"
    "    int i = get_global_id(0);\n"
    "    if (i < count)\n"
    "        to[i] = factor * from[i];\n"
    "}\n",
    NULL};

static mf_status scale_needs(mf_task *t, const void *params, mf_needs *needs)
{
    (void)t, (void)params;
    needs->cost = 0.5;
    return MF_OK;
}

static mf_status scale_run(mf_task *t, const void *params, void *session)
{
    const scale_params *p = params;
    const mf_volume *in;
    mf_artifact *note;
    mf_array *out;
    char text[32];

    (void)session;
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &in));
    MF_TRY(mf_out_volume(t, "volume", &in->grid, MF_F32, &out));
    MF_TRY(mf_launch(t, "scale", mf_grid_voxels(&in->grid), mf_read(in->voxels), mf_write(out),
                     mf_float(p->factor)));
    snprintf(text, sizeof text, "times %g", p->factor);
    MF_TRY(mf_artifact_new("note", &note));
    MF_TRY(mf_artifact_set_text(note, "text", text));
    return mf_out(t, "note", note);
}

/* ---- a type with a writer -------------------------------------------------------------------- */

static mf_status write_note(const mf_artifact *artifact, const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return mf_fail(MF_IO, "'%s' can't be written", path);
    fputs(mf_artifact_text(artifact, "text"), file);
    fclose(file);
    return MF_OK;
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define BEHIND ((void *)1)

static const struct {
    mf_stage stage;
    void *behind[8];
} make = {{.name = "older.make",
           .version = 1,
           .summary = "A volume of one value.",
           .params = make_table,
           .params_size = sizeof(make_params),
           .out = volume_out,
           .run = make_run},
          {BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND}},
  scale = {{.name = "older.scale",
            .version = 1,
            .summary = "Scales a volume on the device.",
            .params = scale_table,
            .params_size = sizeof(scale_params),
            .in = volume_in,
            .out = scale_out,
            .kernels = kernels,
            .needs = scale_needs,
            .run = scale_run},
           {BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND}};

static const struct {
    mf_type type;
    void *behind[8];
} note = {{.name = "note",
           .help = "A line of text.",
           .arrays = "",
           .attributes = "text",
           .suffixes = ".note",
           .write = write_note},
          {BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND, BEHIND}};

static const mf_type *const types[] = {&note.type, NULL};
MF_PLUGIN_WITH_TYPES("older", types, &make.stage, &scale.stage)
