/* dicom_about.c - see dicom_about.h. What is damaged is an error, for its series would come out
 * with a slice missing. */
#include "dicom_about.h"
#include "dicom_elements.h"

#include <string.h>

#define LAST 0x00280010u /* Rows: nothing behind it is wanted */

static mf_status read_text(dicom_walk *r, const dicom_element *e, dicom_about *a)
{
    switch (e->tag) {
    case 0x00080060:
        return dicom_text(r, e, a->modality, sizeof a->modality);
    case 0x0008103e:
        return dicom_text(r, e, a->description, sizeof a->description);
    case 0x00100020:
        return dicom_text(r, e, a->patient, sizeof a->patient);
    case 0x0020000e:
        return dicom_text(r, e, a->series, sizeof a->series);
    case 0x00200011:
        return dicom_text(r, e, a->number, sizeof a->number);
    default:
        return MF_OK;
    }
}

/* Elements up to the rows of an image. */
static mf_status read_elements(dicom_walk *r, dicom_about *a)
{
    dicom_event event;
    dicom_element e;
    for (;;) {
        MF_TRY(dicom_next(r, &event, &e));
        if (event == DICOM_END || e.tag > LAST)
            return MF_OK;
        a->image = e.tag == LAST;
        if (a->image)
            return MF_OK;
        MF_TRY(event == DICOM_SEQUENCE ? dicom_pass(r) : read_text(r, &e, a));
    }
}

mf_status dicom_about_read(const char *path, dicom_about *about, bool *is_dicom)
{
    dicom_walk r;
    *about = (dicom_about){.series = ""};
    mf_status status = dicom_open(path, &r, is_dicom);
    if (!status && *is_dicom)
        status = read_elements(&r, about);
    dicom_close(&r);
    if (!r.marked && *is_dicom) {
        /* Old files have no mark: they are taken for DICOM when they come to an image. */
        *is_dicom = about->image;
        mf_error_free(status);
        return MF_OK;
    }
    return status;
}
