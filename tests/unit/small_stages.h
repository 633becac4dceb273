/* small_stages.h - what tests of plan and scheduler make their stages of: parameters and ports,
 * functions that are never called, and a stage in one line. */
#ifndef SMALL_STAGES_H
#define SMALL_STAGES_H

#include <massflow/stage.h>

/* Makes nodes that are alike differ in their keys. */
typedef struct salt {
    int64_t salt;
} salt;

static const mf_param salt_table[] = {
    MF_INT(salt, salt, "0", 0, 1000000000, "", "Part of the key."), MF_END};
static const mf_port none[] = {MF_END};
static const mf_port all_in[] = {MF_PORT("all", "text[]", ""), MF_END};
static const mf_port items_out[] = {MF_PORT("items", "stream<text>", ""), MF_END};

/* That a stage has kernels is what makes it one for a device. */
static const char *const kernels[] = {"kernel void nothing(int count) {}\n", NULL};

static inline mf_status no_run(mf_task *t, const void *params, void *session)
{
    (void)t, (void)params, (void)session;
    return mf_fail(MF_INTERNAL, "nothing is run here");
}

static inline mf_status no_item(mf_task *t, const void *params, void *session, int64_t i,
                                mf_artifact **a)
{
    (void)i, (void)a;
    return no_run(t, params, session);
}

/* `type` and `table`: its parameters. */
#define SMALL_STAGE(variable, its_name, type, table, inputs, outputs, ...)                         \
    static MF_STAGE(variable, its_name, 1, "For tests.", .params = table,                          \
                    .params_size = sizeof(type), .in = inputs, .out = outputs, __VA_ARGS__)

#endif
