/* unsealed.c - what an older libmassflow.so.1 had besides: a function that was not public, in a
 * version of its own. A plugin that uses it is linked with this. */
#include <massflow/error.h>

MF_API const char *mf_outcome_text(int outcome);
const char *mf_outcome_text(int outcome)
{
    return outcome ? "failed" : "done";
}
