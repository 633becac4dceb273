/* state.c - the state of a long stage as messages, and back. See remote.h. */
#include "run/remote/remote.h"

#include <stdlib.h>
#include <string.h>

#define SLICE ((size_t)4 << 20)

struct mf_state_arrival {
    mf_packet head; /* the names in `infos` lie in it */
    mf_artifact *artifact;
    mf_array_info *infos;
    size_t count, next;
    mf_array *array; /* the next one, filled up to `at` */
    size_t at;
};

void mf_state_arrival_free(mf_state_arrival *a)
{
    if (!a)
        return;
    mf_packet_clear(&a->head);
    mf_artifact_unref(a->artifact);
    mf_array_unref(a->array);
    free(a->infos);
    free(a);
}

static mf_status damaged(void)
{
    return mf_fail(MF_CORRUPT, "a message of the other end is damaged");
}

/* Arrays that are empty need no bytes. */
static mf_status go_on(mf_state_arrival *a)
{
    while (a->next < a->count) {
        const mf_array_info *info = &a->infos[a->next];
        if (!a->array) {
            if (info->ragged)
                return damaged();
            MF_TRY(mf_array_new(info->dtype, info->rank, info->shape, &a->array));
            a->at = 0;
        }
        if (a->at < a->array->bytes)
            return MF_OK;
        MF_TRY(mf_artifact_add(a->artifact, info->name, a->array));
        mf_array_unref(a->array);
        a->array = NULL;
        a->next++;
    }
    return MF_OK;
}

static mf_status begin(mf_state_arrival *a)
{
    const char *type = mf_packet_get_text(&a->head);

    a->head.failed |= !type;
    MF_TRY(mf_packet_check(&a->head));
    MF_TRY(mf_artifact_new(type, &a->artifact));
    MF_TRY(mf_packet_get_attributes(&a->head, a->artifact));
    MF_TRY(mf_packet_get_arrays(&a->head, &a->infos, &a->count));
    return go_on(a);
}

mf_status mf_state_arrival_new(mf_packet *head, mf_state_arrival **arrival)
{
    mf_state_arrival *a = calloc(1, sizeof *a);
    mf_status status;

    *arrival = NULL;
    if (!a)
        return mf_no_memory(0, "a state");
    a->head = *head;
    *head = (mf_packet){0};
    status = begin(a);
    if (status) {
        mf_state_arrival_free(a);
        return status;
    }
    *arrival = a;
    return MF_OK;
}

bool mf_state_arrival_done(const mf_state_arrival *a)
{
    return a->next == a->count;
}

mf_status mf_state_arrival_bytes(mf_state_arrival *a, mf_packet *p)
{
    size_t size = p->size - p->at;

    if (!a->array || !size || size > a->array->bytes - a->at)
        return damaged();
    memcpy((uint8_t *)a->array->data + a->at, p->bytes + p->at, size);
    a->at += size;
    return go_on(a);
}

mf_artifact *mf_state_arrival_take(mf_state_arrival *a)
{
    mf_artifact *artifact = a->artifact;

    a->artifact = NULL;
    return artifact;
}

mf_status mf_state_send(const mf_artifact *state,
                        mf_status (*send)(void *self, const void *bytes, size_t size), void *self)
{
    for (size_t i = 0; i < mf_artifact_array_count(state); i++) {
        mf_array_info info;
        mf_array *array;
        mf_status status = MF_OK;
        mf_artifact_array_info(state, i, &info);
        MF_TRY(mf_artifact_array(state, info.name, &array));
        for (size_t at = 0; at < array->bytes && !status; at += SLICE)
            status = send(self, (const uint8_t *)array->data + at,
                          array->bytes - at < SLICE ? array->bytes - at : SLICE);
        mf_array_unref(array);
        MF_TRY(status);
    }
    return MF_OK;
}
