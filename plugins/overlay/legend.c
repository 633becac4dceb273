/* legend.c - see legend.h. */
#include "legend.h"
#include "../common/label_colour.h"
#include "letters.h"

#include <stdio.h>
#include <string.h>

#define LINE 16    /* pixels from one entry to the next */
#define SWATCH 10  /* pixels a side */
#define MARGIN 4   /* pixels around */
#define LONGEST 40 /* letters of an entry */
#define MOST 120   /* entries; one more line says how many are left out */
#define BACKGROUND 32
#define TEXT 210

static void entry_text(const mf_names *names, int64_t value, char text[256])
{
    const mf_name *name = mf_names_find(names, value);
    snprintf(text, 256, "%lld%s%s", (long long)value, name ? " " : "", name ? name->name : "");
}

static void draw_entry(const letters_page *page, const mf_names *names, int64_t value, int64_t x,
                       int64_t y, int64_t letters)
{
    char text[256];
    uint8_t colour[3];
    mf_named_colour(names, value, colour);
    for (int64_t p = 0; p < SWATCH * SWATCH; p++)
        if (x + p % SWATCH < page->width)
            memcpy(page->rgb + ((y + p / SWATCH) * page->width + x + p % SWATCH) * 3, colour, 3);
    entry_text(names, value, text);
    while (letters_count(text) > letters) /* a character of UTF-8 at a time */
        for (char *end = text + strlen(text) - 1;; end--) {
            bool first = ((unsigned char)*end & 0xc0) != 0x80;
            *end = '\0';
            if (first)
                break;
        }
    letters_draw(page, x + SWATCH + MARGIN, y, text, TEXT);
}

mf_status legend_add(const mf_names *names, const int64_t *values, size_t count, mf_array **rgb)
{
    const int64_t *old = (*rgb)->shape;
    size_t shown = count < MOST ? count : MOST;
    int64_t letters = 1;
    char text[256];
    mf_array *made;
    for (size_t i = 0; i < shown; i++) {
        entry_text(names, values[i], text);
        letters = letters_count(text) > letters ? letters_count(text) : letters;
    }
    letters = letters < LONGEST ? letters : LONGEST;
    int64_t column = SWATCH + 2 * MARGIN + letters * LETTERS_WIDTH;
    int64_t columns = (old[1] - MARGIN) / column > 0 ? (old[1] - MARGIN) / column : 1;
    int64_t rows = ((int64_t)shown + columns - 1) / columns + (shown < count);
    const int64_t shape[3] = {old[0] + rows * LINE + 2 * MARGIN, old[1], 3};
    MF_TRY(mf_array_new(MF_U8, 3, shape, &made));
    memset(made->data, BACKGROUND, made->bytes);
    memcpy(made->data, (*rgb)->data, (*rgb)->bytes);
    const letters_page page = {made->data, shape[1], shape[0]};
    const int64_t top = old[0] + 2 * MARGIN;
    for (size_t i = 0; i < shown; i++)
        draw_entry(&page, names, values[i], MARGIN + (int64_t)i % columns * column,
                   top + (int64_t)i / columns * LINE, letters);
    if (shown < count) {
        snprintf(text, sizeof text, "and %zu more", count - shown);
        letters_draw(&page, MARGIN, top + (rows - 1) * LINE, text, TEXT);
    }
    mf_array_unref(*rgb);
    *rgb = made;
    return MF_OK;
}
