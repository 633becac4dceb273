/* letters.c - see letters.h. A letter is 3 x 5 dots of 2 x 2 pixels: five rows from the top, three
 * bits (an octal digit) each. */
#include "letters.h"

#include <ctype.h>
#include <string.h>

static uint16_t dots_of(unsigned char c)
{
    static const uint16_t digits[10] = {075557, 026227, 071747, 071717, 055711,
                                        074717, 074757, 071111, 075757, 075717};
    static const uint16_t capitals[26] = {025755, 065656, 034443, 065556, 074647, 074644, 034553,
                                          055755, 072227, 011152, 055655, 044447, 057755, 065555,
                                          025552, 065644, 025563, 065655, 034216, 072222, 055557,
                                          055552, 055775, 055255, 055222, 071247};
    static const struct {
        char c;
        uint16_t dots;
    } others[] = {{' ', 0},      {'-', 000700},  {'_', 000007}, {'.', 000002},
                  {',', 000024}, {'(', 024442},  {')', 021112}, {'/', 011244},
                  {'+', 002720}, {'\'', 022000}, {':', 002020}};
    if (c >= '0' && c <= '9')
        return digits[c - '0'];
    if (isalpha(c) && c < 128)
        return capitals[toupper(c) - 'A'];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].c == (char)c)
            return others[i].dots;
    return 061202; /* ? */
}

/* Whether a byte continues a character of UTF-8. */
static int continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

int64_t letters_count(const char *text)
{
    int64_t count = 0;
    for (; *text; text++)
        count += !continues((unsigned char)*text);
    return count;
}

static void draw_one(const letters_page *page, int64_t x, int64_t y, uint16_t dots, uint8_t grey)
{
    for (int pixel = 0; pixel < 60; pixel++) {
        int across = pixel % 6, down = pixel / 6;
        int64_t px = x + across, py = y + down;
        if (dots >> (14 - (down / 2 * 3 + across / 2)) & 1 && px >= 0 && py >= 0 &&
            px < page->width && py < page->height)
            memset(page->rgb + (py * page->width + px) * 3, grey, 3);
    }
}

void letters_draw(const letters_page *page, int64_t x, int64_t y, const char *text, uint8_t grey)
{
    for (; *text; text++) {
        if (continues((unsigned char)*text))
            continue;
        draw_one(page, x, y, dots_of((unsigned char)*text), grey);
        x += LETTERS_WIDTH;
    }
}
