/* lines.h - the lines of a text header in front of voxels, or without them. */
#ifndef VOLUME_LINES_H
#define VOLUME_LINES_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct text_lines {
    const char *path; /* borrowed */
    FILE *file;       /* borrowed; stands behind the line */
    int number;       /* of the line in `text`, from 1 */
    char *text;       /* the line without its end (LF or CR LF); NULL before the first */
    size_t room;
} text_lines;

/* Reads the next line; *more is false where there is none. A line of more than 1 MiB is refused. */
MF_MUST_USE mf_status lines_next(text_lines *l, bool *more);
void lines_free(text_lines *l);

/* Cuts blanks off both ends of a text, in place. */
char *text_trim(char *text);
/* Parses all of `text` as finite numbers parted by blanks: how many there are, at most `most`; -1
 * where something else stands there or there are more. */
int text_reals(const char *text, double *to, int most);
/* Parses all of `text` as one whole number. */
bool text_whole(const char *text, long long *value);

#endif
