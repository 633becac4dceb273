/* write.h - artifacts as files, by the file's suffix. */
#ifndef MASSFLOW_RUN_WRITE_H
#define MASSFLOW_RUN_WRITE_H

#include "run/output/output.h"
#include "stages/stages.h"
#include <stdio.h>

/* Adds the writers that need no plugin, as one that is linked in: .npy (artifacts of one array),
 * .csv (table), .safetensors (what has only dense arrays), .png (image), .txt (text), .json
 * (attributes, shapes, a table's rows), and of a file its bytes. */
MF_MUST_USE mf_status mf_write_register(mf_registry *registry);

/* Writes with the writer that the registry has for type and suffix; with `array`, that array alone
 * as .npy. First beside `path`, then renamed, so that no half file is ever seen. In the place of
 * what is there: for massflow's own folders. */
MF_MUST_USE mf_status mf_write_artifact(const mf_registry *registry, const mf_artifact *artifact,
                                        const char *path, const char *array);
/* The same for the user's folders. `digest` may be NULL. */
MF_MUST_USE mf_status mf_write_output(const mf_registry *registry, const mf_artifact *artifact,
                                      const char *path, const char *array,
                                      const mf_output_rule *rule, const char *known,
                                      char digest[MF_HEX_SIZE]);

/* The built-in ones; write_formats.c and write_json.c. */
MF_MUST_USE mf_status mf_write_npy(const mf_artifact *a, const char *path);
MF_MUST_USE mf_status mf_write_npy_array(const mf_artifact *a, const char *path, const char *array);
MF_MUST_USE mf_status mf_write_npy_image(const mf_artifact *a,
                                         const char *path); /* "image" alone */
MF_MUST_USE mf_status mf_write_csv(const mf_artifact *a, const char *path);
MF_MUST_USE mf_status mf_write_json(const mf_artifact *a, const char *path);
MF_MUST_USE mf_status mf_write_safetensors(const mf_artifact *a, const char *path);
MF_MUST_USE mf_status mf_write_png(const mf_artifact *a, const char *path);
MF_MUST_USE mf_status mf_encode_png(FILE *file, const mf_array *rgb); /* u8 [h, w, 3] */
MF_MUST_USE mf_status mf_write_txt(const mf_artifact *a, const char *path);
/* The bytes of a file, by the suffix of its name alone. */
MF_MUST_USE mf_status mf_write_file(const mf_artifact *a, const char *path);

#endif
