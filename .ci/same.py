# SPDX-License-Identifier: Apache-2.0
"""Compares two HDF5 files through the low level of h5py: links, objects, attributes, types, storage, values bit for bit."""
import collections
import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5t, h5z


def spelled(path):
    """A path as .ncz writes it: the backslash, and bytes that are not UTF-8, as \\xHH."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join("\\x%02X" % (ord(c) & 0xFF) if c == "\\" or "\udc80" <= c <= "\udcff" else c for c in text)


def has_pointers(kind):
    """Whether values of this type lie elsewhere in memory (variable length)."""
    match kind.get_class():
        case h5t.STRING: return kind.is_variable_str()
        case h5t.COMPOUND: return any(has_pointers(kind.get_member_type(i)) for i in range(kind.get_nmembers()))
        case h5t.ARRAY: return has_pointers(kind.get_super())
        case other: return other == h5t.VLEN


def plain(value):
    """A value of variable length as one that `==` compares bit for bit."""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), [plain(v) for v in value.ravel()] if value.dtype.hasobject else value.tobytes()
    if isinstance(value, np.void) and value.dtype.names:
        return [plain(value[name]) for name in value.dtype.names]
    return "reference" if isinstance(value, (h5py.Reference, h5py.RegionReference)) else repr(value)


def values(node):
    """The values of a dataset or attribute, in the type they have in the file."""
    kind, shape = node.get_type(), node.shape
    if node.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return b""
    if has_pointers(kind):
        array = np.empty(shape, kind.dtype)
        node.read(h5py.h5s.ALL, h5py.h5s.ALL, array) if isinstance(node, h5d.DatasetID) else node.read(array)
        return plain(array)
    array = np.zeros(shape, np.dtype((np.void, kind.get_size())))
    if array.size and isinstance(node, h5d.DatasetID):
        node.read(h5py.h5s.ALL, h5py.h5s.ALL, array, kind)
    elif array.size:
        node.read(array, kind)
    return array.tobytes()


def stored(file, tensor):
    """The values of a tensor of a .ncz, in the type and byte order they have in its source."""
    data = file.raw(tensor["name"])
    width = len(data) // max(1, int(np.prod(tensor["shape"]))) if tensor["byte_order"] == "big" else 1
    return np.frombuffer(data, np.uint8).reshape(-1, width or 1)[:, ::-1].tobytes()


def chunks(dataset):
    """The stored chunks of a dataset whose filters are not known here."""
    return [dataset.read_direct_chunk(dataset.get_chunk_info(i).chunk_offset) for i in range(dataset.get_num_chunks())]


class Comparison:
    """Fills `differences` and `counts`. `expected` has the values that datasets of the second file must have instead."""

    def __init__(self, first, second, expected={}):
        self.expected, self.differences, self.counts, self.twins = expected, [], collections.Counter(), {}
        with h5py.File(first, "r") as a, h5py.File(second, "r") as b:
            self.objects(b"", h5o.open(a.id, b"/"), h5o.open(b.id, b"/"))
        self.equal(b"/", "identity of objects", len(self.twins), len(set(self.twins.values())))

    def equal(self, path, what, a, b):
        if a != b:
            self.differences.append(f"{spelled(path)}: {what} differ" + (f": {a!r:.60} and {b!r:.60}" if len(repr(a)) < 60 else ""))
        return a == b

    def objects(self, path, a, b):
        where_a, where_b = ((i.fileno, i.addr) for i in map(h5o.get_info, (a, b)))
        first_time = where_a not in self.twins
        if not self.equal(path, "identity", self.twins.setdefault(where_a, where_b), where_b) or not first_time:
            return
        self.counts["objects"] += 1
        if not self.equal(path, "kind of object", type(a), type(b)):
            return
        self.attributes(path, a, b)
        if isinstance(a, h5g.GroupID):
            self.links(path, a, b)
        elif isinstance(a, h5d.DatasetID):
            self.datasets(path, a, b)
        else:
            self.equal(path, "type", a.equal(b), True)

    def attributes(self, path, a, b):
        names = [[h5a.open(o, index=i).name for i in range(h5a.get_num_attrs(o))] for o in (a, b)]
        if self.equal(path, "names of attributes", *names):
            for name in names[0]:
                self.counts["attributes"] += 1
                self.typed(path + b"@" + name, h5a.open(a, name), h5a.open(b, name))

    def typed(self, path, a, b):
        self.equal(path, "type", a.get_type().equal(b.get_type()) and a.get_type().committed() == b.get_type().committed(), True)
        shapes = ([s.get_simple_extent_type(), s.shape, s.get_simple_extent_dims(True)] for s in (a.get_space(), b.get_space()))
        if self.equal(path, "shape", *shapes) and isinstance(a, h5a.AttrID):
            self.equal(path, "value", values(a), values(b))

    def links(self, path, a, b):
        if not self.equal(path, "names of links", list(a), list(b)):
            return
        for name in a:
            child = path + b"/" + name if path else name
            kind, other = a.links.get_info(name), b.links.get_info(name)
            self.counts["links"] += 1
            if not self.equal(child, "kind of link", (kind.type, kind.corder), (other.type, other.corder)):
                continue
            if kind.type == h5l.TYPE_HARD:
                self.objects(child, h5o.open(a, name), h5o.open(b, name))
            else:
                self.equal(child, "target of link", a.links.get_val(name), b.links.get_val(name))

    def datasets(self, path, a, b):
        self.typed(path, a, b)
        created = a.get_create_plist()
        self.equal(path, "chunks, filters, fill value", created.equal(b.get_create_plist()), True)
        elsewhere = created.get_layout() == h5d.VIRTUAL or created.get_external_count() > 0
        if elsewhere or a.shape != b.shape:
            return
        self.counts["datasets"] += 1
        expected = self.expected.get(spelled(path))
        try:
            read = values(a)
        except (OSError, TypeError):
            self.equal(path, "stored chunks", chunks(a), chunks(b))
            return
        if expected is None:
            self.equal(path, "values", read, values(b))
        elif self.equal(path, "changed values", len(expected), len(values(b))) and expected != values(b):
            filters = [created.get_filter(i) for i in range(created.get_nfilters())]
            digits = [parameters[1] for id, _, parameters, _ in filters if id == h5z.FILTER_SCALEOFFSET]
            wanted, found = (np.frombuffer(data, a.dtype) for data in (expected, values(b)))
            off, rounding = np.abs(wanted - found).max(), 4 * np.finfo(a.dtype).eps * np.abs(wanted).max()
            if not digits or not off <= 0.5 * 10.0 ** -digits[0] + rounding:        # a lossy filter of the file's own
                self.differences.append(f"{spelled(path)}: changed values are not those of the .ncz (by {off})")
        self.counts["changed"] += expected is not None
