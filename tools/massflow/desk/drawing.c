/* drawing.c - where the boxes and lines of the graph stand on the page: the layout of the report's
 * drawing, as numbers. The page draws it, with the states that change. */
#include "../report/layout.h"
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOX_HEIGHT 52
#define SLOT_WIDTH 60 /* room for the name of a type beside its line */
#define LETTER 7.4    /* the width that a letter of a title may take; estimated, as fonts differ */
#define SMALL 6.2

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a drawing of the graph");
}

static double letters(const char *text)
{
    double count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Room for both lines of text, and for the counts of its states. */
static double width_of(const mf_workspace_stage *s, uint32_t slots)
{
    double title = letters(s->name) * LETTER + 56, use = letters(s->use) * SMALL + 24;
    double lines = slots > 1 ? SLOT_WIDTH * (double)(slots + 1) : 0;
    double width = title > use ? title : use;

    width = width > lines ? width : lines;
    return width > 132 ? width : 132;
}

/* Outputs that nobody reads take no room: those that are read are numbered. Links are in order of
 * their targets. */
static void number_slots(mf_layout *l, const mf_workspace_link *links, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < i && (links[k].from != links[i].from || links[k].port != links[i].port))
            k++;
        l->links[i] =
            (mf_layout_link){.from = (uint32_t)links[i].from,
                             .slot = k < i ? l->links[k].slot : l->boxes[links[i].from].slots++,
                             .to = (uint32_t)links[i].to};
    }
}

static mf_status solve(const mf_workspace *w, const mf_workspace_link *links, size_t count,
                       mf_layout *l)
{
    *l = (mf_layout){.box_count = mf_workspace_stage_count(w), .gap_x = 22, .gap_y = 34};
    l->boxes = calloc(l->box_count + 1, sizeof *l->boxes);
    l->links = calloc(count + 1, sizeof *l->links);
    if (!l->boxes || !l->links)
        return no_memory();
    l->link_count = count;
    number_slots(l, links, count);
    for (size_t i = 0; i < l->box_count; i++) {
        mf_workspace_stage s;
        mf_workspace_stage_at(w, i, &s);
        l->boxes[i].width = width_of(&s, l->boxes[i].slots);
        l->boxes[i].height = BOX_HEIGHT;
    }
    return mf_layout_solve(l);
}

static void add_number(json_object *list, double value)
{
    char text[40];

    snprintf(text, sizeof text, "%.1f", value);
    json_object_array_add(list, json_object_new_double_s(value, text));
}

static json_object *box_of(const mf_layout_box *b)
{
    json_object *list = json_object_new_array();

    add_number(list, b->x);
    add_number(list, b->y);
    add_number(list, b->width);
    add_number(list, b->height);
    return list;
}

static json_object *link_of(const mf_layout_link *l, const mf_workspace_link *is)
{
    json_object *o = json_object_new_object(), *points = json_object_new_array();

    for (size_t i = 0; i < 2 * l->count; i++)
        add_number(points, l->points[i]);
    json_object_object_add(o, "points", points);
    json_object_object_add(o, "from", json_object_new_int64((int64_t)is->from));
    json_object_object_add(o, "to", json_object_new_int64((int64_t)is->to));
    json_object_object_add(o, "slot", json_object_new_int64(l->slot));
    json_object_object_add(o, "gathers", json_object_new_boolean(is->gathers));
    desk_put(o, "type", is->type);
    desk_put(o, "output", is->output);
    return o;
}

static json_object *drawing_of(const mf_layout *l, const mf_workspace_link *links)
{
    json_object *o = json_object_new_object(), *boxes = json_object_new_array(),
                *lines = json_object_new_array();

    for (size_t i = 0; i < l->box_count; i++)
        json_object_array_add(boxes, box_of(&l->boxes[i]));
    for (size_t i = 0; i < l->link_count; i++)
        json_object_array_add(lines, link_of(&l->links[i], &links[i]));
    json_object_object_add(o, "width", json_object_new_double(l->width));
    json_object_object_add(o, "height", json_object_new_double(l->height));
    json_object_object_add(o, "boxes", boxes);
    json_object_object_add(o, "links", lines);
    return o;
}

static mf_status answer_drawing(desk_request *q, desk_reply *r)
{
    mf_workspace *w;
    mf_workspace_link *links = NULL;
    mf_layout layout = {0};
    size_t count;

    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = mf_workspace_links(w, &links, &count);
    if (!status)
        status = solve(w, links, count, &layout);
    if (!status) {
        desk_reply_json(r, drawing_of(&layout, links));
        mf_layout_clear(&layout);
    }
    free(layout.boxes);
    free(layout.links);
    free(links);
    mf_workspace_close(w);
    return status;
}

const desk_route desk_drawing_routes[] = {{"GET", "/api/drawing", answer_drawing},
                                          {NULL, NULL, NULL}};
