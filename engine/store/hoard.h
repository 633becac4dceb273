/* hoard.h - chunks and records in a folder: what a worker on another machine keeps between its
 * nodes, and between its jobs on one machine.
 *
 * It is no store: nothing in it is named by anything, each entry is held against its digest when it
 * is read, and what was not used for longest goes when the folder is full. So a crash costs nothing
 * and needs no repair. One process uses a folder at a time: where it is in use the next one gets
 * DIR-2, and so on. Any thread may call anything here. */
#ifndef MASSFLOW_STORE_HOARD_H
#define MASSFLOW_STORE_HOARD_H

#include "store/transfer.h"

typedef struct mf_hoard mf_hoard;

/* `most`: bytes that it may hold. The folder is made, of mode 0700, where it is missing. */
MF_MUST_USE mf_status mf_hoard_open(const char *dir, int64_t most, mf_hoard **hoard);
void mf_hoard_close(mf_hoard *hoard); /* NULL is fine; the folder stays */
const char *mf_hoard_dir(const mf_hoard *hoard);
int64_t mf_hoard_bytes(mf_hoard *hoard);

bool mf_hoard_has(mf_hoard *hoard, const uint8_t digest[MF_DIGEST_BYTES]);
/* Keeps a chunk that is sound; `pin`: until mf_hoard_unpin, as often as it was pinned. */
MF_MUST_USE mf_status mf_hoard_put(mf_hoard *hoard, const uint8_t digest[MF_DIGEST_BYTES],
                                   const mf_chunk *chunk, bool pin);
void mf_hoard_unpin(mf_hoard *hoard, const uint8_t digest[MF_DIGEST_BYTES]);
/* *found false where it is not there, or was not what its name says: it is then gone. */
MF_MUST_USE mf_status mf_hoard_get(mf_hoard *hoard, const uint8_t digest[MF_DIGEST_BYTES],
                                   mf_chunk *chunk, bool *found);
/* The same, expanded: a chunk of `raw` bytes. */
MF_MUST_USE mf_status mf_hoard_read(mf_hoard *hoard, const uint8_t digest[MF_DIGEST_BYTES],
                                    uint8_t *dst, size_t raw, bool *found);

#endif
