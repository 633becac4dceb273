/* letters.h - short texts in a picture: legends, numbers of slices, sides of the patient. */
#ifndef OVERLAY_LETTERS_H
#define OVERLAY_LETTERS_H

#include <stddef.h>
#include <stdint.h>

#define LETTERS_WIDTH 8   /* pixels from one letter to the next */
#define LETTERS_HEIGHT 10 /* of a letter */

/* A picture, u8 [height, width, 3], and what may be drawn on: letters are cut off at its border. */
typedef struct letters_page {
    uint8_t *rgb;
    int64_t width, height;
} letters_page;

/* Draws the text from x, y (its upper left corner) in a grey of 0 to 255. Letters are capitals; a
 * character that has no letter here is drawn as a question mark. */
void letters_draw(const letters_page *page, int64_t x, int64_t y, const char *text, uint8_t grey);
/* How many letters a text has. */
int64_t letters_count(const char *text);

#endif
