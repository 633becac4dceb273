/* random.c - Philox4x32-10 (Salmon et al., SC 2011) and draws from it. */
#include <massflow/random.h>

#include <math.h>

static void mulhilo(uint32_t a, uint32_t b, uint32_t *high, uint32_t *low)
{
    uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    *low = (uint32_t)product;
}

void mf_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    for (int round = 0; round < 10; round++) {
        uint32_t h0, l0, h1, l1;
        mulhilo(0xD2511F53u, c[0], &h0, &l0);
        mulhilo(0xCD9E8D57u, c[2], &h1, &l1);
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u; /* Weyl sequences of the golden ratio and sqrt(3) - 1 */
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
}

void mf_random_seed(mf_random *r, uint64_t seed, const char *name, uint64_t item)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a of the name */
    for (const char *p = name; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
    /* One block mixes seed and name, so that near seeds share nothing. */
    uint32_t plain[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t counter[4] = {(uint32_t)hash, (uint32_t)(hash >> 32), 0x6d617373u, 0x666c6f77u};
    uint32_t mixed[4];
    mf_philox(plain, counter, mixed);
    *r = (mf_random){.key = {mixed[0], mixed[1]},
                     .counter = {0, 0, (uint32_t)item, (uint32_t)(item >> 32)},
                     .used = 4};
}

uint32_t mf_random_u32(mf_random *r)
{
    if (r->used == 4) {
        mf_philox(r->key, r->counter, r->block);
        r->used = 0;
        if (++r->counter[0] == 0)
            r->counter[1]++;
    }
    return r->block[r->used++];
}

double mf_random_uniform(mf_random *r, double low, double high)
{
    uint64_t bits = (uint64_t)mf_random_u32(r) << 21 ^ mf_random_u32(r) >> 11;
    double unit = (double)bits * 0x1p-53;
    double value = low + (high - low) * unit;
    return value < high || low >= high ? value : low; /* rounding may reach high */
}

/* Box and Muller 1958; the second number of the pair is not kept, so that a draw has no memory. */
double mf_random_normal(mf_random *r)
{
    double u = 1.0 - mf_random_uniform(r, 0, 1); /* (0, 1] */
    double v = mf_random_uniform(r, 0, 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

int64_t mf_random_below(mf_random *r, int64_t n)
{
    uint64_t range = (uint64_t)n, limit = UINT64_MAX - UINT64_MAX % range, draw;
    do /* draws at or above the last multiple of n would favour small numbers */
        draw = (uint64_t)mf_random_u32(r) << 32 | mf_random_u32(r);
    while (draw >= limit);
    return (int64_t)(draw % range);
}
