/* track.h - objects with one seed slice, propagated through a stack of slices. They don't see each
 * other: results do not depend on the batch. Forward first, then reverse, which reads what forward
 * left near the seed, as the official video predictor does. h = image / 16. */
#ifndef SAM2_TRACK_H
#define SAM2_TRACK_H

#include "../model/predictor.h"

typedef struct sam2_track sam2_track;
/* masks [batch,image,image], 0 or 1, on slice `seed` of `frames`; f: that slice's features, read
 * only here. Holes of at most `holes` pixels of the seed's own low-resolution logits are filled, as
 * the official code does where its CUDA extension is built; 0: none. The predictor outlives the
 * track. */
MF_MUST_USE mf_status sam2_track_new(sam2_predictor *p, int64_t frames, int64_t seed, int64_t batch,
                                     const uint8_t *masks, const sam2_features *f, int64_t holes,
                                     sam2_track **track);
/* The objects are given by points, boxes or logits; `pad` is taken as true. */
MF_MUST_USE mf_status sam2_track_new_prompted(sam2_predictor *p, int64_t frames, int64_t seed,
                                              const sam2_prompts *prompts, const sam2_features *f,
                                              int64_t holes, sam2_track **track);
void sam2_track_free(sam2_track *track);

/* The seed's own: low_res [batch,4h,4h] logits, object_score [batch] logits, pointer [batch,dim];
 * any may be NULL. */
void sam2_track_seed_output(const sam2_track *track, float *low_res, float *object_score,
                            float *pointer);
/* frame is the next one: seed + 1, seed + 2, ... forward, then seed - 1, ... reverse. Outputs as
 * above, logits are -1024 where the object is not there; all but low_res may be NULL. */
MF_MUST_USE mf_status sam2_track_step(sam2_track *track, int64_t frame, bool reverse,
                                      const sam2_features *f, float *low_res, float *object_score,
                                      float *pointer);

#endif
