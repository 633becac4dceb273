"""massflow/random.h in numpy: the same numbers, so that weights and inputs need not be stored."""

import numpy as np

M = np.uint64(0xFFFFFFFF)


def blocks(key, counter):
    """Philox4x32-10. key: two ints; counter: four uint64 arrays below 2^32 -> four of the same."""
    c = [np.asarray(x, np.uint64) for x in counter]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        s = np.uint64(32)
        c = [(p1 >> s) ^ c[1] ^ np.uint64(k0), p1 & M, (p0 >> s) ^ c[3] ^ np.uint64(k1), p0 & M]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def uniform(seed, name, count):
    """What mf_random_seed(seed, name, 0) and `count` times mf_random_uniform(-1, 1) draw."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    one = [np.array([v], np.uint64) for v in (h & 0xFFFFFFFF, h >> 32, 0x6D617373, 0x666C6F77)]
    mixed = blocks((seed & 0xFFFFFFFF, seed >> 32), one)
    n = np.arange((count + 1) // 2, dtype=np.uint64)
    zero = np.zeros_like(n)
    w = blocks((int(mixed[0][0]), int(mixed[1][0])), (n, zero, zero, zero))
    bits = np.stack([(w[0] << np.uint64(21)) ^ (w[1] >> np.uint64(11)),
                     (w[2] << np.uint64(21)) ^ (w[3] >> np.uint64(11))], 1).reshape(-1)[:count]
    return -1.0 + 2.0 * (bits.astype(np.float64) * 2.0 ** -53)
