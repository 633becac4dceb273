/* markup.h - texts of users inside HTML and SVG: nothing that they hold may become markup. */
#ifndef MF_REPORT_MARKUP_H
#define MF_REPORT_MARKUP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Escapes & < > and both quotes; what is no UTF-8, or no character of XML, becomes U+FFFD. */
void put_text(FILE *out, const char *text);
/* At most `most` characters, then an ellipsis. */
void put_short(FILE *out, const char *text, size_t most);
/* Base64, for data URIs. */
void put_base64(FILE *out, const uint8_t *bytes, size_t count);
/* Characters, not bytes. */
size_t text_length(const char *text);

#endif
