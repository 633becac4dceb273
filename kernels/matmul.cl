/* matmul.cl - C [M,N] = A B for each matrix of a batch.
 *
 * A_T       a is [K,M] with rows lda apart, else [M,K]
 * b_t       b is [N,K], else [K,N], rows ldb apart (on a CPU only pack_b sees [N,K])
 * panels    b was packed: [ceil(N/NR)][K][NR], zeros beyond N (CPU)
 * c_t       c is [N,M], else [M,N], rows ldc apart
 * has_bias  bias [N] is added
 *
 * Sums run over k in [from, K); where from > 0 they are added to c. They may be cut in chunks of kc:
 * dimension 2 of the range is batch * chunks, and with more than one chunk c is [batch,chunks,M,N],
 * partial sums for sum_chunks. sa, sb, sc: from one matrix to the next. */
#include "common.clh"
#include "tile.clh"

#if MF_CPU

#define NR (VW * NV)

/* b -> panels; range (panels, ceil(K/16), batch). */
ONE __kernel void pack_b(int N, int K, int b_t, int ldb, long sb, IN b, OUT panels)
{
    const int n0 = get_global_id(0) * NR, k0 = get_global_id(1) * 16;
    const int kn = min(16, K - k0), nn = min(NR, N - n0);
    b += get_global_id(2) * sb;
    panels += ((size_t)get_global_id(2) * get_global_size(0) * K + (size_t)n0 / NR * K + k0) * NR;
    if (b_t && kn == 16 && nn == NR) {
        float tile[NR][16];
        for (int n = 0; n < NR; n++)
            vstore16(vload16(0, b + (size_t)(n0 + n) * ldb + k0), 0, tile[n]);
        for (int k = 0; k < 16; k++)
            for (int n = 0; n < NR; n++)
                panels[k * NR + n] = tile[n][k];
        return;
    }
    const size_t k_step = b_t ? 1 : ldb, n_step = b_t ? ldb : 1;
    b += k0 * k_step + n0 * n_step;
    for (int k = 0; k < kn; k++)
        for (int n = 0; n < NR; n++)
            panels[k * NR + n] = n < nn ? b[k * k_step + n * n_step] : 0.0f;
}

/* A vector from x, of which `left` lanes exist; zeros for the others. */
static inline vec load_up_to(IN x, int left)
{
    if (left >= VW)
        return LOAD(x);
    float lanes[VW];
    for (int l = 0; l < VW; l++)
        lanes[l] = l < left ? x[l] : 0.0f;
    return LOAD(lanes);
}

/* sums += A_AT(i) times the next NR values of b, for all k; RUN products are added up by themselves
 * before they join the sums, which keeps rounding small. */
#define RUN 64
#define ROWS_TIMES_B(A_AT, a_step)                                                                 \
    for (int start = k0; start < k1; start += RUN) {                                               \
        const int end = min(start + RUN, k1);                                                      \
        vec acc[MR][NV];                                                                           \
        UNROLL for (int i = 0; i < MR; i++)                                                        \
            UNROLL for (int j = 0; j < NV; j++) acc[i][j] = (vec)(0.0f);                           \
        for (int k = start; k < end; k++) {                                                        \
            vec bv[NV];                                                                            \
            UNROLL for (int j = 0; j < NV; j++) bv[j] = LOAD(b + j * VW);                          \
            UNROLL for (int i = 0; i < MR; i++)                                                    \
            {                                                                                      \
                const vec av = (vec)(A_AT(i));                                                     \
                UNROLL for (int j = 0; j < NV; j++) acc[i][j] = av * bv[j] + acc[i][j];            \
            }                                                                                      \
            a += a_step;                                                                           \
            b += b_step;                                                                           \
        }                                                                                          \
        UNROLL for (int i = 0; i < MR; i++)                                                        \
            UNROLL for (int j = 0; j < NV; j++) sums[i][j] += acc[i][j];                           \
    }

/* A work-item owns `tiles` tiles of rows times `across` panels, panel by panel; range (ceil(M/MR) by
 * tiles, ceil(N/NR) by across, batch * chunks). The last tile of rows moves up to end at M; what it
 * shares with the one before is stored once, by that one. */
ONE __kernel void matmul(int M, int N, int from, int K, int kc, int chunks, int tiles, int across,
                         int b_t, int panels, int c_t, int has_bias, int lda, int ldb, int ldc,
                         long sa, long sb, long sc, IN all_a, IN all_b, IN bias, OUT all_c)
{
    const int batch = get_global_id(2) / chunks, chunk = get_global_id(2) % chunks;
    const int m_end = min((M + MR - 1) / MR, (int)(get_global_id(0) + 1) * tiles);
    const int n_end = min((N + NR - 1) / NR, (int)(get_global_id(1) + 1) * across);
    const int k0 = from + chunk * kc, k1 = min(K, k0 + kc), b_step = panels ? NR : ldb;
    for (int nt = get_global_id(1) * across; nt < n_end; nt++)
        for (int mt = get_global_id(0) * tiles; mt < m_end; mt++) {
            const int m0 = max(0, min(mt * MR, M - MR)), first = mt * MR - m0, n0 = nt * NR;
            OUT c = all_c + get_global_id(2) * sc;
            vec sums[MR][NV];
            UNROLL for (int j = 0; j < NV; j++)
            {
                const vec start =
                    has_bias ? load_up_to(bias + n0 + j * VW, N - n0 - j * VW) : (vec)(0.0f);
                UNROLL for (int i = 0; i < MR; i++) sums[i][j] = start;
            }
            if (from > 0) {
                UNROLL for (int i = 0; i < MR; i++)
                    if (i >= first && m0 + i < M)
                        UNROLL for (int j = 0; j < NV; j++)
                            sums[i][j] = load_up_to(c + (size_t)(m0 + i) * ldc + n0 + j * VW,
                                                    N - n0 - j * VW);
            }
            IN b = all_b + batch * sb + (panels ? ((size_t)nt * K + k0) * NR : (size_t)k0 * ldb + n0);
#if A_T
            IN a = all_a + batch * sa + (size_t)k0 * lda + m0;
            if (M >= MR) {
#define A_AT(i) a[i]
                ROWS_TIMES_B(A_AT, lda)
#undef A_AT
            } else {
#define A_AT(i) a[min(i, M - 1)]
                ROWS_TIMES_B(A_AT, lda)
#undef A_AT
            }
#else
            size_t row[MR];
            UNROLL for (int i = 0; i < MR; i++) row[i] = (size_t)min(i, M - 1) * lda;
            IN a = all_a + batch * sa + (size_t)m0 * lda + k0;
#define A_AT(i) a[row[i]]
            ROWS_TIMES_B(A_AT, 1)
#endif

            if (c_t) {
                float out[MR][NR];
                UNROLL for (int i = 0; i < MR; i++)
                    UNROLL for (int j = 0; j < NV; j++) STORE(sums[i][j], out[i] + j * VW);
                for (int n = 0; n < min(NR, N - n0); n++)
                    for (int i = first; i < min(MR, M - m0); i++)
                        c[(size_t)(n0 + n) * ldc + m0 + i] = out[i][n];
                continue;
            }
            c += (size_t)m0 * ldc + n0;
            UNROLL for (int i = 0; i < MR; i++)
            {
                if (i >= first && m0 + i < M) {
                    UNROLL for (int j = 0; j < NV; j++)
                    {
                        if (n0 + (j + 1) * VW <= N) {
                            STORE(sums[i][j], c + (size_t)i * ldc + j * VW);
                        } else {
                            float part[VW];
                            STORE(sums[i][j], part);
                            for (int l = 0; n0 + j * VW + l < N; l++)
                                c[(size_t)i * ldc + j * VW + l] = part[l];
                        }
                    }
                }
            }
        }
}

#else

#define A_ALONG_K !(A_T)
#define B_ALONG_K b_t

/* Groups (ceil(M/TM), ceil(N/TN), batch * chunks); from is 0. */
GROUP __kernel void matmul(int M, int N, int from, int K, int kc, int chunks, int tiles, int across,
                           int b_t, int panels, int c_t, int has_bias, int lda, int ldb, int ldc,
                           long sa, long sb, long sc, IN a, IN b, IN bias, OUT c)
{
    const int batch = get_group_id(2) / chunks, chunk = get_group_id(2) % chunks;
    const int m0 = get_group_id(0) * TM, n0 = get_group_id(1) * TN;
    const int k1 = min(K, (chunk + 1) * kc);
    a += batch * sa;
    b += batch * sb;
    c += get_group_id(2) * sc;
    TILE_LOCALS;
#if A_T
#define A_AT(m, k) (m0 + (m) < M ? a[(size_t)(k) * lda + m0 + (m)] : 0.0f)
#else
#define A_AT(m, k) (m0 + (m) < M ? a[(size_t)(m0 + (m)) * lda + (k)] : 0.0f)
#endif
    const size_t k_step = b_t ? 1 : ldb, n_step = b_t ? ldb : 1;
    const size_t m_place = c_t ? 1 : ldc, n_place = c_t ? ldc : 1;
#define B_AT(k, n) (n0 + (n) < N ? b[(k) * k_step + (n0 + (n)) * n_step] : 0.0f)
    TILE_PRODUCT(chunk * kc, k1, A_AT, B_AT)
#define PUT(m, n, value)                                                                           \
    if (m0 + (m) < M && n0 + (n) < N)                                                              \
    c[(m0 + (m)) * m_place + (n0 + (n)) * n_place] =                                               \
        (value) + (has_bias ? bias[n0 + (n)] : 0.0f)
    TILE_PUT(PUT)
}

#endif

/* part [batch, chunks, count] -> c [batch, count]; range (count, batch). */
ITEMS __kernel void sum_chunks(int count, int chunks, IN part, OUT c)
{
    const int e = get_global_id(0);
    if (e >= count)
        return;
    part += (size_t)get_global_id(1) * chunks * count + e;
    float sum = 0.0f;
    for (int i = 0; i < chunks; i++)
        sum += part[(size_t)i * count];
    c[(size_t)get_global_id(1) * count + e] = sum;
}
