/* secret.h - the token that a run and its workers share, and what is made of it.
 *
 * The token never travels. Each end sends a random number and proves that it knows the token by an
 * HMAC over both numbers, so that nothing that was recorded proves anything again; the keys of the
 * link come from the same numbers and are of this connection alone. Frames are sealed by
 * AES-256-GCM under their number: one that was changed, left out, repeated or put in ends the link,
 * and what travels can't be read on the way. */
#ifndef MASSFLOW_RUN_REMOTE_SECRET_H
#define MASSFLOW_RUN_REMOTE_SECRET_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_SECRET_BYTES 32
#define MF_SEAL_BYTES 16

typedef struct mf_token {
    uint8_t key[MF_SECRET_BYTES]; /* a digest of what the file holds */
} mf_token;

/* Reads the file, which only its owner may read (mode 0600). `make`: where there is none, one is
 * made with random content. */
MF_MUST_USE mf_status mf_token_read(const char *path, bool make, mf_token *token);
/* Of the text that such a file holds. `name`: of where it stands, for errors. */
MF_MUST_USE mf_status mf_token_of(const char *name, const char *text, size_t size, mf_token *token);

MF_MUST_USE mf_status mf_secret_random(uint8_t bytes[MF_SECRET_BYTES]);
/* An HMAC of `word` and both numbers under the token. */
void mf_secret_derive(const mf_token *token, const char *word, const uint8_t a[MF_SECRET_BYTES],
                      const uint8_t b[MF_SECRET_BYTES], uint8_t out[MF_SECRET_BYTES]);
bool mf_secret_same(const uint8_t *a, const uint8_t *b, size_t size); /* takes the same time */

/* One direction of a link. */
typedef struct mf_seal mf_seal;
MF_MUST_USE mf_status mf_seal_new(const uint8_t key[MF_SECRET_BYTES], mf_seal **seal);
void mf_seal_free(mf_seal *seal); /* NULL is fine */
/* Seals `head` and `body` into `out`, of the size of both, and `tag`; `clear` is covered, too. */
MF_MUST_USE mf_status mf_seal_close(mf_seal *seal, const void *clear, size_t clear_size,
                                    const void *head, size_t head_size, const void *body,
                                    size_t body_size, uint8_t *out, uint8_t tag[MF_SEAL_BYTES]);
/* In place; false where it is not what was sealed next. */
bool mf_seal_open(mf_seal *seal, const void *clear, size_t clear_size, uint8_t *bytes, size_t size,
                  const uint8_t tag[MF_SEAL_BYTES]);

#endif
