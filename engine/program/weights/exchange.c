/* exchange.c - the sum of a batch over several ranks, see <massflow/program.h>.
 *
 * The parts of the tree that the ranks hold are joined from the lowest level up: rank r meets rank
 * r ^ 1, then r ^ 2, and so on. Each time the two share what they both hold: one adds the lower
 * half, the other the upper (recursive halving). In the end each rank has one slice of the whole
 * sum, and on the same way back all get all slices. An addition takes the same two sums as on one
 * device, so the bytes are the same, in whichever of the two ranks it is made.
 *
 * It goes piece by piece, in the order of the blocks, through the host's memory. */
#include "compute/range.h"
#include "program/weights/weights.h"

#include <stdlib.h>
#include <string.h>

/* Slices begin at multiples of this: of every device's alignment. */
enum { GRAIN = 4096 };
_Static_assert(MF_EXCHANGE_BYTES == MF_EXCHANGE_PIECE / 2 * sizeof(float), "half a piece");

void mf_batch_part(int64_t count, int parts, int part, int64_t *first, int64_t *items)
{
    *first = 0;
    for (int half = parts / 2; half > 0; half /= 2) {
        const int64_t left = (count + 1) / 2;
        const bool right = (part & half) != 0;
        *first += right ? left : 0;
        count = right ? count - left : left;
    }
    *items = count;
}

static mf_status check_ranks(const mf_transport *t)
{
    const bool power = t->ranks > 0 && (t->ranks & (t->ranks - 1)) == 0;
    return power && t->rank >= 0 && t->rank < t->ranks
               ? MF_OK
               : mf_fail(MF_INVALID, "rank %d of %d: their number is a power of 2", t->rank,
                         t->ranks);
}

static mf_status swap(mf_transport *t, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes)
{
    if (!out_bytes && !in_bytes)
        return MF_OK;
    MF_TRY(t->swap(t->self, other, out, out_bytes, in, in_bytes));
    t->sent += out_bytes;
    return MF_OK;
}

/* With each neighbour in turn: then all know of all. */
mf_status mf_transport_barrier(mf_transport *t)
{
    MF_TRY(check_ranks(t));
    for (int bit = 1; bit < t->ranks; bit *= 2) {
        char here = 0, there;
        MF_TRY(swap(t, t->rank ^ bit, &here, 1, &there, 1));
    }
    return MF_OK;
}

mf_status mf_transport_gather(mf_transport *t, void *values, int64_t count, size_t bytes)
{
    MF_TRY(check_ranks(t));
    for (int bit = 1; bit < t->ranks; bit *= 2) {
        /* Groups of `bit` neighbours have a part of the tree in common. */
        const int groups = t->ranks / bit, own = t->rank / bit, other = own ^ 1;
        int64_t first[2], items[2];
        mf_batch_part(count, groups, own, &first[0], &items[0]);
        mf_batch_part(count, groups, other, &first[1], &items[1]);
        MF_TRY(swap(t, t->rank ^ bit, (const char *)values + (size_t)first[0] * bytes,
                    (size_t)items[0] * bytes, (char *)values + (size_t)first[1] * bytes,
                    (size_t)items[1] * bytes));
    }
    return MF_OK;
}

/* ---- which weights have a gradient ----------------------------------------------------------- */

/* A weight that a run of another rank reached takes part in the step here, too. */
static mf_status join_touched(mf_weights *w, mf_transport *t, uint8_t *own, uint8_t *other)
{
    const size_t count = (size_t)w->count;
    for (size_t i = 0; i < count; i++)
        own[i] = w->weights[i].touched;
    for (int bit = 1; bit < t->ranks; bit *= 2) {
        int64_t here[2] = {w->count, w->block_count}, there[2];
        MF_TRY(swap(t, t->rank ^ bit, here, sizeof here, there, sizeof there));
        if (memcmp(here, there, sizeof here) != 0)
            return mf_fail(MF_INTERNAL, "the ranks of a training have other weights");
        MF_TRY(swap(t, t->rank ^ bit, own, count, other, count));
        for (size_t i = 0; i < count; i++)
            own[i] |= other[i];
    }
    for (size_t i = 0; i < count; i++) {
        w->weights[i].touched = own[i];
        if (own[i])
            MF_TRY(mf_weights_need_gradient(w, (int32_t)i));
    }
    return MF_OK;
}

static mf_status share_touched(mf_weights *w, mf_transport *t)
{
    uint8_t *both = calloc((size_t)w->count + 1, 2);
    if (!both)
        return mf_no_memory((size_t)w->count * 2, "the exchange of gradients");
    mf_status status = join_touched(w, t, both, both + w->count);
    free(both);
    return status;
}

/* ---- gradients ------------------------------------------------------------------------------- */

typedef struct range {
    int64_t first, end; /* floats of a block */
} range;

/* The upper or lower half. */
static range half_of(range r, bool upper)
{
    int64_t middle = r.first + (r.end - r.first + 1) / 2;
    middle = (middle + GRAIN - 1) / GRAIN * GRAIN;
    middle = middle < r.end ? middle : r.end;
    return upper ? (range){middle, r.end} : (range){r.first, middle};
}

static size_t bytes_of(range r)
{
    return (size_t)(r.end - r.first) * sizeof(float);
}

static mf_status read(mf_weights *w, const mf_weight_block *b, range r, float *values)
{
    return r.end > r.first ? mf_buffer_read(w->queue, b->gradients, (size_t)r.first * sizeof(float),
                                            values, bytes_of(r))
                           : MF_OK;
}

static mf_status write(mf_weights *w, mf_weight_block *b, range r, const float *values)
{
    return r.end > r.first ? mf_buffer_write(w->queue, b->gradients,
                                             (size_t)r.first * sizeof(float), values, bytes_of(r))
                           : MF_OK;
}

static mf_status add(mf_weights *w, mf_weight_block *b, range r, const float *values)
{
    const int wide = w->device->info.plain ? 16 : 4;
    const int64_t n = r.end - r.first;
    const mf_arg args[] = {
        {.kind = MF_ARG_LONG, .i = n},
        {.kind = MF_ARG_BUFFER, .buffer = w->arrived},
        {.kind = MF_ARG_BUFFER, .buffer = b->gradients, .offset = (size_t)r.first * sizeof(float)}};
    if (n <= 0)
        return MF_OK;
    MF_TRY(mf_buffer_write(w->queue, w->arrived, 0, values, bytes_of(r)));
    return mf_queue_launch(w->queue, w->optimizer, "accumulate", mf_range1((n + wide - 1) / wide),
                           args, 3);
}

/* host: floats of the piece, and as many again. */
static mf_status exchange_piece(mf_weights *w, mf_transport *t, mf_weight_block *b, range piece,
                                float *host)
{
    range own = piece, level[32];
    float *arrived = host + (piece.end - piece.first);
    int levels = 0;
    for (int bit = 1; bit < t->ranks; bit *= 2) {
        const bool upper = (t->rank & bit) != 0;
        const range give = half_of(own, !upper), keep = half_of(own, upper);
        MF_TRY(read(w, b, give, host));
        MF_TRY(swap(t, t->rank ^ bit, host, bytes_of(give), arrived, bytes_of(keep)));
        MF_TRY(add(w, b, keep, arrived));
        level[levels++] = own;
        own = keep;
    }
    MF_TRY(read(w, b, own, host + (own.first - piece.first)));
    for (int bit = t->ranks / 2; bit > 0; bit /= 2) {
        const range whole = level[--levels];
        const range other = half_of(whole, !(t->rank & bit));
        MF_TRY(swap(t, t->rank ^ bit, host + (own.first - piece.first), bytes_of(own),
                    host + (other.first - piece.first), bytes_of(other)));
        own = whole;
    }
    return write(w, b, piece, host);
}

static mf_status exchange_blocks(mf_weights *w, mf_transport *t, float *host)
{
    for (int32_t k = 0; k < w->block_count; k++) {
        mf_weight_block *b = &w->blocks[k];
        bool touched = false;
        for (int32_t i = b->first; i < b->first + b->count; i++)
            touched |= w->weights[i].touched;
        for (int64_t at = 0; touched && at < b->floats; at += MF_EXCHANGE_PIECE) {
            const int64_t left = b->floats - at;
            const range piece = {at, at + (left < MF_EXCHANGE_PIECE ? left : MF_EXCHANGE_PIECE)};
            MF_TRY(exchange_piece(w, t, b, piece, host));
        }
    }
    return MF_OK;
}

mf_status mf_weights_exchange(mf_weights *w, mf_transport *t)
{
    MF_TRY(check_ranks(t));
    MF_TRY(mf_batch_check_whole(w));
    if (t->ranks == 1)
        return MF_OK;
    MF_TRY(mf_weights_module(w));
    MF_TRY(share_touched(w, t));
    if (!w->arrived)
        MF_TRY(mf_within(mf_buffer_new(w->device, MF_EXCHANGE_BYTES, &w->arrived),
                         "the exchange of gradients"));
    const size_t bytes = (size_t)MF_EXCHANGE_PIECE * 2 * sizeof(float);
    float *host = malloc(bytes);
    if (!host)
        return mf_no_memory(bytes, "the exchange of gradients");
    mf_status status = exchange_blocks(w, t, host);
    free(host);
    return status;
}
