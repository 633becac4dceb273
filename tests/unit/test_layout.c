/* test_layout.c - places of boxes and lines in a drawing of a graph. */
#include "../run_suite.h"
#include "report/layout.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>

#define WIDTH 100
#define HEIGHT 40

static void solve(mf_layout *l, mf_layout_box *boxes, size_t box_count, mf_layout_link *links,
                  size_t link_count)
{
    mf_status status;

    for (size_t i = 0; i < box_count; i++) {
        boxes[i].width = WIDTH;
        boxes[i].height = HEIGHT;
        boxes[i].slots = boxes[i].slots ? boxes[i].slots : 1;
    }
    *l = (mf_layout){.boxes = boxes,
                     .box_count = box_count,
                     .links = links,
                     .link_count = link_count,
                     .gap_x = 20,
                     .gap_y = 50};
    status = mf_layout_solve(l);
    ck_assert_msg(!status, "%s", status ? mf_error_text(status) : "");
}

/* Boxes lie inside the drawing and apart; lines go down from slot to box, and cross no box. */
static void check_sound(const mf_layout *l)
{
    for (size_t i = 0; i < l->box_count; i++) {
        const mf_layout_box *a = &l->boxes[i];
        ck_assert_double_ge(a->x, -1e-9);
        ck_assert_double_ge(a->y, 0);
        ck_assert_double_le(a->x + a->width, l->width + 1e-9);
        ck_assert_double_le(a->y + a->height, l->height + 1e-9);
        for (size_t k = 0; k < i; k++) {
            const mf_layout_box *b = &l->boxes[k];
            ck_assert(fabs(a->y - b->y) >= HEIGHT + l->gap_y - 1e-9 ||
                      fabs(a->x - b->x) >= WIDTH + l->gap_x - 1e-9);
        }
    }
    for (size_t i = 0; i < l->link_count; i++) {
        const mf_layout_link *k = &l->links[i];
        const mf_layout_box *from = &l->boxes[k->from], *to = &l->boxes[k->to];
        const double *end = k->points + 2 * (k->count - 1);
        ck_assert_double_eq_tol(k->points[1], from->y + from->height, 1e-9);
        ck_assert_double_gt(k->points[0], from->x);
        ck_assert_double_lt(k->points[0], from->x + from->width);
        ck_assert_double_eq_tol(end[1], to->y, 1e-9);
        ck_assert_double_gt(end[0], to->x);
        ck_assert_double_lt(end[0], to->x + to->width);
        for (size_t p = 1; p < k->count; p++)
            ck_assert_double_ge(k->points[2 * p + 1], k->points[2 * p - 1]);
        for (size_t p = 1; p + 1 < k->count; p++) {
            for (size_t b = 0; b < l->box_count; b++) {
                const mf_layout_box *box = &l->boxes[b];
                double y = k->points[2 * p + 1], x = k->points[2 * p];
                ck_assert(y < box->y || y > box->y + box->height || x < box->x ||
                          x > box->x + box->width);
            }
        }
    }
}

START_TEST(chain_stands_straight)
{
    mf_layout_box boxes[3] = {{0}};
    mf_layout_link links[2] = {{.from = 0, .to = 1}, {.from = 1, .to = 2}};
    mf_layout l;

    solve(&l, boxes, 3, links, 2);
    check_sound(&l);
    ck_assert_double_eq(l.width, WIDTH);
    ck_assert_double_eq(l.height, 3 * HEIGHT + 2 * 50);
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq_tol(boxes[i].x, 0, 1e-9);
        ck_assert_double_eq(boxes[i].y, i * (HEIGHT + 50.0));
    }
    ck_assert_uint_eq(links[0].count, 2);
    ck_assert_double_eq_tol(links[0].points[0], WIDTH / 2.0, 1e-9);
    mf_layout_clear(&l);
}
END_TEST

START_TEST(order_saves_crossings)
{
    /* Two pairs, given crosswise. */
    mf_layout_box boxes[4] = {{0}};
    mf_layout_link links[2] = {{.from = 0, .to = 3}, {.from = 1, .to = 2}};
    mf_layout l;

    solve(&l, boxes, 4, links, 2);
    check_sound(&l);
    ck_assert((boxes[0].x < boxes[1].x) == (boxes[3].x < boxes[2].x));
    mf_layout_clear(&l);
}
END_TEST

START_TEST(long_lines_pass_beside_boxes)
{
    /* 0 -> 1 -> 2 -> 3, and 0 -> 3 and 0 -> 2 from one slot: they run together. */
    mf_layout_box boxes[4] = {{0}};
    mf_layout_link links[5] = {{.from = 0, .to = 1},
                               {.from = 1, .to = 2},
                               {.from = 2, .to = 3},
                               {.from = 0, .to = 3},
                               {.from = 0, .to = 2}};
    mf_layout l;

    solve(&l, boxes, 4, links, 5);
    check_sound(&l);
    ck_assert_uint_eq(links[3].count, 6); /* two layers, each with a point at its edges */
    ck_assert_uint_eq(links[4].count, 4);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(links[3].points[i], links[4].points[i]);
    mf_layout_clear(&l);
}
END_TEST

START_TEST(sources_stand_above_what_uses_them)
{
    /* 3 is used by 2 only, two layers below 0. */
    mf_layout_box boxes[4] = {{0}};
    mf_layout_link links[3] = {{.from = 0, .to = 2}, {.from = 2, .to = 3}, {.from = 1, .to = 3}};
    mf_layout l;

    solve(&l, boxes, 4, links, 3);
    check_sound(&l);
    ck_assert_double_eq(boxes[1].y, boxes[2].y);
    mf_layout_clear(&l);
}
END_TEST

START_TEST(slots_and_entries_are_in_order)
{
    /* Two outputs of 0 go to 1 by different slots. */
    mf_layout_box boxes[2] = {{.slots = 2}, {0}};
    mf_layout_link links[2] = {{.from = 0, .slot = 1, .to = 1}, {.from = 0, .slot = 0, .to = 1}};
    mf_layout l;

    solve(&l, boxes, 2, links, 2);
    check_sound(&l);
    ck_assert_double_gt(links[0].points[0], links[1].points[0]);
    ck_assert_double_gt(links[0].points[2], links[1].points[2]);
    mf_layout_clear(&l);
}
END_TEST

START_TEST(any_graph_is_sound)
{
    enum { BOXES = 40, LINKS = 90 };
    static mf_layout_box boxes[BOXES];
    static mf_layout_link links[LINKS];
    uint32_t state = 7;
    mf_layout l;

    for (int i = 0; i < LINKS; i++) {
        uint32_t to, from;
        state = state * 1664525u + 1013904223u;
        to = 1 + (state >> 8) % (BOXES - 1);
        state = state * 1664525u + 1013904223u;
        from = (state >> 8) % to;
        links[i] = (mf_layout_link){.from = from, .to = to};
    }
    solve(&l, boxes, BOXES, links, LINKS);
    check_sound(&l);
    mf_layout_clear(&l);
}
END_TEST

START_TEST(nothing_and_backward_links)
{
    mf_layout_box boxes[2] = {{.width = 1, .height = 1}, {.width = 1, .height = 1}};
    mf_layout_link back = {.from = 1, .to = 0};
    mf_layout l;
    mf_status status;
    char *text;

    solve(&l, boxes, 0, NULL, 0);
    ck_assert_double_eq(l.width, 0);
    l = (mf_layout){.boxes = boxes, .box_count = 2, .links = &back, .link_count = 1};
    status = mf_layout_solve(&l);
    text = mf_error_text(status);
    ck_assert_str_eq(text, "link 0 of a drawing does not go forward");
    free(text);
    mf_error_free(status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *tests = tcase_create("layout");

    tcase_add_test(tests, chain_stands_straight);
    tcase_add_test(tests, order_saves_crossings);
    tcase_add_test(tests, long_lines_pass_beside_boxes);
    tcase_add_test(tests, sources_stand_above_what_uses_them);
    tcase_add_test(tests, slots_and_entries_are_in_order);
    tcase_add_test(tests, any_graph_is_sound);
    tcase_add_test(tests, nothing_and_backward_links);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
