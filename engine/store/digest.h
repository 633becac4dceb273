/* digest.h - SHA-256, of bytes as they come and of files and folders by content. */
#ifndef MASSFLOW_STORE_DIGEST_H
#define MASSFLOW_STORE_DIGEST_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

#define MF_DIGEST_BYTES 32
#define MF_HEX_SIZE 65 /* 64 hex digits and the closing NUL */

typedef struct mf_digest mf_digest;

MF_MUST_USE mf_status mf_digest_new(mf_digest **digest);
void mf_digest_free(mf_digest *digest); /* NULL is fine */
void mf_digest_add(mf_digest *digest, const void *bytes, size_t size);
/* A length (8 bytes, little-endian) and then the text: lists of texts hash without ambiguity. */
void mf_digest_add_text(mf_digest *digest, const char *text);
void mf_digest_add_int(mf_digest *digest, int64_t value); /* 8 bytes, little-endian */
/* Writes the digest and starts over. */
void mf_digest_end(mf_digest *digest, uint8_t out[MF_DIGEST_BYTES]);
void mf_digest_end_hex(mf_digest *digest, char hex[MF_HEX_SIZE]);

/* All in one. */
void mf_digest_bytes(const void *bytes, size_t size, uint8_t out[MF_DIGEST_BYTES]);
void mf_digest_hex(const void *bytes, size_t size, char hex[MF_HEX_SIZE]);

void mf_hex_encode(const uint8_t digest[MF_DIGEST_BYTES], char hex[MF_HEX_SIZE]);
bool mf_hex_decode(const char *hex, uint8_t digest[MF_DIGEST_BYTES]); /* 64 digits exactly */

/* The digest of one file's bytes. Fails where the file changes while it is read. */
MF_MUST_USE mf_status mf_digest_file(const char *path, char hex[MF_HEX_SIZE]);

/* How the digest of one file of a folder is come by: mf_digest_file, or with a memory. */
typedef mf_status (*mf_digest_file_call)(void *self, const char *path, char hex[MF_HEX_SIZE]);

/* A file: the digest of its bytes. A folder: the digest over the paths of all files below it,
 * relative to it and in order of their bytes, each with its file's digest. The path itself plays no
 * part. Links are followed. Names for which mf_path_ignored holds are passed over, and what lies
 * below them. `call` may be NULL. */
MF_MUST_USE mf_status mf_digest_path(const char *path, mf_digest_file_call call, void *self,
                                     char hex[MF_HEX_SIZE]);

#endif
