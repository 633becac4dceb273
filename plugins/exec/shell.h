/* shell.h - values put into a script for sh: quoted as the place needs where they stand. */
#ifndef EXEC_SHELL_H
#define EXEC_SHELL_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdio.h>

#define SHELL_DEEPEST 32

/* What the script is in the middle of: quotes, $( ), ${ }, a comment, the innermost last. */
typedef struct shell_state {
    char open[SHELL_DEEPEST]; /* ' " ( { # */
    int depth;
    char before; /* the character before */
    bool escaped;
    bool unclear; /* past what is followed here: back quotes, here-documents, `case`, $'...' */
} shell_state;

void shell_begin(shell_state *s, const char *script);
/* One character of the script itself. */
void shell_feed(shell_state *s, char c);
/* Writes `value` so that sh takes it for a piece of one word and for nothing else. A value of plain
 * characters is written as it is; another is refused where the place is unclear. */
MF_MUST_USE mf_status shell_put(shell_state *s, const char *value, FILE *out);

#endif
