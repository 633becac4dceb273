// philox.cl - Philox4x32-10, word for word what engine/base/random.c draws (Salmon et al. 2011).
inline uint4 philox(uint2 key, uint4 c)
{
    for (int round = 0; round < 10; round++) {
        uint h0 = mul_hi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x;
        uint h1 = mul_hi(0xCD9E8D57u, c.z), l1 = 0xCD9E8D57u * c.z;
        c = (uint4)(h1 ^ c.y ^ key.x, l1, h0 ^ c.w ^ key.y, l0);
        key += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}
