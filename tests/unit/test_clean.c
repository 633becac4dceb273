/* test_clean.c - what massflow prints of other people's texts. */
#include "../../tools/massflow/clean.h"
#include "../expect.h"
#include "../run_suite.h"
#include "base/utf8.h"

#include <check.h>
#include <massflow/random.h>
#include <stdlib.h>
#include <string.h>

static void shows(const char *text, size_t size, const char *expected)
{
    char to[512];
    cleaner c = {{0}, 0};
    size_t n = clean_bytes(&c, text, size, to);

    n += clean_end(&c, to + n);
    to[n] = '\0';
    ck_assert_str_eq(to, expected);
}

#define SHOWS(text, expected) shows(text, sizeof(text) - 1, expected)

START_TEST(controls_are_shown)
{
    SHOWS("scan 12: 3 \xc3\xa4pfel\t\xe2\x82\xac \xf0\x9f\xa9\xbb\n",
          "scan 12: 3 \xc3\xa4pfel\t\xe2\x82\xac \xf0\x9f\xa9\xbb\n");
    SHOWS("\033[31mred\033]52;c;cHdu\a", "\\u001b[31mred\\u001b]52;c;cHdu\\u0007");
    SHOWS("back\rover\b\x7f", "back\\u000dover\\u0008\\u007f");
    SHOWS("a\0b", "a\\u0000b");
    SHOWS("\xc2\x9b[2J", "\\u009b[2J");               /* a control sequence of one character */
    SHOWS("\x9b[2J", "\\x9b[2J");                     /* and of one byte */
    SHOWS("a\xe2\x80\xaetxt.exe", "a\\u202etxt.exe"); /* right to left from here */
    SHOWS("\xe2\x81\xa6x\xe2\x81\xa9\xd8\x9c\xe2\x80\xa8", "\\u2066x\\u2069\\u061c\\u2028");
    SHOWS("\xff\xc0\xaf\xed\xa0\x80\xf5", "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xf5");
    SHOWS("cut \xe2\x82", "cut \\xe2\\x82");
    SHOWS("cut \xe2\x82!", "cut \\xe2\\x82!");
    SHOWS("\xf0\x9f\xa9\xf0\x9f\xa9\xbb", "\\xf0\\x9f\\xa9\xf0\x9f\xa9\xbb");
}
END_TEST

/* However the bytes come in pieces, the same is shown, and nothing that a terminal obeys. */
START_TEST(pieces_make_no_difference)
{
    static const unsigned char likely[] = {0x1b, 'a',  '\n', 0xc2, 0x9b, 0xe2, 0x80, 0xae,
                                           0xf0, 0x9f, 0xa9, 0xbb, 0xff, 0x7f, 0xed, 0xa0};
    mf_random random;

    mf_random_seed(&random, 7, "", 0);
    for (int round = 0; round < 20000; round++) {
        char text[64], whole[6 * 64], parts[6 * 64];
        cleaner c = {{0}, 0};
        size_t size = (size_t)mf_random_below(&random, sizeof text), n, m = 0;
        for (size_t i = 0; i < size; i++)
            text[i] = mf_random_below(&random, 4)
                          ? (char)likely[mf_random_below(&random, sizeof likely)]
                          : (char)mf_random_below(&random, 256);
        n = clean_bytes(&c, text, size, whole);
        n += clean_end(&c, whole + n);
        for (size_t at = 0; at < size;) {
            size_t part = 1 + (size_t)mf_random_below(&random, 5);
            part = part < size - at ? part : size - at;
            m += clean_bytes(&c, text + at, part, parts + m);
            at += part;
        }
        m += clean_end(&c, parts + m);
        ck_assert_uint_eq(n, m);
        ck_assert_int_eq(memcmp(whole, parts, n), 0);
        bool harmless = true;
        for (size_t at = 0; at < n && harmless;) {
            uint32_t code = 0;
            size_t length = mf_utf8_next(whole + at, n - at, &code);
            harmless = length && !mf_utf8_is_control(code);
            at += length;
        }
        ck_assert(harmless);
    }
}
END_TEST

START_TEST(copies_are_valid)
{
    char *clean = mf_utf8_clean("a\xff\xe2\x82\xac\xe2\x82");

    ck_assert_str_eq(clean, "a\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd");
    free(clean);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clean");
    TCase *cases = tcase_create("clean");
    tcase_add_test(cases, controls_are_shown);
    tcase_add_test(cases, pieces_make_no_difference);
    tcase_add_test(cases, copies_are_valid);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
