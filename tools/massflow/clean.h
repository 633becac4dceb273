/* clean.h - what massflow prints, made harmless: names of files, lines of commands and texts of
 * files are somebody else's, and may hold what a terminal obeys. */
#ifndef MF_CLEAN_H
#define MF_CLEAN_H

#include <stddef.h>
#include <stdio.h>

/* From now on stdout and stderr show control characters and turns of direction as \u001b, and bytes
 * that are no UTF-8 as \xff. (So JSON that passes through stays the same JSON.) */
void clean_streams(void);
/* The file behind such a stream, for isatty and the like. */
int clean_file(FILE *stream);
/* What is printed from now on goes nowhere, and that is no error. */
void clean_silence(FILE *stream);
/* Escape sequences of our own, past the filter. */
void clean_escape(FILE *stream, const char *sequence);

/* `text` as it would be shown, for a test: at most 6 bytes for each byte of it, into `to`. */
typedef struct cleaner {
    unsigned char rest[4]; /* of a character whose end has not come yet */
    size_t rest_size;
} cleaner;
size_t clean_bytes(cleaner *c, const char *from, size_t size, char *to);
/* What is left at the end. */
size_t clean_end(cleaner *c, char *to);

#endif
