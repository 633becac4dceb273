/* segments.c - see segments.h. */
#include "segments.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void segments_free(segments *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->v[i].name);
    free(s->v);
    *s = (segments){0};
}

static mf_status grow(segments *s, size_t count)
{
    while (s->count < count) {
        segment *more = mf_list_more(s->v, s->count, sizeof *more);
        if (!more)
            return mf_no_memory(0, "the segments of a segmentation");
        s->v = more;
        s->v[s->count++] = (segment){.value = -1, .colour = MF_NO_COLOUR};
    }
    return MF_OK;
}

static int32_t colour_of(const char *text)
{
    double c[3];
    int32_t colour = 0;
    if (sscanf(text, "%lf %lf %lf", &c[0], &c[1], &c[2]) != 3)
        return MF_NO_COLOUR;
    for (int i = 0; i < 3; i++) {
        if (!(c[i] >= 0 && c[i] <= 1))
            return MF_NO_COLOUR;
        colour = colour << 8 | (int32_t)lrint(255 * c[i]);
    }
    return colour;
}

static bool whole(const char *text, int64_t *value)
{
    char *end;
    long long parsed = strtoll(text, &end, 10);
    if (end == text || *end || parsed < 0 || parsed > INT32_MAX)
        return false;
    *value = parsed;
    return true;
}

/* The value of a pair, in which a backslash stands before n (a line's end) and before another one.
 * The caller frees. */
static char *plain(const char *text)
{
    char *made = strdup(text), *to = made;
    for (const char *c = text; made && *c; c++) {
        bool escaped = *c == '\\' && (c[1] == '\\' || c[1] == 'n');
        c += escaped;
        *to++ = escaped && *c == 'n' ? ' ' : *c;
    }
    if (made)
        *to = '\0';
    return made;
}

static mf_status take_name(segment *one, const char *text)
{
    free(one->name);
    one->name = plain(text);
    return one->name ? MF_OK : mf_no_memory(0, "the segments of a segmentation");
}

mf_status segments_take(segments *s, const char *line)
{
    char field[32];
    int number, used = 0;
    if (sscanf(line, "Segment%5d_%31[A-Za-z]:=%n", &number, field, &used) != 2 || !used ||
        number < 0 || number >= SEGMENTS_MOST)
        return MF_OK;
    const char *text = line + used;
    MF_TRY(grow(s, (size_t)number + 1));
    segment *one = &s->v[number];
    if (!strcmp(field, "Name"))
        return take_name(one, text);
    if (!strcmp(field, "Color"))
        one->colour = colour_of(text);
    if (!strcmp(field, "LabelValue") && !whole(text, &one->value))
        return mf_fail(MF_CORRUPT, "segment %d has the label value '%.60s'", number, text);
    if (!strcmp(field, "Layer") && !whole(text, &one->layer))
        return mf_fail(MF_CORRUPT, "segment %d has the layer '%.60s'", number, text);
    return MF_OK;
}

/* Which name is that of the value shows only where no other segment of the layer has it. */
static bool is_alone(const segments *s, const segment *one)
{
    for (size_t i = 0; i < s->count; i++)
        if (&s->v[i] != one && s->v[i].value == one->value && s->v[i].layer == one->layer)
            return false;
    return true;
}

mf_status segments_names(const segments *s, int64_t layer, mf_names *names)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->v[i].name && s->v[i].value > 0 && s->v[i].layer == layer && is_alone(s, &s->v[i]))
            MF_TRY(mf_names_put(names, s->v[i].value, s->v[i].name, s->v[i].colour));
    return MF_OK;
}
