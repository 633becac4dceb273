/* dicom_elements.h - walks the elements of a DICOM file (PS3.5, section 7).
 *
 * The one reader of elements, for scans and for the source `dicom` of cases; it knows neither. It
 * keeps to the file's size and to the lengths of the
 * sequences around an element, whatever the file claims, and goes no deeper than DICOM_DEEPEST
 * sequences. Values are read on demand.
 *
 * A value of VR UN and undefined length is a sequence in implicit VR little endian, with all that
 * is nested in it (PS3.5 6.2.2). Files written before that rule have it in explicit VR: an item
 * whose first element spells a VR is taken so. */
#ifndef VOLUME_DICOM_ELEMENTS_H
#define VOLUME_DICOM_ELEMENTS_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stdint.h>

#define DICOM_DEEPEST 16 /* sequences in sequences */
#define DICOM_UNDEFINED -1

typedef struct dicom_element {
    uint32_t tag;   /* group << 16 | element */
    char vr[3];     /* "" in implicit VR */
    bool big;       /* byte order of its numbers */
    int64_t at;     /* of the value in the file */
    int64_t length; /* of the value in bytes, or DICOM_UNDEFINED */
} dicom_element;

/* A sequence that is being walked, or an item of it. */
typedef struct dicom_level {
    uint32_t tag; /* of the sequence; the same for its items */
    bool item;
    bool open;     /* ends with a delimiter, not at `end` */
    int64_t end;   /* the last byte it may reach to */
    int64_t index; /* sequence: items so far; item: its number from 0 */
    bool explicit, big;
} dicom_level;

typedef struct dicom_walk {
    const char *path;
    int file;
    int64_t size, at;
    int64_t deflated_from; /* the file is what deflated.h makes of it; 0: as it lies on disk */
    bool marked;           /* has "DICM" behind its preamble */
    char syntax[80];       /* Transfer Syntax UID; "" without the mark */
    bool explicit, big;
    int depth; /* levels that are entered */
    dicom_level level[2 * DICOM_DEEPEST];
    bool fragments; /* the value returned last is fragments, to be passed over */
    int64_t window_at;
    size_t window_size;
    unsigned char window[4096];
} dicom_walk;

typedef enum dicom_event {
    DICOM_END,          /* of the file */
    DICOM_VALUE,        /* an element; fragments of pixels have an undefined length */
    DICOM_SEQUENCE,     /* a sequence begins; its level is the last one */
    DICOM_SEQUENCE_END, /* its level is left */
    DICOM_ITEM,
    DICOM_ITEM_END
} dicom_event;

/* Opens a file. *maybe is false for one that is not DICOM: it neither has the mark "DICM" nor
 * begins with an element of group 8, as files from before the mark do (and others may by chance).
 * The caller closes in any case. */
MF_MUST_USE mf_status dicom_open(const char *path, dicom_walk *r, bool *maybe);
void dicom_close(dicom_walk *r);

/* The next event. Sequences and items are entered; dicom_pass leaves the one that has just begun.
 */
MF_MUST_USE mf_status dicom_next(dicom_walk *r, dicom_event *event, dicom_element *e);
MF_MUST_USE mf_status dicom_pass(dicom_walk *r);

/* Enters the value returned last, which the caller knows to be a sequence although the file does
 * not say so (implicit VR or UN, of defined length): then DICOM_ITEM comes next. */
MF_MUST_USE mf_status dicom_enter(dicom_walk *r, const dicom_element *e);

/* The sequence around what was returned last, `up` sequences out (0: the next one); 0 where there
 * is none. */
uint32_t dicom_inside(const dicom_walk *r, int up);

/* The value as text, up to room - 1 bytes of it, without the blanks or zeros that pad it; control
 * characters become blanks. */
MF_MUST_USE mf_status dicom_text(dicom_walk *r, const dicom_element *e, char *to, size_t room);

/* Up to `most` numbers of the value; *count is how many there are. vr: what the dictionary says,
 * for values whose VR the file does not say. Text that is no number ends the list. */
MF_MUST_USE mf_status dicom_numbers(dicom_walk *r, const dicom_element *e, const char *vr,
                                    double *to, int most, int *count);

/* The value's bytes, none of fragments; the caller frees. */
MF_MUST_USE mf_status dicom_bytes(dicom_walk *r, const dicom_element *e, unsigned char **bytes,
                                  size_t *size);

/* "PATH: damaged DICOM: WHAT" */
MF_MUST_USE mf_status dicom_damaged(const dicom_walk *r, const char *what);

#endif
