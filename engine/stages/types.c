/* types.c - the built-in types of artifact. Their writers come with plugins. */
#include "stages/registry.h"

#define GRID "size:reals spacing:reals origin:reals direction:reals"
#define MASKS "box:i32[k,6] score:f32[k] seed:i32[k,2] bits:u8{k}"

/* clang-format off */
static const mf_type types[] = {
    {"volume",   "a scan on its grid",                           "voxels[z,y,x]", GRID, NULL, NULL},
    {"labels",   "an integer label for each voxel",              "voxels[z,y,x]", GRID, NULL, NULL},
    {"slices",   "RGB slices of a volume [n, h, w, 3]",          "rgb:u8[n,h,w,3]", "axis:int " GRID, NULL, NULL},
    {"masks",    "3D masks, sparse",                             MASKS, GRID, NULL, NULL},
    {"sample",   "an image on the training grid with its masks", "image:f32[z,y,x] " MASKS, GRID, NULL, NULL},
    {"pair",     "a reference and a query view with their masks", "reference:f32[z,y,x] query:f32[z,y,x] reference_masks:u8[k,z,y,x] query_masks:u8[k,z,y,x]", "", NULL, NULL},
    {"crop",     "a crop of a scan with its label map",          "image:f32[z,y,x] labels:u16[z,y,x]", "", NULL, NULL},
    {"model",    "weights under PyTorch's names",                "", "architecture:text", NULL, NULL},
    {"embedding", "task embeddings of labels under a model (MASS), deepest level first",
     "tokens0:f32[k,11,c] tokens1:f32[k,11,d] tokens2:f32[k,11,e] labels:i32[k] examples:i32[k]",
     "architecture:text channels:reals model:text target_spacing:reals patch_size:reals normalize:text modality:text window:reals percentiles:reals", NULL, NULL},
    {"probabilities", "a probability map for each label",        "values:f32[k,z,y,x] labels:i32[k]", GRID, NULL, NULL},
    {"features", "feature maps [C, d, h, w]",                    "values:f32", "", NULL, NULL},
    {"table",    "columns of numbers and text",                  "", "columns:text", NULL, NULL},
    {"image",    "an RGB picture [h, w, 3]",                     "rgb:u8[h,w,3]", "", NULL, NULL},
    {"text",     "plain text",                                   "", "", NULL, NULL},
    {"file",     "a file with any content: a report, a mesh, DICOM", "bytes:u8[n]", "name:text media_type:text",
     NULL, NULL, NULL, NULL, NULL, mf_artifact_check_file},
    {"seeds",    "2D masks on slices: masks one slice thick",     MASKS " stability:f32[k] point:f32[k,2] crop:i32[k,4]", GRID, NULL, NULL},
};
/* clang-format on */

const mf_type *mf_builtin_types(size_t *count)
{
    *count = sizeof types / sizeof *types;
    return types;
}
