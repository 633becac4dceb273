/* pairs.c - a plugin for tests: reads a stream of pairs as a trainer would, and writes down what it
 * saw, one row an item. */
#include <massflow/stage.h>

#include <math.h>

typedef struct read_params {
    int64_t first, count, threads;
} read_params;

static const mf_param read_table[] = {
    MF_INT(read_params, first, "0", 0, 1000, "", "Item to begin with."),
    MF_INT(read_params, count, "8", 0, 1000, "", "Items."),
    MF_INT_MARKED(read_params, threads, "1", 1, 16, "", MF_NO_CACHE, "Worker slots."), MF_END};
static const mf_port read_in[] = {MF_PORT("pairs", "stream<pair>", "Pairs."), MF_END};
static const mf_port read_out[] = {MF_PORT("table", "table", "One row an item."), MF_END};

/* A checksum that depends on every byte and its place, exact in a double. */
static double digest(const mf_array *array)
{
    const uint8_t *bytes = array->data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < array->bytes; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return (double)(hash >> 12);
}

static mf_status digest_of(const mf_artifact *pair, const char *name, double *value, double *mean)
{
    mf_array *array;
    double sum = 0;
    MF_TRY(mf_artifact_array(pair, name, &array));
    int64_t count = mf_array_count(array);
    for (int64_t i = 0; i < count; i++)
        sum += array->dtype == MF_U8 ? ((const uint8_t *)array->data)[i]
                                     : (double)((const float *)array->data)[i];
    *value = digest(array);
    *mean = sum / (double)count;
    mf_array_unref(array);
    return MF_OK;
}

static mf_status read_item(mf_stream *stream, int64_t i, mf_table *table)
{
    static const char *const names[] = {"reference", "query", "reference_masks", "query_masks"};
    double digests[4], means[4];
    mf_artifact *pair;
    mf_status status = MF_OK;
    MF_TRY(mf_stream_next(stream, &pair));
    for (int j = 0; j < 4 && !status; j++)
        status = digest_of(pair, names[j], &digests[j], &means[j]);
    mf_artifact_unref(pair);
    MF_TRY(status);
    return mf_table_row(table, (double)i, digests[0], digests[1], digests[2], digests[3], means[0],
                        means[1], means[2], means[3]);
}

static mf_status read_run(mf_task *t, const void *p, void *session)
{
    static const char *const columns[] = {
        "item",           "reference",  "query",           "reference_masks", "query_masks",
        "reference_mean", "query_mean", "reference_share", "query_share",     NULL};
    const read_params *o = p;
    mf_stream *stream;
    mf_table *table;
    mf_artifact *result;
    (void)session;
    MF_TRY(mf_in_stream(t, "pairs", &stream));
    MF_TRY(mf_stream_seek(stream, o->first));
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = o->first; i < o->first + o->count && !status; i++)
        status = read_item(stream, i, table);
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &result));
    return mf_out(t, "table", result);
}

static mf_status read_needs(mf_task *t, const void *p, mf_needs *n)
{
    (void)t;
    n->cpu = (int)((const read_params *)p)->threads;
    return MF_OK;
}

static MF_STAGE(stage, "pairs.read", 1, "Reads pairs and describes them.", .params = read_table,
                .params_size = sizeof(read_params), .in = read_in, .out = read_out,
                .needs = read_needs, .run = read_run);
MF_PLUGIN("pairs", &stage)
