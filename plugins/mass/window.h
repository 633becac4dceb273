/* window.h - a volume seen through overlapping windows, as either official script does it. A volume
 * smaller than its window is padded with zeros at its end.
 *
 *               inference.py                              evaluate.py
 *     step      window * (1 - overlap), rounded           the same, rounded down
 *     starts    0, step, ...; the last flush with the     i * step for i < max(1, size / step),
 *               end                                       moved back into the volume
 *     weights   Gaussian, sigma 1/8 of the window         1
 *
 * Where evaluate.py moves several windows to the same place, that place counts several times: the
 * last one twice, at an overlap of one half and a size that is a multiple of the step. At overlaps
 * below one half its windows may leave out the end of a volume. */
#ifndef MF_MASS_WINDOW_H
#define MF_MASS_WINDOW_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

/* Where windows start along an axis; the caller frees *starts. */
MF_MUST_USE mf_status mf_window_starts(int64_t size, int64_t window, double overlap,
                                       int64_t **starts, int64_t *count);
/* The places of evaluate.py, each once, and how often each counts; the caller frees both. */
MF_MUST_USE mf_status mf_window_starts_repeated(int64_t size, int64_t window, double overlap,
                                                int64_t **starts, int64_t **times, int64_t *count);
/* Weights of one axis, 1 at the center of an odd window: exp(-(i - c)^2 / (2 sigma^2)), divided by
 * the largest of them. */
void mf_window_gaussian(int64_t window, double *weights);

/* Fills probability [K, window] for the patch [window] of the image. */
typedef mf_status (*mf_window_model)(void *self, const float *patch, float *probability);

typedef struct mf_window {
    int64_t size[3], window[3]; /* z y x */
    double overlap;             /* 0 .. 0.95; with repeat_last at least 0.5 */
    bool uniform;               /* weights of 1, not Gaussian ones */
    bool repeat_last;           /* starts as in evaluate.py */
    int64_t k;
    mf_window_model model;
    void *self;
    /* Called before each window, may be NULL: done of total; its error stops the work. */
    mf_status (*step)(void *user, int64_t done, int64_t total);
    void *user;
} mf_window;
/* image [size] -> probability [K, size], written as a whole. */
MF_MUST_USE mf_status mf_window_run(const mf_window *w, const float *image, float *probability);

/* Where `probability` [voxels] reaches the threshold and is more than `best` there, the voxel goes
 * to `value`: one label after the other, each voxel to the most probable, the first of equals.
 * `mask` (or NULL) limits where. best and label start as zeros. */
void mf_window_claim(const float *probability, int64_t voxels, double threshold,
                     const uint8_t *mask, int64_t value, float *best, uint16_t *label);

#endif
