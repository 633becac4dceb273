/* whole.c - a plugin for tools/bench/bench_remote: makes a volume of noise, and reads one whole. */
#include <massflow/seconds.h>
#include <massflow/stage.h>

typedef struct make_params {
    int64_t megabytes;
} make_params;

static const mf_param make_table[] = {
    MF_INT(make_params, megabytes, "300", 1, 100000, "MB", "Size."), MF_END};
static const mf_port no_ports[] = {MF_END};
static const mf_port volume_in[] = {MF_PORT("volume", "volume", "Any."), MF_END};
static const mf_port volume_out[] = {MF_PORT("volume", "volume", "Noise."), MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", "How many bytes."), MF_END};

static mf_status make_run(mf_task *t, const void *params, void *session)
{
    const make_params *o = params;
    const double spacing[3] = {1, 1, 1};
    const int64_t size[3] = {500, 500, o->megabytes * 2};
    uint64_t state = 88172645463325252ull; /* xorshift64 */
    mf_grid grid;
    mf_array *voxels;

    (void)session;
    mf_grid_identity(&grid, size, spacing);
    MF_TRY(mf_out_volume(t, "volume", &grid, MF_I16, &voxels));
    for (size_t i = 0; i < voxels->bytes / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((uint64_t *)voxels->data)[i] = state;
    }
    return MF_OK;
}

typedef struct read_params {
    int64_t turn;
} read_params;

static const mf_param read_table[] = {
    MF_INT(read_params, turn, "1", 1, 100, "", "Makes nodes differ."), MF_END};

static mf_status read_run(mf_task *t, const void *params, void *session)
{
    double begun = mf_seconds();
    const mf_artifact *volume;
    mf_artifact *text;
    mf_array *voxels;

    (void)params, (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_array(volume, "voxels", &voxels));
    mf_log(t, "read %zu bytes in %.3f s", voxels->bytes, mf_seconds() - begun);
    mf_array_unref(voxels);
    MF_TRY(mf_artifact_new("text", &text));
    MF_TRY(mf_artifact_set_text(text, "text", "read"));
    return mf_out(t, "text", text);
}

static MF_STAGE(make, "whole.make", 1, "A volume of noise.", .params = make_table,
                .params_size = sizeof(make_params), .in = no_ports, .out = volume_out,
                .run = make_run);
static MF_STAGE(reading, "whole.read", 1, "Reads a volume whole.", .params = read_table,
                .params_size = sizeof(read_params), .in = volume_in, .out = text_out,
                .run = read_run);
MF_PLUGIN("whole", &make, &reading)
