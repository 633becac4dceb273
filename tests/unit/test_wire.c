/* test_wire.c - messages between massflow and its workers: all that goes in comes out, and what was
 * cut off or changed is refused. */
#include "../expect.h"
#include "../run_suite.h"
#include "base/array_shared.h"
#include "base/artifact_source.h"
#include "run/worker/frozen.h"
#include "run/worker/wire.h"
#include "stages/stages.h"
#include "store/store.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const mf_plugin *massflow_plugin(void);

/* What the other end of a socket gets. */
static mf_packet passed_on(const mf_packet *p)
{
    int sockets[2];
    mf_packet got;
    bool end;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    ok(mf_wire_send(sockets[0], p));
    ok(mf_wire_receive(sockets[1], &got, &end));
    ck_assert(!end);
    close(sockets[0]);
    close(sockets[1]);
    return got;
}

/* ---- values ---------------------------------------------------------------------------------- */

START_TEST(values)
{
    mf_packet p = {.kind = MF_WIRE_LOG}, got;
    mf_status status = mf_hint(mf_fail(MF_IO, "no %s", "disk"), "buy one");
    size_t size;

    mf_packet_int(&p, INT64_MIN);
    mf_packet_text(&p, NULL);
    mf_packet_text(&p, "");
    mf_packet_text(&p, "word");
    mf_packet_bytes(&p, "a\0b", 3);
    mf_packet_status(&p, MF_OK);
    mf_packet_status(&p, status);
    mf_error_free(status);
    got = passed_on(&p);
    ck_assert_int_eq(got.kind, MF_WIRE_LOG);
    ck_assert(mf_packet_get_int(&got) == INT64_MIN);
    ck_assert_ptr_null(mf_packet_get_text(&got));
    ck_assert_str_eq(mf_packet_get_text(&got), "");
    ck_assert_str_eq(mf_packet_get_text(&got), "word");
    ck_assert_mem_eq(mf_packet_get_bytes(&got, &size), "a\0b", 3);
    ck_assert_uint_eq(size, 3);
    ok(mf_packet_get_status(&got));
    status = mf_packet_get_status(&got);
    ck_assert_int_eq(mf_error_code(status), MF_IO);
    fails(status, "no disk\n  buy one");
    ok(mf_packet_check(&got));
    mf_packet_get_int(&got);
    fails(mf_packet_check(&got), "a message of the other process is damaged");
    mf_packet_clear(&p);
    mf_packet_clear(&got);
}
END_TEST

START_TEST(lengths_that_lie)
{
    static const int64_t lengths[] = {-2, 9, 1 << 20, INT64_MAX, INT64_MIN};
    size_t size;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int kind = 0; kind < 3; kind++) {
            mf_packet p = {0};
            mf_packet_int(&p, lengths[i]);
            mf_packet_int(&p, 0);
            if (kind == 0)
                ck_assert_ptr_null(mf_packet_get_text(&p));
            else if (kind == 1)
                ck_assert_ptr_null(mf_packet_get_bytes(&p, &size));
            else
                ck_assert_uint_eq(mf_packet_get_count(&p), 0);
            ck_assert(p.failed || (kind == 0 && lengths[i] < 0));
            mf_packet_clear(&p);
        }
    }
}
END_TEST

START_TEST(a_side_that_is_gone)
{
    int sockets[2];
    mf_packet p = {.kind = MF_WIRE_LOG}, got;
    bool end = false;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    ck_assert_int_eq(write(sockets[0], "half a header", 13), 13);
    close(sockets[0]);
    fails(mf_wire_receive(sockets[1], &got, &end),
          "the other process ended in the middle of a message");
    mf_packet_clear(&got);
    ok(mf_wire_receive(sockets[1], &got, &end));
    ck_assert(end);
    mf_packet_clear(&got);
    fails(mf_wire_send(sockets[1], &p), "telling the other process: Broken pipe");
    close(sockets[1]);
}
END_TEST

/* ---- artifacts ------------------------------------------------------------------------------- */

static mf_artifact *an_artifact(void)
{
    static const double reals[] = {1.5, -2, 1e300};
    const int64_t shape[3] = {2, 3, 4}, bytes = 5, ends = 4, none = 0;
    static const int64_t offsets[] = {0, 2, 2, 5};
    mf_artifact *a;
    mf_array *x;
    mf_array *y;

    ok(mf_artifact_new("thing", &a));
    ok(mf_artifact_set_text(a, "text", "tab\tand\nline"));
    ok(mf_artifact_set_int(a, "int", -7));
    ok(mf_artifact_set_reals(a, "reals", reals, 3));
    ok(mf_artifact_set_reals(a, "none", NULL, 0));
    ok(mf_array_new(MF_I16, 3, shape, &x));
    for (int i = 0; i < 24; i++)
        ((int16_t *)x->data)[i] = (int16_t)(i * 100);
    ok(mf_artifact_add(a, "dense", x));
    mf_array_unref(x);
    ok(mf_array_new(MF_F32, 1, &none, &x));
    ok(mf_artifact_add(a, "empty", x));
    mf_array_unref(x);
    ok(mf_array_new(MF_U8, 1, &bytes, &x));
    ok(mf_array_new(MF_I64, 1, &ends, &y));
    memcpy(x->data, "hello", 5);
    memcpy(y->data, offsets, sizeof offsets);
    ok(mf_artifact_add_rows(a, "rows", x, y));
    mf_array_unref(x);
    mf_array_unref(y);
    return a;
}

/* The artifact again, through packets as isolate.c and worker.c use them. */
static mf_status again(mf_packet *head, const mf_artifact *from, mf_artifact **a)
{
    mf_array_info *infos;
    size_t count;

    MF_TRY(mf_artifact_new("thing", a));
    MF_TRY(mf_packet_get_attributes(head, *a));
    MF_TRY(mf_packet_get_arrays(head, &infos, &count));
    for (size_t i = 0; i < count; i++) {
        mf_packet p = {.kind = MF_WIRE_CONTENT}, got;
        mf_array *array, *offsets;
        ok(mf_packet_array(&p, from, infos[i].name));
        got = passed_on(&p);
        ok(mf_packet_get_array(&got, &infos[i], &array, &offsets));
        if (offsets)
            ok(mf_artifact_add_rows(*a, infos[i].name, array, offsets));
        else
            ok(mf_artifact_add(*a, infos[i].name, array));
        mf_array_unref(array);
        mf_array_unref(offsets);
        mf_packet_clear(&p);
        mf_packet_clear(&got);
    }
    free(infos);
    return MF_OK;
}

START_TEST(artifacts)
{
    mf_artifact *a = an_artifact(), *b;
    mf_packet p = {.kind = MF_WIRE_OUTPUT}, got;
    char first[65], second[65];

    mf_packet_head(&p, a);
    got = passed_on(&p);
    ck_assert_str_eq(mf_packet_get_text(&got), "thing");
    ok(again(&got, a, &b));
    ck_assert_uint_eq(got.at, got.size);
    /* The same content has the same id. */
    ok(mf_store_identify(a, first));
    ok(mf_store_identify(b, second));
    ck_assert_str_eq(first, second);
    mf_artifact_unref(a);
    mf_artifact_unref(b);
    mf_packet_clear(&p);
    mf_packet_clear(&got);
}
END_TEST

/* Wherever a head is cut off or changed, it is refused or makes another artifact; nothing else. */
START_TEST(damaged_heads)
{
    mf_artifact *a = an_artifact();
    mf_packet p = {0};

    mf_packet_head(&p, a);
    for (size_t cut = 0; cut < 2 * p.size; cut++) {
        mf_packet q = {0};
        mf_artifact *b;
        mf_array_info *infos = NULL;
        size_t count;
        mf_status status;
        q.bytes = malloc(p.size); /* its end is watched by the sanitizer */
        q.size = cut < p.size ? cut : p.size;
        memcpy(q.bytes, p.bytes, q.size);
        if (cut >= p.size)
            q.bytes[cut - p.size] ^= 0xff;
        ok(mf_artifact_new("thing", &b));
        mf_packet_get_text(&q);
        status = mf_packet_get_attributes(&q, b);
        if (!status)
            status = mf_packet_get_arrays(&q, &infos, &count);
        ck_assert(status || cut >= p.size);
        mf_error_free(status);
        free(infos);
        mf_artifact_unref(b);
        free(q.bytes);
    }
    mf_packet_clear(&p);
    mf_artifact_unref(a);
}
END_TEST

START_TEST(shared_memory_that_is_too_small)
{
    const int64_t shape[2] = {100, 100}, larger[2] = {100, 101};
    mf_array *array, *mapped;
    int fd;

    ok(mf_array_new(MF_F32, 2, shape, &array));
    ((float *)array->data)[9999] = 3;
    ok(mf_array_share(array, &fd));
    ok(mf_array_of_shared(fd, MF_F32, 2, shape, &mapped));
    ck_assert_mem_eq(mapped->data, array->data, array->bytes);
    mf_array_unref(mapped);
    fails(mf_array_of_shared(fd, MF_F32, 2, larger, &mapped),
          "shared memory is smaller than its array of 40400 bytes");
    close(fd);
    mf_array_unref(array);
}
END_TEST

/* ---- work ------------------------------------------------------------------------------------ */

static mf_registry *toys(void)
{
    mf_registry *registry;

    ok(mf_registry_new(&registry));
    ok(mf_registry_add(registry, massflow_plugin(), "toy"));
    return registry;
}

static mf_params *params_of(const mf_registry *registry, const char *stage, const char *const *set)
{
    const mf_stage *found = mf_registry_stage(registry, stage);
    mf_params *params;

    ok(mf_params_new(found, &params));
    for (; set && *set; set += 2) /* name and value; a list has three numbers */
        ok(mf_params_set(params, mf_param_find(found, set[0]), set[1][0] == '[',
                         set[1][0] == '[' ? (const char *[]){"0.1", "0.25", "1e-1"} : &set[1],
                         set[1][0] == '[' ? 3 : 1, NULL, NULL));
    ok(mf_params_finish(params));
    return params;
}

START_TEST(parameters_of_every_kind)
{
    static const char *const set[] = {"sigma",   "0.1",  "spacing", "[",     "weights",
                                      "[",       "fast", "true",    "title", "a \"b\"",
                                      "threads", "7",    NULL};
    mf_registry *registry = toys();
    mf_params *params = params_of(registry, "toy.masks", set);
    mf_element volume = {.id = "1", .node = "scan", .case_id = ""};
    mf_feed feeds[2] = {
        {.port = &mf_registry_stage(registry, "toy.masks")->in[0], .count = 1, .elements = &volume},
        {.port = &mf_registry_stage(registry, "toy.masks")->in[1]}};
    mf_work work = {.node = "found[case=1]",
                    .stage = mf_registry_stage(registry, "toy.masks"),
                    .params = params,
                    .case_id = "1",
                    .feed_count = 2,
                    .feeds = feeds,
                    .out_count = 1};
    mf_packet p = {.kind = MF_WIRE_START}, got;
    mf_frozen *frozen;
    const mf_work *w;

    ok(mf_frozen_put(&p, &work));
    got = passed_on(&p);
    ok(mf_frozen_get(&got, registry, NULL, NULL, &frozen));
    ck_assert_uint_eq(got.at, got.size);
    w = mf_frozen_work(frozen);
    ck_assert_str_eq(w->node, "found[case=1]");
    ck_assert_str_eq(w->case_id, "1");
    ck_assert_ptr_eq(w->stage, work.stage);
    ck_assert_str_eq(mf_params_json(w->params), mf_params_json(params));
    ck_assert_uint_eq(w->feeds[0].count, 1);
    ck_assert_str_eq(w->feeds[0].elements[0].id, "1");
    ck_assert_uint_eq(w->feeds[1].count, 0);
    mf_frozen_free(frozen);
    mf_packet_clear(&p);
    mf_packet_clear(&got);
    mf_params_unref(params);
    mf_registry_free(registry);
}
END_TEST

/* A training that reads a stream of two scans. */
static void with_stream(mf_registry *registry, mf_packet *p)
{
    static const char *const steps[] = {"steps", "5", NULL};
    mf_params *train = params_of(registry, "toy.train", steps),
              *views = params_of(registry, "toy.views", NULL);
    mf_element volumes[2] = {{.id = "1", .node = "scan[case=a]", .case_id = "a"},
                             {.id = "2", .node = "scan[case=b]", .case_id = "b"}};
    const mf_stage *stage = mf_registry_stage(registry, "toy.views");
    mf_feed lists[2] = {{.port = &stage->in[0], .list = true, .count = 2, .elements = volumes},
                        {.port = &stage->in[1], .list = true, .count = 1, .elements = volumes}};
    mf_work stream = {.node = "views",
                      .stage = stage,
                      .params = views,
                      .case_id = "",
                      .feed_count = 2,
                      .feeds = lists,
                      .out_count = 1};
    mf_feed feed = {.port = &mf_registry_stage(registry, "toy.train")->in[0], .stream = &stream};
    mf_work work = {.node = "model",
                    .stage = mf_registry_stage(registry, "toy.train"),
                    .params = train,
                    .case_id = "",
                    .feed_count = 1,
                    .feeds = &feed,
                    .out_count = 2};

    ok(mf_frozen_put(p, &work));
    mf_params_unref(train);
    mf_params_unref(views);
}

START_TEST(streams_go_along)
{
    mf_registry *registry = toys();
    mf_packet p = {0};
    mf_frozen *frozen;
    const mf_work *w;

    with_stream(registry, &p);
    ok(mf_frozen_get(&p, registry, NULL, NULL, &frozen));
    w = mf_frozen_work(frozen)->feeds[0].stream;
    ck_assert_str_eq(w->stage->name, "toy.views");
    ck_assert(w->feeds[0].list);
    ck_assert_uint_eq(w->feeds[0].count, 2);
    ck_assert_str_eq(w->feeds[0].elements[1].node, "scan[case=b]");
    ck_assert_str_eq(w->feeds[0].elements[1].case_id, "b");
    mf_frozen_free(frozen);
    mf_packet_clear(&p);
    mf_registry_free(registry);
}
END_TEST

START_TEST(damaged_work)
{
    mf_registry *registry = toys();
    mf_packet p = {0};

    with_stream(registry, &p);
    for (size_t cut = 0; cut < 2 * p.size; cut++) {
        mf_packet q = {0};
        mf_frozen *frozen;
        mf_status status;
        q.bytes = malloc(p.size);
        q.size = cut < p.size ? cut : p.size;
        memcpy(q.bytes, p.bytes, q.size);
        if (cut >= p.size)
            q.bytes[cut - p.size] ^= 0xff;
        status = mf_frozen_get(&q, registry, NULL, NULL, &frozen);
        ck_assert(status || cut >= p.size);
        mf_error_free(status);
        mf_frozen_free(frozen);
        free(q.bytes);
    }
    mf_packet_clear(&p);
    mf_registry_free(registry);
}
END_TEST

START_TEST(another_plugin_is_refused)
{
    mf_registry *registry = toys(), *none;
    mf_packet p = {0};
    mf_frozen *frozen;
    char *code;

    with_stream(registry, &p);
    ok(mf_registry_new(&none));
    fails(mf_frozen_get(&p, none, NULL, NULL, &frozen),
          "the worker process has no stage toy.train");
    p.at = 0;
    code = memmem(p.bytes, p.size, "version 1", 9);
    ck_assert_ptr_nonnull(code);
    code[8] = '2';
    fails(mf_frozen_get(&p, registry, NULL, NULL, &frozen),
          "the plugin of toy.train was changed during the run\n  start the run again");
    mf_packet_clear(&p);
    mf_registry_free(none);
    mf_registry_free(registry);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *cases = tcase_create("wire");

    tcase_add_test(cases, values);
    tcase_add_test(cases, lengths_that_lie);
    tcase_add_test(cases, a_side_that_is_gone);
    tcase_add_test(cases, artifacts);
    tcase_add_test(cases, damaged_heads);
    tcase_add_test(cases, shared_memory_that_is_too_small);
    tcase_add_test(cases, parameters_of_every_kind);
    tcase_add_test(cases, streams_go_along);
    tcase_add_test(cases, damaged_work);
    tcase_add_test(cases, another_plugin_is_refused);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
