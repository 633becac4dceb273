/* config.h - the sizes of a SAM 2 model (Ravi et al. 2024, arXiv 2408.00714), SAM 2.0 and 2.1 of
 * any size. Nearly all of them stand in the shapes of its tensors; the others are known for the
 * four official models and must be said for a model of another size. */
#ifndef SAM2_CONFIG_H
#define SAM2_CONFIG_H

#include "../../weights/tensors.h"

#include <massflow/artifact.h>

enum { SAM2_STAGES = 4, SAM2_GLOBAL_MOST = 16, SAM2_BLOCKS_MOST = 128, SAM2_LAYERS_MOST = 16 };

typedef struct sam2_config {
    int64_t image; /* px, edge of the square input; a multiple of 32 */
    int64_t embed; /* channels of the trunk's first stage; doubled at each of the next */
    int64_t stages[SAM2_STAGES];      /* blocks */
    int64_t heads;                    /* of the first stage; doubled at each of the next */
    int64_t windows[SAM2_STAGES];     /* edges, in tokens of their stage */
    int64_t global[SAM2_GLOBAL_MOST]; /* blocks with attention over all tokens, ascending */
    int64_t global_count;
    int64_t background;    /* edge of the position embedding that is resized to the picture */
    int64_t dim;           /* channels of the neck, a multiple of 8 and of memory_dim */
    int64_t decoder_heads; /* of mask decoder */
    int64_t memories;      /* slots of the memory bank; 0: a model for still pictures only */
    int64_t memory_dim;    /* channels of a memory */
    int64_t memory_layers, fuser_layers;
    bool object_scores;    /* whether it tells that an object is not there */
    bool pointer_time;     /* SAM 2.1: object pointers have a temporal encoding */
    bool no_object_memory; /* SAM 2.1: a memory says that its object was not there */
} sam2_config;

/* Whether these are tensors of a SAM 2, under the names of the original repository. */
bool sam2_recognize(const mf_tensors *t);
/* t: all tensors of a model, f32, under the original names. `said`: image, heads, windows, global
 * and decoder_heads where they are not 0; else those of the official model of these sizes, or an
 * error that asks for them. Every tensor must be there, in its shape, and none beside: the first
 * that is not is named. */
MF_MUST_USE mf_status sam2_config_from(const mf_tensors *t, const sam2_config *said,
                                       sam2_config *config);
/* The rules between the sizes that the tensors do not contain; an error names the setting. */
MF_MUST_USE mf_status sam2_config_check(const sam2_config *config);
/* Whether tensors are, in f32 and shape, those of a model of that configuration: of an artifact
 * both may be anybody's. */
MF_MUST_USE mf_status sam2_config_match(const mf_tensors *t, const sam2_config *config);
/* "tiny", "small", "base_plus", "large", or "of its own size". */
const char *sam2_config_name(const sam2_config *config);

/* A configuration as one text, {"image_size": 256, "heads": 1, "windows": [8, 4, 8, 4], ...}: an
 * attribute of the model artifact, and metadata of a safetensors file under the same name. */
#define SAM2_CONFIG_KEY "massflow.sam2"
/* Of a file: what of image, heads, windows, global and decoder_heads the text says; else 0. */
MF_MUST_USE mf_status sam2_config_said(const char *text, sam2_config *said);
/* What is said later goes before what was said first. */
void sam2_config_override(sam2_config *said, const sam2_config *later);
/* Sets the attributes of a model artifact: architecture "sam2", size (its name), and the text. */
MF_MUST_USE mf_status sam2_config_describe(const sam2_config *config, mf_artifact *model);
/* From those attributes; an artifact of another architecture is an error that names it. */
MF_MUST_USE mf_status sam2_config_of(const mf_artifact *model, sam2_config *config);

#endif
