# SPDX-License-Identifier: Apache-2.0
"""Damaged .ncz files, made by what spec/ncz-v1.md says: header, trailer, spelling, directory, blocks. In most of them every CRC-32
and digest is made right again, so that the damage reaches the decoders. The same (seed, number) gives the same bytes.

Sources are the fixtures, files of random tensors from the fixtures' own writer, and what the tools make of small networks."""
import json, math, pathlib, random, re, struct, sys
import zstandard
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "spec"), str(ROOT / "fixtures")]
import ncz, writer

LARGEST = 60_000                                        # bytes of a fixture that is mutated
DECODED = 4 << 20                                       # and of its decoded values
LOOKALIKES = ("\u00e9", "e\u0301", "\u212b", "\u00c5", "A\u030a", "\ufb01", "fi", "\u1e69", "s\u0323\u0307", "\u0000", "/", "\\x5C", "\u202e")
FLOATS = ("float16", "bfloat16", "float32", "float64")
KEPT = object()
SPELLED, MANY, IN_HDF5 = 2, 3, 4


class Draft:
    """A .ncz file taken apart: its blocks, its directory without `payloads`, and what is to be wrong in the rest."""

    def __init__(self, data):
        file = ncz.File(data)
        self.directory = json.loads(ncz.spell({key: value for key, value in file.directory.items() if key != "payloads"}))
        self.blocks, at = [], 32
        for at, payload in zip(file.starts, file.payloads):
            self.blocks.append([])
            for size in payload[::2]:
                self.blocks[-1].append(bytes(data[at:at + size]))
                at += size
        self.header, self.trailer, self.padding, self.between = {}, {}, 0, b""
        self.spelling = self.frame = self.table = None
        self.hdf5 = False                                # whether bytes of the container are others

    def payloads(self):
        table = [[n for block in blocks for n in (len(block), writer.crc(block))] for blocks in self.blocks]
        return self.table(table) if self.table else table

    def whole(self):
        return {"payloads": self.payloads()} | self.directory if type(self.directory) is dict else self.directory

    def bytes(self):
        out = bytearray(writer.header(**{key: value for key, value in self.header.items() if key != "crc"}))
        if "crc" in self.header:
            struct.pack_into("<I", out, 28, self.header["crc"])
        for blocks in self.blocks:
            if self.directory.get("mapped") is True:
                out += bytes([self.padding]) * (-len(out) % 64)
            out += b"".join(blocks)
        out += self.between
        text = writer.json(self.whole())
        text = self.spelling(text) if self.spelling else text
        stored = self.frame(text) if self.frame else text
        fields = {"size": len(out) + len(stored) + 32, "stored": len(stored), "decoded": len(text) if self.frame else 0, "crc": writer.crc(stored)}
        fields |= {key: change(fields[key]) for key, change in self.trailer.items() if key in fields}
        end = struct.pack("<QIII", *(fields[key] % 2**bits for key, bits in (("size", 64), ("stored", 32), ("decoded", 32), ("crc", 32))))
        return bytes(out + stored + end + struct.pack("<I", self.trailer.get("end", writer.crc)(end)) + writer.END)

    def digests(self):
        """Sets the digests that belong to what the file says now, as far as it can be read."""
        try:
            file = ncz.File(self.bytes())
        except Exception:
            file = None
        for tensor in file.tensors if file else ():
            try:
                if f"decoding {tensor['name']}" not in file.unsupported and size_of(tensor) <= DECODED:
                    values = file.decoded(tensor).tobytes()
                    text = "ncz tensor %s[%s]" % (tensor["type"], ",".join(map(str, tensor["shape"])))
                    named(self.directory, tensor["name"])["digest"] = ncz.digest(text, values)
            except (ncz.Corrupt, ncz.OverLimit, MemoryError):
                pass
        try:
            if file and file.container is not None and "restoring the source file" not in file.unsupported and file.remaining <= DECODED:
                rest = ncz.Part(file, len(file.payloads) - 1).array(file.remaining, "uint8", False).tobytes()
                container = self.directory["container"]
                container["digest"] = ncz.digest("ncz container %s %d" % (container["kind"], container["size"]), rest)
        except (ncz.Corrupt, ncz.OverLimit):
            pass
        try:
            self.directory["digest"] = writer.file_digest(self.directory)
        except Exception:                                                           # a directory of another form
            pass
        return self


def size_of(tensor):
    return writer.SIZES.get(tensor["type"], 8) * math.prod(tensor["shape"])


def named(directory, name):
    return next(tensor for tensor in directory["tensors"] if tensor["name"] == name)


# Random tensors, sound.

def generated(random):
    """A file of one to three tensors of any encoding, made by the fixtures' writer."""
    mapped = random.random() < 0.2
    tensors = [tensor(random, f"t{n}", mapped) for n in range(random.choice((1, 1, 2, 3)))]
    keys = {"x-note": 1} if random.random() < 0.1 else {}
    return writer.File(tensors, mapped=mapped, keys=keys).bytes()


def tensor(random, name, mapped):
    rank = random.choice((0, 1, 2, 2, 2, 3, 4))
    shape = [random.choice((1, 2, 3, 5, 9, 17, 40) if rank < 3 else (1, 2, 3, 5)) for _ in range(rank)]
    if rank and random.random() < 0.04:
        shape[random.randrange(rank)] = 0
    axes = list(range(rank))
    random.shuffle(axes)
    axes = None if random.random() < 0.5 or axes == sorted(axes) else axes
    outputs = None if random.random() < 0.6 else random.randint(0, rank)
    outputs = None if outputs == max(rank - 1, 0) else outputs
    matrix, type = writer.Matrix(shape, axes, outputs), random.choice(FLOATS)
    R, C, keys = matrix.rows, matrix.columns, {"axes": axes, "outputs": outputs, "mapped": mapped}
    lengths = [random.choice((0, 0.1, 0.5, 0.9, 1)) for _ in range(R)]              # how full a row is
    kept = [[random.random() < lengths[r] for _ in range(C)] for r in range(R)]
    kind = random.choice(("raw", "ternary", "sparse", "sign", "low rank", "table", "table", "grid", "grid", "seeded"))
    if kind == "raw":
        type = random.choice(tuple(writer.SIZES))
        planes = not mapped and writer.SIZES[type] > 1 and random.random() < 0.5
        data = random.randbytes(writer.SIZES[type] * math.prod(shape)) if random.random() < 0.5 else bytes(writer.SIZES[type] * math.prod(shape))
        return writer.raw(name, type, shape, data, planes=planes, mapped=mapped, **writer.layout(axes, outputs))
    per = random.choice(("tensor", "row", 1, 2, 3, 7, 64, 2**40))
    count = 0 if R * C == 0 else {"tensor": 1, "row": R}.get(per) or R * -(-C // per)
    scales = [random.choice((0.0, 0.5, 1.0, 0.75, 2.0**-9, 3.0, 96.0)) for _ in range(count)]
    if kind == "ternary":
        trits = [[random.choice((-1, 0, 1)) if kept[r][c] else 0 for c in range(C)] for r in range(R)]
        return writer.ternary(name, type, shape, trits, per, scales, **keys)
    if kind == "seeded":
        seed, threshold = random.choice((0, 2**64 - 1, random.getrandbits(64))), random.choice((0, 1, 2**15, random.randint(0, 2**15)))
        return writer.seeded(name, type, shape, seed, threshold, per, scales, **keys)
    where = random.choice(("gaps", "bitmap"))
    if kind == "sign":
        rows = [{c: random.choice((-1, 1)) for c in range(C) if kept[r][c]} for r in range(R)]
        return writer.sparse(name, type, shape, rows, where, "sign", scale_per=per, scales=scales, **keys)
    if kind == "sparse":
        stored = random.choice(("exact", "float16", "bfloat16") if type in ("float32", "float64") else ("exact",))
        narrow = type if stored == "exact" else stored
        bits = 8 * writer.SIZES[narrow]
        least = random.choice((None, None, 1, random.randrange(1, 2**(bits - 1)), 2**(bits - 1) - 1))
        value = lambda: writer.Bits(random.randrange(least or 1, 2**(bits - 1)) | random.getrandbits(1) << bits - 1)
        rows = [{c: value() for c in range(C) if kept[r][c]} for r in range(R)]
        return writer.sparse(name, type, shape, rows, where, stored, least=least and f"{least:x}", **keys)
    if kind == "low rank":
        rank = random.randint(0, min(R, C, 3))
        number = lambda: random.choice((0.0, -0.0, 1.0, -1.0, random.gauss(0, 1), random.gauss(0, 1e-30), 2.0**random.randint(-60, 60)))
        return writer.low_rank(name, type, shape, [[number() for _ in range(rank)] for _ in range(R)], [[number() for _ in range(C)] for _ in range(rank)], **keys)
    where = where if random.random() < 0.4 else None
    bits = random.choice((1, 2, 4, 8)) if mapped or random.random() < 0.5 else None
    classes = ([random.randrange(random.choice((1, 2, 3))) for _ in range(R)], [random.randrange(random.choice((1, 2))) for _ in range(C)])
    classes = classes if not bits and not where and random.random() < 0.5 and max((*classes[0], *classes[1]), default=0) > 0 else None
    keys |= {"kind": where, "bits": bits, "classes": classes, "lanes": random.randrange(6)}
    if kind == "table":
        type = random.choice(tuple(writer.SIZES))
        most = 2**bits if bits else 256
        number = min(random.choice((1, 2, 3, 5, 16, most)), most, 255 if where else 256)
        zero = 1 if where else 0                                                    # not stored, so no level
        table = [writer.Bits(random.randrange(zero, 2**(8 * writer.SIZES[type]))) for _ in range(number)]
        codes = [[random.randrange(number) if kept[r][c] or not where else None for c in range(C)] for r in range(R)]
        return writer.levels(name, type, shape, codes, table=table, **keys)
    if bits == 1:
        keys["bits"] = bits = 2
    wide = bits is None or bits == 8
    exceptional = wide and R * C and random.random() < 0.4
    spread = random.choice((1, 3, 30, 127))
    spread = min(spread, 2**((bits or 8) - 1) - 1)
    integers = lambda: random.choice((-200, 1000, -128, 128, 2**24, -2**24)) if exceptional and random.random() < 0.1 else min(max(round(random.gauss(0, spread / 2)), -spread), spread)
    codes = [[(integers() or (1 if where else 0)) if kept[r][c] or not where else None for c in range(C)] for r in range(R)]
    beyond = [k for r0, r1, c0, c1 in matrix.blocks() for r in range(r0, r1) for k in codes[r][c0:c1] if k is not None and not -128 < k <= 127]
    largest = max((abs(k) for row in codes for k in row if k), default=0)
    if type == "float16" and largest > 127:
        type = "float32"
    return writer.levels(name, type, shape, codes, scale_per=per, scales=scales, exceptions=beyond or None, **keys)


# Each changes something, at random.

WORDS = {
    "encoding": (0, 1, 2, 3, 4, 5, 6, 64, 127, 128, -1), "type": (*writer.SIZES, "float8", "bool"), "byte_order": ("big", "little", "native"),
    "role": ("kernel", "optimizer", "other", "gate", ""), "parts": (0, 1, 2, 3, 4, 9, 2**62, -1), "outputs": (0, 1, 2, 3, 33, -1),
    "axes": ([], [0], [1, 0], [0, 1], [0, 0], [1, 2, 0], [3, 0, 1, 2], [2**62], [-1]),
    "shape": ([], [0], [1], [2, 3], [3, 0], [1] * 33, [2**40, 2**21], [2**40, 2**20, 0], [2**31, 2**31], [2**62], [2**63 - 1, 0], [-1, 2], [1.0]),
    "name": ("", "a", "k", "\u0001", "\u007f", "n" * 4096, "n" * 4097, "\u00e9" * 2049), "path": ("a", "\\x5C", "\\x80", "\\xC3\\xA9", "\\x41", "\\", "/", ""),
}
PARAMETERS = {
    "scale_per": ("tensor", "row", 1, 2, 3, 4, 64, 2**40, 2**63 - 1, 0, -1, "column", 1.0, None), "positions": ("gaps", "bitmap", "runs", "", 1),
    "values": ("exact", "float16", "bfloat16", "sign", "table", "grid", "float8", 1), "planes": (True, False, 1),
    "least": ("1", "2", "ff", "7fff", "3c00", "7fffffff", "80000000", "3dcccccd", "7fffffffffffffff", "8000000000000000", "0", "01", "A", "", 1, "0x1", "f" * 40),
    "rank": (0, 1, 2, 3, -1, 2**62), "singular_values": ([], [1.0], [0.0], [2.0, 1.0], [1.0, 2.0], [3.0, 2.0, 1.0], [-1.0], [1]),
    "levels": (1, 2, 3, 4, 5, 16, 255, 256, 257, 0, -1), "bits": (1, 2, 4, 8, 3, 0, 16), "exceptions": (1, 2, 3, 0, -1, 2**24, 2**62),
    "seed": ("0" * 16, "f" * 16, "0123456789abcdef", "0123456789ABCDEF", "0" * 15, "0" * 17, "", 1), "threshold": (0, 1, 2**14, 2**15, 2**15 + 1, -1, 1.0),
    "classes": ([1, 1], [2, 1], [1, 2], [2, 2], [3, 2], [16, 16], [17, 1], [0, 2], [2], [2, 2, 2], []),
}
OPERATIONS = ("input", "dense", "activation", "batch_normalization", "layer_normalization", "normalization", "rescaling", "rotation", "prelu", "add", "multiply", "subtract",
              "average", "maximum", "minimum", "concatenate", "flatten", "reshape", "dropout", "opaque", "fourier", "")
KINDS = ("linear", "relu", "selu", "softmax", "elu", "leaky_relu", "bounded_relu", "gelu", "hard_sigmoid", "piecewise_constant", "mish")
NODE = {"alpha": (1.0, -1.0, 1), "slope": (0.0, 0.5, "x"), "maximum": (6.0, -1.0, 0.0), "threshold": (0.0, 1.0, -1.0), "divisor": (6.0, 0.0), "epsilon": (0.0, 1e-3, -1.0),
        "rate": (0.0, 1.0, 1.5), "levels": ([1.0], [1.0, 2.0], []), "thresholds": ([], [1.0], [1.0, 0.0], [1.0, 1.0]), "offset": ([0.0], []), "scale": ([1.0], [], [1]),
        "shape": ([], [-1], [-1, -1], [2, 3], [-2]), "approximate": (True, False, 1), "class": ("A", 1), "seed": ("0" * 16, "0123456789abcdef", "0" * 15, "A" * 16, 1), "kind": KINDS, "name": ("a", "", 1), "op": OPERATIONS,
        "inputs": ([], [0], [1], [0, 0], [0, 1], [99], [-1])}
DIGEST = "0123456789abcdef" * 2
STEP = {"options": "--keep 0.5", "tool": "nc-prune", "version": "9"}
CLAIMS = ({"error": 0.5, "inputs": {"distribution": "normal"}}, {"error": 0.5, "inputs": {"distribution": "normal", "samples": 9, "seed": -1}},
          {"error": 0.5, "inputs": {"data": DIGEST}}, {"error": 0.5, "inputs": {"distribution": "uniform"}}, {"error": 0.5, "inputs": {}},
          {"error": 0.5, "inputs": {"distribution": "normal", "samples": 9}}, {"error": 0.5, "inputs": {"data": DIGEST, "distribution": "normal"}},
          {"error": 1, "inputs": {"distribution": "normal"}}, {"error": 0.5}, {"error": 0.5, "inputs": {"data": "0"}}, {"error": 0.5, "inputs": {"data": DIGEST}, "x-a": 1})


def places(value, path=()):
    """All values below one, with the way to them."""
    if path:
        yield path
    parts = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def put(random, target, key, choices):
    value = random.choice((KEPT, *choices))
    if value is KEPT:
        target.pop(key, None)
    else:
        target[key] = json.loads(json.dumps(value))


def parameter(random, directory):
    tensor = random.choice(directory["tensors"])
    parameters = tensor.setdefault("parameters", {})
    own = [key for key in parameters if key in PARAMETERS]
    key = random.choice(own) if own and random.random() < 0.6 else random.choice(tuple(PARAMETERS))
    old = parameters.get(key)
    near = (old + 1, old - 1) if type(old) is int else (f"{int(old, 16) + 1:x}", f"{int(old, 16) - 1:x}") if key == "least" and old else ()
    put(random, parameters, key, near if near and random.random() < 0.4 else PARAMETERS[key])
    if not parameters and random.random() < 0.8:
        del tensor["parameters"]
    return key not in own or key == "values"


def form(random, directory):
    tensor = random.choice(directory["tensors"])
    key = random.choice(tuple(WORDS))
    shape = tensor["shape"]
    other = (shape[::-1], [1, *shape], shape + [1], [math.prod(shape)], [*shape[:-1], shape[-1] + 1] if shape else [1], shape[1:] + shape[:1])
    put(random, tensor, key, other if key == "shape" and random.random() < 0.6 else WORDS[key])


def several(random, directory):
    """What belongs to several tensors, or to the list of them."""
    tensors = directory["tensors"]
    choice = random.randrange(5)
    if choice == 0:                                                                 # another name that looks alike
        one, two = random.sample(LOOKALIKES, 2)
        tensor, other = random.choice(tensors), random.choice(tensors)
        for key in random.sample(("name", "path"), random.randint(1, 2)):
            if key in tensor:
                tensor[key] += one
        if other is not tensor:
            other["name"] = tensor["name"][:-len(one)] + two
    elif choice == 1 and len(tensors) > 1:
        a, b = random.sample(tensors, 2)
        for key in random.sample(("place", "path", "name", "parts", "aliases", "history", "digest", "shape", "byte_order", "role"), random.randint(1, 3)):
            mine, theirs = a.pop(key, None), b.pop(key, None)
            a.update({} if theirs is None else {key: theirs})
            b.update({} if mine is None else {key: mine})
    elif choice == 2:
        random.choice((lambda: tensors.remove(random.choice(tensors)), lambda: tensors.append(dict(random.choice(tensors))), lambda: random.shuffle(tensors)))()
    elif choice == 3:
        put(random, random.choice(tensors), "aliases", ([random.choice(tensors).get("path", "a")], [], ["notes/fixed"], ["\\x41"], [1], ["\\xFF"]))
    else:
        put(random, directory, "mapped", (True, False, 1))


def open_keys(random, directory):
    objects = [directory, *directory["tensors"], *directory.get("steps", ()), *directory.get("network", {}).get("nodes", ())]
    objects += [directory[key] for key in ("container", "network") if key in directory]
    objects += [entry for tensor in directory["tensors"] for entry in tensor.get("history", ())]
    objects += [tensor[key] for tensor in directory["tensors"] for key in ("parameters", "place") if key in tensor]
    target = random.choice(objects)
    for one in random.sample(LOOKALIKES, random.choice((1, 3))):
        target[random.choice(("x-", "x-", "d-", "X-", "x", "")) + one] = random.choice((1, one, [one], {one: 0.5}, None, [[]], -0.5, True))


def steps(random, directory):
    known = directory.get("steps", [])
    choice = random.randrange(6)
    if choice == 0 or not known:
        directory["steps"] = known + [dict(STEP)]
    if choice == 1:
        known.pop(random.randrange(len(known)))
    elif choice == 2:
        step = random.choice(directory["steps"])
        put(random, step, "claim", CLAIMS)
        put(random, step, "from", (DIGEST, DIGEST, "0", 1))
    elif choice == 3:
        put(random, random.choice(directory["steps"]), "removed", (["a"], [], ["a", "a"], [1], "a", [""], ["\u0001"]))
    elif choice >= 4:
        entries = [{"step": n} | random.choice(({}, {"error": 0.5}, {"error": 0.0}, {"error": -0.5}, {"error": 1}, {"error": 1.7976931348623157e308})) |
                   random.choice(({}, {"from": DIGEST}, {"from": "0"})) for n in random.choice(([0], [0, 1], [1, 0], [0, 0], [-1], [len(directory["steps"]) - 1], []))]
        put(random, random.choice(directory["tensors"]), "history", (entries, entries))


def place(random, directory):
    tensor = random.choice([t for t in directory["tensors"] if "place" in t] or directory["tensors"])
    place = tensor.get("place", {})
    if "offset" in place:
        place["offset"] = max(0, place["offset"] + random.choice((-64, -8, -4, 4, 8, 64, 512, 2**62)))
    elif place.get("chunks"):
        chunk = random.choice(place["chunks"])
        choice = random.randrange(5)
        if choice == 0:
            put(random, place, "kept", (True, False))
        elif choice == 1:
            chunk[random.randrange(len(chunk))] += random.choice((-8, -1, 1, 4, 8))
        elif choice == 2:
            place["chunks"].remove(chunk)
        elif choice == 3:
            random.shuffle(place["chunks"])
        else:
            place["address"] += random.choice((-8, 8, 64, 800))
    else:
        tensor["place"] = random.choice(({"offset": random.randrange(4096)}, {"address": 800, "chunks": [], "kept": True}, {"address": 800, "chunks": []}, {}, {"seed": 1}))


def container(random, directory):
    container = directory.get("container")
    if container is None:
        directory["container"] = {"digest": DIGEST, "kind": random.choice(("hdf5", "keras")), "size": random.choice((0, 8, 64))}
        return
    random.choice((lambda: directory.pop("container"), lambda: put(random, container, "kind", ("keras", "hdf5", "zip")),
                   lambda: container.update(size=container["size"] + random.choice((-8, -1, 1, 8, 4096, 2**62))),
                   lambda: put(random, container, "offset", (1, 8, 512, 0, container["size"], container["size"] + 1, -1))))()


def graph(random, directory):
    network = directory.get("network")
    if network is None or random.random() < 0.1:
        if network is not None and random.random() < 0.3:
            del directory["network"]
            return
        names = [tensor["name"] for tensor in directory["tensors"]] or ["a"]
        nodes = [{"op": "input"}, {"op": random.choice(OPERATIONS), "tensors": {"kernel": random.choice(names)}}, {"kind": random.choice(KINDS), "op": "activation"}]
        directory["network"] = network = {"nodes": nodes[:random.randint(1, 3)]}
    node = random.choice(network["nodes"])
    choice = random.randrange(6)
    if choice == 0:
        key = random.choice(tuple(NODE))
        put(random, node, key, NODE[key])
    elif choice == 1:
        node["op"] = random.choice(OPERATIONS)
        for key in random.sample(tuple(NODE), random.randint(0, 2)):
            put(random, node, key, NODE[key])
    elif choice == 2:
        kinds = {"elu": ["alpha"], "leaky_relu": ["slope"], "bounded_relu": ["maximum", "slope", "threshold"], "gelu": ["approximate"], "hard_sigmoid": ["divisor"],
                 "piecewise_constant": ["levels", "thresholds"]}
        kind = random.choice(KINDS)
        node.clear()
        node.update({"kind": kind, "op": "activation"} | {key: random.choice(NODE[key]) for key in kinds.get(kind, ())})
        put(random, node, "inputs", ([0], [1], []))
    elif choice == 3:
        put(random, network, "outputs", ([0], [0, 0], [], [len(network["nodes"]) - 1], [99], [1, 0], [-1]))
    elif choice == 4:
        key, choices = random.choice((("assumed", (True, False)), ("layout", ("keras", "torch", 1)), ("precision", ("float16", "bfloat16", "float8", 1)), ("nodes", ([], [{}], {}))))
        put(random, network, key, choices)
    else:
        random.choice((lambda: network["nodes"].append(dict(node)), lambda: network["nodes"].remove(node), lambda: network["nodes"].reverse(),
                       lambda: node.update(tensors=dict.fromkeys(("kernel", "bias", "gamma", "mean")[:random.randint(0, 4)], random.choice(directory["tensors"])["name"]))))()


def any_value(random, directory):
    *way, key = random.choice(list(places(directory)))
    target = directory
    for step in way:
        target = target[step]
    old = target[key]
    if type(old) is bool:
        target[key] = not old
    elif type(old) is int:
        target[key] = random.choice((old + 1, max(0, old - 1), 0, 1, 2 * old, 2**31, 2**62, 2**63 - 1, 2**63, -1, float(old), random.randrange(4096), str(old)))
    elif type(old) is float:
        target[key] = random.choice((0.0, -0.0, -old, 1e300, 1e-320, old * 1.0001, 1, math.inf))
    elif type(old) is str:
        target[key] = random.choice(("", old + random.choice(LOOKALIKES), old[1:], old[::-1], old.upper(), "0" * 32, "sparse", "little", "hdf5", "float64", 1))
    elif type(old) is list:
        target[key] = random.choice((old[::-1], old[1:], old + old[:1], [], {}, [[]]))
    elif type(old) is dict and type(target) is dict and random.random() < 0.3:
        del target[key]
    elif type(old) is dict:
        name = random.choice(list(old) or ["a"])
        target[key] = random.choice(({k: v for k, v in old.items() if k != name}, old | {"x-y": 1}, old | {"unknown": 1}, {}))
    else:
        target[key] = 1
    return "nodes" in way


BROAD = {"graph", "several", "steps", "open_keys"}                  # those that may break several rules, as others do that answer True
DIRECTORY = (parameter, parameter, parameter, form, form, several, open_keys, steps, steps, place, container, graph, graph, any_value, any_value, any_value)


def plain(block):
    """What a block holds, whether it was a frame."""
    if block[:4] == b"\x28\xb5\x2f\xfd":
        try:
            return zstandard.ZstdDecompressor().decompress(block, 2**24), True
        except zstandard.ZstdError:
            pass
    return block, False


def stored(random, data, framed):
    """A block of these bytes: as it is, or as a frame, right or wrong."""
    if not framed and random.random() < 0.8:
        return data
    choice = random.randrange(14)
    if choice == 0:
        return writer.zstd(data, window=random.choice((0, 8, 0x50, 0x68, 0x69, 0x70, 0xFF)))
    if choice == 1:
        return writer.zstd(data, dictionary=random.choice((b"\0", b"\1", bytes(2))))
    if choice == 2:
        return writer.zstd(data, checksum=bytes(4))
    if choice == 3:
        return writer.zstd(data, size=random.choice((b"", max(len(data) - 1, 0), len(data) + 1)))
    if choice == 4:
        return random.choice((b"\x50\x2a\x4d\x18\0\0\0\0" + writer.zstd(data), writer.zstd(data) + writer.zstd(b""), writer.zstd(data) + b"\0", writer.zstd(data)[:-1]))
    if choice == 5:
        blocks = writer.zstd_blocks(data)
        return writer.zstd(data, blocks=random.choice(([*blocks, (0, b"")], blocks[:-1], [(0, b""), *blocks], [*blocks, (3, b"")], [(2, b""), *blocks])))
    if choice == 6:
        frame = bytearray(writer.zstd(data))
        frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
        return bytes(frame)
    return zstandard.ZstdCompressor(level=random.choice((1, 3, 19)), write_checksum=choice == 7, write_content_size=choice != 8).compress(data)


def bent(random, data):
    """Bytes with a few others."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data)) if data else 0
        choice = random.randrange(9)
        if not data or choice == 0:
            data[at:at] = random.randbytes(random.choice((1, 1, 2, 4)))
        elif choice == 1:
            del data[at:at + random.choice((1, 1, 2, 4))]
        elif choice == 2:
            data[at] ^= 1 << random.randrange(8)
        elif choice == 3:
            data[at] = random.choice((0, 1, 127, 128, 254, 255))
        elif choice == 4:
            data[at] = (data[at] + random.choice((-1, 1))) % 256
        elif choice == 5:
            data[at] = random.randrange(256)
        elif choice == 6:
            other = random.randrange(len(data))
            data[at], data[other] = data[other], data[at]
        elif choice == 7:                                                           # a number of four bytes
            at = at // 4 * 4
            data[at:at + 4] = struct.pack("<I", random.choice((0, 1, 0x80000000, 0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 2**24, 2**24 + 1, 2**32 - 2**24)))[:len(data) - at]
        else:
            data[at:at + 8] = bytes(8)[:len(data) - at]
    return bytes(data)


def block(random, draft):
    blocks = random.choice([blocks for blocks in draft.blocks if blocks])
    draft.hdf5 = blocks is draft.blocks[-1] and "container" in draft.directory
    number = random.randrange(len(blocks))
    data, framed = plain(blocks[number])
    blocks[number] = stored(random, data if random.random() < 0.15 else bent(random, data), framed)


def run_of_blocks(random, draft):
    blocks = random.choice(draft.blocks)
    choice = random.randrange(6)
    if choice == 0:
        blocks.insert(random.randint(0, len(blocks)), random.choice((b"", b"\0", b"\xff", random.randbytes(4))))
    elif choice == 1 and blocks:
        del blocks[random.randrange(len(blocks))]
    elif choice == 2 and blocks:
        number = random.randrange(len(blocks))
        at = random.randint(0, len(blocks[number]))
        blocks[number:number + 1] = [blocks[number][:at], blocks[number][at:]]
    elif choice == 3 and len(blocks) > 1:
        blocks[:2] = [blocks[0] + blocks[1]]
    elif choice == 4:
        other = random.choice(draft.blocks)
        mine = list(blocks)
        blocks[:], other[:] = list(other), mine
    else:
        random.choice((lambda: draft.blocks.append([b""]), lambda: draft.blocks.append([]), lambda: draft.blocks.pop(), lambda: draft.blocks.insert(0, []), lambda: draft.blocks.reverse()))()


def payload_table(random, draft):
    at, number, change = random.randrange(2**16), random.randrange(3), random.choice((1, -1, 2**20, 2**32, 2**63, None, -2**40))

    def table(payloads):
        lists = [p for p in payloads if p]
        if number == 0 or not lists:
            lists = [payloads] if payloads and number == 0 else []
        if lists:
            chosen = lists[at % len(lists)]
            place = at % len(chosen)
            if change is None or type(chosen[place]) is not int:
                del chosen[place]
            else:
                chosen[place] += change
        return payloads
    draft.table = table


def header(random, draft):
    draft.header |= random.choice(({"major": 1}, {"minor": 1}, {"minor": 3}, {"minor": 0}, {"features": 1 << random.randrange(64)}, {"zero": random.randbytes(8)},
                                   {"crc": 0}, {"major": 1, "crc": 0}, {"zero": bytes(7) + b"\1"}, {"minor": 3, "features": 1}))


def trailer(random, draft):
    choice = random.randrange(6)
    if choice == 0:
        draft.trailer[random.choice(("size", "stored", "decoded", "crc"))] = random.choice((lambda n: n + 1, lambda n: n - 1, lambda n: 0, lambda n: 2**28, lambda n: 2**28 + 1, lambda n: 2**32 - 1))
    elif choice == 1:
        draft.trailer["end"] = lambda end: 0
    elif choice == 2:
        draft.between = random.choice((b"\0", bytes(64), b"{}"))
    elif choice == 3:
        draft.padding = random.choice((1, 255))
    else:
        seed = random.random()
        draft.frame = lambda text: stored(type(random)(seed), text, True)


def spelling(random, draft):
    seed = random.random()
    draft.spelling = lambda text: spelled(type(random)(seed), text)


def spelled(random, text):
    choice = random.randrange(12)
    at = random.randrange(1, len(text))
    if choice == 0:
        return text[:at] + bytes([text[at] ^ 1 << random.randrange(8)]) + text[at + 1:]
    if choice == 1:
        return text[:at] + text[at + 1:]
    if choice == 2:
        return text[:at] + random.choice((b" ", b"\n", b",", b"0", b'"', b"{", b"]", b"-", b"\\", b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf")) + text[at:]
    if choice == 3:
        return random.choice((text + b" ", text + b"\0", b"\xef\xbb\xbf" + text, text[:-1], text + text, b"[]", b"1", b"null", b"", b"{}", b'"a"', b"{" * 70, b"[" * 64 + b"]" * 64))
    if choice in (4, 5, 6):                                                         # a number
        numbers = list(re.finditer(rb"(?<=[:,\[])-?\d+(\.\d+)?(e[+-]\d+)?(?=[,\]}])", text))
        if numbers:
            number = random.choice(numbers)
            old = number[0]
            new = random.choice((b"0" + old, b"-" + old, b"+" + old, old + b".0", old + b"e0", old + b"e+00", old + b"E+00", b"-0", b"-0e+00", b"0e+00", b"1e+400", b"1e-400", b"5e-324",
                                 b"1.0e+00", b"1e+0", b"1e+000", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"NaN", b"Infinity", b"-Infinity", b"0x1", b"true",
                                 b"null", b".5", b"5.", b"1e+05", b"4.9406564584124654e-324", b"1.7976931348623157e+308", b"2.2250738585072014e-308", b"1.00000000000000000e+00"))
            return text[:number.start()] + new + text[number.end():]
    if choice == 7:                                                                 # a character, escaped
        letter = re.compile(rb'[a-z_](?=[a-z_]*")').search(text, at)
        if letter:
            new = random.choice((b"\\u%04x" % letter[0][0], b"\\u%04X" % letter[0][0], b"\\/", b"\\n", b"\\u0000", b"\\u000a", b"\\u000A", b"\\u001f", b"\\u007f", b"\x7f", b"\x1f", b"\n",
                                 b"\\ud800", b"\\ud83d\\ude00", b"\\x41", b"\xf0\x9f\x98\x80", b'\\"', b"\\\\", b"\\u00e9", b"\\b"))
            return text[:letter.start()] + new + text[letter.end():]
    keys = list(re.finditer(rb'"[^"\\]*":', text))
    a, b = sorted(random.sample(range(len(keys)), 2)) if len(keys) > 1 else (0, 0)
    if choice == 8 and a != b:                                                      # two keys exchanged
        a, b = keys[a], keys[b]
        return text[:a.start()] + b[0] + text[a.end():b.start()] + a[0] + text[b.end():]
    if choice == 9 and a != b:                                                      # a key twice
        a, b = keys[a], keys[b]
        return text[:b.start()] + a[0] + text[b.end():]
    key = random.choice(keys)
    return text[:key.start()] + random.choice((b'"a":1,', b'"zz":1,', b'"x-a":1,', b'"":0,', b'"x-":null,', b'"x-\xc3\xa9":[],', b'"x-a":{},"x-a":{},')) + text[key.start():]


def mutant(random, data):
    """Bytes, what was done, and how many rules that may break, under CRC-32s that are right: 1,
    SPELLED for one of §2.4 and perhaps others, MANY, IN_HDF5 for those of the HDF5 file in the container."""
    if random.random() < 0.06:
        data = bytearray(data)
        for _ in range(random.choice((1, 1, 2, 8))):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(data), "bytes", MANY
    draft, done, broad = Draft(data), [], False
    for _ in range(random.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3)) if random.random() < 0.9 else 1):
        what = random.choices((DIRECTORY, (block, block, block, run_of_blocks, payload_table), (header, trailer), (spelling,)), (45, 40, 6, 9))[0]
        change = random.choice(what)
        done.append(change.__name__)
        try:
            broad = bool(change(random, draft.directory if what is DIRECTORY else draft))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):       # there is nothing of the kind, or no longer
            done[-1] += "?"
    right = random.random() < 0.75
    try:
        if right and draft.spelling is None and draft.table is None:
            draft.digests()
        return draft.bytes(), "+".join(done) + (" right" if right else ""), IN_HDF5 if draft.hdf5 else MANY if len(done) > 1 or broad or set(done) & BROAD else SPELLED if draft.spelling else 1
    except (ValueError, TypeError, KeyError, OverflowError, UnicodeError, StopIteration, AttributeError):
        return bytes(data), "none", 1                                               # cannot be spelled


def fixtures():
    for path in sorted([*(ROOT / "fixtures/good").glob("*.ncz"), *(ROOT / "fixtures/cut").glob("*.ncz"), *(ROOT / "fixtures/unsupported").glob("*.ncz")]):
        data = path.read_bytes()
        try:
            if len(data) <= LARGEST and sum(size_of(tensor) for tensor in ncz.File(data).tensors) <= DECODED:
                yield f"{path.parent.name}/{path.stem}", data
        except ncz.Unsupported:
            pass


class NCZMutants:
    """mutant(number): bytes, what was done to what, and how many rules that may break."""

    def __init__(self, seed, made, shares=(0.4, 0.35)):
        """made: what the tools made; shares: of random tensors and of fixtures among the sources."""
        self.seed, self.made, self.fixtures, self.shares = seed, list(made), list(fixtures()), shares

    def mutant(self, number):
        generator = random.Random(f"{self.seed} ncz {number}")
        chance = generator.random()
        if chance < self.shares[0]:
            name, data = "generated", generated(generator)
        else:
            name, data = generator.choice(self.fixtures if chance < sum(self.shares) else self.made)
        data, done, rules = mutant(generator, data)
        return data, f"{name}: {done}", max(rules, MANY) if name.startswith("unsupported/") else rules
