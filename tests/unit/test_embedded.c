/* test_embedded.c - a process that opens libmassflow.so.1 for itself alone, as an extension module
 * of Python does: plugins call that library, though none of its names is global. The program is not
 * linked with massflow. */
#include "../run_suite.h"

#include <massflow/stage.h>

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void *opened(const char *file)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    ck_assert_msg(handle != NULL, "%s", dlerror());
    return handle;
}

static const mf_plugin *record_of(const char *file)
{
    const mf_plugin *(*entry)(void);

    *(void **)&entry = dlsym(opened(file), "massflow_plugin");
    ck_assert_ptr_nonnull(entry);
    const mf_plugin *plugin = entry();
    ck_assert_ptr_nonnull(plugin);
    ck_assert_int_eq(plugin->abi_major, MF_ABI_MAJOR);
    return plugin;
}

START_TEST(a_plugin_calls_the_library)
{
    char library[PATH_MAX], expected[PATH_MAX + 100];

    ck_assert_ptr_nonnull(realpath(getenv("LIBRARY"), library));
    ck_assert_ptr_nonnull(dlsym(opened(library), "mf_fail"));
    ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "mf_fail"));
    const mf_plugin *plugin = record_of(getenv("ENGINES"));
    snprintf(expected, sizeof expected, "Calls %s; engines in this process: 1.", library);
    ck_assert_str_eq(plugin->stages[0]->summary, expected);
}
END_TEST

START_TEST(every_plugin_loads)
{
    const char *folder = getenv("MASSFLOW_PLUGINS");
    DIR *stream = opendir(folder);
    char file[4096];
    int count = 0;

    opened(getenv("LIBRARY"));
    ck_assert_ptr_nonnull(stream);
    for (struct dirent *e; (e = readdir(stream));) {
        size_t length = strlen(e->d_name);
        if (length < 4 || strcmp(e->d_name + length - 3, ".so"))
            continue;
        snprintf(file, sizeof file, "%s/%s", folder, e->d_name);
        ck_assert_str_eq(record_of(file)->name, strtok(e->d_name, "."));
        count++;
    }
    closedir(stream);
    ck_assert_int_gt(count, 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("embedded");
    TCase *tests = tcase_create("embedded");

    tcase_add_test(tests, a_plugin_calls_the_library);
    tcase_add_test(tests, every_plugin_loads);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
