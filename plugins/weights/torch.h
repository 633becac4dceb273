/* torch.h - PyTorch checkpoints (.pt, .pth): a zip with a pickle, data.pkl, that says which tensors
 * there are, and an entry data/KEY for the bytes of each storage.
 *
 * What is taken of a checkpoint: the weights (under "model", "model_state_dict", "state_dict", or
 * the dict itself) and their running averages ("ema_model", "ema_state_dict"), these under "ema.";
 * averages alone are the weights. Of a classifier's checkpoint of the official MASS code the
 * encoder ("encoder_state_dict"), under "encoder.". Optimizer, epoch and settings are passed over.
 * "module." and "_orig_mod." before names, which PyTorch's wrappers put there, are taken off.
 *
 * Each storage is read once; tensors that are the same part of it share an array. Storages together
 * have no more bytes than the file, and tensors together no more than four times its bytes (those
 * that share count each): what says more is refused before anything is read. Entries are held
 * against their checksums. */
#ifndef MF_WEIGHTS_TORCH_H
#define MF_WEIGHTS_TORCH_H

#include "tensors.h"

#include <stdio.h>

/* What of a checkpoint is read. */
typedef enum mf_torch_part {
    MF_TORCH_MODEL, /* the weights, as above */
    MF_TORCH_HEAD,  /* "head_state_dict": the head of a classifier */
    /* "priors.0", "priors.1", ...: the learned task embeddings of a fine-tuning, their averages
     * where there are any ("ema_learnable_priors", "learnable_priors"), or those of its
     * learned_priors.pth ("priors", whose "class_names" become notes class_names.0, ...); the note
     * is_ema, "true" or "false", says whether they are averages */
    MF_TORCH_PRIORS
} mf_torch_part;

/* Adds what the file of `size` bytes holds, in any order. Nothing in it is executed. */
MF_MUST_USE mf_status mf_torch_read(FILE *file, size_t size, mf_torch_part part, mf_tensors *t);

#endif
