/* decimal.h - which texts of a table are numbers. */
#ifndef MF_PLUGINS_DECIMAL_H
#define MF_PLUGINS_DECIMAL_H

#include <stdbool.h>

#define DECIMAL_EXACT 9007199254740992.0 /* 2^53: below it a double holds every integer */

/* Whether a double holds what the text says: an integer below 2^53 exactly, a real to the nearest;
 * also "nan", "inf" and "infinity". Whatever else looks like a number is text, so that it comes
 * back byte for byte: 007 (a code), 0x10, 1e999, an identifier of 17 digits. Spaces may stand in
 * front. */
bool decimal_number(const char *text, double *value);

#endif
