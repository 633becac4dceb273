/* colour.c - see colour.h. */
#include "colour.h"
#include "clean.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool shown(FILE *out)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return !(no && *no) && !(terminal && !strcmp(terminal, "dumb")) && isatty(clean_file(out));
}

void colour_print(FILE *out, colour c, const char *format, ...)
{
    static const char *const sequences[] = {[COLOUR_GOOD] = "\033[32m",
                                            [COLOUR_BAD] = "\033[31m",
                                            [COLOUR_WARN] = "\033[33m",
                                            [COLOUR_FAINT] = "\033[2m"};
    bool coloured = shown(out);
    va_list list;

    if (coloured)
        clean_escape(out, sequences[c]);
    va_start(list, format);
    vfprintf(out, format, list);
    va_end(list);
    if (coloured)
        clean_escape(out, "\033[0m");
}
