"""Makes mass_masks.h5, which test_corpus.c reads: make_mass_masks.py OUT (h5py 3.16, HDF5 2.0).

Groups as prepare_training_data.py of the official MASS code writes them (auto_masks, LZF and shuffle, a chunk that does
not get smaller among them), others that HDF5 allows, and what is refused. Voxel (m, z, y, x) of a readable set is
(m + z * y + x) % 3 == 0, but for mask 1 of `lzf`, whose bytes are those of a generator.
"""
import os
import sys

import h5py
import numpy

SHAPE = (3, 4, 6, 40)
m, z, y, x = numpy.indices(SHAPE)
masks = ((m + z * y + x) % 3 == 0).astype(numpy.uint8)
mixed = masks.copy()
state = numpy.uint64(1)
for i in range(mixed[1].size):  # no two chunks alike, for LZF to find nothing
    state = numpy.uint64((int(state) * 6364136223846793005 + 1442695040888963407) % 2 ** 64)
    mixed[1].reshape(-1)[i] = int(state) >> 56

with h5py.File(sys.argv[1], "w", libver="earliest") as file:
    def put(group, data, **how):
        return file.create_group(group).create_dataset("auto_masks", data=data, track_times=False, **how)

    lzf = put("lzf", mixed, compression="lzf", shuffle=True, chunks=(1, 4, 6, 40))
    raw = [lzf.id.get_chunk_info(i).filter_mask for i in range(3)]
    plist = lzf.id.get_create_plist()
    assert [plist.get_filter(i)[0] for i in range(2)] == [h5py.h5z.FILTER_SHUFFLE, 32000], "the filter of LZF"
    assert raw == [0, 2, 0], f"the mask of a chunk that did not get smaller: {raw}"
    put("several", masks, compression="lzf", shuffle=True, chunks=(2, 4, 6, 40))
    put("gzip", masks, compression="gzip", fletcher32=True, chunks=(1, 2, 6, 40))
    put("plain", masks)
    put("none", numpy.zeros((0, *SHAPE[1:]), numpy.uint8))
    put("reals", masks.astype(numpy.float32))
    put("flat", masks[0])
    put("offset", masks, scaleoffset=1, chunks=(1, 4, 6, 40))
    file.create_group("empty")
    file["top"] = masks
    file["soft"] = h5py.SoftLink("/plain")
    file["outside"] = h5py.ExternalLink("/etc/passwd", "/plain")
    file.create_group("linked")["auto_masks"] = h5py.SoftLink("/plain/auto_masks")
    layout = h5py.VirtualLayout(SHAPE, numpy.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "masks", SHAPE)
    file.create_group("virtual").create_virtual_dataset("auto_masks", layout)
    put("stored", None, shape=SHAPE, dtype=numpy.uint8, external=[("/etc/hostname", 0, 10000)])
print(os.path.getsize(sys.argv[1]))
