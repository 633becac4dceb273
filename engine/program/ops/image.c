/* image.c - ops over the pixels of [N,H,W,C]: max pool, resize, windows. */
#include "image.cl.h"
#include "program/record/record.h"

/* Coordinates are 32-bit in kernels. */
static bool fits(mf_program *p, const char *name, mf_value x)
{
    if (mf_dim(p, x, 1) <= 32768 && mf_dim(p, x, 2) <= 32768)
        return true;
    mf_program_fail(p, "%s of %s: at most 32768 pixels along an axis", name, mf_shape_text(p, x));
    return false;
}

static int64_t vectors(const mf_recorder *r, int64_t floats)
{
    return (floats + mf_wide(r) - 1) / mf_wide(r);
}

/* ---- max pool -------------------------------------------------------------------------------- */

static mf_status record_pool(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_shape s = mf_shape_of(mf_recorder_program(r), op->in[0]);
    MF_TRY(mf_record_module(r, image_cl, NULL, &module));
    return MF_RECORD(r, module, "max_pool2d",
                     mf_range3(vectors(r, s.dim[3]) * (s.dim[2] / 2), s.dim[1] / 2, s.dim[0]),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static const mf_op_type pool_type = {"max_pool2d", NULL, record_pool, 0};

mf_value mf_max_pool2d(mf_program *p, mf_value x)
{
    if (!mf_expect(p, "max_pool2d", x, MF_F32, 4) || !fits(p, "max_pool2d", x))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (s.dim[1] < 2 || s.dim[2] < 2) {
        mf_program_fail(p, "max_pool2d of %s: an axis has fewer than 2 pixels",
                        mf_shape_text(p, x));
        return MF_NONE;
    }
    s.dim[1] /= 2;
    s.dim[2] /= 2;
    mf_op op = {.type = &pool_type, .inputs = 1, .outputs = 1, .in = {x}};
    return mf_op_add(p, &op, &s);
}

/* ---- resize; i[0]: mf_resample ------------------------------------------------------------------
 */

static mf_status record_resize(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    const bool nearest = op->i[0] == MF_RESAMPLE_NEAREST;
    MF_TRY(mf_record_module(r, image_cl, NULL, &module));
    if (out.dim[3] == 1)
        return MF_RECORD(r, module, "resize2d_single",
                         mf_range3(vectors(r, out.dim[2]), out.dim[1], out.dim[0]),
                         MF_INT(in.dim[1]), MF_INT(in.dim[2]), MF_INT(out.dim[1]),
                         MF_INT(out.dim[2]), MF_INT(nearest), MF_AT(op->in[0]), MF_AT(op->out[0]));
    return MF_RECORD(r, module, "resize2d",
                     mf_range3(vectors(r, out.dim[3]) * out.dim[2], out.dim[1], out.dim[0]),
                     MF_INT(in.dim[1]), MF_INT(in.dim[2]), MF_INT(out.dim[1]), MF_INT(out.dim[2]),
                     MF_INT(out.dim[3]), MF_INT(nearest), MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type resize_type = {"resize2d", NULL, record_resize, 0};

mf_value mf_resize2d(mf_program *p, mf_value x, int64_t height, int64_t width, mf_resample how)
{
    if (!mf_expect(p, "resize2d", x, MF_F32, 4) || !fits(p, "resize2d", x))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (height < 1 || width < 1 || height > 32768 || width > 32768) {
        mf_program_fail(p, "resize2d of %s to %lld x %lld pixels; each side is 1 to 32768",
                        mf_shape_text(p, x), (long long)height, (long long)width);
        return MF_NONE;
    }
    s.dim[1] = height;
    s.dim[2] = width;
    mf_op op = {.type = &resize_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {how}};
    return mf_op_add(p, &op, &s);
}

/* ---- windows; i[0]: size ------------------------------------------------------------------------
 */

static int64_t windows_along(int64_t pixels, int64_t size)
{
    return (pixels + size - 1) / size;
}

static mf_status record_windows(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const bool merge = mf_rank(p, op->in[0]) == 3;
    const mf_shape s = mf_shape_of(p, merge ? op->out[0] : op->in[0]); /* the image */
    const int64_t size = op->i[0], count = mf_dim(p, merge ? op->in[0] : op->out[0], 0);
    MF_TRY(mf_record_module(r, image_cl, NULL, &module));
    return MF_RECORD(r, module, op->type->name, mf_range3(vectors(r, size * s.dim[3]), size, count),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(size),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type partition_type = {"window_partition", NULL, record_windows, 0};
static const mf_op_type merge_type = {"window_merge", NULL, record_windows, 0};

mf_value mf_window_partition(mf_program *p, mf_value x, int size)
{
    if (!mf_expect(p, "window_partition", x, MF_F32, 4) || !fits(p, "window_partition", x))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x);
    if (size < 1 || size > 32768) {
        mf_program_fail(p, "window_partition of %s into windows of %d pixels", mf_shape_text(p, x),
                        size);
        return MF_NONE;
    }
    const mf_shape out = {3,
                          {s.dim[0] * windows_along(s.dim[1], size) * windows_along(s.dim[2], size),
                           (int64_t)size * size, s.dim[3]}};
    mf_op op = {.type = &partition_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {size}};
    return mf_op_add(p, &op, &out);
}

mf_value mf_window_merge(mf_program *p, mf_value x, int size, int64_t n, int64_t height,
                         int64_t width)
{
    if (!mf_expect(p, "window_merge", x, MF_F32, 3))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x);
    int64_t windows = 0;
    if (size < 1 || size > 32768 || height < 1 || width < 1 || height > 32768 || width > 32768 ||
        n < 1 ||
        __builtin_mul_overflow(n, windows_along(height, size) * windows_along(width, size),
                               &windows) ||
        s.dim[0] != windows || s.dim[1] != (int64_t)size * size) {
        mf_program_fail(p, "window_merge of %s, windows of %d, to [%lld,%lld,%lld,C]",
                        mf_shape_text(p, x), size, (long long)n, (long long)height,
                        (long long)width);
        return MF_NONE;
    }
    const mf_shape out = {4, {n, height, width, s.dim[2]}};
    mf_op op = {.type = &merge_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {size}};
    return mf_op_add(p, &op, &out);
}
