/* key.h - what an action's key is made of. */
#ifndef MASSFLOW_RUN_KEY_H
#define MASSFLOW_RUN_KEY_H

#include "run/plan/files.h"

/* Raised when the meaning of a key or the form of a result changes. */
#define MF_KEY_FORMAT 1

/* The digest of a path that is a parameter; borrowed. NULL where it is not known. */
typedef const char *(*mf_path_digest)(void *self, const mf_file_use *use);

typedef struct mf_key_source {
    mf_path_digest digest;
    void *self;
    bool by_version; /* stages are known by their version */
    bool of_state;   /* without MF_EXTENDABLE parameters: what checkpoints are named by */
} mf_key_source;

/* Canonical JSON: case, code, format, inputs, numerics, params, paths, stage. Streams among the
 * inputs stand there by their recipe, which is the same of the stage that makes them. What stays
 * out: paths, host names, dates, threads, devices, a case's place in the list. `recipes` is, by
 * input port, the components of the stream that is connected. The caller frees *json. */
MF_MUST_USE mf_status mf_key_components(const mf_work *work, const char *const *recipes,
                                        const mf_key_source *source, char **json);

#endif
