/* origin.h - where a stored result is from, in words. */
#ifndef MF_ORIGIN_H
#define MF_ORIGIN_H

#include "store/store.h"

/* Lines that begin with two blanks: when, where and by which run it was made; of an imported one
 * also from which file it came, when, and through whom. `node`: what it is asked for as; or NULL.
 */
MF_MUST_USE mf_status origin_print(mf_store *store, const mf_action *action, const char *node);
/* "all.mfx", of an import; "a file that is not known". */
const char *origin_file(const mf_import *import);

#endif
