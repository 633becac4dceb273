/* program.h - tensor programs: a model as a small graph of tensor ops, declared once, compiled,
 * replayed.
 *
 *   declare        the functions below add ops; shapes are known and checked as ops are added
 *   differentiate  every op adds its gradient as more ops of the same set
 *   compile        fuse, plan one arena by lifetimes, choose kernels, record the launches
 *   replay         with new inputs: no allocation, nothing on the host but enqueueing
 *
 * Layout: channels last. A volume is [N, D, H, W, C], tokens are [N, L, C], so a linear layer, a
 * 1x1x1 convolution and the tokens of attention are the same row-major matrix. Weights keep their
 * published (PyTorch) names, shapes and layouts; packed copies are made once per update, and in
 * programs that train in each run.
 *
 * Errors stick to the program with the scope in which they arose and are reported by compile: model
 * code has no error handling in between. A value made after an error is harmless. */
#ifndef MASSFLOW_PROGRAM_H
#define MASSFLOW_PROGRAM_H

#include <massflow/artifact.h>
#include <massflow/compute.h>
#include <massflow/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mf_program mf_program; /* opaque: declared ops */
typedef struct mf_value {
    int32_t id;
} mf_value; /* of one program; id < 0: none */
/* No value: an operand that is left out, a result after an error. */
#define MF_NONE ((mf_value){-1})

/* An empty program, which the caller frees. */
MF_API MF_MUST_USE mf_status mf_program_new(mf_program **program);
MF_API void mf_program_free(mf_program *program); /* NULL is fine */

/* ---- declaring ------------------------------------------------------------------------------- */

/* Names of weights are joined by dots: within scope "encoder" then "inc", weight "conv1.weight" is
 * "encoder.inc.conv1.weight". */
MF_API void mf_scope(mf_program *p, const char *format, ...) MF_PRINTF(2, 3);
MF_API void mf_scope_end(mf_program *p);

/* f32 or u8 (masks); set before each replay. */
MF_API mf_value mf_input(mf_program *p, const char *name, mf_dtype dtype, int rank,
                         const int64_t *shape);
/* A weight in its published shape. The same full name gives the same weight again (shared). */
MF_API mf_value mf_weight(mf_program *p, const char *name, int rank, const int64_t *shape);
/* Marks a value that is read after replay under this name. */
MF_API void mf_output(mf_program *p, const char *name, mf_value x);

MF_API int mf_rank(const mf_program *p, mf_value x);              /* number of dimensions */
MF_API int64_t mf_dim(const mf_program *p, mf_value x, int axis); /* axis -1: the last */
MF_API int64_t mf_count(const mf_program *p, mf_value x);         /* number of elements */
/* The program's first error, MF_OK where there is none. mf_program_fail lets model code add one. */
MF_API MF_MUST_USE mf_status mf_program_status(const mf_program *p);
MF_API void mf_program_fail(mf_program *p, const char *format, ...) MF_PRINTF(2, 3);

/* ---- ops: x is f32 unless said otherwise ------------------------------------------------------
 */

/* x [N,D,H,W,I], weight [O,I,k,k,k] with k 1 or 3, bias [O] or MF_NONE -> [N,D,H,W,O]; stride 1,
 * zero padding k/2. */
MF_API mf_value mf_conv3d(mf_program *p, mf_value x, mf_value weight, mf_value bias);
/* x [N,D,H,W,I], weight [O,I,kd,kh,kw], bias [O] or MF_NONE ->
 * [N,(D + 2 padding[0] - kd) / stride[0] + 1,..,O]; stride and zero padding along z, y, x. */
MF_API mf_value mf_conv3d_strided(mf_program *p, mf_value x, mf_value weight, mf_value bias,
                                  const int stride[3], const int padding[3]);
/* x [..., I], weight [O,I], bias [O] or MF_NONE -> [..., O] */
MF_API mf_value mf_linear(mf_program *p, mf_value x, mf_value weight, mf_value bias);
/* a [B,M,K], b [B,N,K] -> a b^T [B,M,N] */
MF_API mf_value mf_matmul_nt(mf_program *p, mf_value a, mf_value b);
/* a [B,M,K], b [B,K,N] -> a b [B,M,N] */
MF_API mf_value mf_matmul_nn(mf_program *p, mf_value a, mf_value b);

MF_API mf_value mf_add(mf_program *p, mf_value a, mf_value b); /* same shape */
MF_API mf_value mf_mul(mf_program *p, mf_value a, mf_value b); /* same shape */
/* The shape of y is the trailing dimensions of x; y is added to (multiplied with) each of x's rows
 * of that shape: [C] or [H,W,C] against [N,H,W,C]. */
MF_API mf_value mf_add_rows(mf_program *p, mf_value x, mf_value y);
MF_API mf_value mf_mul_rows(mf_program *p, mf_value x, mf_value y);
MF_API mf_value mf_scale(mf_program *p, mf_value x, float factor);
MF_API mf_value mf_relu(mf_program *p, mf_value x);
MF_API mf_value mf_gelu(mf_program *p, mf_value x); /* exact: x Phi(x) */
MF_API mf_value mf_sigmoid(mf_program *p, mf_value x);
MF_API mf_value mf_tanh(mf_program *p, mf_value x);
MF_API mf_value mf_softmax(mf_program *p, mf_value x); /* over the last axis */

/* Each (n, channel) of x [N,...,C] to mean 0, variance 1 over all axes between (biased variance,
 * no affine; Ulyanov et al. 2016). */
MF_API mf_value mf_instance_norm(mf_program *p, mf_value x, float eps);
/* Over the last axis, gain and bias [C] (Ba et al. 2016). */
MF_API mf_value mf_layer_norm(mf_program *p, mf_value x, mf_value gain, mf_value bias, float eps);

/* What a batch norm has per channel, each [C]. */
typedef struct mf_norm_weights {
    mf_value gain, bias;     /* weights */
    mf_value mean, variance; /* running statistics: weights that no optimizer moves */
} mf_norm_weights;
/* Batch norm (Ioffe and Szegedy 2015) of x [N,...,C]. share > 0: each channel is brought to mean 0,
 * variance 1 (biased) over all axes before the last, then gain and bias; at least two values of a
 * channel. In a differentiated program `share` of the mean and of the unbiased variance become the
 * gradients of the running statistics, and a step moves these by `momentum` of the way there. So
 * the shares of a model's passes in one program add up to 1, and the step's grad_scale is 1 /
 * batch; momentum is above 0 and at most 1, and the running statistics are weights themselves, not
 * made of others. share 0: frozen, with the running statistics in place of x's own. */
MF_API mf_value mf_batch_norm(mf_program *p, mf_value x, const mf_norm_weights *w, float eps,
                              float momentum, float share);

MF_API mf_value mf_max_pool2(mf_program *p, mf_value x); /* 2x2x2, stride 2, sizes rounded down */
/* The largest of a cube of `kernel` voxels at every `stride` voxels; what `padding` adds on all
 * sides is less than all. x [N,D,H,W,C] -> [N,(D + 2 padding - kernel) / stride + 1,..,C] */
MF_API mf_value mf_max_pool3d(mf_program *p, mf_value x, int kernel, int stride, int padding);
/* Trilinear to D x H x W with aligned corners, x [N,d,h,w,C]; and its transpose (adjoint), which
 * takes [N,D,H,W,C] back to d x h x w: <resize(x), y> = <x, resize_adjoint(y)>. */
MF_API mf_value mf_resize(mf_program *p, mf_value x, int64_t depth, int64_t height, int64_t width);
MF_API mf_value mf_resize_adjoint(mf_program *p, mf_value x, int64_t depth, int64_t height,
                                  int64_t width);
/* Channels and space trade places, s = scale. shuffle: [N,d,h,w,C*s^3] -> [N,ds,hs,ws,C], input
 * channels ordered (C, sz, sy, sx); unshuffle: [N,ds,hs,ws,C] -> [N,d,h,w,s^3*C], output channels
 * ordered (sz, sy, sx, C). (Not inverse to each other for C > 1, as in the official code.) */
MF_API mf_value mf_pixel_shuffle3(mf_program *p, mf_value x, int scale);
MF_API mf_value mf_pixel_unshuffle3(mf_program *p, mf_value x, int scale);

/* Images are [N,H,W,C]. The ops from here to mf_rotary have no gradient: differentiating across one
 * fails.
 *
 * x [N,H,W,I], weight [O,I,k,k], bias [O] or MF_NONE -> [N,(H + 2 padding - k) / stride + 1,..,O];
 * zero padding on all sides. */
MF_API mf_value mf_conv2d(mf_program *p, mf_value x, mf_value weight, mf_value bias, int stride,
                          int padding);
/* Each channel by its own filter: x [N,H,W,C], weight [C,1,k,k] with k odd, bias [C] or MF_NONE ->
 * [N,H,W,C]; stride 1, zero padding k/2. */
MF_API mf_value mf_conv2d_depthwise(mf_program *p, mf_value x, mf_value weight, mf_value bias);
/* Kernel 2, stride 2: x [N,H,W,I], weight [I,O,2,2], bias [O] or MF_NONE -> [N,2H,2W,O]; every
 * pixel becomes a square of its own. */
MF_API mf_value mf_conv2d_transpose2(mf_program *p, mf_value x, mf_value weight, mf_value bias);
/* 2x2, stride 2, sizes rounded down: x [N,H,W,C] -> [N,H/2,W/2,C] */
MF_API mf_value mf_max_pool2d(mf_program *p, mf_value x);
/* x [N,h,w,C] -> [N,height,width,C]. Bilinear: pixel o lies at (o + 1/2) h/H - 1/2, clamped to the
 * image (PyTorch's align_corners=False, not antialiased). Nearest: pixel o is floor(o h/H). */
typedef enum mf_resample { MF_RESAMPLE_NEAREST, MF_RESAMPLE_BILINEAR } mf_resample;
MF_API mf_value mf_resize2d(mf_program *p, mf_value x, int64_t height, int64_t width,
                            mf_resample how);
/* x [N,H,W,C] in windows of size x size pixels, ordered (n, row, column): [N*nh*nw, size*size, C]
 * with nh = ceil(H/size), nw = ceil(W/size); zeros below and to the right of the image. */
MF_API mf_value mf_window_partition(mf_program *p, mf_value x, int size);
/* The way back: x [n*nh*nw, size*size, C] -> [n,height,width,C], without what was padded. */
MF_API mf_value mf_window_merge(mf_program *p, mf_value x, int size, int64_t n, int64_t height,
                                int64_t width);
/* Rotary position: x [N,L,C], table [T,C/2,2] of (cos, sin). Of the first `count` tokens (a
 * multiple of T), token i's pair (a, b) of channels (2j, 2j+1) becomes (a cos - b sin, a sin + b
 * cos) by table[i % T][j]; later tokens are copied. */
MF_API mf_value mf_rotary(mf_program *p, mf_value x, mf_value table, int64_t count);

/* a [..., A, ...], b [..., B, ...], equal but along `axis` -> [..., A + B, ...] */
MF_API mf_value mf_concat(mf_program *p, mf_value a, mf_value b, int axis);
/* Of `axis` the `count` elements from `start` on. */
MF_API mf_value mf_slice(mf_program *p, mf_value x, int axis, int64_t start, int64_t count);
/* The same elements in their order, in another shape with as many of them. */
MF_API mf_value mf_reshape(mf_program *p, mf_value x, int rank, const int64_t *shape);
/* A new axis 0 of x [...] is put before and x is repeated along it: [count, ...]. */
MF_API mf_value mf_repeat(mf_program *p, mf_value x, int64_t count);
MF_API mf_value mf_to_float(mf_program *p, mf_value x); /* u8 -> f32 */
/* x [N,D,H,W,C] + embedding [1,C,X,Y,Z][:, :, :D, :H, :W] (published layout). */
MF_API mf_value mf_add_position(mf_program *p, mf_value x, mf_value embedding);

/* Sum or mean over `axis`, which disappears. */
MF_API mf_value mf_sum(mf_program *p, mf_value x, int axis);
MF_API mf_value mf_mean(mf_program *p, mf_value x, int axis);
/* x [R,C] / max(d [R], floor): each row divided. */
MF_API mf_value mf_divide_rows(mf_program *p, mf_value x, mf_value d, float floor);

/* Multi-head attention without projections: q [N,L,C], k and v [N,S,C], C = heads * head size,
 * scale 1/sqrt(head size) -> [N,L,C]. Scores are never stored. */
MF_API mf_value mf_attention(mf_program *p, mf_value q, mf_value k, mf_value v, int heads);

/* Losses of MASS per mask: logits [K,V] f32, target [K,V] u8 (0 or 1) -> [K].
 * dice: 1 - TP / (TP + a FP + (1 - a) FN + 1e-6), soft counts, a = FP / (FP + FN + 1e-6) clamped to
 * 0.2..0.8 and differentiated through. bce: mean over V of the stable binary cross entropy. */
MF_API mf_value mf_dice_loss(mf_program *p, mf_value logits, mf_value target);
MF_API mf_value mf_bce_loss(mf_program *p, mf_value logits, mf_value target);
/* logits [N,C], target f32 [N,C] (one-hot or soft), row weights [N] -> [1]: the weighted mean of
 * the cross entropies. */
MF_API mf_value mf_cross_entropy(mf_program *p, mf_value logits, mf_value target, mf_value weight);

/* ---- differentiating --------------------------------------------------------------------------
 */

/* Adds d loss / d weight for every weight that loss (one element) depends on. */
MF_API void mf_differentiate(mf_program *p, mf_value loss);
/* Before that: the weights declared so far whose full names begin with `prefix` get no gradient,
 * and nothing is computed for one. */
MF_API void mf_freeze(mf_program *p, const char *prefix);
/* Before that: input x (f32) gets a gradient as a weight does. mf_gradient gives it, and as an
 * output it can be read. A loss over a whole batch so gives each image's share, from which a second
 * program goes on. */
MF_API void mf_require_gradient(mf_program *p, mf_value x);
/* What gradients need of the values before them is kept, or computed again when it is needed: the
 * bytes of all results are the same. By default what is cheap to compute is computed again. After
 * mf_recompute only values that mf_keep marks are kept, and all else is computed again from them:
 * less memory, for the time of nearly a second forward pass. mf_keep alone changes nothing. */
MF_API void mf_recompute(mf_program *p);
MF_API void mf_keep(mf_program *p, mf_value x); /* see mf_recompute */
/* The gradient of a weight, in its published shape, or of an input that requires one; MF_NONE where
 * loss does not depend on it. */
MF_API mf_value mf_gradient(const mf_program *p, mf_value x);

/* ---- running ----------------------------------------------------------------------------------
 */

/* Weights on a device, by name, in published layout: shared by all programs compiled against it
 * (training and inference, several input sizes), with gradients and optimizer state beside them. */
typedef struct mf_weights mf_weights;
MF_API MF_MUST_USE mf_status mf_weights_new(mf_device *device, mf_weights **weights);
MF_API void mf_weights_free(mf_weights *weights);
/* Adds the weights of `p` that are not there yet, zeroed. */
MF_API MF_MUST_USE mf_status mf_weights_declare(mf_weights *w, const mf_program *p);
MF_API size_t mf_weights_count(const mf_weights *w); /* how many there are */
/* A weight as it is published. */
typedef struct mf_weight_info {
    const char *name;           /* full name, borrowed */
    int rank;                   /* number of dimensions */
    int64_t shape[MF_MAX_RANK]; /* published shape */
    int64_t count;              /* of its elements */
} mf_weight_info;
/* Of weight i, below the count. */
MF_API void mf_weights_info(const mf_weights *w, size_t i, mf_weight_info *info);
MF_API int mf_weights_find(const mf_weights *w, const char *name); /* -1: none */
/* Weight i in published layout, from and to `values`, which has as many floats as the weight has
 * elements; and its gradient. They wait for the device. */
MF_API MF_MUST_USE mf_status mf_weights_set(mf_weights *w, size_t i, const float *values);
MF_API MF_MUST_USE mf_status mf_weights_get(mf_weights *w, size_t i, float *values);
MF_API MF_MUST_USE mf_status mf_weights_get_gradient(mf_weights *w, size_t i, float *values);

/* The i-th weight of a program, in order of declaration; false past the last. */
MF_API bool mf_program_weight(const mf_program *p, size_t i, mf_weight_info *info);

/* From here on a program that would hold more than this on the device (its arena and its inputs) is
 * MF_NO_MEMORY when it is compiled, before it takes it. SIZE_MAX, as in the beginning: no limit. */
MF_API void mf_weights_limit(mf_weights *w, size_t bytes);

typedef struct mf_executable mf_executable; /* opaque: a compiled program */
/* Plans and records. Gradients of a differentiated program are added to those of `weights`
 * (mf_weights_clear_gradients before the first, or mf_weights_begin_batch). */
MF_API MF_MUST_USE mf_status mf_program_compile(mf_program *p, mf_weights *weights,
                                                mf_executable **executable);
MF_API void mf_executable_free(mf_executable *executable); /* NULL is fine; before its weights */
/* Sets an input, and gets an output after a run: `values` has all elements in the shape and layout
 * of the program, f32 or, for an input that was declared so, u8. */
MF_API MF_MUST_USE mf_status mf_executable_set(mf_executable *e, const char *input,
                                               const void *values);
/* In a thread that works for a task a stop is met between launches: MF_CANCELLED, and the weights
 * are what they were. Gradients are then worth nothing until they are cleared. */
MF_API MF_MUST_USE mf_status mf_executable_run(mf_executable *e);
/* See mf_executable_set. */
MF_API MF_MUST_USE mf_status mf_executable_get(mf_executable *e, const char *output, float *values);
MF_API size_t mf_executable_arena_bytes(const mf_executable *e); /* of its values on the device */
/* All that it holds on the device beside the weights: its arena and its inputs. */
MF_API size_t mf_executable_bytes(const mf_executable *e);

/* All gradients become 0, and a batch that was begun is forgotten. */
MF_API MF_MUST_USE mf_status mf_weights_clear_gradients(mf_weights *w);

/* The gradient of a batch of `count` items is the sum of theirs, added in a fixed order: a binary
 * tree over the index of the item. Of one item it is that item's gradient. Of n items it is
 *
 *     sum(n items) = sum(the first ceil(n / 2)) + sum(the last floor(n / 2))
 *
 * So a part of the tree is the batch of its own items: 2^k processes that each sum one of the parts
 * k levels below the root, and then add these pairwise, get the same bytes as one process does. The
 * parts of a level differ by at most one item.
 *
 * mf_weights_begin_batch clears all gradients. Then, for each item in order: one mf_executable_run
 * that gives gradients, and mf_weights_end_item. No further run may follow before the step. After
 * the last item the gradients are the sum. Beside the gradients, up to ceil(log2(count)) - 1 sums
 * are kept on the device. */
MF_API MF_MUST_USE mf_status mf_weights_begin_batch(mf_weights *w, int64_t count);
/* See mf_weights_begin_batch. */
MF_API MF_MUST_USE mf_status mf_weights_end_item(mf_weights *w);

/* One training on several devices: each rank has weights of its own on its device, computes one
 * part of the batch's tree, and meets the others through a transport. The number of ranks is a
 * power of 2. Their weights are declared alike. They reach each other by transports (transport.h).
 */

/* The items of a batch of `count` that part `part` of `parts` (a power of 2) has: *items, from
 * *first on. None where there are more parts than items. */
MF_API void mf_batch_part(int64_t count, int parts, int part, int64_t *first, int64_t *items);
/* After a batch of the rank's own part (or mf_weights_clear_gradients, where that has no items), in
 * all ranks at once: the gradients become the sum over the whole batch, to the byte what one device
 * makes of it. A step follows, with the same arguments in all ranks. Each rank sends
 * 2 (ranks - 1) / ranks times the bytes of its gradients, and a byte a weight. */
MF_API MF_MUST_USE mf_status mf_weights_exchange(mf_weights *w, mf_transport *t);
/* Bytes of the device's memory that it takes beside the weights. */
#define MF_EXCHANGE_BYTES ((size_t)2 << 20)

/* ---- optimizing -------------------------------------------------------------------------------
 */

/* What one update of the weights is made with. */
typedef struct mf_optimizer_step {
    enum { MF_LAMB, MF_ADAMW } kind;              /* the optimizer */
    double rate, beta1, beta2, eps, weight_decay; /* rounded once, after 1 - beta */
    double max_norm;                              /* of the whole gradient (clipping); 0: none */
    double grad_scale;                            /* multiplies gradients first: 1 / batch */
    double ema_decay;                             /* averages kept beside the weights; 0: none */
    int64_t step; /* 1, 2, ...: AdamW's bias correction (LAMB: none, as in the official code) */
} mf_optimizer_step;
/* One update of all weights from their gradients. LAMB: You et al. 2020, weight norm clamped to 10,
 * no debiasing, trust ratio 1 where a norm is 0. *norm: gradient norm before clipping, or NULL. A
 * norm that is asked for, or clipped to, and is not finite is MF_INVALID: all weights are what they
 * were. */
MF_API MF_MUST_USE mf_status mf_weights_step(mf_weights *w, const mf_optimizer_step *step,
                                             float *norm);
/* Groups of weights, each with a rate of its own. Weight i is of group 0 until it is set; -1: no
 * step changes it. */
MF_API MF_MUST_USE mf_status mf_weights_set_group(mf_weights *w, size_t i, int group);
/* What a group is updated with, in place of the step's own. */
typedef struct mf_optimizer_group {
    double rate, weight_decay; /* see mf_optimizer_step */
    bool clipped;              /* part of the norm, and clipped with it; else neither */
} mf_optimizer_group;
/* As mf_weights_step, by groups 0 .. count - 1. *norm: of the clipped groups. A gradient that is
 * not finite is MF_INVALID, and all weights are what they were. Averages of weights that no
 * gradient has reached are their values. */
MF_API MF_MUST_USE mf_status mf_weights_step_groups(mf_weights *w, const mf_optimizer_step *step,
                                                    const mf_optimizer_group *groups, int count,
                                                    float *norm);
/* The same, where group g is in a step of its own, steps[g] in place of step->step: weights that
 * began to learn later, whose AdamW counts from their first update. */
MF_API MF_MUST_USE mf_status mf_weights_step_groups_at(mf_weights *w, const mf_optimizer_step *step,
                                                       const mf_optimizer_group *groups,
                                                       const int64_t *steps, int count,
                                                       float *norm);
/* All that a step reads and leaves behind: to save training in the middle, and to go on with it. */
typedef enum mf_weight_part {
    MF_WEIGHT_VALUE,
    MF_WEIGHT_FIRST_MOMENT,
    MF_WEIGHT_SECOND_MOMENT, /* moments: 0 before the first step */
    MF_WEIGHT_AVERAGE        /* the value before the first step that keeps averages */
} mf_weight_part;
/* One part of weight i; `values` as of mf_weights_get. */
MF_API MF_MUST_USE mf_status mf_weights_get_part(mf_weights *w, size_t i, mf_weight_part part,
                                                 float *values);
/* A part that is set for one weight must be set for all, before the next step. */
MF_API MF_MUST_USE mf_status mf_weights_set_part(mf_weights *w, size_t i, mf_weight_part part,
                                                 const float *values);
/* Averages (EMA) in place of the weights: reads like mf_weights_get. */
MF_API MF_MUST_USE mf_status mf_weights_get_average(mf_weights *w, size_t i, float *values);

#ifdef __cplusplus
}
#endif
#endif
