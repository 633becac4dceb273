/* window.h - a volume seen through overlapping windows, blended by Gaussian weights, as the
 * official inference does it: step round(window * (1 - overlap)), the last window flush with the
 * end, sigma 1/8 of the window, a volume smaller than its window padded with zeros at its end. */
#ifndef MF_MASS_WINDOW_H
#define MF_MASS_WINDOW_H

#include <massflow/error.h>
#include <stdint.h>

/* Where windows start along an axis; the caller frees *starts. */
MF_MUST_USE mf_status mf_window_starts(int64_t size, int64_t window, double overlap,
                                       int64_t **starts, int64_t *count);
/* Weights of one axis, 1 at the center of an odd window: exp(-(i - c)^2 / (2 sigma^2)), divided by
 * the largest of them. */
void mf_window_gaussian(int64_t window, double *weights);

/* Fills probability [K, window] for the patch [window] of the image. */
typedef mf_status (*mf_window_model)(void *self, const float *patch, float *probability);

typedef struct mf_window {
    int64_t size[3], window[3]; /* z y x */
    double overlap;             /* 0 .. 0.95 */
    int64_t k;
    mf_window_model model;
    void *self;
    /* Called before each window, may be NULL: done of total; its error stops the work. */
    mf_status (*step)(void *user, int64_t done, int64_t total);
    void *user;
} mf_window;
/* image [size] -> probability [K, size], written as a whole. */
MF_MUST_USE mf_status mf_window_run(const mf_window *w, const float *image, float *probability);

/* Each voxel to the most probable of K, if that reaches the threshold; the first of equals. label
 * u16 [voxels] becomes 0 or values[k]. */
void mf_window_compete(const float *probability, int64_t k, int64_t voxels, double threshold,
                       const int64_t *values, uint16_t *label);

#endif
