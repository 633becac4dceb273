/* embedding_torch.h - embeddings as the official code's fine-tuning writes them:
 * learned_priors.pth.
 */
#ifndef MF_MASS_EMBEDDING_TORCH_H
#define MF_MASS_EMBEDDING_TORCH_H

#include <massflow/artifact.h>

/* An artifact of type embedding as {"priors": [f32 [K, 11, C], deepest level first], "num_classes",
 * "class_names", "is_ema"}, which torch.load(weights_only=True) reads; names are label values.
 * is_ema: whether the tokens are moving averages of learned ones. */
MF_MUST_USE mf_status mf_embedding_write_torch(const mf_artifact *a, const char *path);

#endif
