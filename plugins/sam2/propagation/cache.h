/* cache.h - what the encoder says of a scan's slices, kept as far as memory allows. A slice is
 * looked at many times, in an order that is known: what is needed last goes first. */
#ifndef SAM2_CACHE_H
#define SAM2_CACHE_H

#include "../model/predictor.h"
#include "../shared/seeds.h"

typedef struct sam2_cache sam2_cache;
/* Both are borrowed. bytes: of the host, for features; one slice is always kept. */
MF_MUST_USE mf_status sam2_cache_new(sam2_predictor *predictor, const sam2_stack *stack,
                                     size_t bytes, sam2_cache **cache);
void sam2_cache_free(sam2_cache *cache);

/* When a slice will be asked for again, in steps from now; INT64_MAX: never. */
typedef int64_t (*sam2_when)(const void *user, int64_t slice);
/* Features of slice i across `axis`, as a frame of a video; valid until the next call. */
MF_MUST_USE mf_status sam2_cache_get(sam2_cache *cache, int axis, int64_t i, sam2_when when,
                                     const void *user, const sam2_features **f);
int64_t sam2_cache_encoded(const sam2_cache *cache); /* how often a slice was encoded */

#endif
