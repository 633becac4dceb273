/* test_desk_live.c - the steps of running nodes that the desk keeps for pages that are opened late.
 */
#include "../expect.h"
#include "../run_suite.h"
#include "desk/parts.h"
#include <check.h>
#include <stdio.h>
#include <string.h>

/* Of request.c, which needs a server. Texts here are clean. */
void desk_put(json_object *o, const char *name, const char *text)
{
    json_object_object_add(o, name, json_object_new_string(text));
}

static void add(desk_live *l, const char *node, int64_t step)
{
    desk_live_add(l, &(mf_workspace_active){.node = node, .done = step, .words = "loss 0.5"});
}

/* How many samples of a node are kept, and the last of its steps. */
static size_t kept_of(const desk_live *l, const char *node, int64_t *last)
{
    json_object *list = desk_live_json(l), *value;
    size_t count = 0;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *one = json_object_array_get_idx(list, i);
        json_object_object_get_ex(one, "node", &value);
        if (strcmp(json_object_get_string(value), node) != 0)
            continue;
        json_object_object_get_ex(one, "step", &value);
        *last = json_object_get_int64(value);
        count++;
    }
    json_object_put(list);
    return count;
}

START_TEST(nodes_that_take_turns_are_all_kept)
{
    desk_live live = {0};
    int64_t last = -1;
    for (int64_t step = 1; step <= 10000; step++) {
        add(&live, "a", step);
        add(&live, "b", step);
        add(&live, "b", step); /* no step since */
    }
    for (int i = 0; i < 2; i++) {
        const size_t count = kept_of(&live, i ? "b" : "a", &last);
        ck_assert_uint_ge(count, 900);
        ck_assert_uint_le(count, 2048);
        ck_assert_int_ge(last, 9900);
    }
    desk_live_clear(&live);
}
END_TEST

START_TEST(a_node_after_thousands_of_others_is_kept)
{
    desk_live live = {0};
    int64_t last = -1;
    char name[32];
    for (int i = 0; i < 9000; i++) {
        snprintf(name, sizeof name, "found[case=%d]", i);
        add(&live, name, 1);
    }
    for (int64_t step = 1; step <= 100; step++)
        add(&live, "train", step);
    ck_assert_uint_eq(kept_of(&live, "train", &last), 100);
    desk_live_clear(&live);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("desk_live");
    TCase *live = tcase_create("live");
    tcase_add_test(live, nodes_that_take_turns_are_all_kept);
    tcase_add_test(live, a_node_after_thousands_of_others_is_kept);
    suite_add_tcase(s, live);
    return run_suite(s);
}
