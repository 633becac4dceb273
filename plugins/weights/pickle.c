/* pickle.c - the stack machine of a pickle, reduced to what tensors and plain containers need. */
#include "pickle.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

/* More than any checkpoint has: SAM2's largest takes 200 kB. Bounds what a hostile one can cost. */
enum { MOST_BYTES = 4 << 20, BLOCK = 1 << 16 };

typedef struct block {
    struct block *next;
    size_t used, size;
    max_align_t bytes[];
} block;

struct pickle {
    block *blocks;
    const uint8_t *start, *at, *end;
    pickle_value **stack;
    size_t depth;
    pickle_value **memo;
    size_t memo_room, memo_count;
};

static pickle_value mark; /* stands on the stack where a MARK was put */
static pickle_value none = {.kind = PICKLE_NONE};
static pickle_value booleans[2] = {{.kind = PICKLE_BOOL}, {.kind = PICKLE_BOOL, .yes = true}};

static mf_status damaged(const pickle *p, const char *what)
{
    return mf_fail(MF_CORRUPT, "byte %zu of its pickle: %s", (size_t)(p->at - p->start), what);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void *take(pickle *p, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!p->blocks || p->blocks->size - p->blocks->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        block *b = malloc(sizeof *b + room);
        if (!b)
            return NULL;
        *b = (block){.next = p->blocks, .size = room};
        p->blocks = b;
    }
    void *at = (uint8_t *)p->blocks->bytes + p->blocks->used;
    p->blocks->used += size;
    return at;
}

static mf_status no_memory(void)
{
    return mf_no_memory(0, "its pickle");
}

static pickle_value *new_value(pickle *p, pickle_kind kind)
{
    pickle_value *v = take(p, sizeof *v);
    if (v) {
        memset(v, 0, sizeof *v);
        v->kind = kind;
    }
    return v;
}

static mf_status append(pickle *p, pickle_value *list, const pickle_value *item)
{
    if (list->list.count == list->list.room) {
        size_t room = list->list.room ? 2 * list->list.room : 4;
        const pickle_value **more = take(p, room * sizeof *more);
        if (!more)
            return no_memory();
        if (list->list.count)
            memcpy(more, list->list.item, list->list.count * sizeof *more);
        list->list.item = more;
        list->list.room = room;
    }
    list->list.item[list->list.count++] = item;
    return MF_OK;
}

/* ---- the stack ------------------------------------------------------------------------------- */

static mf_status push(pickle *p, pickle_value *v)
{
    if (!v)
        return no_memory();
    pickle_value **more = mf_list_more(p->stack, p->depth, sizeof *more);
    if (!more)
        return no_memory();
    p->stack = more;
    p->stack[p->depth++] = v;
    return MF_OK;
}

static mf_status pop(pickle *p, pickle_value **v)
{
    if (!p->depth || p->stack[p->depth - 1] == &mark)
        return damaged(p, "it takes from an empty stack");
    *v = p->stack[--p->depth];
    return MF_OK;
}

/* The topmost MARK: what lies above it are `count` values at `first`. */
static mf_status find_mark(pickle *p, size_t *first)
{
    size_t i = p->depth;
    while (i && p->stack[i - 1] != &mark)
        i--;
    *first = i;
    return i ? MF_OK : damaged(p, "a mark is missing");
}

static mf_status top(pickle *p, size_t depth, pickle_kind kind, pickle_value **v)
{
    if (!depth || p->stack[depth - 1] == &mark || p->stack[depth - 1]->kind != kind)
        return damaged(p, kind == PICKLE_DICT ? "it fills what is not a dict"
                                              : "it fills what is not a list");
    *v = p->stack[depth - 1];
    return MF_OK;
}

/* ---- the memo -------------------------------------------------------------------------------- */

static mf_status memo_put(pickle *p, size_t index)
{
    if (!p->depth || p->stack[p->depth - 1] == &mark)
        return damaged(p, "it remembers nothing");
    if (index > (size_t)(p->end - p->start)) /* one byte a value at the least */
        return damaged(p, "it remembers more than it can hold");
    if (index >= p->memo_room) {
        size_t room = index + 1 > 2 * p->memo_room ? index + 1 : 2 * p->memo_room;
        pickle_value **more = realloc(p->memo, room * sizeof *more);
        if (!more)
            return no_memory();
        memset(more + p->memo_room, 0, (room - p->memo_room) * sizeof *more);
        p->memo = more;
        p->memo_room = room;
    }
    p->memo[index] = p->stack[p->depth - 1];
    p->memo_count++;
    return MF_OK;
}

static mf_status memo_get(pickle *p, size_t index)
{
    if (index >= p->memo_room || !p->memo[index])
        return damaged(p, "it recalls what it never saw");
    return push(p, p->memo[index]);
}

/* ---- numbers and texts ----------------------------------------------------------------------- */

/* A little-endian number of n bytes. */
static mf_status read_size(pickle *p, int n, uint64_t *value)
{
    if (p->end - p->at < n)
        return damaged(p, "it ends too early");
    *value = 0;
    for (int i = n; i-- > 0;)
        *value = *value << 8 | p->at[i];
    p->at += n;
    return MF_OK;
}

static mf_status push_integer(pickle *p, int64_t value)
{
    pickle_value *v = new_value(p, PICKLE_INT);
    if (v)
        v->integer = value;
    return push(p, v);
}

static mf_status read_unsigned(pickle *p, int n)
{
    uint64_t value = 0;
    MF_TRY(read_size(p, n, &value));
    return push_integer(p, (int64_t)value);
}

static mf_status read_long(pickle *p)
{
    uint64_t n = 0, value = 0;
    MF_TRY(read_size(p, 1, &n));
    if (n > 8)
        return damaged(p, "an integer of more than 64 bits");
    if (n)
        MF_TRY(read_size(p, (int)n, &value));
    if (n && n < 8 && value >> (8 * n - 1)) /* negative: fill up with ones */
        value |= ~(uint64_t)0 << (8 * n);
    return push_integer(p, (int64_t)value);
}

static mf_status read_real(pickle *p)
{
    uint64_t bits = 0;
    if (p->end - p->at < 8)
        return damaged(p, "it ends too early");
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | *p->at++;
    pickle_value *v = new_value(p, PICKLE_REAL);
    if (v)
        memcpy(&v->real, &bits, sizeof v->real);
    return push(p, v);
}

static char *copy_text(pickle *p, const uint8_t *from, size_t size)
{
    char *text = take(p, size + 1);
    if (text) {
        memcpy(text, from, size);
        text[size] = 0;
    }
    return text;
}

static mf_status push_text(pickle *p, pickle_kind kind, const char *text)
{
    pickle_value *v = text ? new_value(p, kind) : NULL;
    if (v)
        v->text = text;
    return push(p, v);
}

static mf_status read_text(pickle *p, int width)
{
    uint64_t size = 0;
    MF_TRY(read_size(p, width, &size));
    if (size > (uint64_t)(p->end - p->at))
        return damaged(p, "a text goes past its end");
    const char *text = copy_text(p, p->at, (size_t)size);
    p->at += size;
    return push_text(p, PICKLE_TEXT, text);
}

/* ---- names and calls ------------------------------------------------------------------------- */

static const char *const known_names[] = {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch LongStorage",
    "torch IntStorage",
    "torch ShortStorage",
    "torch CharStorage",
    "torch ByteStorage",
    "torch BoolStorage",
    "_codecs encode",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
};

/* Of these a checkpoint of the official MASS code holds single numbers, such as its best Dice: what
 * they would make is passed over. */
static bool makes_other(const char *name)
{
    return !strncmp(name, "numpy", 5) || !strcmp(name, "_codecs encode");
}

static mf_status push_name(pickle *p, const char *module, const char *name)
{
    char *text = take(p, strlen(module) + strlen(name) + 2);
    if (!text)
        return no_memory();
    stpcpy(stpcpy(stpcpy(text, module), " "), name);
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (!strcmp(text, known_names[i]))
            return push_text(p, PICKLE_NAME, text);
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "it asks for %.100s.%.100s; only tensors and plain containers are read",
                           module, name),
                   "in Python: torch.save(model.state_dict(), ...), or save it as safetensors");
}

static mf_status read_line(pickle *p, const char **line)
{
    const uint8_t *end = memchr(p->at, '\n', (size_t)(p->end - p->at));
    if (!end)
        return damaged(p, "a name without an end");
    *line = copy_text(p, p->at, (size_t)(end - p->at));
    p->at = end + 1;
    return *line ? MF_OK : no_memory();
}

static mf_status read_global(pickle *p)
{
    const char *module, *name;
    MF_TRY(read_line(p, &module));
    MF_TRY(read_line(p, &name));
    return push_name(p, module, name);
}

static mf_status stack_global(pickle *p)
{
    pickle_value *module = NULL, *name = NULL;
    MF_TRY(pop(p, &name));
    MF_TRY(pop(p, &module));
    if (module->kind != PICKLE_TEXT || name->kind != PICKLE_TEXT)
        return damaged(p, "a name that is not text");
    return push_name(p, module->text, name->text);
}

/* ("storage", type, key, device, elements) */
static mf_status read_storage(pickle *p)
{
    pickle_value *id = NULL;
    MF_TRY(pop(p, &id));
    const pickle_value *const *f = id->list.item;
    if (id->kind != PICKLE_SEQUENCE || id->list.count != 5 || f[0]->kind != PICKLE_TEXT ||
        strcmp(f[0]->text, "storage") || f[1]->kind != PICKLE_NAME || f[2]->kind != PICKLE_TEXT ||
        f[4]->kind != PICKLE_INT || f[4]->integer < 0)
        return damaged(p, "a storage without type, key and size");
    pickle_value *v = new_value(p, PICKLE_STORAGE);
    if (v)
        v->storage = (pickle_storage){f[2]->text, strchr(f[1]->text, ' ') + 1, f[4]->integer};
    return push(p, v);
}

static bool is_naturals(const pickle_value *v)
{
    if (v->kind != PICKLE_SEQUENCE || v->list.count > MF_MAX_RANK)
        return false;
    for (size_t i = 0; i < v->list.count; i++)
        if (v->list.item[i]->kind != PICKLE_INT || v->list.item[i]->integer < 0)
            return false;
    return true;
}

/* The last element that it reaches lies in the storage. */
static bool is_inside(const pickle_tensor *t)
{
    int64_t last = t->offset;
    for (int i = 0; i < t->rank; i++)
        if (!t->shape[i])
            return true;
    for (int i = 0; i < t->rank; i++) {
        int64_t way;
        if (__builtin_mul_overflow(t->shape[i] - 1, t->strides[i], &way) ||
            __builtin_add_overflow(last, way, &last))
            return false;
    }
    return last < t->storage->count;
}

/* (storage, offset, shape, strides, ...) */
static mf_status build_tensor(pickle *p, const pickle_value *args)
{
    const pickle_value *const *a = args->list.item;
    if (args->list.count < 4 || a[0]->kind != PICKLE_STORAGE || a[1]->kind != PICKLE_INT ||
        a[1]->integer < 0 || !is_naturals(a[2]) || !is_naturals(a[3]) ||
        a[2]->list.count != a[3]->list.count)
        return damaged(p, "a tensor without storage, offset, shape and strides");
    pickle_tensor *t = take(p, sizeof *t);
    pickle_value *v = t ? new_value(p, PICKLE_TENSOR) : NULL;
    if (!v)
        return no_memory();
    *t = (pickle_tensor){
        .storage = &a[0]->storage, .offset = a[1]->integer, .rank = (int)a[2]->list.count};
    for (int i = 0; i < t->rank; i++) {
        t->shape[i] = a[2]->list.item[i]->integer;
        /* Along a single element nothing is ever passed, whatever the file says. */
        t->strides[i] = t->shape[i] > 1 ? a[3]->list.item[i]->integer : 0;
    }
    if (!is_inside(t))
        return damaged(p, "a tensor that reaches past its storage");
    v->tensor = t;
    return push(p, v);
}

static mf_status call(pickle *p)
{
    pickle_value *args = NULL, *function = NULL;
    MF_TRY(pop(p, &args));
    MF_TRY(pop(p, &function));
    if (function->kind != PICKLE_NAME || args->kind != PICKLE_SEQUENCE)
        return damaged(p, "it calls what is not a function");
    size_t count = args->list.count;
    if (!strcmp(function->text, "torch._utils _rebuild_tensor_v2"))
        return build_tensor(p, args);
    if (!strcmp(function->text, "torch._utils _rebuild_parameter") && count &&
        args->list.item[0]->kind == PICKLE_TENSOR)
        return push(p, (pickle_value *)args->list.item[0]);
    if (!strcmp(function->text, "torch Size") && count == 1 &&
        args->list.item[0]->kind == PICKLE_SEQUENCE)
        return push(p, (pickle_value *)args->list.item[0]);
    if (!strcmp(function->text, "collections OrderedDict") && !count)
        return push(p, new_value(p, PICKLE_DICT));
    if (makes_other(function->text))
        return push(p, new_value(p, PICKLE_OTHER));
    return mf_fail(MF_UNSUPPORTED, "it calls %.200s in a way that is not known", function->text);
}

/* Attributes of an object: of a dict they are notes (_metadata of a state dict), passed over, as
 * those of an object that is itself passed over. */
static mf_status set_state(pickle *p)
{
    pickle_value *state, *dict;
    MF_TRY(pop(p, &state));
    if (p->depth && p->stack[p->depth - 1]->kind == PICKLE_OTHER)
        return MF_OK;
    return top(p, p->depth, PICKLE_DICT, &dict);
}

/* ---- containers ------------------------------------------------------------------------------ */

/* The values from `first` on become one, of which `below` stand under them (a MARK). */
static mf_status gather(pickle *p, size_t first, size_t below)
{
    pickle_value *v = new_value(p, PICKLE_SEQUENCE);
    if (!v)
        return no_memory();
    for (size_t i = first; i < p->depth; i++) {
        if (p->stack[i] == &mark)
            return damaged(p, "a mark inside a tuple");
        MF_TRY(append(p, v, p->stack[i]));
    }
    p->depth = first - below;
    return push(p, v);
}

static mf_status tuple(pickle *p, size_t count)
{
    return count > p->depth ? damaged(p, "it takes from an empty stack")
                            : gather(p, p->depth - count, 0);
}

static mf_status marked_tuple(pickle *p)
{
    size_t first = 0;
    MF_TRY(find_mark(p, &first));
    return gather(p, first, 1);
}

/* Puts what stands from `first` on into the container under `first` - `below`. */
static mf_status fill(pickle *p, size_t first, size_t below, pickle_kind kind)
{
    pickle_value *into = NULL;
    if (first < below)
        return damaged(p, "it takes from an empty stack");
    MF_TRY(top(p, first - below, kind, &into));
    if (kind == PICKLE_DICT && (p->depth - first) % 2)
        return damaged(p, "a key without a value");
    for (size_t i = first; i < p->depth; i++) {
        if (p->stack[i] == &mark)
            return damaged(p, "a mark inside a container");
        MF_TRY(append(p, into, p->stack[i]));
    }
    p->depth = first - below;
    return MF_OK;
}

static mf_status fill_marked(pickle *p, pickle_kind kind)
{
    size_t first = 0;
    MF_TRY(find_mark(p, &first));
    return fill(p, first, 1, kind);
}

static mf_status fill_last(pickle *p, size_t count, pickle_kind kind)
{
    if (p->depth < count)
        return damaged(p, "it takes from an empty stack");
    return fill(p, p->depth - count, 0, kind);
}

/* ---- opcodes --------------------------------------------------------------------------------- */

static mf_status indexed(pickle *p, int width, mf_status (*use)(pickle *, size_t))
{
    uint64_t index = 0;
    MF_TRY(read_size(p, width, &index));
    return use(p, (size_t)index);
}

static mf_status read_protocol(pickle *p)
{
    uint64_t version = 0;
    MF_TRY(read_size(p, 1, &version));
    if (version < 2 || version > 5)
        return mf_fail(MF_UNSUPPORTED, "pickles of protocol %d are not read; 2 to 5 are",
                       (int)version);
    return MF_OK;
}

static mf_status skip_frame(pickle *p)
{
    uint64_t size = 0;
    return read_size(p, 8, &size);
}

static mf_status read_int32(pickle *p)
{
    uint64_t bits = 0;
    MF_TRY(read_size(p, 4, &bits));
    return push_integer(p, (int32_t)(uint32_t)bits);
}

static mf_status step(pickle *p, uint8_t opcode)
{
    pickle_value *ignored;
    switch (opcode) {
    case 0x80:
        return read_protocol(p);
    case 0x95:
        return skip_frame(p);
    case '(':
        return push(p, &mark);
    case 'N':
        return push(p, &none);
    case 0x88:
    case 0x89:
        return push(p, &booleans[opcode == 0x88]);
    case 'K':
        return read_unsigned(p, 1);
    case 'M':
        return read_unsigned(p, 2);
    case 'J':
        return read_int32(p);
    case 0x8a:
        return read_long(p);
    case 'G':
        return read_real(p);
    case 'U':
    case 'C':
    case 0x8c:
        return read_text(p, 1);
    case 'T':
    case 'B':
    case 'X':
        return read_text(p, 4);
    case 0x8d:
    case 0x8e:
        return read_text(p, 8);
    case '}':
        return push(p, new_value(p, PICKLE_DICT));
    case ']':
    case ')':
        return push(p, new_value(p, PICKLE_SEQUENCE));
    case 't':
        return marked_tuple(p);
    case 0x85:
    case 0x86:
    case 0x87:
        return tuple(p, (size_t)opcode - 0x84);
    case 'a':
        return fill_last(p, 1, PICKLE_SEQUENCE);
    case 'e':
        return fill_marked(p, PICKLE_SEQUENCE);
    case 's':
        return fill_last(p, 2, PICKLE_DICT);
    case 'u':
        return fill_marked(p, PICKLE_DICT);
    case '0':
        return pop(p, &ignored);
    case 'q':
        return indexed(p, 1, memo_put);
    case 'r':
        return indexed(p, 4, memo_put);
    case 0x94:
        return memo_put(p, p->memo_count);
    case 'h':
        return indexed(p, 1, memo_get);
    case 'j':
        return indexed(p, 4, memo_get);
    case 'c':
        return read_global(p);
    case 0x93:
        return stack_global(p);
    case 'Q':
        return read_storage(p);
    case 'R':
        return call(p);
    case 'b':
        return set_state(p);
    default:
        return mf_fail(MF_UNSUPPORTED,
                       "byte %zu of its pickle: opcode 0x%02x; only tensors and plain containers "
                       "are read",
                       (size_t)(p->at - p->start) - 1, opcode);
    }
}

static mf_status run(pickle *p, const pickle_value **root)
{
    pickle_value *v = NULL;
    for (;;) {
        if (p->at == p->end)
            return damaged(p, "it ends too early");
        uint8_t opcode = *p->at++;
        if (opcode == '.')
            break;
        MF_TRY(step(p, opcode));
    }
    MF_TRY(pop(p, &v));
    *root = v;
    return MF_OK;
}

mf_status pickle_check_size(size_t size)
{
    if (size <= MOST_BYTES)
        return MF_OK;
    return mf_hint(
        mf_fail(MF_UNSUPPORTED, "its pickle has %zu bytes; at most %d are read", size, MOST_BYTES),
        "in Python: torch.save(model.state_dict(), ...), or save it as safetensors");
}

mf_status pickle_read(const uint8_t *bytes, size_t size, pickle **out, const pickle_value **root)
{
    *out = NULL;
    *root = NULL;
    MF_TRY(pickle_check_size(size));
    pickle *p = calloc(1, sizeof *p);
    if (!p)
        return no_memory();
    p->start = p->at = bytes;
    p->end = bytes + size;
    mf_status status = run(p, root);
    if (status) {
        pickle_free(p);
        return status;
    }
    *out = p;
    return MF_OK;
}

void pickle_free(pickle *p)
{
    if (!p)
        return;
    for (block *b = p->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(p->stack);
    free(p->memo);
    free(p);
}

const pickle_value *pickle_get(const pickle_value *dict, const char *key)
{
    if (!dict || dict->kind != PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < dict->list.count; i += 2)
        if (dict->list.item[i]->kind == PICKLE_TEXT && !strcmp(dict->list.item[i]->text, key))
            return dict->list.item[i + 1];
    return NULL;
}
