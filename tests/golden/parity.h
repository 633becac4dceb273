/* parity.h - massflow's model on weights and inputs from outside, all results under PyTorch's names
 * and in its layouts (channels first). tests/golden compares what these give with stored results.
 */
#ifndef MF_PARITY_H
#define MF_PARITY_H

#include "../../plugins/sam2/masks/generate.h"
#include "read.h"
#include <massflow/compute.h>

typedef struct mf_parity {
    double rate, weight_decay; /* of the one step */
    double overlap;
    bool evaluate; /* as evaluate.py: else as inference.py (window), fine-tuning (embed) */
    int64_t size;  /* edge of a reference's crop */
    const char
        *pooling;     /* "mean", "max" or (classify) "none", where the weights have no attention */
    sam2_config said; /* sizes that a SAM 2's tensors don't tell; 0: as the official model */
    bool automatic;   /* masks of the whole picture, too */
    sam2_generate_options generate;
    const char *mode;    /* of fine-tuning: "full" or "probing" */
    double encoder_rate; /* of the encoder under a classifier */
    int64_t steps;       /* that the images of `classify`, `pretrain` are batches of; 0: one */
    int64_t total_steps; /* of the schedule of `pretrain` */
    bool frozen;         /* the encoder under a classifier, or the batch norms of an I3D, do not
                          * learn */
} mf_parity;

/* in: target, reference f32 [D,H,W], target_masks, reference_masks u8 [K,D,H,W]. out: feat5..1,
 * prior0..2, posterior0..2, decoder_out, logits, dice, bce, loss, grad.NAME, after.NAME (clipped to
 * norm 1, one LAMB step), norm (of the gradient). */
MF_MUST_USE mf_status mf_parity_iris(mf_device *device, const mf_parity *o,
                                     const mf_tensors *weights, const mf_tensors *in,
                                     mf_tensors *out);
/* weights: encoder.* of an I3D; in: image f32 [D,H,W], gradient f32 [C,d,h,w] of the deepest map.
 * out: map0..4, loss (the sum of map4 times gradient), grad.NAME, norm, after.NAME (clipped to norm
 * 1, one LAMB step; running statistics are those after it). */
MF_MUST_USE mf_status mf_parity_i3d(mf_device *device, const mf_parity *o,
                                    const mf_tensors *weights, const mf_tensors *in,
                                    mf_tensors *out);
/* in: target, reference f32 [N,D,H,W], target_masks, reference_masks u8 [N,K,D,H,W], the pairs of
 * all steps one after another. out: losses, dices, bces, norms, rates [steps]; after them
 * after.NAME and after.ema.NAME (the averages). */
MF_MUST_USE mf_status mf_parity_pretrain(mf_device *device, const mf_parity *o,
                                         const mf_tensors *weights, const mf_tensors *in,
                                         mf_tensors *out);
/* weights: pool.attention.{0,2}.{weight,bias} or none, fc.{weight,bias}; in: features f32
 * [N,C,d,h,w], target i64 [N]. out: pooled, logits, loss, grad.NAME, after.NAME (one AdamW step).
 */
MF_MUST_USE mf_status mf_parity_head(mf_device *device, const mf_parity *o,
                                     const mf_tensors *weights, const mf_tensors *in,
                                     mf_tensors *out);
/* weights: encoder.*, pool.attention.{0,2}.{weight,bias} or none, fc.{weight,bias}. in: images f32
 * [N,D,H,W]; target i64 [N] and perhaps class_weights f32 [C], or target f32 [N,C] and perhaps
 * pos_weight f32 [C]. out: logits [N,C], loss, grad.NAME, norm, after.NAME (clipped to norm 1, one
 * AdamW step); losses, norms [steps], the images as that many batches one after another. */
MF_MUST_USE mf_status mf_parity_classify(mf_device *device, const mf_parity *o,
                                         const mf_tensors *weights, const mf_tensors *in,
                                         mf_tensors *out);
/* in: target f32 [D,H,W] of any size, reference f32 [d,h,w], reference_masks u8 [K,d,h,w]. out:
 * prior0..2, probability [1,K,D,H,W], labels u16 [D,H,W] (1..K, 0 below one half). */
MF_MUST_USE mf_status mf_parity_window(mf_device *device, const mf_parity *o,
                                       const mf_tensors *weights, const mf_tensors *in,
                                       mf_tensors *out);
/* in: images f32 [N,D,H,W], normalized, labels u8 [N,D,H,W] (1..K, 0 background). out: tokens.0..2
 * [K,11,C], deepest first: means over the images that show the label, of crops of size^3 around the
 * mean voxel (as fine-tuning starts) or the middle one (evaluate). */
MF_MUST_USE mf_status mf_parity_embed(mf_device *device, const mf_parity *o,
                                      const mf_tensors *weights, const mf_tensors *in,
                                      mf_tensors *out);
/* in: images f32, labels u8 [N,D,H,W] (0 background, 1..K), tokens.0..2 [K,11,C], deepest first.
 * out: logits [N,K,D,H,W], dice, bce, loss (means), grad.NAME, norm (of the model's gradient),
 * after.NAME (the model's gradient clipped to norm 1, the tokens' not, one AdamW step) of what
 * learns. */
MF_MUST_USE mf_status mf_parity_finetune(mf_device *device, const mf_parity *o,
                                         const mf_tensors *weights, const mf_tensors *in,
                                         mf_tensors *out);
/* The losses of `count` steps, in[i] the i-th; its tokens count in the first alone. */
MF_MUST_USE mf_status mf_parity_finetune_curve(mf_device *device, const mf_parity *o,
                                               const mf_tensors *weights, const mf_tensors *in,
                                               int count, double *curve);
/* The official generator's defaults. */
extern const sam2_generate_options mf_parity_generator;

/* weights: under the original names or those of transformers. in: image u8 [H,W,3] and prompts
 * pN.points f32 [P,2], pN.labels [P], mask_prompt_low f32 [4h,4h]; or frames u8 [T,H,W,3] and
 * mask_prompt.oI.frameJ u8 [H,W]. out: see
 * parity --help. */
MF_MUST_USE mf_status mf_parity_sam2(mf_device *device, const mf_parity *o,
                                     const mf_tensors *weights, const mf_tensors *in,
                                     mf_tensors *out);

#endif
