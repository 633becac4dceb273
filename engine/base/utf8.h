/* utf8.h - characters of UTF-8 (RFC 3629), and which of them change how others are shown. */
#ifndef MASSFLOW_BASE_UTF8_H
#define MASSFLOW_BASE_UTF8_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the character at `c`, of which `left` (at least 1) are there, and its *code. 0 where
 * they are none: overlong, a surrogate, past U+10FFFF, or cut off. */
size_t mf_utf8_next(const void *c, size_t left, uint32_t *code);
/* How many bytes a character that begins with this byte has; 0 for a byte that begins none. */
size_t mf_utf8_length(unsigned char first);
/* Control characters but tab and line feed, and what turns the direction of text (Unicode UAX 9):
 * they can make a terminal or a page show something else than what is there. */
bool mf_utf8_is_control(uint32_t code);
/* A copy in valid UTF-8, U+FFFD for each byte that is none; the caller frees. NULL without memory.
 */
char *mf_utf8_clean(const char *text);

#endif
