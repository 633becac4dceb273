/* json_reader.h - JSON from front to back, in the file's own bytes, for headers of safetensors.
 *
 * json-c would keep the last of two equal keys, end a name at its NUL, pass over what stands behind
 * the object, and build objects of 100 bytes and more for each "[]". Here nothing is built: texts
 * are decoded where they stand, which never takes more room, and what is not asked for is passed
 * over. The grammar is RFC 8259; texts are valid UTF-8. Errors say the byte. */
#ifndef MF_WEIGHTS_JSON_READER_H
#define MF_WEIGHTS_JSON_READER_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct json_reader {
    char *start, *at, *end; /* at end stands a NUL, which belongs to the reader */
} json_reader;

MF_MUST_USE mf_status json_damaged(const json_reader *r, const char *what);

/* Passes over white space and `c`, where that is what follows. */
bool json_next(json_reader *r, char c);
/* The same, where nothing else may follow. */
MF_MUST_USE mf_status json_expect(json_reader *r, char c);

/* A text, which stays in place with a NUL behind it. A NUL within it is an error. */
MF_MUST_USE mf_status json_text(json_reader *r, char **text);
/* Whether a whole number of digits alone follows: then it is read. */
bool json_natural(json_reader *r, int64_t *value);
/* Passes over one value of any kind, nested at most 128 deep. */
MF_MUST_USE mf_status json_skip(json_reader *r);
/* Only white space is left. */
bool json_ended(json_reader *r);

/* For each item of a list or object: begins with *count = 0; false in *more when it has ended.
 * Reads the bracket, the comma before an item, the closing bracket. */
MF_MUST_USE mf_status json_item(json_reader *r, char open, char close, size_t *count, bool *more);

#endif
