# SPDX-License-Identifier: Apache-2.0
"""Writes the files beside it: python3 recipe.py (all but crash.h5)."""
import h5py
import numpy as np

def new(name, **options):
    return h5py.File(name, "w", **{"libver": "earliest", **options})

with new("structure.h5", userblock_size=512) as f:
    f["a/b/kernel"] = np.arange(12, dtype="<f4").reshape(3, 4)
    f["a/b/alias"] = f["a/b/kernel"]
    f["a/up"] = f["/"]
    f["z/soft"] = h5py.SoftLink("/a/b/kernel")
    f["z/external"] = h5py.ExternalLink("other.h5", "/x")
    f["z/dangling"] = h5py.SoftLink("nowhere")
    f["z"].create_dataset(b"latin\xe9\\", data=np.zeros(1, "i1"))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    d = h5py.h5d.create(f.id, b"compact", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((5,)), plist)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5, dtype="u1"))
    f.create_dataset("chunked", data=np.arange(6, dtype="<i2"), chunks=(4,))
    f["type"] = np.dtype("<f8")

with new("types.h5") as f:
    for dtype in ("<f2", ">f4", "<f8", "|u1", ">i8"):
        f.create_dataset("order_%s_%s" % ("big" if dtype[0] == ">" else "little", dtype[1:]), data=np.arange(3).astype(dtype))
    bfloat16 = h5py.h5t.IEEE_F32LE.copy()
    bfloat16.set_fields(15, 7, 8, 0, 7)
    bfloat16.set_size(2)
    bfloat16.set_ebias(127)
    h5py.h5d.create(f.id, b"bfloat16", bfloat16, h5py.h5s.create_simple((3,)))
    opaque = h5py.h5t.create(h5py.h5t.OPAQUE, 2)
    opaque.set_tag(b"bf")
    h5py.h5d.create(f.id, b"opaque", opaque, h5py.h5s.create_simple((3,)))
    narrow = h5py.h5t.STD_I32LE.copy()
    narrow.set_precision(17)
    h5py.h5d.create(f.id, b"narrow", narrow, h5py.h5s.create_simple((3,)))
    f["scalar"] = np.float32(2.5)
    f["null"] = h5py.Empty("f4")
    f["text"] = "words"
    f["truth"] = np.array([True, False])
    f["compound"] = np.zeros(2, [("a", "f4"), ("b", "i2")])

values = np.arange(70, dtype="<f4").reshape(10, 7)
with new("filters.h5") as f:
    def add(name, data=values, chunks=(4, 3), **options):
        f.create_dataset(name, data=data, chunks=chunks, **options)
    add("deflate", compression="gzip", compression_opts=9)
    add("all", compression="gzip", shuffle=True, fletcher32=True)
    add("lzf", data=np.arange(2000, dtype="<i4").reshape(40, 50) % 3, chunks=(20, 25), compression="lzf")
    add("szip", data=np.arange(4096, dtype="<i4").reshape(64, 64), chunks=(64, 64), compression="szip")
    add("scaleoffset", data=values.astype("<i4"), scaleoffset=0)
    add("big", data=values.astype(">f8"), compression="gzip")
    add("grows", maxshape=(None, None), chunks=(16, 8), compression="gzip")
    sparse = f.create_dataset("sparse", (10, 7), "<f4", chunks=(4, 3), compression="gzip", fillvalue=-1)
    sparse[5, 4] = 3
    f.create_dataset("never", (10, 7), "<f4", chunks=(4, 3), fillvalue=7, fletcher32=True)

with new("attributes.h5") as f:
    a = f.attrs
    a["variable"] = "größer"
    a["fixed"] = np.array([b"fc1", b"longer", b""])
    a["names0"] = np.array(["x", "y"], dtype=object)
    a["names1"] = []
    a["number"] = 3.5
    a["empty"] = h5py.Empty("S1")
    a["invalid"] = np.bytes_(b"a\xffb\\")
    space = h5py.h5t.C_S1.copy()
    space.set_size(8)
    space.set_strpad(h5py.h5t.STR_SPACEPAD)
    h5py.h5a.create(f.id, b"padded", space, h5py.h5s.create(h5py.h5s.SCALAR)).write(np.array(b"ab      "), space)
    with h5py.File("attributes_dense.h5", "w", libver="v110") as g:
        for i in range(12):
            g.attrs["note%02d" % i] = "text %d" % i

with new("many_links.h5", libver=("v110", "v110")) as f:
    for i in range(12):
        f["many/link%02d" % i] = h5py.SoftLink("/nowhere")
        f["many"].attrs["note%02d" % i] = i
    f["many/values"] = np.arange(3, dtype="<f4")

with new("elsewhere.h5") as f:
    f.create_dataset("external", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    f.create_virtual_dataset("virtual", layout)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(40000, h5py.h5z.FLAG_OPTIONAL, (1, 2, 3))
    h5py.h5d.create(f.id, b"unknown", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((4,)), plist)

with h5py.File("newer.h5", "w", libver="latest") as f:
    f["old"] = np.zeros(3, "<f4")
    f.create_dataset("new", data=np.zeros((3, 2), "<f4"), chunks=(2, 2), compression="gzip")
