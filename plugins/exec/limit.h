/* limit.h - how much a command may write. It is looked at while the command runs, for one that
 * writes without end would fill the disk, and again when it has ended. */
#ifndef EXEC_LIMIT_H
#define EXEC_LIMIT_H

#include "command.h"
#include <stdint.h>

/* Bytes that the files of a folder take on the disk, at any depth; links are not followed. Files
 * that come or go meanwhile may be missed. */
int64_t limit_used(const char *folder);

/* An error where `folder` has more than `limit` bytes (GB: 1e9) beyond `before` on the disk. */
MF_MUST_USE mf_status limit_check_folder(const char *folder, int64_t before, double limit);
/* An error where outputs in `folder` are larger than what is read of their kind, or than `limit`
 * GB: by their size, which a file with holes has without the bytes. */
MF_MUST_USE mf_status limit_check_outputs(const char *folder, const output_suffix *wanted,
                                          double limit);

#endif
