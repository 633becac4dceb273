/* file.h - opening input files.
 *
 * Every input is opened by these functions. A name can be a pipe that nobody writes to, or lead to
 * a device that never ends: both are refused before anything is read. */
#ifndef MASSFLOW_FILE_H
#define MASSFLOW_FILE_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a regular file for reading and says how many bytes it has. Links are followed. A folder, a
 * pipe, a socket or a device is an error at once. Errors name the path. The caller closes *file. */
MF_API MF_MUST_USE mf_status mf_file_open(const char *path, FILE **file, int64_t *size);
/* The same as a descriptor, for close(); -1 after an error. */
MF_API MF_MUST_USE mf_status mf_file_descriptor(const char *path, int *file, int64_t *size);
/* The same without opening it. */
MF_API MF_MUST_USE mf_status mf_file_check(const char *path);

/* The content of a regular file of at most `most` bytes, followed by a NUL. Memory is allocated for
 * the size of the file once that size is known to be allowed. The caller frees *bytes. */
MF_API MF_MUST_USE mf_status mf_file_read(const char *path, size_t most, char **bytes,
                                          size_t *size);

/* Whether a name has no control characters: with a line end or an escape sequence in it a name
 * could pretend to be a message. */
MF_API bool mf_path_plain(const char *path);

/* Whether a name in a folder is one that systems and editors leave there (".DS_Store", "Thumbs.db",
 * ".git", "__pycache__", ...): docs/caching.md lists them. Such files are no part of a folder's
 * content. */
MF_API bool mf_path_ignored(const char *name);

#ifdef __cplusplus
}
#endif
#endif
