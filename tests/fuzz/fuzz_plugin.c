/* fuzz_plugin.c - descriptions of plugins: versions, sizes of structs, stages, ports, parameters,
 * types as the bytes say. A plugin is refused with a reason, or can be described. */
#include "fuzz.h"
#include "stages/stages.h"

#define STAGES 2
#define PORTS 3
#define PARAMS 4

typedef struct bytes {
    const uint8_t *at;
    size_t left;
} bytes;

static uint8_t take(bytes *b)
{
    if (!b->left)
        return 0;
    b->left--;
    return *b->at++;
}

/* One of the words, or a text of the input's own; NULL now and then. */
static const char *take_text(bytes *b, const char *usual, char own[24])
{
    uint8_t how = take(b);
    if (how < 200)
        return usual;
    if (how < 210)
        return NULL;
    size_t size = how % 23;
    for (size_t i = 0; i < size; i++)
        own[i] = (char)take(b);
    own[size] = 0;
    return own;
}

static void take_raw(bytes *b, void *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = take(b);
}

static double take_real(bytes *b, double usual)
{
    if (take(b) >= 200)
        take_raw(b, &usual, sizeof usual);
    return usual;
}

static int64_t take_int(bytes *b, int64_t usual)
{
    uint8_t how = take(b);
    if (how >= 230)
        take_raw(b, &usual, sizeof usual);
    return how < 200 || how >= 230 ? usual : usual + take(b) % 5 - 2;
}

typedef struct texts {
    char own[128][24];
    int used;
} texts;

#define TEXT(usual) take_text(b, usual, t->own[t->used++ % 128])

static mf_status run(mf_task *task, const void *params, void *session)
{
    (void)task, (void)params, (void)session;
    return MF_OK;
}

static mf_status item(mf_task *task, const void *params, void *session, int64_t i, mf_artifact **a)
{
    (void)i, (void)a;
    return run(task, params, session);
}

static void make_ports(bytes *b, texts *t, mf_port *ports, const char *type)
{
    static const char *const names[] = {"volume", "masks", "more"};
    int count = (int)((uint64_t)take_int(b, 1) % (PORTS + 1));
    for (int i = 0; i < count; i++)
        ports[i] = (mf_port){TEXT(names[i]), TEXT(type), TEXT("Help."), take(b)};
}

static void make_params(bytes *b, texts *t, mf_param *params)
{
    static const char *const names[] = {"lower", "upper", "kind", "path"};
    static const char *const fallbacks[] = {"1", "[1, 2, 3]", "a", "true"};
    int count = (int)((uint64_t)take_int(b, 2) % (PARAMS + 1));
    for (int i = 0; i < count; i++)
        params[i] = (mf_param){.name = TEXT(names[i]),
                               .kind = (mf_param_kind)(take(b) % 14),
                               .offset = (size_t)take_int(b, 16 * i),
                               .fallback = TEXT(fallbacks[take(b) % 4]),
                               .min = take_real(b, 0),
                               .max = take_real(b, 10),
                               .unit = TEXT("mm"),
                               .help = TEXT("Help."),
                               .choices = TEXT("a|b"),
                               .marks = take(b)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes input = {data, size}, *b = &input;
    texts *t = calloc(1, sizeof *t);
    mf_port in[STAGES][PORTS + 1], out[STAGES][PORTS + 1];
    mf_param params[STAGES][PARAMS + 1];
    mf_stage stages[STAGES];
    const mf_stage *list[STAGES + 1] = {0};
    mf_registry *r;
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    memset(params, 0, sizeof params);
    PROMISE(t && !failed(mf_registry_new(&r)));
    for (int i = 0; i < STAGES; i++) {
        uint8_t kind = take(b);
        make_ports(b, t, in[i], "volume");
        make_ports(b, t, out[i], kind & 1 ? "stream<pair>" : "volume");
        make_params(b, t, params[i]);
        stages[i] = (mf_stage){.name = TEXT(i ? "demo.two" : "demo.one"),
                               .version = (int)take_int(b, 1),
                               .summary = TEXT("Summary."),
                               .help = TEXT("More."),
                               .params = kind & 4 ? NULL : params[i],
                               .params_size = (size_t)take_int(b, 128),
                               .in = kind & 8 ? NULL : in[i],
                               .out = out[i],
                               .code = TEXT("code"),
                               .run = kind & 1 ? NULL : run,
                               .item = kind & 1 ? item : NULL};
        list[i] = &stages[i];
    }
    mf_type type = {.name = TEXT("demo"),
                    .help = TEXT("Help."),
                    .arrays = TEXT("voxels:f32"),
                    .attributes = TEXT("spacing"),
                    .suffixes = TEXT(NULL)};
    const mf_type *types[] = {&type, NULL};
    mf_plugin plugin = {(int)take_int(b, MF_ABI_MAJOR),
                        (int)take_int(b, MF_ABI_MINOR),
                        (size_t)take_int(b, sizeof(mf_stage)),
                        (size_t)take_int(b, sizeof(mf_param)),
                        (size_t)take_int(b, sizeof(mf_port)),
                        (size_t)take_int(b, sizeof(mf_type)),
                        TEXT("demo"),
                        list,
                        take(b) & 1 ? types : NULL};
    /* The engine may read no array of parameters into memory that a stage asks for without end. */
    bool huge = stages[0].params_size > 1 << 20 || stages[1].params_size > 1 << 20;
    if (!huge && !failed(mf_registry_add(r, &plugin, "demo.so")))
        for (size_t i = 0; i < mf_registry_count(r); i++)
            free(mf_stage_describe(r, mf_registry_at(r, i)));
    mf_registry_free(r);
    free(t);
    return 0;
}
