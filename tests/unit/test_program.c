/* test_program.c - declaring, errors that stick, differentiation, the arena, packed weights,
 * replay. */
#include "../run_suite.h"
#include "checked.h"
#include "compute/stop.h"
#include "program/compile/executable.h"
#include "program/compile/rematerialize.h"
#include "program/ir/program.h"
#include "program/record/record.h"
#include "program/record/storage.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIMS(...) ((int64_t[]){__VA_ARGS__})

static void fails_as(mf_status status, mf_code code, const char *text)
{
    ck_assert_ptr_nonnull(status);
    ck_assert_int_eq(mf_error_code(status), code);
    char *got = mf_error_text(status);
    ck_assert_str_eq(got, text);
    free(got);
    mf_error_free(status);
}

typedef struct fixture {
    mf_program *p;
    mf_weights *w;
    mf_executable *e;
} fixture;

static fixture begin(void)
{
    fixture f = {.e = NULL};
    ok(mf_program_new(&f.p));
    ok(mf_weights_new(test_device(), &f.w));
    return f;
}

static void end(fixture *f)
{
    mf_executable_free(f->e);
    mf_weights_free(f->w);
    mf_program_free(f->p);
}

/* ---- errors ---------------------------------------------------------------------------------- */

START_TEST(test_errors_stick_with_their_scope)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 2, DIMS(2, 3));
    mf_scope(f.p, "encoder");
    mf_scope(f.p, "down%d", 2);
    mf_value y = mf_add(f.p, x, mf_input(f.p, "y", MF_F32, 2, DIMS(3, 2)));
    ck_assert_int_lt(y.id, 0);
    y = mf_relu(f.p, mf_instance_norm(f.p, y, 1e-5f)); /* harmless */
    ck_assert_int_eq(mf_dim(f.p, y, -1), 1);
    mf_scope_end(f.p);
    mf_scope_end(f.p);
    mf_program_fail(f.p, "a later error is not reported");
    mf_output(f.p, "y", y);
    fails_as(mf_program_compile(f.p, f.w, &f.e), MF_INVALID,
             "encoder.down2: add takes two values of one shape, given [2,3] and [3,2]");
    ck_assert_ptr_null(f.e);
    end(&f);
}
END_TEST

#define REFUSED(declaration, text)                                                                 \
    do {                                                                                           \
        fixture f = begin();                                                                       \
        mf_program *p = f.p;                                                                       \
        mf_value x = mf_input(p, "x", MF_F32, 5, DIMS(1, 4, 3, 2, 8));                             \
        mf_value u = mf_input(p, "u", MF_U8, 2, DIMS(4, 48));                                      \
        (void)x, (void)u;                                                                          \
        declaration;                                                                               \
        fails_as(mf_program_compile(p, f.w, &f.e), MF_INVALID, text);                              \
        end(&f);                                                                                   \
    } while (0)

START_TEST(test_shapes_are_checked)
{
    REFUSED(mf_relu(p, u), "relu takes f32, given u8 [4,48]");
    REFUSED(mf_to_float(p, x), "to_float takes u8, given f32 [1,4,3,2,8]");
    REFUSED(mf_softmax(p, MF_NONE), "softmax: an operand is missing");
    REFUSED(mf_sum(p, x, 5), "sum over axis 5 of [1,4,3,2,8]");
    REFUSED(mf_slice(p, x, 1, 3, 2), "slice of [1,4,3,2,8]: 2 from 3 along axis 1");
    REFUSED(mf_reshape(p, x, 2, DIMS(3, 5)), "reshape of [1,4,3,2,8] to 15 elements of rank 2");
    REFUSED(mf_reshape(p, x, 2, DIMS(INT64_MAX, 2)),
            "reshape of [1,4,3,2,8] to -2 elements of rank 2");
    REFUSED(mf_concat(p, x, mf_max_pool2(p, x), 4),
            "concat of [1,4,3,2,8] and [1,2,1,1,8] along axis 4");
    REFUSED(mf_max_pool2(p, mf_max_pool2(p, x)),
            "max_pool2 of [1,2,1,1,8]: an axis has fewer than 2 voxels");
    REFUSED(mf_resize(p, x, 0, 1, 1), "resize of [1,4,3,2,8] to 0 x 1 x 1");
    REFUSED(mf_pixel_shuffle3(p, x, 3), "pixel_shuffle3 of [1,4,3,2,8] by 3");
    REFUSED(mf_pixel_unshuffle3(p, x, 2), "pixel_unshuffle3 of [1,4,3,2,8] by 2");
    REFUSED(mf_add_position(p, x, mf_weight(p, "e", 5, DIMS(1, 8, 4, 4, 1))),
            "add_position of [1,4,3,2,8] with an embedding of [1,8,4,4,1]");
    REFUSED(mf_dice_loss(p, mf_reshape(p, x, 2, DIMS(8, 24)), u),
            "dice_loss of logits [8,24] and target [4,48]");
    REFUSED(mf_repeat(p, x, 0), "repeat of [1,4,3,2,8], 0 times");
    REFUSED(mf_input(p, "x", MF_F32, 1, DIMS(1)), "input x is declared twice");
    REFUSED(mf_input(p, "i", MF_I32, 1, DIMS(1)), "input i is i32; inputs are f32 or u8");
    REFUSED(mf_input(p, "i", MF_F32, 2, DIMS(4, 0)),
            "i: a value of rank 2 with an empty or too large shape");
    REFUSED(mf_input(p, "i", MF_F32, 3, DIMS(1ll << 31, 1ll << 31, 4)),
            "i: a value of rank 3 with an empty or too large shape");
    REFUSED((mf_weight(p, "k", 1, DIMS(3)), mf_weight(p, "k", 1, DIMS(4))),
            "weight k is declared with two shapes");
    REFUSED(mf_output(p, "y", u), "output y is u8; outputs are f32");
    REFUSED((mf_output(p, "y", x), mf_output(p, "y", x)), "output y is declared twice");
    REFUSED(mf_differentiate(p, x), "the loss has shape [1,4,3,2,8]; it must be one number");
    REFUSED(mf_scope_end(p), "mf_scope_end without mf_scope");
    REFUSED(mf_scope(p, "open"), "scope open is not ended");
}
END_TEST

START_TEST(test_wrong_names)
{
    fixture f = begin();
    mf_output(f.p, "y", mf_relu(f.p, mf_input(f.p, "x", MF_F32, 1, DIMS(4))));
    ok(mf_program_compile(f.p, f.w, &f.e));
    float v[4] = {0};
    fails_as(mf_executable_set(f.e, "z", v), MF_NOT_FOUND, "the program has no input \"z\"");
    fails_as(mf_executable_get(f.e, "z", v), MF_NOT_FOUND, "the program has no output \"z\"");
    fails_as(mf_weights_get(f.w, 0, v), MF_INVALID, "weight 0 of 0");
    end(&f);
}
END_TEST

/* ---- weights --------------------------------------------------------------------------------- */

START_TEST(test_weights_by_name)
{
    fixture f = begin();
    mf_scope(f.p, "encoder");
    mf_scope(f.p, "inc");
    mf_value a = mf_weight(f.p, "conv1.weight", 2, DIMS(2, 3));
    mf_value again = mf_weight(f.p, "conv1.weight", 2, DIMS(2, 3));
    ck_assert_int_eq(a.id, again.id);
    mf_scope_end(f.p);
    mf_scope_end(f.p);
    mf_weight(f.p, "bias", 1, DIMS(5));
    ok(mf_weights_declare(f.w, f.p));
    ok(mf_weights_declare(f.w, f.p)); /* nothing new */
    ck_assert_uint_eq(mf_weights_count(f.w), 2);
    ck_assert_int_eq(mf_weights_find(f.w, "encoder.inc.conv1.weight"), 0);
    ck_assert_int_eq(mf_weights_find(f.w, "conv1.weight"), -1);
    mf_weight_info info;
    mf_weights_info(f.w, 0, &info);
    ck_assert_int_eq(info.rank, 2);
    ck_assert_int_eq(info.shape[1], 3);
    ck_assert_int_eq(info.count, 6);
    float v[6] = {1, 2, 3, 4, 5, 6}, got[6];
    ok(mf_weights_get(f.w, 0, got));
    ck_assert_float_eq(got[5], 0);
    ok(mf_weights_set(f.w, 0, v));
    ok(mf_weights_get(f.w, 0, got));
    ck_assert_int_eq(memcmp(v, got, sizeof v), 0);

    mf_program *other;
    ok(mf_program_new(&other));
    mf_weight(other, "bias", 1, DIMS(4));
    fails_as(mf_weights_declare(f.w, other), MF_INVALID,
             "weight bias has another shape in this program");
    mf_program_free(other);
    end(&f);
}
END_TEST

/* Two programs (sizes) share weights; gradients add up over runs and programs. */
START_TEST(test_gradients_accumulate)
{
    fixture f = begin();
    mf_program *other;
    mf_executable *second;
    ok(mf_program_new(&other));
    mf_program *both[2] = {f.p, other};
    for (int k = 0; k < 2; k++) {
        mf_value w = mf_weight(both[k], "w", 1, DIMS(3));
        mf_value unused = mf_weight(both[k], "unused", 1, DIMS(3));
        mf_value x = mf_input(both[k], "x", MF_F32, 1, DIMS(3));
        mf_value loss =
            mf_sum(both[k], mf_scale(both[k], mf_mul(both[k], w, x), (float)(k + 1)), 0);
        mf_differentiate(both[k], loss);
        ck_assert_int_ge(mf_gradient(both[k], w).id, 0);
        ck_assert_int_lt(mf_gradient(both[k], unused).id, 0);
    }
    ok(mf_program_compile(f.p, f.w, &f.e));
    ok(mf_program_compile(other, f.w, &second));
    float x[3] = {1, 2, 3}, g[3];
    ok(mf_executable_set(f.e, "x", x));
    ok(mf_executable_set(second, "x", x));
    for (int round = 0; round < 2; round++) {
        ok(mf_weights_clear_gradients(f.w));
        ok(mf_executable_run(f.e));
        ok(mf_executable_run(f.e));
        ok(mf_executable_run(second));
        ok(mf_weights_get_gradient(f.w, 0, g));
        for (int i = 0; i < 3; i++)
            ck_assert_float_eq(g[i], 4 * x[i]);
    }
    ok(mf_weights_get_gradient(f.w, 1, g));
    ck_assert_float_eq(g[0], 0);
    mf_executable_free(second);
    mf_program_free(other);
    end(&f);
}
END_TEST

/* Refuses the question number `at`, from 0. */
typedef struct asked {
    int count, at;
} asked;

static mf_status answer(void *self)
{
    asked *a = self;
    return a->count++ == a->at ? mf_fail(MF_CANCELLED, "stop now") : MF_OK;
}

/* At each launch of a first run, and never after the last of them without a word; what has run
 * leaves no trace in the weights, nor in a later run. */
START_TEST(test_a_stop_is_met_between_launches)
{
    fixture f = begin();
    const float weight[3] = {1, -2, 3}, x[3] = {0.5f, 1, 2};
    float loss, again, g[2][3], kept[3];
    mf_value w = mf_weight(f.p, "w", 1, DIMS(3)), in = mf_input(f.p, "x", MF_F32, 1, DIMS(3));
    mf_value out = mf_sum(f.p, mf_scale(f.p, mf_mul(f.p, mf_mul(f.p, w, w), in), 3), 0);
    mf_output(f.p, "loss", out);
    mf_differentiate(f.p, out);
    ok(mf_program_compile(f.p, f.w, &f.e));
    ok(mf_weights_set(f.w, 0, weight));
    ok(mf_executable_set(f.e, "x", x));
    const int launches = f.e->launch_count;
    ck_assert_int_gt(launches, 3);
    for (int at = 0; at <= launches; at++) {
        asked a = {0, at};
        mf_stop before = mf_stop_set((mf_stop){answer, &a});
        ok(mf_weights_clear_gradients(f.w));
        fails_as(mf_executable_run(f.e), MF_CANCELLED, "stop now");
        ck_assert_int_eq(a.count, at + 1);
        mf_stop_set(before);
        ck_assert_ptr_null((void *)before.self);
        ok(mf_weights_get(f.w, 0, kept));
        ck_assert_mem_eq(kept, weight, sizeof kept);
    }
    for (int k = 0; k < 2; k++) { /* measuring, then by what was measured */
        ok(mf_weights_clear_gradients(f.w));
        ok(mf_executable_run(f.e));
        ok(mf_executable_get(f.e, "loss", k ? &again : &loss));
        ok(mf_weights_get_gradient(f.w, 0, g[k]));
    }
    ck_assert_float_eq(loss, 3 * (0.5f + 4 + 18));
    ck_assert_mem_eq(&again, &loss, sizeof loss);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(g[0][i], 6 * weight[i] * x[i]);
    ck_assert_mem_eq(g[0], g[1], sizeof g[0]);
    end(&f);
}
END_TEST

/* Launches that take long are waited for, quick ones only together. */
START_TEST(test_long_launches_are_waited_for)
{
    fixture f = begin();
    asked a = {0, -1};
    mf_value x = mf_input(f.p, "x", MF_F32, 1, DIMS(4));
    mf_output(f.p, "y", mf_scale(f.p, mf_relu(f.p, mf_sum(f.p, x, 0)), 2));
    ok(mf_program_compile(f.p, f.w, &f.e));
    ok(mf_executable_set(f.e, "x", (float[]){1, 2, 3, 4}));
    ok(mf_executable_run(f.e));
    ck_assert(f.e->measured);
    mf_stop before = mf_stop_set((mf_stop){answer, &a});
    for (int32_t i = 0; i < f.e->launch_count; i++)
        f.e->seconds[i] = 1e-9f;
    ok(mf_executable_run(f.e));
    ck_assert_int_eq(a.count, 1); /* before the first */
    for (int32_t i = 0; i < f.e->launch_count; i++)
        f.e->seconds[i] = 10;
    a.count = 0;
    ok(mf_executable_run(f.e));
    ck_assert_int_eq(a.count, 1 + f.e->launch_count);
    for (int32_t i = 0; i < f.e->launch_count; i++)
        ck_assert_float_lt(f.e->seconds[i], 10); /* measured anew */
    mf_stop_set(before);
    end(&f);
}
END_TEST

/* A packing doubles its source. */
static const char twice_source[] =
    "__attribute__((reqd_work_group_size(1, 1, 1)))\n"
    "__kernel void twice(int n, __global const float *x, __global float *y)\n"
    "{ int i = get_global_id(0); if (i < n) y[i] = 2.0f * x[i]; }\n"
    "__attribute__((reqd_work_group_size(1, 1, 1)))\n"
    "__kernel void copy(int n, __global const float *x, __global float *y)\n"
    "{ int i = get_global_id(0); if (i < n) y[i] = x[i]; }\n";

static int packs;

static mf_status pack(mf_recorder *r, const mf_op *op, mf_operand source, mf_operand packed)
{
    const mf_module *module;
    int64_t n = mf_count(mf_recorder_program(r), op->in[0]);
    packs++;
    MF_TRY(mf_record_module(r, twice_source, NULL, &module));
    return MF_RECORD(r, module, "twice", mf_range1(n), MF_INT(n), source, packed);
}

static mf_status record_packed(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = mf_count(mf_recorder_program(r), op->in[0]);
    mf_operand packed;
    MF_TRY(mf_record_module(r, twice_source, NULL, &module));
    MF_TRY(mf_packed(r, op, op->in[0], "twice", (size_t)n * sizeof(float), pack, &packed));
    return MF_RECORD(r, module, "copy", mf_range1(n), MF_INT(n), packed, MF_AT(op->out[0]));
}

static const mf_op_type packed_type = {"packed", NULL, record_packed, 0};

static mf_value packed_op(mf_program *p, mf_value x)
{
    mf_op op = {.type = &packed_type, .inputs = 1, .outputs = 1, .in = {x}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}

START_TEST(test_packed_weights_follow_updates)
{
    fixture f = begin();
    packs = 0;
    mf_value w = mf_weight(f.p, "w", 1, DIMS(3));
    mf_value reshaped = mf_reshape(f.p, w, 2, DIMS(3, 1));
    mf_value computed = mf_scale(f.p, w, 10);
    mf_output(f.p, "a", packed_op(f.p, w));
    mf_output(f.p, "b", packed_op(f.p, reshaped)); /* the same weight, packed once */
    mf_output(f.p, "c", packed_op(f.p, computed)); /* packed in each run */
    ok(mf_program_compile(f.p, f.w, &f.e));
    ck_assert_int_eq(packs, 2);
    ck_assert_int_eq(f.w->packing_count, 1);
    for (int round = 1; round < 4; round++) {
        float v[3] = {(float)round, 2, 3}, got[3];
        ok(mf_weights_set(f.w, 0, v));
        for (int again = 0; again < 2; again++) {
            ok(mf_executable_run(f.e));
            ok(mf_executable_get(f.e, "a", got));
            ck_assert_float_eq(got[0], 2 * v[0]);
            ok(mf_executable_get(f.e, "b", got));
            ck_assert_float_eq(got[0], 2 * v[0]);
            ok(mf_executable_get(f.e, "c", got));
            ck_assert_float_eq(got[0], 20 * v[0]);
        }
    }
    end(&f);
}
END_TEST

/* ---- arena ----------------------------------------------------------------------------------- */

START_TEST(test_plan_packs_lifetimes)
{
    /* a and c never live together, b lives with both: two places */
    mf_storage s[4] = {{.bytes = 1000, .first = 0, .last = 1, .same_as = -1},
                       {.bytes = 500, .first = 1, .last = 2, .same_as = -1},
                       {.bytes = 900, .first = 2, .last = 3, .same_as = -1},
                       {.bytes = 77, .first = 9, .last = -1, .same_as = -1}};
    ck_assert_uint_eq(mf_plan_arena(s, 4, 256, 1 << 20), 1024 + 512);
    ck_assert_uint_eq(s[0].offset, 0);
    ck_assert_uint_eq(s[1].offset, 1024);
    ck_assert_uint_eq(s[2].offset, 0);
}
END_TEST

START_TEST(test_plan_keeps_buffers_apart)
{
    /* Random lifetimes; no two that meet may overlap, none may cross a multiple of the limit. */
    enum { COUNT = 300, LIMIT = 4096 };
    mf_storage s[COUNT];
    uint32_t seed = 1;
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        int32_t first = (int32_t)(seed >> 8) % 100;
        s[i] = (mf_storage){.bytes = (seed >> 16) % LIMIT + 1,
                            .first = first,
                            .last = first + (int32_t)(seed >> 28),
                            .same_as = -1};
    }
    size_t size = mf_plan_arena(s, COUNT, 256, LIMIT);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_uint_le(s[i].offset + s[i].bytes, size);
        ck_assert_uint_eq(s[i].offset / LIMIT, (s[i].offset + s[i].bytes - 1) / LIMIT);
        for (int k = 0; k < i; k++) {
            bool meet = s[i].first <= s[k].last && s[k].first <= s[i].last;
            bool overlap =
                s[i].offset < s[k].offset + s[k].bytes && s[k].offset < s[i].offset + s[i].bytes;
            ck_assert(!meet || !overlap);
        }
    }
}
END_TEST

/* A net with branches, shared values and every kind of op that works in place. */
static mf_value net(mf_program *p, mf_value x, mf_value t, int blocks)
{
    mf_value skip = x;
    for (int i = 0; i < blocks; i++) {
        mf_scope(p, "block%d", i);
        mf_value gain = mf_weight(p, "gain", 5, DIMS(1, 4, 4, 4, 16));
        mf_value y = mf_relu(p, mf_instance_norm(p, mf_mul(p, x, gain), 1e-4f));
        mf_value z = mf_gelu(p, mf_instance_norm(p, mf_add(p, y, skip), 1e-4f));
        y = mf_add(p, mf_scale(p, y, 0.5f), mf_tanh(p, z));
        mf_value half = mf_slice(p, y, 4, 0, 8);
        y = mf_concat(p, mf_sigmoid(p, half), mf_slice(p, z, 4, 8, 8), 4);
        mf_value small = mf_max_pool2(p, y);
        y = mf_add(p, y, mf_resize(p, small, 4, 4, 4));
        skip = x;
        x = y;
        mf_scope_end(p);
    }
    mf_value logits = mf_reshape(p, x, 2, DIMS(2, 512));
    mf_output(p, "logits", logits);
    return mf_mean(p, mf_add(p, mf_dice_loss(p, logits, t), mf_bce_loss(p, logits, t)), 0);
}

enum { NET_WEIGHTS = 1024, NET_BLOCKS = 3 };

/* Outputs and gradients of the net, in one row of floats. */
static void run_net(float *results, size_t limit, size_t *arena, int32_t *buffers)
{
    fixture f = begin();
    if (limit)
        f.w->arena_limit = limit;
    mf_value x = mf_input(f.p, "x", MF_F32, 5, DIMS(1, 4, 4, 4, 16));
    mf_value t = mf_input(f.p, "t", MF_U8, 2, DIMS(2, 512));
    mf_value loss = net(f.p, x, t, NET_BLOCKS);
    mf_output(f.p, "loss", loss);
    mf_differentiate(f.p, loss);
    ok(mf_program_compile(f.p, f.w, &f.e));
    float v[NET_WEIGHTS];
    uint8_t target[1024];
    for (int k = 0; k < NET_BLOCKS; k++) {
        for (int i = 0; i < NET_WEIGHTS; i++)
            v[i] = 1 + 0.1f * sinf((float)(i * (k + 1)));
        ok(mf_weights_set(f.w, (size_t)k, v));
    }
    for (int i = 0; i < 1024; i++) {
        v[i % NET_WEIGHTS] = cosf((float)i);
        target[i] = i * 7 % 5 == 0;
    }
    ok(mf_executable_set(f.e, "x", v));
    ok(mf_executable_set(f.e, "t", target));
    ok(mf_executable_run(f.e)); /* once to leave dirt behind */
    ok(mf_weights_clear_gradients(f.w));
    ok(mf_executable_run(f.e));
    ok(mf_executable_get(f.e, "loss", results++));
    ok(mf_executable_get(f.e, "logits", results));
    results += 1024;
    for (int k = 0; k < NET_BLOCKS; k++, results += NET_WEIGHTS)
        ok(mf_weights_get_gradient(f.w, (size_t)k, results));
    *arena = mf_executable_arena_bytes(f.e);
    *buffers = f.e->arena_count;
    end(&f);
}

enum { NET_RESULTS = 1 + 1024 + NET_BLOCKS * NET_WEIGHTS };

START_TEST(test_memory_is_reused_without_trace)
{
    static float plain[NET_RESULTS], poisoned[NET_RESULTS], split[NET_RESULTS];
    size_t arena, other;
    int32_t buffers;
    run_net(plain, 0, &arena, &buffers);
    ck_assert_int_eq(buffers, 1);
    for (int i = 0; i < NET_RESULTS; i++)
        ck_assert_msg(isfinite(plain[i]), "result %d is %g", i, (double)plain[i]);

    /* NaN wherever nothing was written in this run */
    setenv("MASSFLOW_POISON", "1", 1);
    run_net(poisoned, 0, &other, &buffers);
    unsetenv("MASSFLOW_POISON");
    ck_assert_int_eq(memcmp(plain, poisoned, sizeof plain), 0);

    run_net(split, 16384, &other, &buffers);
    ck_assert_int_gt(buffers, 1);
    ck_assert_int_eq(memcmp(plain, split, sizeof plain), 0);

    /* forward and backward of some 50 values of 4 KiB hold fewer than 40 at once */
    ck_assert_uint_lt(arena, 40 * 4096);
}
END_TEST

/* A long chain of cheap ops, kept here and there, or (i: 1) wholly computed again: each value a few
 * times at most. */
START_TEST(test_computing_again_is_bounded)
{
    enum { SIDE = 256, OPS = 300 };
    fixture f = begin();
    mf_value w = mf_weight(f.p, "w", 2, DIMS(SIDE, SIDE)), y = w;
    for (int i = 0; i < OPS; i++)
        y = mf_mul(f.p, mf_gelu(f.p, y), w);
    mf_differentiate(f.p, mf_sum(f.p, mf_reshape(f.p, y, 1, DIMS(SIDE * SIDE)), 0));
    if (_i)
        mf_recompute(f.p);
    const int32_t forward = f.p->forward_ops, before = f.p->op_count;
    ck_assert_int_ge(forward, 2 * OPS);
    ok(mf_program_compile(f.p, f.w, &f.e));
    ck_assert_int_gt(f.p->op_count, before);
    ck_assert_int_lt(f.p->op_count, before + 6 * forward);
    ok(mf_executable_run(f.e));
    end(&f);
}
END_TEST

/* Chains that are too long for a stack of calls: 50,000 ops that are computed again (i & 1:
 * mf_recompute) for the one value behind them that the gradient needs. i & 2: of reshapes. */
START_TEST(test_a_long_chain_is_computed_again)
{
    enum { SIDE = 16, COUNT = 128, OPS = 50000 };
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 2, DIMS(SIDE, SIDE));
    mf_value w = mf_weight(f.p, "w", 2, DIMS(SIDE, SIDE)), y = mf_add(f.p, x, w);
    for (int i = 0; i < OPS; i++)
        y = _i & 2 ? mf_reshape(f.p, y, 2, DIMS(SIDE, SIDE)) : mf_scale(f.p, y, 1);
    y = mf_repeat(f.p, y, COUNT);
    y = mf_mul(f.p, y, y);
    if (_i & 1)
        mf_recompute(f.p);
    mf_differentiate(f.p, mf_sum(f.p, mf_reshape(f.p, y, 1, DIMS(COUNT * SIDE * SIDE)), 0));
    const int32_t before = f.p->op_count;
    bool *live = malloc((size_t)before * sizeof *live);
    ck_assert_ptr_nonnull(live);
    memset(live, 1, (size_t)before * sizeof *live);
    ok(mf_rematerialize(f.p, live));
    free(live);
    if (_i)
        ck_assert_int_ge(f.p->op_count, before + OPS);
    else /* one of the last few is kept */
        ck_assert_int_lt(f.p->op_count, before + 16);
    end(&f);
}
END_TEST

/* Values that are marked are not computed again, and what is made of them is. */
START_TEST(test_marked_values_are_kept)
{
    enum { SIDE = 256, OPS = 16 };
    for (int marked = 0; marked < 2; marked++) {
        fixture f = begin();
        mf_value w = mf_weight(f.p, "w", 2, DIMS(SIDE, SIDE)), y = w;
        mf_value x = mf_input(f.p, "x", MF_F32, 2, DIMS(SIDE, SIDE));
        for (int i = 0; i < OPS; i++) {
            y = mf_mul(f.p, mf_linear(f.p, y, w, MF_NONE), x);
            if (marked)
                mf_keep(f.p, y);
        }
        mf_recompute(f.p);
        mf_differentiate(f.p, mf_sum(f.p, mf_reshape(f.p, y, 1, DIMS(SIDE * SIDE)), 0));
        const int32_t before = f.p->op_count;
        ok(mf_program_compile(f.p, f.w, &f.e));
        if (marked)
            ck_assert_int_eq(f.p->op_count, before);
        else
            ck_assert_int_gt(f.p->op_count, before + OPS);
        end(&f);
    }
}
END_TEST

START_TEST(test_value_larger_than_a_buffer)
{
    fixture f = begin();
    f.w->arena_limit = 4096;
    mf_scope(f.p, "decoder");
    mf_value x = mf_input(f.p, "x", MF_F32, 2, DIMS(100, 100));
    mf_output(f.p, "y", mf_relu(f.p, x));
    mf_scope_end(f.p);
    fails_as(mf_program_compile(f.p, f.w, &f.e), MF_NO_MEMORY,
             "decoder: relu makes [100,100], 40000 bytes, more than the device allocates at once "
             "(4096)");
    end(&f);
}
END_TEST

START_TEST(test_dead_ops_are_dropped)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 3, DIMS(1, 64, 16));
    mf_gelu(f.p, mf_softmax(f.p, x));
    mf_value y = mf_relu(f.p, mf_instance_norm(f.p, x, 1e-4f)); /* one fused op */
    mf_output(f.p, "y", y);
    ok(mf_program_compile(f.p, f.w, &f.e));
    ck_assert_int_eq(f.e->launch_count, 3); /* parts, merge, apply with the ReLU */
    end(&f);
}
END_TEST

START_TEST(test_a_limit_is_kept_before_memory_is_taken)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 1, DIMS(1 << 20));
    mf_output(f.p, "y", mf_tanh(f.p, x));
    mf_weights_limit(f.w, (8 << 20) - 1);
    fails_as(mf_program_compile(f.p, f.w, &f.e), MF_NO_MEMORY,
             "a program needs at least 8 MiB on the device, where it may have 7 MiB");
    mf_weights_limit(f.w, 1);
    fails_as(mf_program_compile(f.p, f.w, &f.e), MF_NO_MEMORY,
             "a program needs at least 4 MiB on the device, where it may have 0 MiB");
    mf_weights_limit(f.w, 8 << 20);
    ok(mf_program_compile(f.p, f.w, &f.e));
    end(&f);
}
END_TEST

START_TEST(test_elementwise_works_in_place)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 1, DIMS(4096));
    mf_value y = x;
    for (int i = 0; i < 10; i++)
        y = mf_tanh(f.p, mf_scale(f.p, y, 1.5f));
    mf_output(f.p, "y", y);
    ok(mf_program_compile(f.p, f.w, &f.e));
    ck_assert_uint_eq(mf_executable_arena_bytes(f.e), 4096 * sizeof(float));
    ck_assert_uint_eq(mf_executable_bytes(f.e), 2 * 4096 * sizeof(float)); /* the input is apart */
    end(&f);
}
END_TEST

/* The same value twice as an operand, outputs read in the middle, outputs that are inputs. */
START_TEST(test_values_that_are_read_stay)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 1, DIMS(5));
    mf_value a = mf_add(f.p, x, x), b = mf_scale(f.p, a, 3), c = mf_mul(f.p, b, b);
    mf_output(f.p, "x", x);
    mf_output(f.p, "a", a);
    mf_output(f.p, "a2", mf_reshape(f.p, a, 2, DIMS(5, 1)));
    mf_output(f.p, "c", c);
    ok(mf_program_compile(f.p, f.w, &f.e));
    float v[5] = {1, -2, 3, -4, 5}, got[5];
    ok(mf_executable_set(f.e, "x", v));
    static const char *const names[] = {"x", "a", "a2", "c"};
    for (int k = 0; k < 4; k++) {
        ok(mf_executable_run(f.e));
        ok(mf_executable_get(f.e, names[k], got));
        for (int i = 0; i < 5; i++)
            ck_assert_float_eq(got[i], k == 0 ? v[i] : k == 3 ? 36 * v[i] * v[i] : 2 * v[i]);
    }
    end(&f);
}
END_TEST

START_TEST(test_a_thousand_ops_are_planned)
{
    fixture f = begin();
    mf_value x = mf_input(f.p, "x", MF_F32, 5, DIMS(1, 4, 4, 4, 16));
    mf_value t = mf_input(f.p, "t", MF_U8, 2, DIMS(2, 512));
    mf_differentiate(f.p, net(f.p, x, t, 80));
    ok(mf_program_compile(f.p, f.w, &f.e));
    ck_assert_int_gt(f.p->op_count, 1000);
    end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("program");
    TCase *t = tcase_create("program");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_errors_stick_with_their_scope);
    tcase_add_test(t, test_shapes_are_checked);
    tcase_add_test(t, test_wrong_names);
    tcase_add_test(t, test_weights_by_name);
    tcase_add_test(t, test_gradients_accumulate);
    tcase_add_test(t, test_packed_weights_follow_updates);
    tcase_add_test(t, test_plan_packs_lifetimes);
    tcase_add_test(t, test_plan_keeps_buffers_apart);
    tcase_add_test(t, test_memory_is_reused_without_trace);
    tcase_add_loop_test(t, test_computing_again_is_bounded, 0, 2);
    tcase_add_loop_test(t, test_a_long_chain_is_computed_again, 0, 4);
    tcase_add_test(t, test_marked_values_are_kept);
    tcase_add_test(t, test_value_larger_than_a_buffer);
    tcase_add_test(t, test_dead_ops_are_dropped);
    tcase_add_test(t, test_a_limit_is_kept_before_memory_is_taken);
    tcase_add_test(t, test_a_stop_is_met_between_launches);
    tcase_add_test(t, test_long_launches_are_waited_for);
    tcase_add_test(t, test_elementwise_works_in_place);
    tcase_add_test(t, test_values_that_are_read_stay);
    tcase_add_test(t, test_a_thousand_ops_are_planned);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
