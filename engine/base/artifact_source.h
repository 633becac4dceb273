/* artifact_source.h - how the store makes artifacts whose arrays are read when asked for.
 * For the engine only; plugins see artifact.h. */
#ifndef MASSFLOW_BASE_ARTIFACT_SOURCE_H
#define MASSFLOW_BASE_ARTIFACT_SOURCE_H

#include <massflow/artifact.h>

/* Calls may come from several threads at once. `index` counts arrays in order of declaration. */
typedef struct mf_artifact_source {
    mf_status (*array)(void *self, size_t index, mf_array **array);
    mf_status (*box)(void *self, size_t index, const int64_t lo[3], const int64_t hi[3], void *dst);
    mf_status (*row)(void *self, size_t index, int64_t row, uint8_t **bytes, size_t *size);
    /* A ragged array whole: bytes u8 [n], offsets i64 [rows + 1]. */
    mf_status (*rows)(void *self, size_t index, mf_array **bytes, mf_array **offsets);
    mf_status (*offsets)(void *self, size_t index, mf_array **offsets); /* without its bytes */
    void (*free)(void *self);
} mf_artifact_source;

/* An artifact of `type` with content id `id`; takes over `self`, also on failure. Attributes are
 * then set as on any artifact, arrays declared. */
MF_MUST_USE mf_status mf_artifact_lazy(const char *type, const char *id,
                                       const mf_artifact_source *source, void *self,
                                       mf_artifact **artifact);
MF_MUST_USE mf_status mf_artifact_declare(mf_artifact *a, const mf_array_info *info);

/* Names an artifact that has just been stored. */
void mf_artifact_set_id(mf_artifact *a, const char *id);

/* A ragged array whole; the caller unrefs both. */
MF_MUST_USE mf_status mf_artifact_offsets(const mf_artifact *a, const char *name,
                                          mf_array **offsets);
MF_MUST_USE mf_status mf_artifact_rows(const mf_artifact *a, const char *name, mf_array **bytes,
                                       mf_array **offsets);

#endif
