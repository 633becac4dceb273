/* beside.h - programs of massflow that lie beside its plugins. */
#ifndef COMMON_BESIDE_H
#define COMMON_BESIDE_H

/* The path of `program` in the folder of the module that this code is in, be it a plugin or a
 * program; NULL where that is not known. The caller frees. */
char *beside_module(const char *program);

#endif
