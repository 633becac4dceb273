/* counting.c - a plugin for tests: small stages on texts that write down each time they run, into
 * the file that MASSFLOW_TEST_LOG names, one line a run: "stage text". */
#include <massflow/stage.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static mf_status note(const char *stage, const char *text)
{
    const char *path = getenv("MASSFLOW_TEST_LOG");
    char line[512];
    int file, length;
    ssize_t written;

    if (!path)
        return MF_OK;
    length = snprintf(line, sizeof line, "%s %.400s\n", stage, text);
    file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return mf_fail(MF_IO, "%s: %s", path, strerror(errno));
    written = write(file, line, (size_t)length); /* one call: lines of threads do not mix */
    close(file);
    return written == length ? MF_OK : mf_fail(MF_IO, "%s: %s", path, strerror(errno));
}

static mf_status out_text(mf_task *t, const char *text)
{
    mf_artifact *a;
    mf_status status;

    MF_TRY(mf_artifact_new("text", &a));
    status = mf_artifact_set_text(a, "text", text);
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(t, "text", a);
}

static mf_status in_text(mf_task *t, const char **text)
{
    const mf_artifact *a;

    MF_TRY(mf_in(t, "text", &a));
    *text = mf_artifact_text(a, "text");
    return *text ? MF_OK : mf_fail(MF_INVALID, "the input has no text");
}

static const mf_port text_in[] = {MF_PORT("text", "text", "Any text."), MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", "What became of it."), MF_END};
static const mf_port no_ports[] = {MF_END};

/* ---- count.load: a file's text --------------------------------------------------------------- */

typedef struct load_params {
    const char *path;
} load_params;

static const mf_param load_table[] = {MF_PATH(load_params, path, NULL, "The file."), MF_END};

static mf_status load_run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    char text[256] = "";
    FILE *file = fopen(o->path, "re");

    (void)session;
    if (!file)
        return mf_fail(MF_NOT_FOUND, "%s: %s", o->path, strerror(errno));
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    MF_TRY(note("load", text));
    return out_text(t, text);
}

static MF_STAGE(load, "count.load", 1, "A file's first line.", .params = load_table,
                .params_size = sizeof(load_params), .in = no_ports, .out = text_out,
                .run = load_run);

/* ---- count.header: a file that names another one, which is read with it ------------------------
 */

/* The file that the first line names, in the same folder. */
static mf_status named_file(const char *path, char to[512])
{
    char name[256] = "";
    FILE *file = fopen(path, "re");

    if (!file)
        return mf_fail(MF_NOT_FOUND, "%s: %s", path, strerror(errno));
    name[fread(name, 1, sizeof name - 1, file)] = '\0';
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
    snprintf(to, 512, "%.*s%s", (int)(strrchr(path, '/') + 1 - path), path, name);
    return MF_OK;
}

static mf_status header_parts(const char *param, const char *path, mf_part_call call, void *self)
{
    char named[512];

    (void)param;
    MF_TRY(named_file(path, named));
    return call(self, named);
}

static mf_status header_run(mf_task *t, const void *p, void *session)
{
    const load_params *o = p;
    char named[512];

    MF_TRY(named_file(o->path, named));
    return load_run(t, &(load_params){named}, session);
}

static MF_STAGE(header, "count.header", 1, "The first line of the file that a file names.",
                .params = load_table, .params_size = sizeof(load_params), .in = no_ports,
                .out = text_out, .parts = header_parts, .run = header_run);

/* ---- count.upper: many texts come out as the same -------------------------------------------- */

static const mf_param no_table[] = {MF_END};

static mf_status upper_run(mf_task *t, const void *p, void *session)
{
    const char *text;
    char upper[256];
    size_t i;

    (void)p, (void)session;
    MF_TRY(in_text(t, &text));
    MF_TRY(note("upper", text));
    for (i = 0; text[i] && i + 1 < sizeof upper; i++)
        upper[i] = (char)toupper((unsigned char)text[i]);
    upper[i] = '\0';
    return out_text(t, upper);
}

static MF_STAGE(upper, "count.upper", 1, "The text in capitals.", .params = no_table,
                .params_size = 1, .in = text_in, .out = text_out, .run = upper_run);

/* ---- count.add: fails where the text holds a word -------------------------------------------- */

typedef struct add_params {
    const char *suffix, *refuse;
} add_params;

static const mf_param add_table[] = {
    MF_TEXT(add_params, suffix, "!", "What is added."),
    MF_TEXT(add_params, refuse, "BAD", "A text that holds this is an error."), MF_END};

static mf_status add_run(mf_task *t, const void *p, void *session)
{
    const add_params *o = p;
    const char *text;
    char longer[512];

    (void)session;
    MF_TRY(in_text(t, &text));
    MF_TRY(note("add", text));
    mf_log(t, "adds '%s'", o->suffix);
    if (strstr(text, o->refuse))
        return mf_fail(MF_INVALID, "the text holds '%s'", o->refuse);
    snprintf(longer, sizeof longer, "%.200s%s", text, o->suffix);
    return out_text(t, longer);
}

static MF_STAGE(add, "count.add", 1, "The text and more.", .params = add_table,
                .params_size = sizeof(add_params), .in = text_in, .out = text_out, .run = add_run);

/* ---- count.join: gathers --------------------------------------------------------------------- */

static const mf_port join_in[] = {MF_PORT_MARKED("texts", "text[]", "All of them.", MF_KEYED),
                                  MF_END};
static const mf_port table_out[] = {MF_PORT("table", "table", "One row each."), MF_END};

/* "a", or "a shots=5" where axes were gathered. */
static void name_element(mf_task *t, size_t i, char *name, size_t size)
{
    const char *axis, *value;
    int length = snprintf(name, size, "%s", mf_in_case(t, "texts", i));

    for (size_t k = 0; (axis = mf_in_axis(t, "texts", i, k, &value)) && length < (int)size; k++)
        length += snprintf(name + length, size - (size_t)length, " %s=%s", axis, value);
}

static mf_status join_rows(mf_task *t, mf_table *table)
{
    char name[128];

    for (size_t i = 0; i < mf_in_count(t, "texts"); i++) {
        const mf_artifact *a;
        MF_TRY(mf_in_item(t, "texts", i, &a));
        name_element(t, i, name, sizeof name);
        MF_TRY(mf_table_row(table, name, mf_artifact_text(a, "text")));
    }
    return MF_OK;
}

static mf_status join_run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"case:text", "text:text", NULL};
    mf_artifact *artifact;
    mf_table *table;
    mf_status status;

    (void)p, (void)session;
    MF_TRY(note("join", ""));
    MF_TRY(mf_table_new(columns, &table));
    status = join_rows(t, table);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &artifact));
    return mf_out(t, "table", artifact);
}

static MF_STAGE(join, "count.join", 1, "A table of texts.", .params = no_table, .params_size = 1,
                .in = join_in, .out = table_out, .run = join_run);

/* ---- count.wait: runs until a file exists or the run is stopped -------------------------------
 */

typedef struct wait_params {
    const char *file;
} wait_params;

static const mf_param wait_table[] = {
    MF_TEXT(wait_params, file, "", "It ends when this file exists."), MF_END};

static mf_status wait_run(mf_task *t, const void *p, void *session)
{
    const struct timespec pause = {0, 5000000};
    const wait_params *o = p;
    const char *text;

    (void)session;
    MF_TRY(in_text(t, &text));
    MF_TRY(note("wait", text));
    while (access(o->file, F_OK) != 0) {
        MF_TRY(mf_cancel_point(t));
        nanosleep(&pause, NULL);
    }
    return out_text(t, text);
}

static MF_STAGE(wait_stage, "count.wait", 1, "Waits for a file.", .params = wait_table,
                .params_size = sizeof(wait_params), .in = text_in, .out = text_out,
                .run = wait_run);

/* ---- count.numbers: a stream; count.collect: its reader -------------------------------------- */

typedef struct numbers_params {
    int64_t seed, scale, broken;
} numbers_params;

static const mf_param numbers_table[] = {
    MF_INT(numbers_params, seed, "1", 0, 1000, "", "Seed."),
    MF_INT(numbers_params, scale, "1", 1, 1000, "", "Factor."),
    MF_INT(numbers_params, broken, "-1", -1, 1000, "", "The item that is an error."), MF_END};
static const mf_port numbers_in[] = {MF_PORT("text", "text?", "Read, not used."), MF_END};
static const mf_port numbers_out[] = {MF_PORT("items", "stream<features>", "Random numbers."),
                                      MF_END};

static mf_status number(mf_task *t, const numbers_params *o, int64_t i, mf_artifact *a)
{
    static const int64_t shape[4] = {1, 1, 1, 2};
    mf_array *values;
    mf_random random;
    mf_status status;

    mf_task_random(t, &random);
    MF_TRY(mf_array_new(MF_F32, 4, shape, &values));
    ((float *)values->data)[0] = (float)i;
    ((float *)values->data)[1] = (float)(mf_random_uniform(&random, 0, 1) * (double)o->scale);
    status = mf_artifact_add(a, "values", values);
    mf_array_unref(values);
    return status;
}

static mf_status numbers_item(mf_task *t, const void *p, void *session, int64_t i,
                              mf_artifact **item)
{
    const struct timespec pause = {0, (i * 7 % 3) * 1000000}; /* items end out of order */
    const numbers_params *o = p;
    const mf_artifact *text;
    mf_status status;

    (void)session;
    MF_TRY(mf_in(t, "text", &text));
    nanosleep(&pause, NULL);
    if (i == o->broken)
        return mf_fail(MF_INVALID, "this item is broken");
    MF_TRY(mf_artifact_new("features", item));
    status = number(t, o, i, *item);
    if (status) {
        mf_artifact_unref(*item);
        *item = NULL;
    }
    return status;
}

static MF_STAGE(numbers, "count.numbers", 1, "A stream of random numbers.", .params = numbers_table,
                .params_size = sizeof(numbers_params), .in = numbers_in, .out = numbers_out,
                .random = true, .item = numbers_item);

typedef struct collect_params {
    int64_t first, count, threads;
} collect_params;

static const mf_param collect_table[] = {
    MF_INT(collect_params, first, "0", 0, 1000, "", "Item to begin with."),
    MF_INT(collect_params, count, "8", 0, 10000, "", "Items."),
    MF_INT_MARKED(collect_params, threads, "1", 1, 16, "", MF_NO_CACHE, "Worker slots."), MF_END};
static const mf_port collect_in[] = {MF_PORT("items", "stream<features>", "Numbers."), MF_END};

static mf_status collect_rows(mf_task *t, const collect_params *o, mf_table *table)
{
    mf_stream *stream;

    MF_TRY(mf_in_stream(t, "items", &stream));
    /* Some are read and thrown away first: a seek starts anew. */
    for (int i = 0; i < 3; i++) {
        mf_artifact *item;
        MF_TRY(mf_stream_next(stream, &item));
        mf_artifact_unref(item);
    }
    MF_TRY(mf_stream_seek(stream, o->first));
    for (int64_t i = 0; i < o->count; i++) {
        mf_artifact *item;
        mf_array *values;
        mf_status status;
        MF_TRY(mf_stream_next(stream, &item));
        mf_progress(t, i + 1, o->count, "collected");
        status = mf_artifact_array(item, "values", &values);
        mf_artifact_unref(item);
        MF_TRY(status);
        status = mf_table_row(table, (double)((float *)values->data)[0],
                              (double)((float *)values->data)[1]);
        mf_array_unref(values);
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status collect_run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"item", "value", NULL};
    mf_artifact *artifact;
    mf_table *table;
    mf_status status;

    (void)session;
    MF_TRY(note("collect", ""));
    MF_TRY(mf_table_new(columns, &table));
    status = collect_rows(t, p, table);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &artifact));
    return mf_out(t, "table", artifact);
}

static mf_status collect_needs(mf_task *t, const void *p, mf_needs *needs)
{
    (void)t;
    needs->cpu = (int)((const collect_params *)p)->threads;
    return MF_OK;
}

static MF_STAGE(collect, "count.collect", 1, "A stream's items as a table.",
                .params = collect_table, .params_size = sizeof(collect_params), .in = collect_in,
                .out = table_out, .needs = collect_needs, .run = collect_run);

/* ---- count.careless: forgets its output, or makes one of another type -------------------------
 */

typedef struct careless_params {
    const char *how;
} careless_params;

static const mf_param careless_table[] = {
    MF_CHOICE(careless_params, how, "none", "none|empty", "What it does wrong."), MF_END};
static const mf_port features_out[] = {MF_PORT("features", "features", "Never right."), MF_END};

static mf_status careless_run(mf_task *t, const void *p, void *session)
{
    const careless_params *o = p;
    mf_artifact *a;

    (void)session;
    if (!strcmp(o->how, "none"))
        return MF_OK;
    MF_TRY(mf_artifact_new("features", &a));
    return mf_out(t, "features", a);
}

static MF_STAGE(careless, "count.careless", 1, "Breaks the rules.", .params = careless_table,
                .params_size = sizeof(careless_params), .in = no_ports, .out = features_out,
                .run = careless_run);

/* ---- count.kernel: squares, on the device; a session that is shared ---------------------------
 */

typedef struct kernel_params {
    int64_t size, add, together;
} kernel_params;

static const mf_param kernel_table[] = {
    MF_INT(kernel_params, size, "4", 1, 10000, "", "Numbers."),
    MF_INT(kernel_params, add, "0", 0, 1000, "", "Added to each."),
    MF_INT_MARKED(kernel_params, together, "1", 1, 16, "", MF_NO_CACHE,
                  "Waits until so many of it have started."),
    MF_END};
static const char *const kernel_sources[] = {
    "kernel void square(global const float *x, global float *y, float add, int count)\n"
    "{\n"
    "    int i = (int)get_global_id(0);\n"
    "    if (i < count)\n"
    "        y[i] = x[i] * x[i] + add;\n"
    "}\n",
    NULL};

static mf_status kernel_open(mf_task *t, const void *p, void **session)
{
    (void)t, (void)p;
    MF_TRY(note("open", ""));
    *session = malloc(1);
    return *session ? MF_OK : mf_no_memory(0, "a session");
}

static mf_status square(mf_task *t, const kernel_params *o, mf_array *x, mf_artifact *a)
{
    int64_t shape[4] = {1, 1, 1, o->size};
    mf_array *y;
    mf_status status;

    MF_TRY(mf_array_new(MF_F32, 4, shape, &y));
    status = mf_artifact_add(a, "values", y);
    mf_array_unref(y);
    MF_TRY(status);
    for (int64_t i = 0; i < o->size; i++)
        ((float *)x->data)[i] = (float)i;
    return mf_launch(t, "square", o->size, mf_read(x), mf_write(y), mf_float((double)o->add));
}

/* How many lines of the log begin with "kernel". */
static int64_t kernels_noted(void)
{
    FILE *file = fopen(getenv("MASSFLOW_TEST_LOG"), "re");
    char line[512];
    int64_t count = 0;

    while (file && fgets(line, sizeof line, file))
        count += !strncmp(line, "kernel", 6);
    if (file)
        fclose(file);
    return count;
}

static mf_status wait_for_others(mf_task *t, int64_t count)
{
    const struct timespec pause = {0, 5000000};

    for (int i = 0; kernels_noted() < count; i++) {
        MF_TRY(mf_cancel_point(t));
        if (i == 4000)
            return mf_fail(MF_INVALID, "it is alone");
        nanosleep(&pause, NULL);
    }
    return MF_OK;
}

static mf_status kernel_run(mf_task *t, const void *p, void *session)
{
    const kernel_params *o = p;
    mf_artifact *a;
    mf_array *x;
    mf_status status;

    MF_TRY(note("kernel", session ? "" : "without a session"));
    if (o->together > 1)
        MF_TRY(wait_for_others(t, o->together));
    MF_TRY(mf_artifact_new("features", &a));
    status = mf_array_new(MF_F32, 1, &o->size, &x);
    if (!status) {
        status = square(t, o, x, a);
        mf_array_unref(x); /* the launch keeps it */
    }
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(t, "features", a);
}

static MF_STAGE(kernel_stage, "count.kernel", 1, "Squares.", .params = kernel_table,
                .params_size = sizeof(kernel_params), .in = numbers_in, .out = features_out,
                .kernels = kernel_sources, .open = kernel_open, .close = free, .run = kernel_run);

/* ---- count.sum: reads an array back -----------------------------------------------------------
 */

typedef struct sum_params {
    int64_t times;
} sum_params;

static const mf_param sum_table[] = {MF_INT(sum_params, times, "1", 1, 1000, "", "Factor."),
                                     MF_END};
static const mf_port sum_in[] = {MF_PORT("features", "features", "Numbers."), MF_END};

static mf_status sum_run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {"sum", NULL};
    const sum_params *o = p;
    const mf_artifact *a;
    mf_artifact *artifact;
    mf_array *values;
    mf_table *table;
    double sum = 0;
    mf_status status;

    (void)session;
    MF_TRY(note("sum", ""));
    MF_TRY(mf_in(t, "features", &a));
    MF_TRY(mf_artifact_array(a, "values", &values));
    for (int64_t i = 0; i < mf_array_count(values); i++)
        sum += (double)((const float *)values->data)[i];
    mf_array_unref(values);
    MF_TRY(mf_table_new(columns, &table));
    status = mf_table_row(table, sum * (double)o->times);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &artifact));
    return mf_out(t, "table", artifact);
}

static MF_STAGE(sum_stage, "count.sum", 1, "The sum.", .params = sum_table,
                .params_size = sizeof(sum_params), .in = sum_in, .out = table_out, .run = sum_run);

MF_PLUGIN("counting", &load, &header, &upper, &add, &join, &wait_stage, &numbers, &collect,
          &careless, &kernel_stage, &sum_stage)
