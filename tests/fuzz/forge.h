/* forge.h - artifacts as a liar makes them, from any bytes: what their type asks for, but here and
 * there something else. Every digest is right, so what lies behind the digests is reached. */
#ifndef MASSFLOW_FUZZ_FORGE_H
#define MASSFLOW_FUZZ_FORGE_H

#include "fuzz.h"
#include "run/artifact/check.h"
#include "store/check.h"

/* What is left of an input; zeros follow its end. */
typedef struct forge_bytes {
    const uint8_t *at;
    size_t left;
} forge_bytes;

uint8_t forge_take(forge_bytes *in);
/* `usual`, or another number. */
int64_t forge_int(forge_bytes *in, int64_t usual);

typedef struct forged_chunk {
    uint8_t digest[MF_DIGEST_BYTES];
    uint8_t *bytes;
    size_t size;
} forged_chunk;

typedef struct forged {
    const char *type;
    mf__buffer record;
    uint8_t id[MF_DIGEST_BYTES];
    forged_chunk chunk[64];
    size_t count;
} forged;

void forge(forge_bytes *in, forged *f);
void forge_clear(forged *f);

/* The types that are checked and drawn, and the stages of tests/plugins/toy.c. */
const mf_registry *forge_registry(void);
/* Reads of an artifact whatever a stage, `show` and `report` read, and draws it, which takes long;
 * it may be refused. Whether it was taken for what it says. */
bool forge_use(const mf_artifact *a, bool draw);

/* An export: `artifacts` of them, and actions that name them. For free(); ids (room for 4) of those
 * artifacts. */
uint8_t *forge_export(forge_bytes *in, size_t *size, char (*ids)[MF_HEX_SIZE], size_t *artifacts);

#endif
