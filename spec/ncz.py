#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference reader of .ncz files, written from ncz-v1.md (§ are its sections); it would rather be short than fast.

    f = ncz.load("model.ncz")      f.tensors and f.network are what the directory has
    f["dense/kernel"]              a numpy array (bfloat16 is widened to float32)
    f.raw("dense/kernel")          its decoded bytes, little-endian

    python3 ncz.py FILE [--test | --extract NAME | --restore OUT]
"""
import argparse, hashlib, json, math, re, struct, sys
from collections.abc import Mapping
from itertools import accumulate
from zlib import crc32
import numpy as np
import zstandard

class Corrupt(Exception): status = 65
class Unsupported(Exception): status = 69
class OverLimit(Exception): status = 75

def need(ok, why, error=Corrupt):
    if not ok:
        raise error(why)

MiB, ROW_BLOCK, LARGEST = 2**20, 2**18, 2**36        # LARGEST: decoded bytes of a part, a limit of this reader
FLOATS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
TYPES = {f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)} | FLOATS
ENCODINGS = {0: "raw", 1: "ternary", 2: "sparse", 3: "low rank"}
pieces = lambda n, size=MiB: -(-n // size)           # ⌈n/size⌉
aligned = lambda n: pieces(n, 64) * 64               # the first multiple of 64 at or after n
crcs = lambda data: b"".join(struct.pack("<I", crc32(data[i:i + MiB])) for i in range(0, len(data), MiB))

# §2.4 The directory is parsed, and spelled again: it is canonical when that gives the same bytes.
def spell(v):
    if type(v) is dict:
        return "{" + ",".join(spell(key) + ":" + spell(v[key]) for key in sorted(v)) + "}"
    if type(v) is list:
        return "[" + ",".join(map(spell, v)) + "]"
    if type(v) is str:
        return '"%s"' % re.sub(r'(["\\])|[\x00-\x1f]', lambda m: "\\" + m[0] if m[1] else "\\u%04x" % ord(m[0]), v)
    need(type(v) is not int or -2**63 <= v < 2**63, f"an integer of more than 64 bits: {v}")
    return "%.8e" % (v + 0.0) if type(v) is float else json.dumps(v)          # + 0.0: there is no -0

def parse(data):
    try:
        text = data.decode("utf-8")
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
        depth = max(accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", bare)), default=0)
        need(depth <= 64, "the directory is nested more than 64 deep", OverLimit)
        values = 1 + bare.count(",") + len(re.findall(r"[\[{](?![\]}])", bare))
        need(values <= 2**24, "the directory has more than 2^24 values", OverLimit)
        value = json.loads(text)
    except ValueError as error:                      # also of UTF-8
        raise Corrupt(f"the directory is not JSON: {error}")
    need(spell(value) == text, "the directory is not canonical")
    return value

# The form of the directory: a dict is an object (? marks what is optional, x- what is open), a list an array of any length,
# a tuple one of so many values, a set some words, a range integers, a pattern a string, True only itself.
NATURAL, POSITIVE, DIGEST = range(2**63), range(1, 2**63), re.compile("[0-9a-f]{64}")
NAME, PATH = re.compile(r"[^\x00-\x1f\x7f]+"), re.compile(r"([^\\]|\\x(5C|[89A-F][0-9A-F]))*", re.DOTALL)
CONTAINER = {"kind": {"hdf5", "keras"}, "offset": NATURAL, "payload": NATURAL, "size": NATURAL, "x-?": object}
PAYLOAD = {"blocks": [(range(MiB + 1), range(2**32))], "offset": NATURAL}
NETWORK = {"nodes": [{"inputs": [NATURAL], "op": str, "parameters": dict, "tensors": dict}], "outputs": [NATURAL],
           "assumed?": True, "precision?": {"bfloat16", "float16"}}
DIRECTORY = {"container?": CONTAINER, "digest": DIGEST, "network?": NETWORK, "payloads": [PAYLOAD], "tensors": [dict], "x-?": object}
STEP = {"error": float, "from": DIGEST, "options": str, "tool": str, "version": str}
TENSOR = {"aliases?": [PATH], "byte_order": {"little", "big"}, "digest": DIGEST, "encoding": range(128), "history": [STEP],
          "name": NAME, "parameters": dict, "parts": [NATURAL], "path?": PATH, "place?": dict,
          "role": {"kernel", "bias", "embedding", "convolution", "recurrent", "attention", "normalization", "optimizer", "other"},
          "shape": [NATURAL], "size": range(2**62 + 1), "transposed?": True, "type": set(TYPES), "x-?": object}
SPARSE = {"least?": object, "positions": {"gaps", "bitmap"}, "scale_per?": object, "values": {"exact", "float16", "bfloat16", "sign"}}
PARAMETERS = [{}, {"scale_per": object}, SPARSE, {"rank": NATURAL, "singular_values": [float]}]
EXTENT, CHUNKS = {"extent": (NATURAL, NATURAL)}, {"address": NATURAL, "chunks": [[NATURAL]], "kept": bool}
KINDS = {**dict.fromkeys("linear relu selu silu softplus softsign exponential sigmoid tanh erf sin cos abs sign step softmax".split(), {}), "elu": {"alpha": float},
         "gelu": {"approximate": bool}, "hard_sigmoid": {"divisor": float}, "leaky_relu": {"slope": float},
         "bounded_relu": {"maximum?": float, "slope": float, "threshold": float},
         "piecewise_constant": {"levels": [float], "thresholds": [float]}}
EPSILON, SCALED, EXTENTS = {"epsilon": float}, {"beta?": str, "gamma?": str}, range(-1, 2**63)
OPERATIONS = {                                       # numbers of inputs, parameters, tensors
    "input": (range(1), {"shape?": [EXTENTS]}, {}), "dense": (range(1, 2), {}, {"bias?": str, "kernel": str}),
    "activation": (range(1, 2), {"kind": str}, {}), "layer_normalization": (range(1, 2), EPSILON, SCALED),
    "batch_normalization": (range(1, 2), EPSILON, SCALED | {"mean": str, "variance": str}), "dropout": (range(1, 2), {"rate": float}, {}),
    "normalization": (range(1, 2), EPSILON, {"mean": str, "variance": str}), "prelu": (range(1, 2), {}, {"slope": str}),
    "rescaling": (range(1, 2), {"offset": [float], "scale": [float]}, {}), "reshape": (range(1, 2), {"shape": [EXTENTS]}, {}),
    "add": (POSITIVE, {}, {}), "subtract": (range(2, 3), {}, {}), "multiply": (POSITIVE, {}, {}), "average": (POSITIVE, {}, {}),
    "maximum": (POSITIVE, {}, {}), "minimum": (POSITIVE, {}, {}), "concatenate": (POSITIVE, {}, {}), "flatten": (range(1, 2), {}, {}), "opaque": (NATURAL, {"class": str}, None)}

def check(form, v):
    kind, what = type(form), f"{v!r:.80}"
    if kind is dict:
        need(type(v) is dict, f"not an object: {what}")
        missing = [key for key in form if key[-1] != "?" and key not in v]
        need(not missing, f"missing keys: {missing}")
        known = {key.rstrip("?"): part for key, part in form.items()}
        for key in v:
            need(key in known or key[:2] == "x-" and "x-" in known, f"unknown key {key!r:.80}", Unsupported)
            check(known.get(key, object), v[key])
    elif kind in (list, tuple):
        need(type(v) is list and (kind is list or len(v) == len(form)), f"not the right array: {what}")
        for part, value in zip(form * len(v), v):
            check(part, value)
    elif kind is set:
        need(type(v) is str, f"not a string: {what}")
        need(v in form, f"unknown value {what}", Unsupported)
    elif kind is range:
        need(type(v) is int and v in form, f"not an integer in {form}: {what}")
    elif kind is re.Pattern:
        need(type(v) is str and form.fullmatch(v), f"not a string of the right form: {what}")
    else:
        need(v is True if form is True else isinstance(v, form), f"not {form}: {what}")

def plain(stored, size):
    """§2.3 The decoded bytes of a block."""
    if len(stored) == size:
        return stored
    need(len(stored) > 5 and stored[:4] == b"\x28\xb5\x2f\xfd", "neither a plain block nor a zstd frame")
    need(stored[4] & 32 or (8 + (stored[5] & 7)) << (7 + (stored[5] >> 3)) <= 8 * MiB, "a zstd window of more than 8 MiB", OverLimit)
    try:
        frame = zstandard.get_frame_parameters(stored)
        need(frame.content_size == size, "a zstd frame that does not have the decoded size")
        need(not frame.dict_id and not frame.has_checksum, "a zstd frame with a dictionary or a checksum")
        return zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd: {error}")

def cast(values, kind):
    """To the nearest value of a type, ties to even; a bfloat16 as its bits, from a float32 that is finite."""
    if kind == "bfloat16":
        bits = values.view("<u4")
        return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2")
    with np.errstate(over="ignore"):
        return values.astype("<" + np.dtype(kind).str[1:])

def raised(bits, least):
    """§4.4 The bits of values whose magnitudes are larger by least; they are less than 2 · sign, so that none is cut off."""
    sign = 2**(8 * bits.itemsize - 1)
    magnitudes = (bits & sign - 1) + least
    need((magnitudes < sign).all(), "a magnitude that is too large for its value")
    return magnitudes | bits & sign

def widened(bits, kind, to):
    """§4.4 The bits of float16 or bfloat16 values as those of another type; a NaN becomes quiet."""
    if kind == to:
        return bits
    values = (bits.astype("<u4") << 16).view("<f4") if kind == "bfloat16" else bits.view("<f2")
    fraction, width = (7 if kind == "bfloat16" else 10), FLOATS[to]
    wider, wide = {4: 23, 8: 52}[width], bits.astype(f"<u{width}")
    nan = (wide >> 15 << 8 * width - 1) + (2**(8 * width - 1) - 2**wider) + ((wide & 2**fraction - 1) << wider - fraction | 2**(wider - 1))
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(values), nan, values.astype(f"<f{width}").view(f"<u{width}"))

def joined(blocks, R, C):
    return np.concatenate(blocks).reshape(R, C) if blocks else np.zeros(0, np.uint8)

class File(Mapping):
    def __init__(self, data):
        self.data = data = memoryview(data)
        size = len(data)
        need(size >= 128, "the file is too short")
        # §2.1
        signature, major, minor, zero, features, zeros, crc = struct.unpack("<8sHHIQ36sI", data[:64])
        need(signature == b"\x89NCZ\r\n\x1a\n", "not an .ncz file")
        need(crc32(data[:60]) == crc, "wrong CRC-32 of the header")
        need(major == 0, f"major version {major}", Unsupported)
        need(features == 0, f"required features {features:#x}", Unsupported)
        need(zero == 0 and not any(zeros), "the header's zeros are not zero")
        # §2.2
        start, length, whole, directory_crc, decoded, zeros, crc, mark = struct.unpack("<QQQIQ16sI8s", data[-64:])
        need(mark == b"\n\x1a\n\rZCN\x89", "no end mark: the file was cut, or has bytes after its trailer")
        need(crc32(data[-64:-12]) == crc, "wrong CRC-32 of the trailer")
        need(not any(zeros), "the trailer's zeros are not zero")
        need(whole == size, f"{size} bytes instead of {whole}")
        need(max(length, decoded) <= 256 * MiB, f"a directory of {max(length, decoded)} bytes", OverLimit)
        need(decoded == 0 or decoded > length, f"a directory of {decoded} bytes in a frame of {length}")
        need(start >= 64 and start % 64 == 0 and start + aligned(length) == size - 64, "the directory does not end at the trailer")
        need(not any(data[start + length:-64]), "the padding of the directory is not zero")
        need(crc32(data[start:start + length]) == directory_crc, "wrong CRC-32 of the directory")
        # §2.4
        directory = data[start:start + length]
        self.directory = parse(bytes(plain(directory, decoded) if decoded else directory))
        check(DIRECTORY, self.directory)
        self.payloads, self.tensors = self.directory["payloads"], self.directory["tensors"]
        self.container, self.network = self.directory.get("container"), self.directory.get("network")
        end = 64
        for p in self.payloads:
            need(p["offset"] == aligned(end), f"a payload at {p['offset']} instead of {aligned(end)}")
            end = p["offset"] + sum(size for size, _ in p["blocks"])
        need(start == aligned(end), f"the directory at {start} instead of {aligned(end)}")
        need(len(self.tensors) <= 2**20, "more than 2^20 tensors", OverLimit)
        self.named, self.extents = {}, []            # extents: offset, length, tensor cut out of the source
        for t in self.tensors:
            self.check_tensor(t)
        used = [n for t in self.tensors for n in t["parts"]] + ([self.container["payload"]] if self.container else [])
        need(sorted(used) == list(range(len(self.payloads))), "a payload is not used exactly once")
        if self.container:
            self.check_container()
        if self.network:
            self.check_network(**self.network)

    def check_tensor(self, t):
        """§3, 4"""
        check(TENSOR, t)
        name, encoding, shape, width = t["name"], t["encoding"], t["shape"], TYPES[t["type"]]
        need(name not in self.named, f"the name {name!r} occurs twice")
        need(len(name.encode()) <= 4096, "a name of more than 4096 bytes", OverLimit)
        need(len(shape) <= 32, f"{name}: rank {len(shape)}", OverLimit)
        need(width * math.prod(extent or 1 for extent in shape) <= 2**62, f"{name}: too large a shape")
        need(t["size"] == width * math.prod(shape), f"{name}: wrong size")
        need("transposed" not in t or len(shape) == 2, f"{name}: not a matrix, but transposed")
        need(all(step["error"] >= 0 for step in t["history"]), f"{name}: a negative error")
        if encoding in ENCODINGS:
            self.check_encoding(name, encoding, t["type"], shape, t["parameters"], len(t["parts"]))
        if "place" in t:
            self.check_place(t, t["place"], len(shape))
        self.named[name] = t

    def check_encoding(self, name, encoding, kind, shape, parameters, parts):
        """§4"""
        check(PARAMETERS[encoding], parameters)
        number, rank = (1, 2, 4, 2)[encoding], range(2, 3) if encoding else range(33)
        if encoding == 2:                            # §4.4
            positions, values = parameters["positions"], parameters["values"]
            need((positions, values) != ("bitmap", "sign"), f"{name}: signs at the positions of a bitmap", Unsupported)
            need(("scale_per" in parameters) == (values == "sign"), f"{name}: scales without signs, or signs without scales")
            need("least" not in parameters or values != "sign", f"{name}: a least magnitude of signs")
            if values != "sign":
                need(values == "exact" or kind in ("float32", "float64"), f"{name}: {values} in a tensor of {kind}")
                width = TYPES[kind if values == "exact" else values]
                number, rank = {"gaps": 2, "bitmap": 1}[positions] + width, range(1, 33)
                check(range(1, 2**(8 * width - 1)), parameters.get("least", 1))
        need(parts == number, f"{name}: wrong number of parts")
        need(not encoding or kind in FLOATS and len(shape) in rank, f"{name}: not a matrix of floating-point numbers")
        if "scale_per" in parameters:                # §4.2
            per = parameters["scale_per"]
            check({"tensor", "row"} if type(per) is str else POSITIVE, per)
        if encoding == 3:                            # §4.5
            singular = parameters["singular_values"]
            need(parameters["rank"] <= min(shape), f"{name}: rank {parameters['rank']} of {shape}")
            need(len(singular) == parameters["rank"], f"{name}: {len(singular)} singular values")
            need(all(map(float.__ge__, singular, singular[1:] + [0.0])), f"{name}: singular values that are negative or ascend")

    def check_place(self, t, place, rank):
        """§5"""
        need(self.container and t["size"], f"{t['name']}: a place without values or container")
        check(EXTENT if "extent" in place else CHUNKS, place)
        extents = [place["extent"]] if "extent" in place else place["chunks"]
        if "extent" in place:
            need(extents[0][1] == t["size"], f"{t['name']}: its place has the wrong length")
        else:
            need(all(len(c) == 3 + rank and all(map(int.__lt__, c[3:], t["shape"])) for c in extents), f"{t['name']}: not a chunk")
            need(all(a[3:] < b[3:] for a, b in zip(extents, extents[1:])), f"{t['name']}: chunks that are not in order")
        need(all(e[0] + e[1] <= self.container["size"] for e in extents), f"{t['name']}: a place outside the source file")
        self.extents += [] if place.get("kept") else [(*extent[:2], t) for extent in extents]

    def check_container(self):
        """§5"""
        need(self.container["offset"] <= (self.container["size"] if self.container["kind"] == "keras" else 0), "an HDF5 file elsewhere")
        self.extents.sort(key=lambda extent: extent[:2])
        for a, b in zip(self.extents, self.extents[1:]):
            need(a[0] + a[1] <= b[0], f"{b[2]['name']}: its place overlaps another")
        self.remaining = self.container["size"] - sum(length for _, length, _ in self.extents)
        need(len(self.payloads[self.container["payload"]]["blocks"]) == pieces(self.remaining), "wrong number of remaining bytes")

    def check_network(self, nodes, outputs, assumed=False, precision=None):
        """§6"""
        for number, node in enumerate(nodes):
            need(node["op"] in OPERATIONS, f"the operation {node['op']!r:.80}", Unsupported)
            inputs, parameters, tensors = OPERATIONS[node["op"]]
            if node["op"] == "activation":
                kind = node["parameters"].get("kind")
                check(set(KINDS), kind)
                parameters = parameters | KINDS[kind]
            check(parameters, node["parameters"])
            check(dict.fromkeys(node["tensors"], str) if tensors is None else tensors, node["tensors"])
            for key, low, high in (("epsilon", 0, math.inf), ("rate", 0, 1), ("divisor", 5e-324, math.inf)):
                need(low <= node["parameters"].get(key, 1) <= high, f"node {number}: {key} out of its range")
            if "levels" in parameters:
                levels, cuts = node["parameters"]["levels"], node["parameters"]["thresholds"]
                need(1 <= len(levels) <= 256 and len(cuts) == len(levels) - 1, f"node {number}: wrong number of levels or thresholds")
                need(all(a < b for a, b in zip(cuts, cuts[1:])), f"node {number}: thresholds that do not ascend")
            if node["op"] == "reshape":
                need(node["parameters"]["shape"].count(-1) <= 1, f"node {number}: two extents that are not said")
            if node["op"] == "rescaling":
                need(node["parameters"]["scale"] and node["parameters"]["offset"], f"node {number}: no factor or no offset")
            if node["parameters"].get("kind") == "bounded_relu":
                need(0 <= node["parameters"]["threshold"] <= node["parameters"].get("maximum", math.inf), f"node {number}: threshold out of its range")
            need(len(node["inputs"]) in inputs and all(i < number for i in node["inputs"]), f"node {number}: wrong inputs")
            need(all(name in self.named for name in node["tensors"].values()), f"node {number}: no such tensor")
        need(outputs and len(set(outputs)) == len(outputs) and max(outputs) < len(nodes), "wrong outputs of the network")

    def blocks(self, number, count, decoded):
        """§2.3 The decoded blocks of a payload; decoded(i) is the decoded size of block i."""
        p, result = self.payloads[number], []
        need(len(p["blocks"]) == count, f"{len(p['blocks'])} blocks instead of {count}")
        need(all(size <= decoded(i) for i, (size, _) in enumerate(p["blocks"])), "a block larger than its decoded size")
        need(sum(map(decoded, range(count))) <= LARGEST, f"more than {LARGEST} bytes", OverLimit)
        at = p["offset"]
        for i, (size, crc) in enumerate(p["blocks"]):
            need(crc32(self.data[at:at + size]) == crc, f"wrong CRC-32 of block {i} of payload {number}")
            result.append(plain(self.data[at:at + size], decoded(i)))
            at += size
        return result

    def planes(self, number, size, width):
        """§4.1 Raw, and scales."""
        blocks = self.blocks(number, pieces(size), lambda i: min(MiB, size - i * MiB))
        return b"".join(np.frombuffer(block, np.uint8).reshape(width, -1).T.tobytes() for block in blocks)

    def matrix(self, t):
        """§4.2"""
        R, C = t["shape"][::-1] if "transposed" in t else (math.prod(t["shape"][:-1]), t["shape"][-1])
        whole, cut = ROW_BLOCK // max(C, 1), pieces(C, ROW_BLOCK)    # rows of a block, or blocks of a row
        form = lambda i: (min(whole, R - i * whole), C) if cut == 1 else (1, min(ROW_BLOCK, C - i % cut * ROW_BLOCK))
        count = R * cut if cut != 1 else pieces(R, whole)
        if t["encoding"] == 3:
            values = self.low_rank(t, R, C)
        elif "scale_per" in t["parameters"]:
            values = self.scaled(t, R, C, count, form)
        else:
            values = joined(self.sparse(t, count, form), R, C)
        return (values.T if "transposed" in t else values).tobytes()

    def scaled(self, t, R, C, count, form):
        """§4.2 Trits with their scales."""
        kind, per = t["type"], t["parameters"]["scale_per"]
        rows, groups = {"tensor": (1, 1), "row": (R, 1)}.get(per) or (R, pieces(C, per))
        width = 8 if kind == "float64" else 4
        scales = np.frombuffer(self.planes(t["parts"][-1], rows * groups * width, width), f"<f{width}")
        exact = not (scales.view("<u4") & 0xFFFF).any() if kind == "bfloat16" else (cast(scales, kind) == scales).all()
        need(np.isfinite(scales).all() and exact and not np.signbit(scales).any(), f"a scale that is not finite, at least +0 and a {kind}")
        trits = joined((self.ternary if t["encoding"] == 1 else self.sparse)(t, count, form), R, C)
        if not trits.size:
            return trits
        return cast(trits * scales.reshape(rows, groups)[:, np.arange(C) // (per if type(per) is int else C)], kind)

    def ternary(self, t, count, form):
        """§4.3"""
        trits = []
        for i, block in enumerate(self.blocks(t["parts"][0], count, lambda i: form(i)[0] * pieces(form(i)[1], 4))):
            rows, columns = form(i)
            codes = (np.frombuffer(block, np.uint8).reshape(rows, -1, 1) >> np.arange(0, 8, 2, np.uint8) & 3).reshape(rows, -1)
            need(not codes[:, columns:].any() and not (codes == 2).any(), "the code 10, or unused bits that are not zero")
            trits.append(np.array([0, 1, 0, -1], np.int8)[codes[:, :columns]].ravel())
        return trits

    def sparse(self, t, count, form):
        """§4.4 The trits of the row blocks, or the bits of their values."""
        parts, kind, values = t["parts"], t["type"], t["parameters"]["values"]
        blockwise = parts[t["parameters"]["positions"] == "gaps":len(parts) - (values == "sign")]      # all but counts and scales
        need(all(len(self.payloads[n]["blocks"]) == count for n in blockwise), "wrong number of blocks")
        sizes = [math.prod(form(i)) for i in range(count)]
        if t["parameters"]["positions"] == "gaps":
            places, parts = self.gaps(parts[0], parts[1], sizes), parts[2:]
        else:
            places, parts = self.bitmap(parts[0], count, form), parts[1:]
        if values == "sign":
            stored, zero = self.signs(parts[0], places), np.int8
        else:
            read = [self.blocks(n, count, lambda i: len(places[i])) for n in parts]
            kind = values if values != "exact" else t["type"]
            stored = [np.frombuffer(b"".join(planes), np.uint8).reshape(len(parts), -1).T.tobytes() for planes in zip(*read)]
            stored = [raised(np.frombuffer(values, f"<u{len(parts)}"), t["parameters"].get("least", 0)) for values in stored]
            need(all(bits.all() for bits in stored), "a stored value whose bits are all zero")
            stored, zero = [widened(bits, kind, t["type"]) for bits in stored], f"<u{TYPES[t['type']]}"
        result = [np.zeros(size, zero) for size in sizes]
        for block, at, these in zip(result, places, stored):
            block[at] = these
        return result

    def gaps(self, counts, gaps, sizes):
        """§4.4 The positions of the stored weights of each row block."""
        counts, places = np.frombuffer(self.planes(counts, 4 * len(sizes), 4), "<u4").tolist(), []
        need(all(map(int.__le__, counts, sizes)), "a count of more gaps than weights")
        for block, size in zip(self.blocks(gaps, len(sizes), counts.__getitem__), sizes):
            gaps = np.frombuffer(block, np.uint8)
            need(not len(gaps) or gaps[-1] != 255, "a gap that does not end")
            places.append((np.cumsum(gaps + (gaps < 255).astype(int)) - 1)[gaps < 255])
            need(not len(gaps) or places[-1][-1] < size, "a position outside the block")
        return places

    def bitmap(self, part, count, form):
        """§4.4 The same from a bitmap."""
        places = []
        for i, block in enumerate(self.blocks(part, count, lambda i: form(i)[0] * pieces(form(i)[1], 8))):
            bits = np.unpackbits(np.frombuffer(block, np.uint8), bitorder="little").reshape(form(i)[0], -1)
            need(not bits[:, form(i)[1]:].any(), "unused bits that are not zero")
            places.append(np.flatnonzero(bits[:, :form(i)[1]]))
        return places

    def signs(self, part, places):
        """§4.4 The trits that are not zero."""
        trits = []
        for block, at in zip(self.blocks(part, len(places), lambda i: pieces(len(places[i]), 8)), places):
            bits = np.unpackbits(np.frombuffer(block, np.uint8), bitorder="little")
            need(not bits[len(at):].any(), "unused bits that are not zero")
            trits.append(1 - 2 * bits[:len(at)].astype(np.int8))
        return trits

    def low_rank(self, t, R, C):
        """§4.5"""
        rank = t["parameters"]["rank"]
        A, B = (np.frombuffer(self.planes(n, 4 * size, 4), "<f4").astype(float) for n, size in zip(t["parts"], (R * rank, rank * C)))
        need(np.isfinite(A).all() and np.isfinite(B).all(), "a factor that is not finite")
        values = np.zeros((R, C) if t["size"] else 0)
        for k in range(rank):
            values += np.outer(A[k::rank], B[k * C:][:C])
        values = cast(values, "float32")
        need(np.isfinite(values).all(), "a value that is not finite in float32")
        return cast(values, t["type"])

    def raw(self, name):
        t = self.named[name]
        need(t["encoding"] in ENCODINGS, f"{name}: encoding {t['encoding']}", Unsupported)
        need(t["size"] <= LARGEST, f"{name}: more than {LARGEST} bytes", OverLimit)
        try:
            data = self.matrix(t) if t["encoding"] else self.planes(t["parts"][0], t["size"], TYPES[t["type"]])
        except MemoryError:                          # low rank: a small file may hold a large matrix
            raise OverLimit(f"{name}: {t['size']} bytes do not fit into memory")
        form = "%s[%s]\n" % (t["type"], ",".join(map(str, t["shape"])))                                       # §3.1
        need(hashlib.sha256(form.encode() + crcs(data)).hexdigest() == t["digest"], f"{name}: wrong content digest")
        return data

    def __getitem__(self, name):
        t, data = self.named[name], self.raw(name)
        if t["type"] == "bfloat16":
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(t["shape"])
        return np.frombuffer(data, "<" + np.dtype(t["type"]).str[1:]).reshape(t["shape"])

    def __iter__(self): return iter(self.named)
    def __len__(self): return len(self.named)

    def rest(self):
        """§5 The remaining bytes."""
        return self.planes(self.container["payload"], self.remaining, 1)

    def test(self):
        """§7, 4"""
        for p in self.payloads:
            at = p["offset"]
            for size, crc in p["blocks"]:
                need(crc32(self.data[at:at + size]) == crc, f"wrong CRC-32 of a block of the payload at {p['offset']}")
                at += size
            need(not any(self.data[at:aligned(at)]), f"the padding after the payload at {p['offset']} is not zero")
        whole = hashlib.sha256()                                                                              # §3.2
        if self.container:
            whole.update(b"container %s %d\n" % (self.container["kind"].encode(), self.container["size"]) + crcs(self.rest()))
        for t in self.tensors:
            whole.update(t["name"].encode() + b"\n" + bytes.fromhex(t["digest"]))
            if t["encoding"] in ENCODINGS:
                self.raw(t["name"])
        need(whole.hexdigest() == self.directory["digest"], "wrong content digest of the file")
        unknown = [t["name"] for t in self.tensors if t["encoding"] not in ENCODINGS]
        need(not unknown, f"unknown encodings: {unknown}", Unsupported)

    def restore(self):
        """§5 The source file: its remaining bytes, and between them the values of the tensors."""
        need(self.container, "there is no container to restore", Unsupported)
        for t in (t for t in self.tensors if "place" in t):
            need("extent" in t["place"] or t["place"]["kept"] and not t["history"], f"{t['name']}: chunks need HDF5", Unsupported)
            need(self.container["kind"] == "hdf5" or not t["history"], f"{t['name']}: changed values in a .keras archive", Unsupported)
        result, rest, taken = bytearray(), self.rest(), 0
        for offset, length, t in self.extents:
            before, width = offset - len(result), TYPES[t["type"]] if t["byte_order"] == "big" else 1
            result += rest[taken:taken + before]
            result += np.frombuffer(self.raw(t["name"]), np.uint8).reshape(-1, width)[:, ::-1].tobytes()
            taken += before
        return result + rest[taken:]

def load(path):
    with open(path, "rb") as file:
        return File(file.read())

def main():
    parser = argparse.ArgumentParser(description="Lists, checks and decodes .ncz files.")
    parser.add_argument("file")
    parser.add_argument("--test", action="store_true", help="check all that can be checked")
    parser.add_argument("--extract", metavar="NAME", help="write the decoded bytes of a tensor to standard output")
    parser.add_argument("--restore", metavar="OUT", help="put the tensors back into the source file")
    options = parser.parse_args()
    try:
        f = load(options.file)
        if options.test:
            f.test()
        elif options.extract is not None:
            sys.stdout.buffer.write(f.raw(options.extract))
        elif options.restore:
            data = f.restore()                       # before the file is opened: it may fail
            open(options.restore, "wb").write(data)
        else:
            for t in f.tensors:
                stored = sum(size for n in t["parts"] for size, _ in f.payloads[n]["blocks"])
                encoding = ENCODINGS.get(t["encoding"], t["encoding"])
                print(t["name"], t["type"], json.dumps(t["shape"]).replace(" ", ""), encoding, stored)
    except (Corrupt, Unsupported, OverLimit) as error:
        print(f"{options.file}: {type(error).__name__}: {error}", file=sys.stderr)
        return error.status
    except (KeyError, OSError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 66

if __name__ == "__main__":
    sys.exit(main())
