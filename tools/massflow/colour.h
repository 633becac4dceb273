/* colour.h - words in colour, where a terminal shows them and the user has not said NO_COLOR. */
#ifndef MF_COLOUR_H
#define MF_COLOUR_H

#include <massflow/error.h>

#include <stdio.h>

typedef enum colour { COLOUR_GOOD, COLOUR_BAD, COLOUR_WARN, COLOUR_FAINT } colour;

/* What printf would print, in colour where `out` is a terminal. No newline: colours end with the
 * words. NO_COLOR (https://no-color.org) and TERM=dumb switch them off. */
void colour_print(FILE *out, colour c, const char *format, ...) MF_PRINTF(3, 4);

#endif
