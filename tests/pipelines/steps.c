/* steps.c - a plugin for tests: a stage that does steps, writes each down into the file that
 * MASSFLOW_TEST_LOG names where it is set, saves its state as it is told and dies where it is told.
 */
#include <massflow/stage.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct steps_params {
    int64_t steps, stop_at, every, die, fail, seed, write, ask;
    const char *file;
} steps_params;

static const mf_param steps_table[] = {
    MF_INT(steps_params, steps, "6", 0, 1e6, "", "Steps in all."),
    MF_INT_MARKED(steps_params, stop_at, "-1", -1, 1e6, "", MF_EXTENDABLE, "Steps to do; -1: all."),
    MF_INT_MARKED(steps_params, every, "1", 1, 1e6, "", MF_NO_CACHE, "Steps between two states."),
    MF_INT_MARKED(steps_params, die, "-1", -1, 1e6, "", MF_NO_CACHE, "Killed in this step."),
    MF_INT_MARKED(steps_params, fail, "-1", -1, 1e6, "", MF_NO_CACHE, "Fails in this step."),
    MF_INT_MARKED(steps_params, write, "-1", -1, 1e6, "", MF_NO_CACHE,
                  "Adds to `file` in this step."),
    MF_INT_MARKED(steps_params, ask, "0", 0, 1, "", MF_NO_CACHE, "Asks for a state in each step."),
    MF_PATH(steps_params, file, "", "A file."),
    MF_INT(steps_params, seed, "1", 0, 1e6, "", "Seed."),
    MF_END};
static const mf_port steps_in[] = {MF_END};
static const mf_port steps_out[] = {MF_PORT("numbers", "table", "A number a step."), MF_END};

static void note(int64_t step)
{
    const char *path = getenv("MASSFLOW_TEST_LOG");
    char line[64];
    int length = snprintf(line, sizeof line, "step %lld\n", (long long)step), file;

    if (!path)
        return;
    file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    if (write(file, line, (size_t)length) != length)
        abort();
    close(file);
}

static void add_to(const char *path)
{
    FILE *file = fopen(path, "ae");

    if (!file || fputs("more\n", file) < 0 || fclose(file))
        abort();
}

static mf_status save(mf_task *t, int64_t step, const double *numbers, bool keep)
{
    mf_artifact *state;
    mf_array *array;
    mf_status status;

    MF_TRY(mf_artifact_new("numbers", &state));
    status = mf_array_new(MF_F64, 1, &step, &array);
    if (!status) {
        memcpy(array->data, numbers, array->bytes);
        status = mf_artifact_add(state, "numbers", array);
        mf_array_unref(array);
    }
    if (!status)
        status = mf_checkpoint_save(t, step, state, keep);
    mf_artifact_unref(state);
    return status;
}

static mf_status load(mf_task *t, int64_t most, int64_t *step, double *numbers)
{
    mf_artifact *state;
    mf_array *array;
    mf_status status;

    MF_TRY(mf_checkpoint_load(t, most, step, &state));
    if (!state)
        return MF_OK;
    status = mf_artifact_array(state, "numbers", &array);
    if (!status) {
        memcpy(numbers, array->data, array->bytes);
        mf_array_unref(array);
    }
    mf_artifact_unref(state);
    return status;
}

/* Of step 0, which has none: nothing but a question and its answer. */
static mf_status ask(mf_task *t)
{
    mf_artifact *none;
    int64_t step;

    MF_TRY(mf_checkpoint_load(t, 0, &step, &none));
    mf_artifact_unref(none);
    return MF_OK;
}

static mf_status go(mf_task *t, const steps_params *o, int64_t last, double *numbers)
{
    int64_t step;

    MF_TRY(load(t, last, &step, numbers));
    while (step < last) {
        mf_random random;
        if (step == o->die)
            raise(SIGKILL);
        if (step == o->fail)
            return mf_fail(MF_INVALID, "failed as told");
        note(step);
        if (step == o->write)
            add_to(o->file);
        if (o->ask)
            MF_TRY(ask(t));
        mf_random_seed(&random, (uint64_t)o->seed, "", (uint64_t)step);
        numbers[step] = (step ? numbers[step - 1] : 0) + mf_random_uniform(&random, 0, 1);
        step++;
        mf_progress(t, step, o->steps, NULL);
        if (step % o->every == 0 && step < last)
            MF_TRY(save(t, step, numbers, false));
    }
    return last < o->steps ? save(t, last, numbers, true) : MF_OK;
}

static mf_status steps_run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"number", NULL};
    const steps_params *o = p;
    int64_t last = o->stop_at >= 0 && o->stop_at < o->steps ? o->stop_at : o->steps;
    double *numbers = calloc((size_t)last + 1, sizeof *numbers);
    mf_table *table = NULL;
    mf_artifact *a;
    mf_status status;

    (void)session;
    if (!numbers)
        return mf_no_memory(0, "%lld steps", (long long)last);
    status = go(t, o, last, numbers);
    if (!status)
        status = mf_table_new(columns, &table);
    for (int64_t i = 0; i < last && !status; i++)
        status = mf_table_row(table, numbers[i]);
    free(numbers);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &a));
    return mf_out(t, "numbers", a);
}

static MF_STAGE(stage_steps, "steps.do", 1, "Numbers, step by step.", .params = steps_table,
                .params_size = sizeof(steps_params), .in = steps_in, .out = steps_out,
                .random = true, .run = steps_run);
MF_PLUGIN("steps", &stage_steps)
