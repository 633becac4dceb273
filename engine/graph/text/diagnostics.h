/* diagnostics.h - the errors and warnings of a graph file: all of them, each with its place, the
 * line it stands in and a caret. */
#ifndef MF_DIAGNOSTICS_H
#define MF_DIAGNOSTICS_H

#include <massflow/error.h>
#include <stdbool.h>

typedef struct mf_diagnostics mf_diagnostics;

MF_MUST_USE mf_status mf_diagnostics_new(mf_diagnostics **diagnostics);
void mf_diagnostics_free(mf_diagnostics *diagnostics); /* NULL is fine */

/* A place in a text. Lines and columns start at 1, columns count characters. */
typedef struct mf_place {
    const char *file; /* as the user named it */
    int line, column;
    int width;        /* characters to underline, at least 1 */
    const char *text; /* of the line, up to its end; NULL prints no line and no caret */
    const char *from; /* a note on the file, as of an included one; NULL for none */
} mf_place;

/* FILE:LINE:COL: error: MESSAGE, the line, the caret. The place's texts are copied. What
 * says the same as the one before it, such as for the next case, is dropped with its notes. */
void mf_diagnostics_error(mf_diagnostics *d, const mf_place *place, const char *format, ...)
    MF_PRINTF(3, 4);
void mf_diagnostics_warning(mf_diagnostics *d, const mf_place *place, const char *format, ...)
    MF_PRINTF(3, 4);
/* Adds a line below the last one: who declared what, what the right names are. */
void mf_diagnostics_note(mf_diagnostics *d, const char *format, ...) MF_PRINTF(2, 3);

size_t mf_diagnostics_errors(const mf_diagnostics *d);
size_t mf_diagnostics_warnings(const mf_diagnostics *d);
/* All of it as text, by file and in order of place; the caller frees. At most 100 are printed in
 * full, then how many more there are. NULL when memory is short. */
char *mf_diagnostics_text(const mf_diagnostics *d);

#endif
