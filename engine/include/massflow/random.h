/* random.h - counter-based random numbers (Philox4x32-10), the same on host and device.
 *
 * Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A stream of numbers is
 * named by a 64-bit key and a 64-bit stream number; numbers follow a 64-bit counter. Nothing else
 * enters: not threads, not devices, not time. kernels/include/philox.cl draws the same numbers. */
#ifndef MASSFLOW_RANDOM_H
#define MASSFLOW_RANDOM_H

#include <massflow/error.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The state of one stream of numbers; set by mf_random_seed. It may be copied. */
typedef struct mf_random {
    uint32_t key[2];     /* what names the numbers */
    uint32_t counter[4]; /* [0..1]: block number, [2..3]: stream */
    uint32_t block[4];   /* the words that were computed last */
    int used;            /* words of block that were drawn */
} mf_random;

/* One block of four words: the bare function, for tests and parallel use. */
MF_API void mf_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* key from `seed` and `name` (a case id, "" for none); stream from `item`. */
MF_API void mf_random_seed(mf_random *r, uint64_t seed, const char *name, uint64_t item);
MF_API uint32_t mf_random_u32(mf_random *r);                            /* all 32 bits */
MF_API double mf_random_uniform(mf_random *r, double low, double high); /* [low, high) */
MF_API double mf_random_normal(mf_random *r);                           /* mean 0, SD 1 */
MF_API int64_t mf_random_below(mf_random *r, int64_t n); /* 0 .. n - 1, unbiased; n >= 1 */

#ifdef __cplusplus
}
#endif
#endif
