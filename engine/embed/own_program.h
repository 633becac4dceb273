/* own_program.h - the command massflow that belongs to this library. */
#ifndef MASSFLOW_EMBED_OWN_PROGRAM_H
#define MASSFLOW_EMBED_OWN_PROGRAM_H

/* BUILD/engine/libmassflow.so.1 has BUILD/tools/massflow/massflow, PREFIX/LIB/libmassflow.so.1 has
 * PREFIX/bin/massflow; the command that holds the engine itself is its own. NULL where there is
 * none. The caller frees. */
char *mf_program_path(void);

#endif
