/* test_stages.c - the plugin host: loading, refusals, descriptors, parameters, words. */
#include "../run_suite.h"
#include "graph_fixture.h"

#include "stages/params.h"

/* ---- loading -----------------------------------------------------------------------------------
 */

static const char *plugins; /* the folder of the test plugins */
static mf_registry *r;

static void setup(void)
{
    plugins = getenv("TEST_PLUGINS");
    ck_assert_msg(plugins != NULL, "TEST_PLUGINS must name the folder of the test plugins");
    ok(mf_registry_new(&r));
}

static void teardown(void)
{
    mf_registry_free(r);
}

/* The error of loading a file, with the plugin folder as DIR. */
static char *load_error(const char *name)
{
    char file[4096];
    const char *const files[] = {file};
    snprintf(file, sizeof file, "%s/%s", plugins, name);
    mf_status status = mf_registry_load(r, files, 1);
    ck_assert_ptr_nonnull(status);
    char *text = mf_error_text(status);
    mf_error_free(status);
    mf_text out = {0};
    for (const char *c = text; *c;) {
        bool here = !strncmp(c, plugins, strlen(plugins));
        mf_text_add_n(&out, here ? "DIR" : c, here ? 3 : 1);
        c += here ? strlen(plugins) : 1;
    }
    free(text);
    return mf_text_take(&out);
}

static void check_refusal(const char *name, const char *expected)
{
    char *text = load_error(name);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(a_plugin_is_loaded_once)
{
    char file[4096], other[4096];
    const char *const files[] = {file, other};
    snprintf(file, sizeof file, "%s/toy.so", plugins);
    snprintf(other, sizeof other, "%s/../plugins/toy.so", plugins);
    ok(mf_registry_load(r, files, 2));
    ck_assert_uint_eq(mf_registry_count(r), 7);
    for (size_t i = 1; i < 6; i++)
        ck_assert_int_lt(strcmp(mf_registry_at(r, i - 1)->name, mf_registry_at(r, i)->name), 0);
    const mf_stage *masks = mf_registry_stage(r, "toy.masks");
    ck_assert_ptr_nonnull(masks);
    ck_assert_str_eq(mf_registry_file(r, masks), file);
    ck_assert_str_eq(mf_registry_plugin(r, masks), "toy");
    ck_assert_ptr_null(mf_registry_stage(r, "toy.mask"));
    ck_assert_str_eq(mf_registry_near(r, "toy.mask"), "toy.masks");
    ck_assert_ptr_null(mf_registry_near(r, "quite.different"));
    char code[80];
    mf_stage_code(masks, code);
    ck_assert_str_eq(code, "version 3");
}
END_TEST

START_TEST(wrong_plugins_are_named)
{
    check_refusal("wrong_no_symbol.so",
                  "DIR/wrong_no_symbol.so is not a plugin: it has no symbol massflow_plugin\n"
                  "  one source of a plugin ends with MF_PLUGIN(\"name\", stages...)");
    check_refusal("wrong_old_major.so",
                  "plugin DIR/wrong_old_major.so was built for stage interface 2.7; this massflow "
                  "has 1.7\n"
                  "  build the plugin against the headers of this massflow");
    check_refusal("wrong_new_minor.so",
                  "plugin DIR/wrong_new_minor.so was built for stage interface 1.8; this massflow "
                  "has 1.7\n"
                  "  use a newer massflow, or build the plugin against the headers of this one");
    char expected[400];
    snprintf(
        expected, sizeof expected,
        "plugin DIR/wrong_sizes.so was built with another layout of mf_stage: %zu bytes; stage "
        "interface 1.7 has %zu\n"
        "  build the plugin against the headers of this massflow",
        sizeof(mf_stage) - 8, sizeof(mf_stage));
    check_refusal("wrong_sizes.so", expected);
    check_refusal("wrong_nothing.so",
                  "plugin DIR/wrong_nothing.so: massflow_plugin() returned nothing");
    check_refusal("none.so", "no plugin file DIR/none.so");
    check_refusal(
        "wrong_private.so",
        "cannot load plugin DIR/wrong_private.so: it calls mf_outcome_text, which is not a "
        "public function of this massflow\n"
        "  a plugin may call what the public headers of the massflow that loads it declare; "
        "with -Wl,--no-undefined the linker says what else it calls");
    check_refusal(
        "wrong_unsealed.so",
        "cannot load plugin DIR/wrong_unsealed.so: it calls functions that are private to "
        "massflow\n"
        "  link it again with this massflow and -Wl,--no-undefined: the linker names them; a "
        "plugin may call what massflow's public headers declare");
    check_refusal("wrong_undefined.so",
                  "cannot load plugin DIR/wrong_undefined.so: it uses mri_text, which nothing "
                  "defines\n"
                  "  link the plugin with the library that defines it; with -Wl,--no-undefined the "
                  "linker says what is missing");
    char *text = load_error("../../meson-info/meson-info.json");
    ck_assert_ptr_nonnull(
        strstr(text, "cannot load plugin DIR/../../meson-info/meson-info.json: "));
    free(text);
}
END_TEST

START_TEST(a_plugin_calls_its_own_functions)
{
    char file[4096];
    const char *const files[] = {file};
    snprintf(file, sizeof file, "%s/own_names.so", plugins);
    ok(mf_registry_load(r, files, 1));
    ck_assert_str_eq(mf_registry_stage(r, "own.names")->summary, "own");
}
END_TEST

/* This program has the engine in itself, as the command has. */
START_TEST(a_plugin_calls_the_engine_of_the_program)
{
    char file[4096], program[4096], expected[4200];
    const char *const files[] = {file};
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    ck_assert_int_gt(length, 0);
    program[length] = 0;
    snprintf(file, sizeof file, "%s/engines.so", plugins);
    ok(mf_registry_load(r, files, 1));
    snprintf(expected, sizeof expected, "Calls %s; engines in this process: 1.", program);
    ck_assert_str_eq(mf_registry_stage(r, "engines.count")->summary, expected);
}
END_TEST

START_TEST(plugins_of_the_environment)
{
    ck_assert_int_eq(setenv("MASSFLOW_PLUGINS", "/nowhere/at/all", 1), 0);
    fails(mf_registry_load_standard(r, NULL), "MASSFLOW_PLUGINS: cannot read the plugin folder "
                                              "/nowhere/at/all: No such file or directory");
    char folder[] = "/tmp/massflow-test-XXXXXX", link[64], target[4096];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(link, sizeof link, "%s/toy.so", folder);
    snprintf(target, sizeof target, "%s/toy.so", plugins);
    ck_assert_int_eq(symlink(target, link), 0);
    ck_assert_int_eq(setenv("MASSFLOW_PLUGINS", folder, 1), 0);
    ok(mf_registry_load_standard(r, folder)); /* twice the same folder */
    ck_assert_ptr_nonnull(mf_registry_stage(r, "toy.masks"));
    unlink(link);
    rmdir(folder);
}
END_TEST

/* ---- descriptors -------------------------------------------------------------------------------
 */

typedef struct some_params {
    double a, b;
} some_params;

static mf_status no_run(mf_task *t, const void *p, void *session)
{
    (void)t, (void)p, (void)session;
    return MF_OK;
}

static mf_status no_item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **a)
{
    (void)t, (void)p, (void)session, (void)i, (void)a;
    return MF_OK;
}

static const mf_port one_volume[] = {MF_PORT("volume", "volume", "A scan."), MF_END};

/* A stage that is right, for tests to spoil. */
static mf_stage good_stage(void)
{
    return (mf_stage){.name = "some.stage",
                      .version = 1,
                      .summary = "A stage.",
                      .out = one_volume,
                      .run = no_run};
}

static mf_status add_stage(const mf_stage *stage, const char *file)
{
    static const mf_stage *stages[2];
    static mf_plugin plugin = {MF_ABI_MAJOR,     MF_ABI_MINOR,    sizeof(mf_stage),
                               sizeof(mf_param), sizeof(mf_port), sizeof(mf_type),
                               "some",           stages,          NULL};
    stages[0] = stage;
    return mf_registry_add(r, &plugin, file);
}

static void spoiled(mf_stage stage, const char *expected)
{
    mf_text text = {0};
    mf_text_add(&text, "plugin some.so: stage '%s': %s", stage.name, expected);
    fails(add_stage(&stage, "some.so"), text.data);
    free(text.data);
}

START_TEST(stages_that_do_not_hold)
{
    static const mf_port twice[] = {MF_PORT("a", "volume", ""), MF_PORT("a", "labels", ""), MF_END};
    static const mf_port unknown[] = {MF_PORT("a", "volum", ""), MF_END};
    static const mf_port strange[] = {MF_PORT("a", "volume[3]", ""), MF_END};
    static const mf_port stream[] = {MF_PORT("a", "stream<pair>", ""), MF_END};
    static const mf_port unnamed[] = {MF_PORT("a b", "volume", ""), MF_END};
    mf_stage s = good_stage();
    s.name = "stage";
    spoiled(s, "a stage's name has two parts, as in \"masks.nms\"");
    s = good_stage();
    s.version = 0;
    spoiled(s, "version is 0; it starts at 1");
    s = good_stage();
    s.summary = NULL;
    spoiled(s, "no summary");
    s = good_stage();
    s.out = NULL;
    spoiled(s, "no output port");
    s = good_stage();
    s.run = NULL;
    spoiled(s, "exactly one of run and item must be set");
    s.item = no_item;
    spoiled(s, "item is for a stage with one output, a stream");
    s = good_stage();
    s.out = stream;
    spoiled(s, "a stream is made by item, not by run");
    s = good_stage();
    s.in = twice;
    spoiled(s, "port 'a' stands twice");
    s.in = unknown;
    spoiled(s, "port 'a' has the unknown type 'volum'");
    s.in = strange;
    spoiled(s, "port 'a' has the type 'volume[3]'; write T, T?, T[] or stream<T>");
    s.in = unnamed;
    spoiled(s, "'a b' is not a valid name of a port: letters, digits and _");
}
END_TEST

START_TEST(parameters_that_do_not_hold)
{
    static const mf_param out_of_range[] = {MF_REAL(some_params, a, "3", 0, 2, "mm", "A."), MF_END};
    static const mf_param no_number[] = {MF_REAL(some_params, a, "three", 0, 2, "mm", "A."),
                                         MF_END};
    static const mf_param twice[] = {MF_REAL(some_params, a, "1", 0, 2, "mm", "A."),
                                     MF_REAL(some_params, a, "1", 0, 2, "mm", "A."), MF_END};
    static const mf_param reversed[] = {MF_REAL(some_params, a, "1", 2, 0, "mm", "A."), MF_END};
    static const mf_param misplaced[] = {
        {.name = "a", .kind = MF_PARAM_REAL, .offset = 3, .fallback = "1", .max = 2, .help = "A."},
        MF_END};
    mf_stage s = good_stage();
    s.params_size = sizeof(some_params);
    s.params = out_of_range;
    spoiled(s, "default: 'a' is 3; it must be 0 to 2 mm");
    s.params = no_number;
    spoiled(s, "default: 'a' is 'three', which is not a number");
    s.params = twice;
    spoiled(s, "parameter 'a' stands twice");
    s.params = reversed;
    spoiled(s, "parameter 'a' has its range the wrong way round");
    s.params_size = 4;
    spoiled(s, "parameter 'a' lies outside the parameter struct");
    s.params_size = 100;
    s.params = misplaced;
    spoiled(s, "parameter 'a' lies at byte 3 of the parameter struct, where no field of its kind "
               "can lie");
}
END_TEST

START_TEST(a_name_that_two_plugins_have)
{
    mf_stage s = good_stage();
    ok(add_stage(&s, "one.so"));
    fails(add_stage(&s, "two.so"), "stage 'some.stage' is in both one.so and two.so");
}
END_TEST

static mf_status no_write(const mf_artifact *a, const char *path)
{
    (void)a, (void)path;
    return MF_OK;
}

START_TEST(types_and_writers)
{
    static const mf_type again = {"volume", "", "voxels", "", NULL, NULL};
    static const mf_type unheard = {"mesh", NULL, NULL, NULL, ".stl", no_write};
    static const mf_type half = {"volume", NULL, NULL, NULL, ".nii", NULL};
    static const mf_type *types[2];
    static const mf_stage *const none[] = {NULL};
    const mf_plugin plugin = {MF_ABI_MAJOR,
                              MF_ABI_MINOR,
                              sizeof(mf_stage),
                              sizeof(mf_param),
                              sizeof(mf_port),
                              sizeof(mf_type),
                              "some",
                              none,
                              types};
    types[0] = &again;
    fails(mf_registry_add(r, &plugin, "some.so"),
          "type 'volume' is declared by massflow itself and by some.so\n"
          "  a plugin that only adds a writer leaves arrays and attributes NULL");
    types[0] = &unheard;
    fails(mf_registry_add(r, &plugin, "some.so"),
          "plugin some.so adds a writer to the type 'mesh', which nobody declares");
    types[0] = &half;
    fails(mf_registry_add(r, &plugin, "some.so"),
          "plugin some.so: type 'volume' has only one of a writer and its suffixes");
}
END_TEST

START_TEST(writers_go_by_suffix)
{
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    ck_assert_ptr_nonnull(mf_registry_writer(r, "masks", "a.nii.gz"));
    ck_assert_ptr_nonnull(mf_registry_writer(r, "table", "a.b.tsv"));
    ck_assert_ptr_null(mf_registry_writer(r, "masks", "a.nii"));
    ck_assert_ptr_null(mf_registry_writer(r, "masks", ".nii.gz"));
    ck_assert_ptr_null(mf_registry_writer(r, "volume", "a.nii.gz"));
    char *suffixes = mf_registry_suffixes(r, "table");
    ck_assert_str_eq(suffixes, ".csv, .tsv");
    free(suffixes);
    ck_assert_str_eq(mf_registry_type(r, "table")->attributes, "columns:text");
    ck_assert_ptr_null(mf_registry_type(r, "mesh"));
}
END_TEST

START_TEST(port_types)
{
    mf_port_type t;
    ck_assert(mf_port_type_parse("volume", &t));
    ck_assert_str_eq(t.name, "volume");
    ck_assert(t.shape == MF_PORT_ONE && !t.optional);
    ck_assert(mf_port_type_parse("labels?", &t));
    ck_assert(t.shape == MF_PORT_ONE && t.optional);
    ck_assert(mf_port_type_parse("masks[]?", &t));
    ck_assert_str_eq(t.name, "masks");
    ck_assert(t.shape == MF_PORT_LIST && t.optional);
    ck_assert(mf_port_type_parse("stream<pair>", &t));
    ck_assert_str_eq(t.name, "pair");
    ck_assert(t.shape == MF_PORT_STREAM && !t.optional);
    ck_assert(!mf_port_type_parse("", &t));
    ck_assert(!mf_port_type_parse("?", &t));
    ck_assert(!mf_port_type_parse("[]", &t));
    ck_assert(!mf_port_type_parse("stream<>", &t));
    ck_assert(!mf_port_type_parse("volume[", &t));
    ck_assert(!mf_port_type_parse("a b", &t));
}
END_TEST

/* ---- parameters --------------------------------------------------------------------------------
 */

typedef struct all_params { /* as in toy.c */
    int64_t interval, threads;
    double sigma;
    mf_real3 spacing;
    mf_int3 grid;
    mf_ints sizes;
    mf_reals weights;
    bool fast;
    const char *title;
} all_params;

static mf_status set(mf_params *p, const mf_stage *stage, const char *name, const char *text)
{
    return mf_params_set(p, mf_param_find(stage, name), false, &text, 1, NULL, NULL);
}

START_TEST(values_arrive_in_the_struct)
{
    static const char *const spacing[] = {"0.5", "2e0", "+3"}, *const sizes[] = {"8", "9"};
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    const mf_stage *stage = mf_registry_stage(r, "toy.masks");
    mf_params *p;
    int at;
    ok(mf_params_new(stage, &p));
    const all_params *v = mf_params_struct(p);
    ck_assert_int_eq(v->interval, 30);
    ck_assert_double_eq(v->sigma, 1e-4);
    ck_assert_double_eq(v->spacing.v[2], 1.5);
    ck_assert_uint_eq(v->sizes.count, 2);
    ck_assert_int_eq(v->sizes.v[1], 800);
    ck_assert_uint_eq(v->weights.count, 0);
    ck_assert_str_eq(v->title, "");
    ok(set(p, stage, "interval", "0012"));
    ok(set(p, stage, "sigma", "1E-3"));
    ok(set(p, stage, "fast", "true"));
    ok(set(p, stage, "title", "a \"b\"/ä"));
    ok(set(p, stage, "threads", "8"));
    ok(mf_params_set(p, mf_param_find(stage, "spacing"), true, spacing, 3, NULL, &at));
    ok(mf_params_set(p, mf_param_find(stage, "sizes"), true, sizes, 2, NULL, &at));
    ck_assert_int_eq(v->interval, 12);
    ck_assert_double_eq(v->sigma, 1e-3);
    ck_assert(v->fast);
    ck_assert_double_eq(v->spacing.v[1], 2);
    ck_assert_int_eq(v->sizes.v[0], 8);
    ok(mf_params_finish(p));
    ck_assert_str_eq(mf_params_json(p),
                     "{\"fast\":true,\"grid\":[8,8,8],\"interval\":12,\"sigma\":0.001,"
                     "\"sizes\":[8,9],\"spacing\":[0.5,2,3],\"title\":\"a \\\"b\\\"/ä\","
                     "\"weights\":[]}");
    ck_assert_str_eq(mf_params_base_json(p), mf_params_json(p));
    mf_params_unref(p);
}
END_TEST

START_TEST(reals_keep_every_bit_in_json)
{
    static const char *const texts[] = {"0.1", "-0", "0.30000000000000004", "1e-300", "1"};
    static const char *const shown[] = {"0.1", "0", "0.30000000000000004", "1e-300", "1"};
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    const mf_stage *stage = mf_registry_stage(r, "toy.masks");
    mf_params *p;
    ok(mf_params_new(stage, &p));
    ok(mf_params_set(p, mf_param_find(stage, "weights"), true, texts, 5, NULL, NULL));
    ok(mf_params_finish(p));
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(strstr(strstr(mf_params_json(p), "weights"), shown[i]));
    ck_assert_ptr_null(strstr(mf_params_json(p), "-0"));
    mf_params_unref(p);
}
END_TEST

START_TEST(paths_and_marks_stay_out_of_the_json)
{
    const char *name;
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    const mf_stage *load_stage = mf_registry_stage(r, "toy.load");
    const mf_stage *train = mf_registry_stage(r, "toy.train");
    mf_params *p;
    const char *here = "null";
    ok(mf_params_new(load_stage, &p));
    ck_assert(mf_params_missing(p, mf_param_find(load_stage, "path")));
    fails(mf_params_finish(p), "required parameter 'path' is missing");
    ok(mf_params_set(p, mf_param_find(load_stage, "path"), false, &here, 1, "/dev", NULL));
    ck_assert(!mf_params_missing(p, mf_param_find(load_stage, "path")));
    ok(mf_params_finish(p));
    ck_assert_str_eq(mf_params_json(p), "{\"orient\":\"RAS\"}");
    ck_assert_uint_eq(mf_params_path_count(p), 1); /* `labels` was left out */
    ck_assert_str_eq(mf_params_path(p, 0, &name), "/dev/null");
    ck_assert_str_eq(name, "path");
    mf_params_unref(p);
    ok(mf_params_new(train, &p));
    ok(set(p, train, "steps", "5"));
    ok(mf_params_finish(p));
    ck_assert_str_eq(mf_params_json(p), "{\"steps\":5,\"stop_at\":0}");
    ck_assert_str_eq(mf_params_base_json(p), "{\"steps\":5}"); /* stop_at is extendable */
    mf_params_unref(p);
}
END_TEST

typedef struct folded_params {
    const char *modality, *exact;
} folded_params;

/* A modality as a column of DICOM has it: one word in the struct and in the key. */
START_TEST(a_choice_may_have_spellings)
{
    static const mf_param table[] = {
        MF_CHOICE_FOLDED(folded_params, modality, "auto", "auto|" MF_MODALITIES, "What it is."),
        MF_CHOICE(folded_params, exact, "ct", "ct|a=b", "Words as they are."), MF_END};
    static const mf_port out[] = {MF_PORT("volume", "volume", "It."), MF_END};
    static MF_STAGE(stage, "toy.folded", 1, "Choose.", .params = table,
                    .params_size = sizeof(folded_params), .out = out, .run = no_run);
    static const char *const met[][2] = {{"CT", "ct"},  {"ct", "ct"},    {"MR", "mr"},
                                         {"MRI", "mr"}, {"PT", "pet"},   {"PET", "pet"},
                                         {"pt", "pet"}, {"Auto", "auto"}};
    for (size_t i = 0; i < sizeof met / sizeof *met; i++) {
        mf_params *p;
        char json[64];
        ok(mf_params_new(&stage, &p));
        ok(set(p, &stage, "modality", met[i][0]));
        ok(mf_params_finish(p));
        snprintf(json, sizeof json, "{\"exact\":\"ct\",\"modality\":\"%s\"}", met[i][1]);
        ck_assert_str_eq(mf_params_json(p), json);
        mf_params_unref(p);
    }
    mf_params *p;
    ok(mf_params_new(&stage, &p));
    ok(set(p, &stage, "exact", "a=b"));
    fails(set(p, &stage, "modality", "NM"),
          "'modality' is 'NM', which is none of auto, ct, mr, pet");
    fails(set(p, &stage, "modality", "mr=mri"),
          "'modality' is 'mr=mri', which is none of auto, ct, mr, pet");
    fails(set(p, &stage, "modality", ""), "'modality' is '', which is none of auto, ct, mr, pet");
    fails(set(p, &stage, "exact", "CT"),
          "'exact' is 'CT', which is none of ct, a=b; did you mean 'ct'?");
    mf_params_unref(p);
}
END_TEST

START_TEST(copies_are_their_own)
{
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    const mf_stage *stage = mf_registry_stage(r, "toy.masks");
    mf_params *p, *copy;
    ok(mf_params_new(stage, &p));
    ok(set(p, stage, "title", "first"));
    ok(mf_params_copy(p, &copy));
    ok(set(copy, stage, "title", "second"));
    mf_params_unref(p);
    const all_params *v = mf_params_struct(copy);
    ck_assert_str_eq(v->title, "second");
    ck_assert_int_eq(v->sizes.v[0], 200);
    ck_assert_uint_eq(v->weights.count, 0);
    mf_params_unref(copy);
}
END_TEST

/* ---- words -------------------------------------------------------------------------------------
 */

START_TEST(descriptions)
{
    ok(mf_registry_add(r, massflow_plugin(), "toy.so"));
    char *text = mf_stage_describe(r, mf_registry_stage(r, "toy.train"));
    ck_assert_str_eq(text, "toy.train - Train.\n"
                           "\n"
                           "in\n"
                           "  views  stream<pair>  What to learn from.\n"
                           "\n"
                           "out\n"
                           "  model    model  Weights.\n"
                           "  metrics  table  Loss by step.\n"
                           "\n"
                           "with\n"
                           "  steps    Steps of the schedule.\n"
                           "           integer, 1 to 1000000; required\n"
                           "  stop_at  Stop early.\n"
                           "           integer, 0 to 1000000; default 0; a longer run resumes from "
                           "a shorter one\n"
                           "\n"
                           "plugin toy (toy.so), version 1\n");
    free(text);
    text = mf_stage_describe(r, mf_registry_stage(r, "toy.load"));
    ck_assert_ptr_nonnull(strstr(text, "  path    Scan.\n"
                                       "          file or folder; required\n"
                                       "  labels  Its label map.\n"
                                       "          file or folder; default: none\n"
                                       "  orient  Orientation.\n"
                                       "          choice: RAS, LPS, keep; default RAS\n"));
    free(text);
    text = mf_registry_list(r);
    ck_assert_str_eq(text, "toy.dice     Overlap.\n"
                           "toy.load     Load a scan.\n"
                           "toy.masks    Find masks.\n"
                           "toy.segment  Segment.\n"
                           "toy.split    Cut in halves.\n"
                           "toy.train    Train.\n"
                           "toy.views    Make pairs of views.\n"
                           "\n"
                           "sources of cases, as in cases: {glob: ...}\n"
                           "  glob   A case for each file or folder that fits a pattern.\n"
                           "  csv    A case for each row of a table.\n"
                           "  list   Cases written out in the graph file.\n"
                           "  count  Numbered cases without a file.\n");
    free(text);
}
END_TEST

/* ---- sources of cases --------------------------------------------------------------------------
 */

START_TEST(sources_are_described)
{
    char file[4096];
    const char *const files[] = {file};
    snprintf(file, sizeof file, "%s/lines.so", plugins);
    ok(mf_registry_load(r, files, 1));
    ck_assert_str_eq(mf_registry_source_at(r, 4)->name, "lines");
    ck_assert_str_eq(mf_registry_source_at(r, 5)->name, "strict");
    ck_assert_ptr_null(mf_registry_source_at(r, 6));
    ck_assert_ptr_null(mf_registry_source(r, "line"));
    ck_assert_str_eq(mf_registry_source_near(r, "line"), "lines");
    const mf_case_source *lines = mf_registry_source(r, "lines");
    ck_assert_str_eq(mf_registry_source_file(r, lines), file);
    char *text = mf_case_source_describe(r, lines);
    char *end = strstr(text, "\nplugin lines (/");
    ck_assert_ptr_nonnull(end);
    *end = 0;
    ck_assert_str_eq(text, "lines - The scans that a text file lists.\n"
                           "A source of cases, as in cases: {lines: ...}.\n"
                           "\n"
                           "Empty lines are passed over.\n"
                           "\n"
                           "options\n"
                           "  lines    The text file.\n"
                           "           file or folder; required\n"
                           "  skip     Lines that are passed over.\n"
                           "           integer, 0 to 100 lines; default 0\n"
                           "  weights  Read by nobody.\n"
                           "           list of numbers, 0 to 1; default []\n"
                           "  marks    What words mean.\n"
                           "           file or folder; default: none\n"
                           "\n"
                           "columns of its cases\n"
                           "  line   Its number in the file.\n"
                           "  word*  What stands in it.\n");
    free(text);
    text = mf_case_source_describe(r, mf_registry_source(r, "list"));
    ck_assert_str_eq(text, "list - Cases written out in the graph file.\n"
                           "A source of cases, as in cases: {list: ...}.\n"
                           "\n"
                           "options\n"
                           "  list  A list of paths, or of columns in braces.\n"
                           "        required\n"
                           "\n"
                           "built into massflow\n");
    free(text);
}
END_TEST

typedef struct source_params {
    const char *made, *more;
} source_params;

static mf_status read_nothing(mf_cases *cases, const void *params)
{
    (void)cases, (void)params;
    return MF_OK;
}

/* Why a plugin with this source is refused; "" where it is not. */
static void check_source(const mf_case_source *source, const char *expected)
{
    const mf_case_source *const sources[] = {source, NULL};
    const mf_plugin plugin = {.abi_major = MF_ABI_MAJOR,
                              .abi_minor = MF_ABI_MINOR,
                              .stage_size = sizeof(mf_stage),
                              .param_size = sizeof(mf_param),
                              .port_size = sizeof(mf_port),
                              .type_size = sizeof(mf_type),
                              .source_size = sizeof(mf_case_source),
                              .name = "made",
                              .sources = sources};
    mf_registry *own;
    ok(mf_registry_new(&own));
    if (*expected)
        fails(mf_registry_add(own, &plugin, "made.so"), expected);
    else
        ok(mf_registry_add(own, &plugin, "made.so"));
    mf_registry_free(own);
}

START_TEST(sources_that_do_not_hold_are_refused)
{
    static const mf_param made[] = {MF_TEXT(source_params, made, NULL, "Text."), MF_END},
                          wide[] = {MF_TEXT(source_params, made, NULL, "Text."),
                                    MF_TEXT(source_params, more, "", "Text."), MF_END},
                          path[] = {MF_TEXT(source_params, made, NULL, "Text."),
                                    {"path", MF_PARAM_TEXT, 0, "", 0, 0, "", "Text.", NULL, 0},
                                    MF_END},
                          glob[] = {{"glob", MF_PARAM_TEXT, 0, NULL, 0, 0, "", "Text.", NULL, 0},
                                    MF_END};
    static const mf_source_column starred[] = {{"a*b", "Help."}, MF_END},
                                  bare[] = {{"a", NULL}, MF_END},
                                  both[] = {{"more", "Help."}, MF_END},
                                  good[] = {{"a*", "Help."}, {"b", "Help."}, MF_END};
    const mf_case_source right = {.name = "made",
                                  .summary = "Made.",
                                  .params = wide,
                                  .params_size = sizeof(source_params),
                                  .columns = good,
                                  .read = read_nothing};
    mf_case_source s = right;
    check_source(&right, "");
    s.name = "a.b";
    check_source(&s, "plugin made.so: source of cases 'a.b': that is not a valid name of a source: "
                     "letters, digits and _");
    s.name = "exclude";
    check_source(&s, "plugin made.so: source of cases 'exclude': that is not a valid name of a "
                     "source: letters, digits and _");
    s = right;
    s.summary = NULL;
    check_source(&s, "plugin made.so: source of cases 'made': no summary");
    s = right;
    s.read = NULL;
    check_source(&s, "plugin made.so: source of cases 'made': read is not set");
    s = right;
    s.name = "other";
    check_source(&s, "plugin made.so: source of cases 'other': its first option must have the "
                     "source's name");
    s = right;
    s.params = path;
    check_source(&s, "plugin made.so: source of cases 'made': 'path' cannot be an option: it has "
                     "a meaning for all sources");
    s = right;
    s.params_size = sizeof(char *);
    check_source(&s, "plugin made.so: source of cases 'made': parameter 'more' lies outside the "
                     "parameter struct");
    s = right;
    s.columns = starred;
    check_source(&s, "plugin made.so: source of cases 'made': 'a*b' is not a valid name of a "
                     "column of a source");
    s.columns = bare;
    check_source(&s, "plugin made.so: source of cases 'made': column 'a' has no help");
    s.columns = both;
    check_source(&s, "plugin made.so: source of cases 'made': 'more' is an option and a column");
    s = right;
    s.params = glob;
    s.name = "glob";
    check_source(&s, "the source of cases 'glob' is in both massflow itself and made.so");
    s = right;
    s.params = made;
    check_source(&s, "");
}
END_TEST

START_TEST(nearest_names)
{
    static const char *const names[] = {"interval", "spacing", "orient", "sigma", "a"};
    ck_assert_str_eq(mf_nearest("intervall", names, 5), "interval");
    ck_assert_str_eq(mf_nearest("Spacing", names, 5), "spacing");
    ck_assert_str_eq(mf_nearest("sapcing", names, 5), "spacing"); /* letters swapped */
    ck_assert_str_eq(mf_nearest("orientation", names, 5), "orient");
    ck_assert_str_eq(mf_nearest("sig", names, 5), "sigma");
    ck_assert_ptr_null(mf_nearest("b", names, 5));
    ck_assert_ptr_null(mf_nearest("weights", names, 5));
    ck_assert_ptr_null(mf_nearest("", names, 5));
    ck_assert_ptr_null(mf_nearest("interval", names, 0));
    char longest[300];
    memset(longest, 'x', 299);
    longest[299] = 0;
    ck_assert_ptr_null(mf_nearest(longest, names, 5));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stages");
    TCase *tests = tcase_create("stages");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_plugin_is_loaded_once);
    tcase_add_test(tests, wrong_plugins_are_named);
    tcase_add_test(tests, sources_are_described);
    tcase_add_test(tests, sources_that_do_not_hold_are_refused);
    tcase_add_test(tests, a_plugin_calls_its_own_functions);
    tcase_add_test(tests, a_plugin_calls_the_engine_of_the_program);
    tcase_add_test(tests, plugins_of_the_environment);
    tcase_add_test(tests, stages_that_do_not_hold);
    tcase_add_test(tests, parameters_that_do_not_hold);
    tcase_add_test(tests, a_name_that_two_plugins_have);
    tcase_add_test(tests, types_and_writers);
    tcase_add_test(tests, writers_go_by_suffix);
    tcase_add_test(tests, port_types);
    tcase_add_test(tests, values_arrive_in_the_struct);
    tcase_add_test(tests, reals_keep_every_bit_in_json);
    tcase_add_test(tests, paths_and_marks_stay_out_of_the_json);
    tcase_add_test(tests, a_choice_may_have_spellings);
    tcase_add_test(tests, copies_are_their_own);
    tcase_add_test(tests, descriptions);
    tcase_add_test(tests, nearest_names);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
