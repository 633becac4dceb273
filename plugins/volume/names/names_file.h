/* names_file.h - files that name the values of label maps: read and written. */
#ifndef VOLUME_NAMES_FILE_H
#define VOLUME_NAMES_FILE_H

#include <massflow/names.h>

/* Adds the names of a file, known by its suffix, then by its content:
 *   .json        nnU-Net's dataset.json; its regions are added to `sets`
 *   .csv         value,name or value,name,r,g,b; with or without a line of headings
 *   .nrrd .nhdr  the segments of a Slicer segmentation
 *   others       ITK-SNAP's label descriptions, or a colour table of 3D Slicer (.txt, .ctbl)
 * Errors name the file and the line. */
MF_MUST_USE mf_status names_file_read(const char *path, mf_names *names, mf_label_sets *sets);

/* Writes ITK-SNAP's label descriptions, or Slicer's colour table where the suffix is .ctbl. A name
 * without a colour gets one by its value. */
MF_MUST_USE mf_status names_file_write(const char *path, const mf_names *names);

#endif
