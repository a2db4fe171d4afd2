# SPDX-License-Identifier: Apache-2.0
"""Damaged networks, made by what the formats say: HDF5 with its checksums made right again, zip archives member by member,
.ncz files (ncz_mutants.py). The same (seed, number) gives the same bytes."""
import ctypes, io, json, pathlib, random, re, struct, subprocess, zipfile, zlib
import h5py
import numpy as np
from h5py import h5d, h5o, h5p, h5s, h5t
from ncz_mutants import LARGEST, Draft, NCZMutants

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
CONFIGURATION = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [
    {"class_name": "InputLayer", "config": {"batch_shape": [None, 12], "dtype": "float32", "name": "input"}},
    *({"class_name": "Dense", "config": {"name": name, "units": units, "activation": activation, "use_bias": True, "dtype": "float32"}}
      for name, units, activation in (("dense", 9, "relu"), ("dense_1", 7, "relu"), ("dense_2", 4, "linear")))]}}).encode()


# Small networks of every storage.

def weights(file, storage, generator):
    """Three dense layers as Keras 3 names them."""
    options = {
        "contiguous": {},
        "gzip": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
        "lzf": {"chunks": (5, 3), "compression": "lzf", "fletcher32": True},
        "chunked": {"chunks": (4, 4)},                                            # an implicit or a fixed array of chunks
        "growing": {"chunks": (4, 4), "maxshape": (None, 40), "compression": "gzip"},
        "endless": {"chunks": (3, 4), "maxshape": (None, None)},
    }.get(storage, {})
    for number, (rows, columns) in enumerate(((12, 9), (9, 7), (7, 4))):
        name = "layers/dense" + (f"_{number}" if number else "") + "/vars/"
        kernel = generator.standard_normal((rows, columns)).astype("<f8" if storage == "gzip" and number == 1 else ">f4" if number == 2 else "<f4")
        if storage == "compact":
            created, shape = h5p.create(h5p.DATASET_CREATE), h5s.create_simple(kernel.shape)
            created.set_layout(h5d.COMPACT)
            created.set_obj_track_times(False)
            group = file.require_group(name)
            h5d.create(group.id, b"0", h5t.py_create(kernel.dtype), shape, created).write(h5s.ALL, h5s.ALL, kernel)
        else:
            file.create_dataset(name + "0", data=kernel, **options)
        file[name + "1"] = generator.standard_normal(columns).astype("<f4")


def companions(file, generator):
    """What lies beside the weights and must come back as it was."""
    record = np.dtype([("a", "<i4"), ("b", "<f8"), ("s", h5py.string_dtype())])
    file["notes/strings"] = np.array(["one", "zwei", "trois"], dtype=h5py.string_dtype())
    file["notes/fixed"] = np.array([b"alpha", b"beta"], "S8")
    file["notes/records"] = np.array([(1, 0.5, "x"), (2, 0.25, "y")], record)
    ragged = file.create_dataset("notes/ragged", (2,), h5py.vlen_dtype(np.int32))
    ragged[0], ragged[1] = [1, 2, 3], [4]
    file["optimizer/vars/0"] = np.int64(42)
    file["optimizer/vars/1"] = generator.standard_normal((12, 9)).astype("<f4")
    file.create_dataset("notes/filled", (6, 6), "<f4", chunks=(2, 2), fillvalue=0.5)[0:2, 0:2] = 1
    file.create_dataset("notes/unwritten", (5,), "<f4", fillvalue=2.5)
    file["notes/soft"] = h5py.SoftLink("/notes/fixed")
    file["notes/again"] = file["notes/fixed"]
    file["notes/type"] = np.dtype("<f4")
    file.attrs["format"], file.attrs["words"] = "a text", np.array(["p", "q"], dtype=h5py.string_dtype())
    for number in range(12):                                                      # in the later format: a heap and a tree
        file["notes"].attrs[f"attribute {number}"] = np.arange(number + 1)


def network(storage, libver, userblock=0):
    generator, buffer = np.random.default_rng(zlib.crc32(f"{storage} {libver}".encode())), io.BytesIO()
    with h5py.File(buffer, "w", libver=(libver, "v110"), userblock_size=userblock) as file:
        weights(file, storage, generator)
        companions(file, generator)
    return buffer.getvalue()


def hdf5_sources():
    for libver in ("earliest", "v110"):
        for storage in ("contiguous", "gzip", "lzf", "chunked", "growing", "endless", "compact"):
            yield f"{storage}.{libver}.h5", network(storage, libver)
        yield f"userblock.{libver}.h5", network("contiguous", libver, 512)
    for path in sorted((FIXTURES / "networks").glob("*.h5")):
        if path.stat().st_size <= LARGEST:
            yield path.name, path.read_bytes()


# HDF5.

STRUCTURES = re.compile(rb"OHDR|OCHK|TREE|SNOD|HEAP|GCOL|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FAHD|FADB|EAHD|EAIB|EADB|EASB|FSHD|FSSE|SMTB|SMLI")
WIDTHS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
CHECKED = (b"\x89HDF", b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EADB", b"EASB")
LAYOUT, SPACE = 8, 1


class HDF5:
    """A sound HDF5 file: where its structures, messages, addresses and names are."""

    def __init__(self, data, checksum):
        self.data, self.checksum = data, checksum
        self.base = next(at for at in (0, *(512 << n for n in range(12))) if data[at:at + 8] == b"\x89HDF\r\n\x1a\n")
        self.superblock = 48 if data[self.base + 8] >= 2 else 96
        self.structures = [match.start() for match in STRUCTURES.finditer(data)]
        self.names, self.addresses, self.headers = set(), {at - self.base for at in self.structures}, set()
        with h5py.File(io.BytesIO(data)) as file:
            self.walk(file.id)
        self.addresses |= self.headers
        self.messages = [m for address in sorted(self.headers) for m in self.read_messages(address + self.base)]
        self.uses = [(at, address) for address in sorted(self.addresses) if address > 0 for at in self.find(struct.pack("<Q", address))]
        self.name_uses = [(at, name) for name in sorted(self.names) if len(name) > 1 for at in self.find(name)]
        self.spans = sorted({span for at in (self.base, *self.structures) for span in self.checked(at)})

    def find(self, what):
        at = self.data.find(what)
        while at >= 0:
            yield at
            at = self.data.find(what, at + 1)

    def walk(self, group):
        for name in group:
            self.names.add(name)
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                continue
            node = h5o.open(group, name)
            address = h5o.get_info(node).addr
            known = address in self.headers
            self.headers.add(address)
            self.names |= {h5py.h5a.open(node, index=i).name for i in range(h5py.h5a.get_num_attrs(node))}
            if isinstance(node, h5d.DatasetID):
                if node.get_offset() is not None:
                    self.addresses.add(node.get_offset() - self.base)
                elif node.get_create_plist().get_layout() == h5d.CHUNKED:
                    self.addresses |= {node.get_chunk_info(i).byte_offset - self.base for i in range(node.get_num_chunks())}
            elif isinstance(node, h5py.h5g.GroupID) and not known:
                self.walk(node)

    def read_messages(self, at):
        """Offset, size and type of the data of each message of an object header."""
        data, found = self.data, []
        if data[at:at + 4] == b"OHDR":
            flags = data[at + 5]
            start = at + 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
            blocks = [(start + (1 << (flags & 3)), int.from_bytes(data[start:start + (1 << (flags & 3))], "little"))]
        else:
            flags, blocks = None, [(at + 16, struct.unpack_from("<I", data, at + 8)[0])]
        while blocks:
            here, size = blocks.pop()
            end = here + size
            while here + 4 <= end:
                if flags is None:
                    kind, length = struct.unpack_from("<HH", data, here)
                    here += 8
                else:
                    kind, length = struct.unpack_from("<BH", data, here)
                    here += 6 if flags & 4 else 4
                if here + length > end:
                    break
                found.append((here, length, kind))
                if kind == 16 and length >= 16:
                    block, count = struct.unpack_from("<QQ", data, here)
                    blocks.append((self.base + block, count) if flags is None else (self.base + block + 4, count - 8))
                here += length
        return found

    def checked(self, at):
        """The span of bytes that a checksum after it, or of a direct block in it, covers."""
        data, whole = self.data, min(len(self.data), at + 4096)
        if data[at:at + 4] not in CHECKED or at == self.base and data[at + 8] < 2:
            return []
        if data[at:at + 4] == b"FHDB":
            for width in range(1, 9):
                for size in (1 << n for n in range(6, 17)):
                    field = at + 13 + width
                    block = bytearray(data[at:at + size])
                    if len(block) == size and field + 4 - at <= size:
                        stored, = struct.unpack_from("<I", block, field - at)
                        struct.pack_into("<I", block, field - at, 0)
                        if stored and self.checksum(bytes(block), size, 0) == stored:
                            return [(at, at + size, field)]
            return []
        for end in range(at + 8, whole - 3):
            if self.checksum(data[at:end], end - at, 0) == struct.unpack_from("<I", data, end)[0]:
                return [(at, end, end)]
        return []

    def mended(self, changed):
        """With the checksums of all that changed."""
        for begin, end, field in self.spans:
            if changed[begin:end] != self.data[begin:end] and end <= len(changed):
                if begin <= field < end:
                    struct.pack_into("<I", changed, field, 0)
                if field + 4 <= len(changed):
                    struct.pack_into("<I", changed, field, self.checksum(bytes(changed[begin:end]), end - begin, 0))
        return bytes(changed)

    # Each changes something, at random.

    def value(self, random, width, old):
        whole = 2**(8 * width)
        addresses, end = sorted(self.addresses), len(self.data) - self.base
        choices = [0, 1, old + 1, old - 1, old ^ 1 << random.randrange(8 * width), whole - 1, whole // 2, end, end - 8, end + 1, 2 * old,
                   random.randrange(whole), random.choice(addresses), random.choice(addresses) + random.randrange(-64, 64), random.randrange(64)]
        return random.choice(choices) % whole

    def put(self, random, data, at):
        width = random.choice((1, 1, 2, 4, 8))
        if at + width <= len(data):
            old, = struct.unpack_from(WIDTHS[width], data, at)
            struct.pack_into(WIDTHS[width], data, at, self.value(random, width, old))

    def bytes(self, random, data):
        for _ in range(random.randint(1, 64)):
            data[random.randrange(len(data))] = random.randrange(256)

    def structure(self, random, data):
        at = random.choice(self.structures)
        self.put(random, data, at + random.randrange(4, 96))

    def message(self, random, data):
        kind = random.choice(sorted({kind for _, _, kind in self.messages} - {0}))
        at, size, _ = random.choice([m for m in self.messages if m[2] == kind])
        if size:
            self.put(random, data, at + random.randrange(size))

    def message_head(self, random, data):
        at, _, _ = random.choice(self.messages)
        self.put(random, data, at - random.randint(1, 8))

    def address(self, random, data):
        at, old = random.choice(self.uses)
        near = old + random.choice((-256, -64, -16, -8, -4, -1, 1, 4, 8, 16, 64, 256))
        new = random.choice((near, near, random.choice(sorted(self.addresses)), random.randrange(len(data)), self.value(random, 8, old)))
        struct.pack_into("<Q", data, at, new % 2**64)

    def superblock_field(self, random, data):
        self.put(random, data, self.base + random.randrange(8, self.superblock))

    def name(self, random, data):
        at, name = random.choice(self.name_uses)
        other = random.choice(self.name_uses)[1]
        one = bytearray(name)
        one[random.randrange(len(one))] = random.choice(b"/.\0\\\xff\x80aZ0 \n")
        data[at:at + len(name)] = random.choice((bytes(one), bytes(one), (other + bytes(len(name)))[:len(name)], b"." + name[1:]))

    def moved_message(self, random, data):
        """One dataset gets the layout, filters or type of another."""
        at, size, kind = random.choice([m for m in self.messages if m[2] in (LAYOUT, SPACE, 3, 5, 11, 12)])
        other, length, _ = random.choice([m for m in self.messages if m[2] == kind])
        data[at:at + min(size, length)] = data[other:other + min(size, length)]

    def extent(self, random, data):
        """A dataset claims more or fewer rows, or another beginning, and its storage agrees."""
        pairs = [(a, b) for a, b in zip(self.messages, self.messages[1:] + self.messages[:1]) for a, b in self.of_one_object(a)]
        if not pairs:
            return
        space, layout = random.choice(pairs)
        rank = data[space + 1]
        first = space + (8 if data[space] == 1 else 4)
        rows, = struct.unpack_from("<Q", data, first)
        address, size = struct.unpack_from("<QQ", data, layout + 2)
        if rank == 0 or rows == 0 or size % rows:
            return
        more = max(1, rows + random.choice((-1, 1, 2, 5, 20, 100)))
        if random.random() < 0.7:
            struct.pack_into("<Q", data, first, more)
            struct.pack_into("<Q", data, layout + 10, size // rows * more)
        if random.random() < 0.6:
            struct.pack_into("<Q", data, layout + 2, (address + random.choice((-512, -64, -8, -4, 4, 8, 64, 512, 1024))) % 2**64)

    def of_one_object(self, message):
        """Of a dataspace that a contiguous layout follows in the same header: both."""
        if message[2] != SPACE:
            return
        position = self.messages.index(message)
        for at, size, kind in self.messages[position + 1:position + 8]:
            if kind == SPACE:
                return
            if kind == LAYOUT and size >= 18 and self.data[at:at + 2] == b"\x03\x01" or kind == LAYOUT and self.data[at:at + 2] == b"\x04\x01":
                yield message[0], at

    def end(self, random, data):
        cut = random.choice((-1, -8, -100, -random.randrange(len(data)), 1, 8, 4096))
        if cut < 0:
            del data[cut:]
        else:
            data += bytes(cut) if random.random() < 0.5 else random.randbytes(cut)

    def mutant(self, random):
        kinds = (self.bytes, self.structure, self.structure, self.message, self.message, self.message, self.message_head, self.address, self.address,
                 self.address, self.superblock_field, self.name, self.moved_message, self.extent, self.extent, self.end)
        data, done = bytearray(self.data), []
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            kind = random.choice(kinds)
            if len(data) >= len(self.data):
                kind(random, data)
                done.append(kind.__name__)
        return self.mended(data), "+".join(done)


def lookup3(tools):
    """The checksum of HDF5, from the library that the tools use."""
    listed = subprocess.run(["ldd", tools + "/nc-ternarize"], capture_output=True, text=True, check=True).stdout
    function = ctypes.CDLL(re.search(r"libhdf5\S* => (\S+)", listed)[1]).H5_checksum_lookup3
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32), ctypes.c_uint32
    return function


# .keras

HARMLESS = ("comment", "end comment", "descriptor", "extra", "local extra", "deflated", "gap", "version")
DAMAGE = ("flags", "local flags", "method", "local method", "crc", "local crc", "stored", "local stored", "size", "local size", "name", "local name",
          "extra", "local extra", "zip64", "local zip64", "descriptor", "wrong descriptor", "comment", "prefix", "gap", "overlap", "duplicate", "offset",
          "deflated", "count", "directory size", "directory offset", "disk", "end comment", "locator", "bytes", "cut", "version", "central bytes")


class Archive:
    """Writes a zip archive with what random chooses wrong in it."""

    def __init__(self, members, random, wrong=None):
        self.members, self.random = members, random
        self.wrong = wrong if wrong is not None else [random.choice(HARMLESS if random.random() < 0.4 else DAMAGE) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        self.victim = random.randrange(len(members))

    def has(self, what, index):
        return what in self.wrong and (index == self.victim or self.random.random() < 0.2)

    def number(self, old, width=4):
        whole = 2**(8 * width)
        return self.random.choice((0, 1, old + 1, old - 1, whole - 1, old ^ 1 << self.random.randrange(8 * width), self.random.randrange(whole))) % whole

    def extra(self, size, stored, offset):
        choice = self.random.randrange(5)
        if choice == 0:
            return struct.pack("<HHQQ", 1, 16, size, stored)
        if choice == 1:
            return struct.pack("<HHQQQ", 1, 24, *(self.random.choice((n, n + 1)) for n in (size, stored, offset)))
        if choice == 2:
            return struct.pack("<HH", self.random.choice((1, 0x5455, 0x7075)), self.random.choice((0, 5, 400))) + self.random.randbytes(9)
        return self.random.randbytes(self.random.randrange(1, 60)) if choice == 3 else struct.pack("<HHB", 0x5455, 1, 0)

    def build(self):
        random, out, central = self.random, bytearray(), []
        members = list(self.members)
        if "duplicate" in self.wrong:
            name, data = members[self.victim]
            members.insert(random.randrange(len(members) + 1), (name, random.choice((data, data[::-1], data[:-1]))))
        if "prefix" in self.wrong:
            out += random.randbytes(random.choice((1, 64, 512)))
        moved = len(out) if random.random() < 0.5 else 0                            # of which the offsets may know
        for index, (name, data) in enumerate(members):
            if self.has("gap", index):
                out += random.choice((bytes(7), b"PK\3\4" + bytes(40), random.randbytes(30)))
            offset, method, flags = len(out), 0, random.choice((0, 0, 0x800))
            stored = data
            if self.has("deflated", index):
                method, packer = 8, zlib.compressobj(9, zlib.DEFLATED, -15)
                stored = packer.compress(data) + packer.flush()
            described = any(self.has(what, index) for what in ("descriptor", "wrong descriptor"))
            flags |= 8 * described
            fields = {"version": 20, "flags": flags, "method": method, "crc": zlib.crc32(data), "stored": len(stored), "size": len(data)}
            local = dict(fields)
            if described and random.random() < 0.8:
                local |= dict.fromkeys(("crc", "stored", "size"), 0)
            for key, width in (("version", 2), ("flags", 2), ("method", 2), ("crc", 4), ("stored", 4), ("size", 4)):
                if self.has(key, index):
                    fields[key] = fields[key] ^ 8 if key == "flags" and random.random() < 0.6 else self.number(fields[key], width)
                    if random.random() < 0.3:
                        local[key] = fields[key]
                if self.has("local " + key, index):
                    local[key] = local[key] ^ 8 if key == "flags" and random.random() < 0.6 else self.number(local[key], width)
            names = [name, name]
            for place, key in enumerate(("name", "local name")):
                if self.has(key, index):
                    names[place] = random.choice((name + "x", name.upper(), "../" + name, "./" + name, name + "\0y", "", members[0][0], members[-1][0]))
            extras = [b"", b""]
            for place, (one, two) in enumerate((("extra", "zip64"), ("local extra", "local zip64"))):
                if self.has(one, index):
                    extras[place] = self.extra(len(data), len(stored), offset)
                if self.has(two, index):
                    extras[place] = struct.pack("<HHQQ", 1, 16, len(data), len(stored))
                    (fields, local)[place].update(stored=2**32 - 1, size=2**32 - 1)
            comment = random.randbytes(random.randrange(40)) if self.has("comment", index) else b""
            encoded = [n.encode() for n in names]
            head = lambda f, n, e: struct.pack("<HHHHHIIIHH", f["version"], f["flags"], f["method"], 0, 33, f["crc"], f["stored"], f["size"], len(n), len(e))
            out += b"PK\3\4" + head(local, encoded[1], extras[1]) + encoded[1] + extras[1] + stored
            if described:
                numbers = [zlib.crc32(data), len(stored), len(data)]
                if self.has("wrong descriptor", index):
                    numbers[random.randrange(3)] ^= 1 << random.randrange(24)
                wide = random.random() < 0.15
                out += random.choice((b"PK\7\10", b"")) + struct.pack("<IQQ" if wide else "<III", *numbers)
            place = offset - moved
            if self.has("offset", index):
                place = self.number(place)
            if self.has("overlap", index) and central:
                place = random.choice(central)[1]
            central.append((b"PK\1\2" + struct.pack("<H", 20) + head(fields, encoded[0], extras[0]) +
                            struct.pack("<HHHI", len(comment), 0, 0, 0), place % 2**32, encoded[0] + extras[0] + comment))
        start = len(out)
        for head, place, rest in central:
            out += head + struct.pack("<I", place) + rest
        size = len(out) - start
        if "central bytes" in self.wrong:
            for _ in range(random.randint(1, 3)):
                out[start + random.randrange(size)] = random.randrange(256)
        end = {"disk": 0, "count": len(central), "directory size": size, "directory offset": start - moved}
        for key in end:
            if key in self.wrong:
                end[key] = self.number(end[key], 2 if key in ("disk", "count") else 4)
        comment = random.choice((b"a comment", b"PK\5\6" + bytes(18), random.randbytes(30))) if "end comment" in self.wrong else b""
        if "locator" in self.wrong:
            out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, len(central), len(central), size, start - moved)
            out += struct.pack("<4sIQI", b"PK\6\7", 0, len(out) - 56, 1)
            if random.random() < 0.5:
                end["directory offset"], end["count"] = 2**32 - 1, 2**16 - 1
        out += struct.pack("<4sHHHHIIH", b"PK\5\6", end["disk"], 0, len(central) if random.random() < 0.3 else end["count"], end["count"],
                           end["directory size"] % 2**32, end["directory offset"] % 2**32, len(comment)) + comment
        if "bytes" in self.wrong:
            for _ in range(random.randint(1, 8)):
                out[random.randrange(len(out))] = random.randrange(256)
        if "cut" in self.wrong:
            out = out[:-random.choice((1, 4, 22, random.randrange(1, len(out))))] if random.random() < 0.5 else out + random.randbytes(9)
        return bytes(out)


def keras_members():
    """The members of small archives."""
    for storage in ("contiguous", "chunked", "gzip", "lzf", "compact"):
        yield storage, [("metadata.json", b'{"keras_version": "3.10.0"}'), ("config.json", CONFIGURATION), ("model.weights.h5", network(storage, "earliest")),
                        ("assets/words.txt", b"one two three " * 9)]
    yield "weights first", [("model.weights.h5", network("contiguous", "v110")), ("config.json", CONFIGURATION)]


# .ncz

MADE = (
    ("contiguous", ("nc-ternarize",)), ("contiguous", ("nc-ternarize", "--scale-per", "5", "--mapped")), ("gzip", ("nc-prune", "--keep", "0.4")),
    ("endless", ("nc-prune", "--by", "node", "--keep", "0.5")), ("lzf", ("nc-prune", "--by", "singular-value", "--keep", "0.5")), ("compact", ("nc-ternarize",)),
    ("chunked", ("nc-ternarize", "--except", "*")), ("growing", ("nc-prune", "--keep", "0.3", "--values", "ternary")), ("contiguous", ("nc-quantize",)),
    ("contiguous", ("nc-quantize", "--max-error", "0.01")), ("chunked", ("nc-quantize", "--bits", "4", "--scale-per", "3")), ("gzip", ("nc-quantize", "--levels", "5")),
    ("contiguous", ("nc-prune", "--keep", "0.4", "--values", "levels:6")), ("contiguous", ("nc-quantize", "--bits", "8", "--mapped")),
)
BARE = (("contiguous", ("nc-ternarize", "--container", "none")), ("gzip", ("nc-prune", "--by", "node", "--keep", "0.5", "--container", "none")),
        ("contiguous", ("nc-quantize", "--container", "none", "--biases", "float16", "--drop", "optimizer")), ("lzf", ("nc-prune", "--keep", "0.5", "--values", "bfloat16", "--container", "none")))


def ncz_made(tools):
    """What the tools make of small networks: name, bytes."""
    for number, (storage, command) in enumerate((*MADE, *BARE)):
        for libver in ("earliest", "v110"):
            yield f"{number}.{storage}.{libver}.ncz", packed(tools, command, network(storage, libver))
    for storage, members in keras_members():
        yield f"{storage}.keras.ncz", packed(tools, ("nc-prune", "--keep", "0.5"), sound_archive(members))


def packed(tools, command, data):
    """Made by a tool, which may refuse it: of a .keras, chunks that no longer fit."""
    tool, *options = command
    done = subprocess.run([f"{tools}/{tool}", "-q", *options], input=data, capture_output=True)
    if done.returncode:
        done = subprocess.run([f"{tools}/nc-ternarize", "-q", "--except", "*"], input=data, capture_output=True, check=True)
    return done.stdout


# What was once answered with 0 although it could not be restored.

def known(tools):
    """Kind, name, bytes, and the command that is given them."""
    ternarize, carry, nodes = ("nc-ternarize",), ("nc-ternarize", "--except", "*"), ("nc-prune", "--by", "node", "--keep", "0.5")
    archive = sound_archive(dict(keras_members())["contiguous"])
    central = archive.rindex(b"PK\1\2", 0, archive.rindex(b"model.weights.h5"))
    flagged = bytearray(archive)
    flagged[central + 8] ^= 8
    yield "keras", "bit 3 of the flags in the central directory alone", bytes(flagged), ternarize

    sound = network("contiguous", "earliest")
    with h5py.File(io.BytesIO(sound)) as file:
        address = file["optimizer/vars/1"].id.get_offset()
    moved = bytearray(sound)
    at = sound.index(struct.pack("<QQ", address, 12 * 9 * 4))
    struct.pack_into("<Q", moved, at, 96)
    yield "h5", "a dataset on top of the structures of the root group", bytes(moved), (*ternarize, "--drop", "optimizer")
    yield "h5", "a matrix on top of the text of an attribute", matrix_in_text(), ternarize
    yield "h5", "a group whose links lie in a heap, made smaller", network("contiguous", "v110"), nodes

    for command in (("nc-ternarize",), ("nc-prune", "--keep", "0.4"), ("nc-prune", "--by", "singular-value", "--keep", "0.5"), ("nc-quantize", "--bits", "4")):
        yield "ncz", "a mapped file, and then one that is not", packed(tools, (*command, "--mapped"), network("contiguous", "earliest")), carry
        yield "ncz", "a file that is not mapped, and then one that is", packed(tools, command, network("contiguous", "earliest")), (*carry, "--mapped")

    # Sound in all that a .ncz says of itself, but of another container than the one it has.
    for command in (carry, ternarize):
        yield "ncz", "the HDF5 file of the archive elsewhere", changed(packed(tools, carry, archive), elsewhere_in_archive), command
    yield "ncz", "a member of the archive with another CRC-32", changed(packed(tools, carry, archive), other_bytes("layers/dense/vars/1")), carry
    for storage in ("compact", "lzf"):                    # in object headers, and in chunks that are kept
        made = packed(tools, carry, network(storage, "earliest"))
        yield "ncz", f"other values than those in the container, {storage}", changed(made, other_bytes("layers/dense/vars/0")), carry
    for storage in ("compact", "lzf"):                    # a chunk among others that were never written
        made = packed(tools, carry, network(storage, "earliest"))
        yield "ncz", f"a chunk without a filter that it has, {storage}", changed(made, other_filter_mask("notes/filled")), carry


def matrix_in_text():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["note"] = "".join(chr(97 + i * i % 26) for i in range(400))       # of variable length, so in a heap
        matrix = file.create_dataset("layer.weight", data=np.ones((8, 8), "f4"), track_times=False)
        place, size = matrix.id.get_offset(), matrix.id.get_storage_size()
    data = bytearray(buffer.getvalue())
    struct.pack_into("<Q", data, data.index(struct.pack("<QQ", place, size)), data.index(b"GCOL") + 64)
    return bytes(data)


def sound_archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def changed(data, change):
    """A .ncz file after a change, with all that it says of itself made right again."""
    draft = Draft(data)
    change(draft)
    return draft.digests().bytes()


def elsewhere_in_archive(draft):
    draft.directory["container"]["offset"] -= 8


def other_bytes(name):
    def change(draft):
        tensors = draft.directory["tensors"]
        number = next(n for n, tensor in enumerate(tensors) if tensor.get("path") == name)
        blocks = draft.blocks[sum(tensor.get("parts", 1) for tensor in tensors[:number])]
        blocks[0] = blocks[0][:-1] + bytes([blocks[0][-1] ^ 1])                     # plain, not a frame: the values are few and random
    return change


def other_filter_mask(name):
    def change(draft):
        tensor = next(t for t in draft.directory["tensors"] if t.get("path") == name)
        tensor["place"]["chunks"][0][2] ^= 1
    return change


class Mutants:
    """mutant(kind, number): bytes, and what was done to what."""

    def __init__(self, tools, seed):
        self.tools, self.seed, self.sources = tools, seed, {}

    def of(self, kind):
        if kind not in self.sources:
            if kind == "h5":
                checksum = lookup3(self.tools)
                self.sources[kind] = [(name, HDF5(data, checksum)) for name, data in hdf5_sources()]
            elif kind == "ncz":
                self.sources[kind] = NCZMutants(self.seed, ncz_made(self.tools), shares=(0.15, 0.35))
            else:
                self.sources[kind] = list(keras_members())
        return self.sources[kind]

    def damaged_weights(self, generator):
        name, source = generator.choice(self.of("h5"))
        data, done = source.mutant(generator)
        return data, f"{name}: {done}"

    def mutant(self, kind, number):
        generator = random.Random(f"{self.seed} {kind} {number}")
        sources = self.of(kind)
        if kind == "ncz":
            return sources.mutant(number)[:2]
        name, source = generator.choice(sources)
        if kind == "keras":
            if generator.random() < 0.3:                                            # sound, around damaged weights
                weights, done = self.damaged_weights(generator)
                source = [(member, weights if member == "model.weights.h5" else data) for member, data in source]
                archive = Archive(source, generator, [])
                return archive.build(), f"weights of {done}"
            archive = Archive(source, generator)
            return archive.build(), f"{name}: {', '.join(archive.wrong)}"
        data, done = source.mutant(generator)
        return data, f"{name}: {done}"
