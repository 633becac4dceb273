/* nearest.h - the name that was meant by one that does not exist. */
#ifndef MASSFLOW_BASE_NEAREST_H
#define MASSFLOW_BASE_NEAREST_H

#include <stddef.h>

/* The name of the list that is nearest to `word` by edit distance, if it is near enough to be what
 * was meant; else NULL. */
const char *mf_nearest(const char *word, const char *const *names, size_t count);

#endif
