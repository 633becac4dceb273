/* forge.c - see forge.h. */
#include "forge.h"
#include "base/artifact_source.h"
#include "stages/registry.h"

#define MOST_BYTES ((size_t)1 << 16) /* of a piece that is made */
#define MOST_DIGESTS 512

extern const mf_type *const view_types[]; /* of plugins/overlay */
const mf_plugin *massflow_plugin(void);   /* of tests/plugins/toy.c */

/* ---- bytes ----------------------------------------------------------------------------------- */

uint8_t forge_take(forge_bytes *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

int64_t forge_int(forge_bytes *in, int64_t usual)
{
    static const int64_t edges[] = {0,         -1,        1,         INT64_MAX,         INT64_MIN,
                                    1LL << 31, 1LL << 32, 1LL << 40, INT64_MAX / 8 - 1, 1LL << 24};
    uint8_t how = forge_take(in);
    uint64_t raw = 0;
    if (how < 200)
        return usual;
    if (how < 225)
        return usual + forge_take(in) % 5 - 2;
    if (how < 250)
        return edges[forge_take(in) % (sizeof edges / sizeof *edges)];
    for (int i = 0; i < 8; i++)
        raw |= (uint64_t)forge_take(in) << (8 * i);
    return (int64_t)raw;
}

/* One time in sixteen. */
static bool odd(forge_bytes *in)
{
    return forge_take(in) >= 240;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The digest of a piece; what does not fit in is named, and is not there. */
static void add_piece(forged *f, const uint8_t *bytes, size_t size, uint8_t digest[MF_DIGEST_BYTES])
{
    mf_digest_bytes(bytes, size, digest);
    if (f->count == sizeof f->chunk / sizeof *f->chunk)
        return;
    for (size_t i = 0; i < f->count; i++)
        if (!memcmp(f->chunk[i].digest, digest, MF_DIGEST_BYTES))
            return;
    forged_chunk *c = &f->chunk[f->count++];
    c->bytes = malloc(size ? size : 1);
    PROMISE(c->bytes);
    memcpy(c->bytes, bytes, size);
    memcpy(c->digest, digest, MF_DIGEST_BYTES);
    c->size = size;
}

/* Digests of an array cut as `layout`, of these bytes and then zeros. A count may be another. */
static void add_digests(forge_bytes *in, forged *f, const mf__layout *layout, const uint8_t *bytes,
                        size_t size)
{
    static uint8_t zeros[MOST_BYTES];
    uint8_t digest[MF_DIGEST_BYTES] = {0}, *digests;
    int64_t count = forge_int(in, layout->count > INT64_MAX ? 0 : (int64_t)layout->count);
    if (count < 0 || count > MOST_DIGESTS) {
        mf__buffer_int(&f->record, count);
        return;
    }
    digests = calloc((size_t)count + 1, MF_DIGEST_BYTES);
    PROMISE(digests);
    for (size_t i = 0; i < (size_t)count; i++) {
        mf__piece piece = {.bytes = MOST_BYTES};
        if (i < layout->count)
            mf__layout_piece(layout, i, &piece);
        size_t begin = layout->bricks ? 0 : piece.begin;
        if (piece.bytes > MOST_BYTES)
            ; /* the digest before: equal pieces are one chunk */
        else if (begin <= size && piece.bytes <= size - begin)
            add_piece(f, bytes + begin, piece.bytes, digest);
        else
            add_piece(f, zeros, piece.bytes, digest);
        memcpy(digests + i * MF_DIGEST_BYTES, digest, MF_DIGEST_BYTES);
    }
    mf__record_digests(&f->record, digests, (size_t)count);
    free(digests);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* What arrays of one artifact agree on. */
typedef struct frame {
    int64_t size[3]; /* x y z */
    int64_t k;
    int64_t voxels[8]; /* of each box */
} frame;

typedef struct plan {
    char name[32];
    mf_dtype dtype;
    bool ragged;
    int64_t rows;
    int rank;
    int64_t shape[MF_MAX_RANK];
} plan;

static int64_t side_of(const frame *fr, const char *side)
{
    if (*side >= '0' && *side <= '9')
        return strtoll(side, NULL, 10);
    return *side == 'x'   ? fr->size[0]
           : *side == 'y' ? fr->size[1]
           : *side == 'z' ? fr->size[2]
           : *side == 'k' ? fr->k
                          : 3;
}

/* "name:f32[k,6]", "name{k}" of a type's declaration */
static void plan_array(forge_bytes *in, const frame *fr, const char *word, plan *p)
{
    static const mf_dtype any[] = {MF_U8, MF_I16, MF_F32, MF_U16};
    size_t length = strcspn(word, ":[{ ");
    const char *at = word + length;
    char dtype[8] = "";
    *p = (plan){.dtype = any[forge_take(in) % 4]};
    snprintf(p->name, sizeof p->name, "%.*s", (int)length, word);
    if (*at == ':') {
        length = strcspn(++at, "[{ ");
        snprintf(dtype, sizeof dtype, "%.*s", (int)length, at);
        PROMISE(mf_dtype_parse(dtype, &p->dtype));
        at += length;
    }
    p->ragged = *at == '{';
    if (*at == '[')
        for (at++; *at && *at != ']'; at += *at == ',')
            p->shape[p->rank++] = side_of(fr, at), at += strcspn(at, ",]");
    p->rows = p->ragged ? fr->k : 0;
    p->rank = p->ragged ? 1 : p->rank;
}

/* Lengths of rows as their boxes need them. */
static uint8_t *make_offsets(const frame *fr, plan *p, size_t *size)
{
    int64_t at = 0, *o;
    if (p->rows < 0 || p->rows > (int64_t)(MOST_BYTES / sizeof *o) - 1)
        return NULL;
    o = calloc((size_t)p->rows + 1, sizeof *o);
    PROMISE(o);
    for (int64_t i = 0; i < p->rows; i++) {
        at += strcmp(p->name, "bits") ? 3 : (fr->voxels[i % 8] + 7) / 8;
        o[i + 1] = at;
    }
    p->shape[0] = at;
    *size = ((size_t)p->rows + 1) * sizeof *o;
    return (uint8_t *)o;
}

/* Boxes that lie in the grid. */
static uint8_t *make_boxes(forge_bytes *in, frame *fr, size_t *size)
{
    int32_t *b = calloc(8 * 6, sizeof *b);
    PROMISE(b);
    for (int k = 0; k < 8; k++) {
        fr->voxels[k] = 1;
        for (int i = 0; i < 3; i++) {
            int64_t side = fr->size[2 - i] > 0 && fr->size[2 - i] < 100 ? fr->size[2 - i] : 1;
            int64_t low = forge_take(in) % side, high = low + 1 + forge_take(in) % (side - low);
            b[6 * k + i] = (int32_t)low;
            b[6 * k + 3 + i] = (int32_t)high;
            fr->voxels[k] *= high - low;
        }
    }
    *size = 8 * 6 * sizeof *b;
    return (uint8_t *)b;
}

static uint8_t *make_bytes(forge_bytes *in, size_t *size)
{
    size_t length = forge_take(in);
    uint8_t *bytes = calloc(length + 1, 1);
    PROMISE(bytes);
    for (size_t i = 0; i < length && in->left; i++)
        bytes[i] = forge_take(in);
    *size = length;
    return bytes;
}

/* Other numbers in a few places. */
static void spoil(forge_bytes *in, uint8_t *bytes, size_t size)
{
    while (bytes && size && odd(in)) {
        int64_t value = forge_int(in, 0);
        size_t at = (size_t)forge_take(in) % ((size + 3) / 4) * 4;
        memcpy(bytes + at, &value, size - at < 8 ? size - at : 8);
    }
}

/* The layout as a reader would have it; empty where there is none. */
static void lay_out(mf_dtype dtype, int rank, const int64_t *shape, mf__layout *layout)
{
    if (failed(mf__layout_dense(dtype, rank, shape, layout)))
        *layout = (mf__layout){0};
}

static void put_array(forge_bytes *in, forged *f, frame *fr, plan *p)
{
    static const mf_dtype other[] = {MF_U8, MF_I32, MF_F32, MF_I64, MF_F64};
    size_t size = 0, offset_size = 0;
    uint8_t *bytes, *offsets = NULL;
    mf__layout layout;
    p->ragged ^= odd(in);
    p->rows = p->ragged ? forge_int(in, p->rows) : odd(in);
    if (p->ragged)
        offsets = make_offsets(fr, p, &offset_size);
    if (odd(in))
        p->dtype = other[forge_take(in) % 5];
    p->rank = odd(in) ? forge_take(in) % (MF_MAX_RANK + 1) : p->rank;
    for (int i = 0; i < p->rank; i++)
        p->shape[i] = forge_int(in, p->shape[i]);
    bytes = strcmp(p->name, "box") ? make_bytes(in, &size) : make_boxes(in, fr, &size);
    spoil(in, bytes, size);
    spoil(in, offsets, offset_size);
    mf_array_info info = {p->name, p->dtype, p->rank, {0}, p->ragged, p->rows};
    memcpy(info.shape, p->shape, sizeof info.shape);
    mf__record_array_begin(&f->record, &info);
    int64_t count = p->rows == INT64_MAX ? 0 : p->rows + 1;
    if (p->ragged) {
        lay_out(MF_I64, 1, &count, &layout);
        add_digests(in, f, &layout, offsets, offset_size);
        lay_out(MF_U8, 1, p->shape, &layout);
        bool sound = offsets && ((int64_t *)offsets)[0] == 0;
        for (int64_t i = 0; sound && i < p->rows; i++)
            sound = ((int64_t *)offsets)[i] <= ((int64_t *)offsets)[i + 1];
        if (sound && ((int64_t *)offsets)[p->rows] < 1 << 20)
            PROMISE(!failed(mf__layout_rows((int64_t *)offsets, p->rows, &layout)));
    } else {
        lay_out(p->dtype, p->rank, p->shape, &layout);
    }
    add_digests(in, f, &layout, bytes, size);
    mf__layout_clear(&layout);
    free(bytes);
    free(offsets);
}

/* ---- attributes ------------------------------------------------------------------------------ */

static void put_reals(forge_bytes *in, forged *f, const double *v, int64_t count)
{
    mf__buffer_int(&f->record, forge_int(in, count));
    for (int64_t i = 0; i < count; i++) {
        int64_t bits;
        double value = odd(in) ? (double)forge_int(in, 1) : v[i];
        memcpy(&bits, &value, sizeof bits);
        mf__buffer_int(&f->record, odd(in) ? forge_int(in, 0x7ff8LL << 48) : bits);
    }
}

static void put_attribute(forge_bytes *in, forged *f, const frame *fr, const char *name)
{
    static const double unit[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, ones[3] = {1, 1, 1}, zeros[3] = {0};
    const double size[3] = {(double)fr->size[0], (double)fr->size[1], (double)fr->size[2]};
    bool text = !strcmp(name, "columns") || !strcmp(name, "architecture");
    int64_t kind = text                    ? MF_ATTRIBUTE_TEXT
                   : !strcmp(name, "axis") ? MF_ATTRIBUTE_INT
                                           : MF_ATTRIBUTE_REALS;
    kind = forge_int(in, kind);
    mf__buffer_text(&f->record, name);
    mf__buffer_int(&f->record, kind);
    if (kind == MF_ATTRIBUTE_TEXT)
        mf__buffer_text(&f->record, odd(in) ? "\t\t\t" : "a\tb");
    else if (kind == MF_ATTRIBUTE_INT)
        mf__buffer_int(&f->record, forge_int(in, 1));
    else if (!strcmp(name, "direction"))
        put_reals(in, f, unit, 9);
    else
        put_reals(in, f, *name == 'o' ? zeros : strcmp(name, "size") ? ones : size, 3);
}

/* ---- records --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b); /* a name stands first in a plan too */
}

/* Words of a declaration, one after the other; false at its end. */
static bool next_word(const char **list, char word[64])
{
    size_t length;
    *list += strspn(*list, " ");
    length = strcspn(*list, " ");
    snprintf(word, 64, "%.*s", (int)length, *list);
    *list += length;
    return length > 0;
}

static void put_attributes(forge_bytes *in, forged *f, const frame *fr, const char *list)
{
    char word[64], names[8][64];
    int count = 0;
    while (count < 7 && next_word(&list, word)) {
        word[strcspn(word, ":")] = 0;
        if (!odd(in))
            strcpy(names[count++], word);
    }
    if (!odd(in))
        qsort(names, (size_t)count, sizeof *names, by_text);
    mf__buffer_int(&f->record, forge_int(in, count));
    for (int i = 0; i < count; i++)
        put_attribute(in, f, fr, names[i]);
}

static void put_arrays(forge_bytes *in, forged *f, frame *fr, const char *list)
{
    char word[64];
    plan plans[10];
    int count = 0;
    while (count < 8 && next_word(&list, word))
        if (!odd(in))
            plan_array(in, fr, word, &plans[count++]);
    if (!strcmp(f->type, "table")) {
        plans[count++] = (plan){"column.0", MF_F64, false, 0, 1, {fr->k}};
        plans[count++] = (plan){"column.1", MF_U8, true, fr->k, 1, {0}};
    }
    if (!odd(in))
        qsort(plans, (size_t)count, sizeof *plans, by_text);
    for (int k = 0; k < 8; k++)
        fr->voxels[k] = 1;
    mf__buffer_int(&f->record, forge_int(in, count));
    for (int i = 0; i < count; i++)
        put_array(in, f, fr, &plans[i]);
}

void forge(forge_bytes *in, forged *f)
{
    size_t count;
    const mf_type *types = mf_builtin_types(&count), *type = &types[forge_take(in) % count];
    frame fr = {.k = forge_take(in) % 4};
    for (int i = 0; i < 3; i++)
        fr.size[i] = 1 + forge_take(in) % 6;
    *f = (forged){.type = odd(in) ? "unheard" : type->name};
    mf__buffer_text(&f->record, "massflow artifact 1");
    mf__buffer_text(&f->record, f->type);
    put_attributes(in, f, &fr, type->attributes);
    put_arrays(in, f, &fr, type->arrays);
    if (odd(in))
        mf__buffer_int(&f->record, 0);
    PROMISE(!f->record.failed);
    mf_digest_bytes(f->record.bytes, f->record.size, f->id);
}

void forge_clear(forged *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->chunk[i].bytes);
    free(f->record.bytes);
    *f = (forged){0};
}

/* ---- use ------------------------------------------------------------------------------------- */

const mf_registry *forge_registry(void)
{
    static mf_registry *registry;
    static const mf_stage *const none[] = {NULL};
    static const mf_plugin views = {
        MF_ABI_MAJOR,    MF_ABI_MINOR,    sizeof(mf_stage), sizeof(mf_param),
        sizeof(mf_port), sizeof(mf_type), "views",          none,
        view_types};
    if (registry)
        return registry;
    PROMISE(!failed(mf_registry_new(&registry)));
    PROMISE(!failed(mf_registry_add(registry, massflow_plugin(), "toy.so")));
    PROMISE(!failed(mf_registry_add(registry, &views, "views.so")));
    return registry;
}

static void read_rows(const mf_artifact *a, const mf_array_info *info)
{
    mf_array *bytes, *offsets;
    for (int64_t i = 0; i < info->rows && i < 16; i++) {
        uint8_t *row;
        size_t size;
        if (!failed(mf_artifact_read_row(a, info->name, i, &row, &size)))
            free(row);
    }
    if (info->shape[0] > 1 << 20 || failed(mf_artifact_rows(a, info->name, &bytes, &offsets)))
        return;
    PROMISE(((int64_t *)offsets->data)[info->rows] == bytes->shape[0]);
    mf_array_unref(bytes);
    mf_array_unref(offsets);
}

/* Its number of elements, where they are few. */
static bool is_small(const mf_array_info *info)
{
    int64_t product = 1;
    for (int i = 0; i < info->rank; i++)
        if (__builtin_mul_overflow(product, info->shape[i], &product))
            return false;
    return product <= 1 << 16;
}

static void read_array(const mf_artifact *a, const mf_array_info *info)
{
    static uint8_t box[(1 << 16) * 8];
    const int64_t low[3] = {0, 0, 0};
    mf_array *array;
    if (info->ragged) {
        read_rows(a, info);
        return;
    }
    if (!is_small(info))
        return;
    if (!failed(mf_artifact_array(a, info->name, &array)))
        PROMISE(array->rank == info->rank);
    mf_array_unref(array);
    if (info->rank == 3)
        failed(mf_artifact_read_box(a, info->name, low, info->shape, box));
}

static void use_masks(const mf_artifact *a)
{
    static uint8_t crop[216];
    const int64_t low[3] = {-1, 0, 1}, shape[3] = {6, 6, 6};
    for (int64_t k = 0; k < mf_masks_count(a) && k < 8; k++) {
        mf_mask mask;
        int64_t voxels;
        failed(mf_masks_get(a, k, &mask));
        failed(mf_masks_volume(a, k, &voxels));
        failed(mf_masks_crop(a, k, low, shape, crop));
    }
}

bool forge_use(const mf_artifact *a, bool draw)
{
    const mf_registry *registry = forge_registry();
    const mf_type *type = mf_registry_type(registry, mf_artifact_type(a));
    const mf_type *drawer = mf_registry_drawer(registry, mf_artifact_type(a));
    const mf_view view = {.axis = 0, .slice = -1, .slices = 2, .tile = 16};
    mf_array *rgb = NULL;
    mf_grid grid;
    if (!type || failed(mf_check_artifact(registry, a)))
        return false;
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        read_array(a, &info);
    }
    if (strstr(type->arrays, "box:"))
        use_masks(a);
    if (draw && drawer && !failed(mf_artifact_grid(a, &grid)) && mf_grid_voxels(&grid) <= 1 << 12) {
        failed(drawer->draw(a, NULL, &view, &rgb));
        mf_array_unref(rgb);
    }
    return true;
}

/* ---- exports --------------------------------------------------------------------------------- */

static void put_section(mf__buffer *out, char letter, const mf__buffer *body)
{
    mf__buffer_add(out, &letter, 1);
    mf__buffer_int(out, (int64_t)body->size);
    mf__buffer_add(out, body->bytes, body->size);
}

static void put_artifact(forge_bytes *in, mf__buffer *out, const forged *f)
{
    mf__buffer b = {0};
    uint8_t codec = odd(in) ? forge_take(in) : 0, present = !odd(in);
    for (size_t i = 0; i < f->count; i++) {
        if (odd(in))
            continue;
        b.size = 0;
        mf__buffer_add(&b, f->chunk[i].digest, MF_DIGEST_BYTES);
        mf__buffer_int(&b, (int64_t)f->chunk[i].size);
        mf__buffer_add(&b, &codec, 1);
        mf__buffer_add(&b, f->chunk[i].bytes, f->chunk[i].size);
        put_section(out, 'c', &b);
    }
    b.size = 0;
    mf__buffer_add(&b, f->id, MF_DIGEST_BYTES);
    mf__buffer_add(&b, &present, 1);
    mf__buffer_add(&b, f->record.bytes, f->record.size);
    put_section(out, 'a', &b);
    free(b.bytes);
}

static void put_action(forge_bytes *in, mf__buffer *out, char (*ids)[MF_HEX_SIZE], size_t artifacts)
{
    static const char *const stages[] = {"toy.load", "toy.masks", "far.away"};
    static const char *const ports[] = {"volume", "labels", "masks", "other"};
    const char *stage = stages[forge_take(in) % 3];
    uint8_t id[MF_DIGEST_BYTES] = {0};
    mf__buffer b = {0};
    char json[64];
    snprintf(json, sizeof json, "{\"n\":%d,\"stage\":\"%s\"}", forge_take(in) % 4,
             odd(in) ? "else" : stage);
    mf_digest_bytes((const uint8_t *)json, strlen(json), id);
    mf__buffer_add(&b, id, sizeof id);
    mf__buffer_text(&b, odd(in) ? "gpu" : "cpu");
    mf__buffer_text(&b, stage);
    mf__buffer_text(&b, json);
    mf__buffer_int(&b, forge_int(in, 0x3ff0LL << 48));
    mf__buffer_int(&b, forge_int(in, 1 << 20));
    int count = forge_take(in) % 3;
    mf__buffer_int(&b, forge_int(in, count));
    for (int i = 0; i < count; i++) {
        mf__buffer_text(&b, ports[forge_take(in) % 4]);
        mf__buffer_int(&b, forge_int(in, 0));
        if (artifacts)
            mf_hex_decode(ids[forge_take(in) % artifacts], id);
        mf__buffer_add(&b, id, sizeof id);
    }
    put_section(out, 'x', &b);
    free(b.bytes);
}

uint8_t *forge_export(forge_bytes *in, size_t *size, char (*ids)[MF_HEX_SIZE], size_t *artifacts)
{
    mf__buffer out = {0}, sum = {0};
    uint8_t digest[MF_DIGEST_BYTES];
    forged f;
    *artifacts = (size_t)forge_take(in) % 4;
    mf__buffer_add(&out, MF__MOVE_MAGIC, sizeof MF__MOVE_MAGIC - 1);
    for (size_t i = 0; i < *artifacts; i++) {
        forge(in, &f);
        mf_hex_encode(f.id, ids[i]);
        put_artifact(in, &out, &f);
        forge_clear(&f);
    }
    for (int i = forge_take(in) % 4; i > 0; i--)
        put_action(in, &out, ids, *artifacts);
    mf_digest_bytes(out.bytes, out.size, digest);
    mf__buffer_add(&sum, digest, sizeof digest);
    put_section(&out, 'z', &sum);
    PROMISE(!out.failed && !sum.failed);
    free(sum.bytes);
    *size = out.size;
    return out.bytes;
}
