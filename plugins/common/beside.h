/* beside.h - programs of massflow that lie beside its plugins. */
#ifndef COMMON_BESIDE_H
#define COMMON_BESIDE_H

#include <sys/types.h>

/* The path of `program` in the folder of the module that this code is in, be it a plugin or a
 * program; NULL where that is not known. The caller frees. */
char *beside_module(const char *program);

/* Starts `path` with `words`, the files `in` and `out` as its standard input and output, and no
 * other; -1: /dev/null. It is of its own group: a Ctrl-C meant for massflow is no crash of it.
 * Returns what posix_spawn does. */
int beside_start(const char *path, char *const *words, int in, int out, pid_t *pid);

#endif
