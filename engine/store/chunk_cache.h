/* chunk_cache.h - chunks and records in a folder: what a worker on another machine keeps between
 * its nodes, and between its jobs on one machine.
 *
 * It is no store: nothing in it is named by anything, each entry is held against its digest when it
 * is read, and what was not used for longest goes when the folder is full. So a crash costs nothing
 * and needs no repair. One process uses a folder at a time: where it is in use the next one gets
 * DIR-2, and so on. Any thread may call anything here. */
#ifndef MASSFLOW_STORE_CHUNK_CACHE_H
#define MASSFLOW_STORE_CHUNK_CACHE_H

#include "store/transfer.h"

typedef struct mf_chunk_cache mf_chunk_cache;

/* `most`: bytes that it may hold. The folder is made, of mode 0700, where it is missing. */
MF_MUST_USE mf_status mf_chunk_cache_open(const char *dir, int64_t most,
                                          mf_chunk_cache **chunk_cache);
/* The same where machines that may lose power share the folder: a chunk is on the disk before it
 * has its name. */
MF_MUST_USE mf_status mf_chunk_cache_open_safe(const char *dir, int64_t most,
                                               mf_chunk_cache **chunk_cache);
void mf_chunk_cache_close(mf_chunk_cache *chunk_cache); /* NULL is fine; the folder stays */
const char *mf_chunk_cache_dir(const mf_chunk_cache *chunk_cache);
int64_t mf_chunk_cache_bytes(mf_chunk_cache *chunk_cache);
int64_t mf_chunk_cache_most(const mf_chunk_cache *chunk_cache);
/* Of the bytes that it may hold so many lie there as something else (file_cache.h). */
void mf_chunk_cache_share(mf_chunk_cache *chunk_cache, int64_t bytes);

bool mf_chunk_cache_has(mf_chunk_cache *chunk_cache, const uint8_t digest[MF_DIGEST_BYTES]);
/* Keeps a chunk that is sound; `pin`: until mf_chunk_cache_unpin, as often as it was pinned. */
MF_MUST_USE mf_status mf_chunk_cache_put(mf_chunk_cache *chunk_cache,
                                         const uint8_t digest[MF_DIGEST_BYTES],
                                         const mf_chunk *chunk, bool pin);
void mf_chunk_cache_unpin(mf_chunk_cache *chunk_cache, const uint8_t digest[MF_DIGEST_BYTES]);
/* *found false where it is not there, or was not what its name says: it is then gone. */
MF_MUST_USE mf_status mf_chunk_cache_get(mf_chunk_cache *chunk_cache,
                                         const uint8_t digest[MF_DIGEST_BYTES], mf_chunk *chunk,
                                         bool *found);
/* From a folder that another process of this user keeps: whether it is such a folder, and a chunk
 * of it, which is sound. Where it is not there, or was not what its name says, nothing is changed.
 */
bool mf_chunk_folder(const char *dir);
MF_MUST_USE mf_status mf_chunk_folder_get(const char *dir, const uint8_t digest[MF_DIGEST_BYTES],
                                          mf_chunk *chunk, bool *found);
/* The same, expanded: a chunk of `raw` bytes. */
MF_MUST_USE mf_status mf_chunk_cache_read(mf_chunk_cache *chunk_cache,
                                          const uint8_t digest[MF_DIGEST_BYTES], uint8_t *dst,
                                          size_t raw, bool *found);

#endif
