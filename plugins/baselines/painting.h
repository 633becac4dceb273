/* painting.h - boxes of a crop that Models Genesis shuffles or paints over with noise. Intensities
 * are 0 .. 1; crops f32 [z y x]. Sizes and counts are those of the paper's code. */
#ifndef MF_BASELINES_PAINTING_H
#define MF_BASELINES_PAINTING_H

#include <massflow/error.h>
#include <massflow/random.h>

/* A side at which all boxes fit: the margins are 3 voxels, a box of out-painting at most 4/7. */
enum { MF_PAINTING_LEAST = 16 };

/* Local shuffling: 10000 boxes of 1 voxel to a tenth of each side, anywhere, one after another; to
 * each go the voxels that `from` has there, in a random order. `to` starts as a copy of `from`. */
MF_MUST_USE mf_status mf_painting_shuffle(mf_random *random, const int64_t size[3],
                                          const float *from, float *to);
/* In-painting: up to five boxes of a sixth to a third of each side become uniform noise, each with
 * probability 0.95 given the one before. They keep 3 voxels from the edges. */
void mf_painting_inside(mf_random *random, const int64_t size[3], float *image);
/* Out-painting: all becomes uniform noise but one box, and with probability 0.95 each up to four
 * more, of about 3/7 to 4/7 of each side, which keep 3 voxels from the edges. */
MF_MUST_USE mf_status mf_painting_outside(mf_random *random, const int64_t size[3], float *image);

#endif
