/* golden.h - stored results of float64 and how far PyTorch's own float32 lies from them: drawing
 * the same weights and inputs, and comparing. Failures end the test. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "iris.h"
#include "tensors.h"

enum { GOLDEN_WEIGHTS = 1, GOLDEN_INPUTS = 2, GOLDEN_SAMPLES = 3 }; /* seeds */

/* Where the file `name` is: path [4096]. */
void golden_path(const char *name, char *path);
/* NAME.safetensors */
void golden_read(const char *name, mf_tensors *golden);
/* f32 of `name`: the same bits as golden.py's, since each step rounds at most once. */
void golden_draw_weight(const char *name, int rank, const int64_t *shape, float *values);
/* The same of all weights. */
void golden_draw_weights(mf_weights *w);

/* All weights of a model; and ellipsoid k of golden.py, u8 [crop]. */
void golden_draw_model(const mf_iris *iris, mf_tensors *t);
/* Inputs of tools/parity iris, with k masks. */
void golden_draw_inputs(const int64_t crop[3], int64_t k, mf_tensors *t);
void golden_draw_mask(const int64_t crop[3], int64_t k, int64_t shift, uint8_t *mask);

/* How far `ours` (by the name `name`) lies from the elements stored as `stored`, relative L2, and
 * how far PyTorch's float32 does at most, at least one rounding of each element. */
double golden_distance(const mf_tensors *golden, const char *stored, const char *name,
                       const mf_array *ours, double *theirs);

enum { GOLDEN_MOST = 4096 };

typedef struct golden_tally {
    int values, worse;            /* worse than the rule below */
    double most;                  /* of ours / PyTorch's distance, of values */
    int gradients;                /* and stepped weights */
    double gradient[GOLDEN_MOST]; /* ours / PyTorch's distance */
} golden_tally;

/* `ours` against the stored elements. Values: at most twice as far from float64 as PyTorch's
 * float32 (the farthest of its three ways to convolve, or one rounding of each element), and within
 * 1e-3; a loss is the mean of all logits' errors, so chance, and right to 2^-20.
 *
 * Gradients: one ReLU or maximum that tips over moves all gradients before it, by more than all
 * rounding; which do is chance, in PyTorch too (its own three ways lie up to 68 times apart). Each
 * lies within 1e-2; golden_quantile tells how they do together.
 *
 * `stored` says which of both it is. golden_compare_gradient judges as a gradient whatever it is
 * stored as. */
void golden_compare(const mf_tensors *golden, const char *stored, const char *name,
                    const mf_array *ours, golden_tally *t);
void golden_compare_gradient(const mf_tensors *golden, const char *stored, const char *name,
                             const mf_array *ours, golden_tally *t);
/* grad.*, after.* (a step) and norm. */
bool golden_is_gradient(const char *name);
/* Share `part` of the gradients lie within this many of PyTorch's distances. */
double golden_quantile(golden_tally *t, double part);

#endif
