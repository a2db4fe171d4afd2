#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference reader of .ncz files, written from ncz-v1.md (§ are its sections); it would rather be short than fast.

    f = ncz.load("model.ncz")      the whole file is read; f.tensors and f.network are what the directory has, f.tensors with defaults
    f = ncz.open(path_or_object)   a file, or what can seek and read: at most three ranges are read for one tensor
    f["dense/kernel"]              a numpy array (bfloat16 is widened to float32)
    f.raw("dense/kernel")          its decoded bytes, little-endian
    ncz.predict("model.ncz", x)    what its network makes of the samples x, an array of them or one for each input; in float64

    python3 ncz.py FILE [--test | --extract NAME | --restore OUT]
"""
import argparse, hashlib, io, json, math, os, re, shutil, struct, subprocess, sys, tempfile
from collections.abc import Mapping
from itertools import accumulate, product
from zlib import crc32
import numpy as np

class Corrupt(Exception): status = 65
class Unsupported(Exception): status = 69
class OverLimit(Exception): status = 75

def need(ok, why, error=Corrupt):
    if not ok:
        raise error(why)

MiB, ROW_BLOCK, LARGEST = 2**20, 2**18, 2**36        # LARGEST: decoded bytes of a part, a limit of this reader
TAIL = 2**16                                         # what is read first of a file that can seek
FLOATS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
TYPES = {f"{sign}int{8 * n}": n for sign in ("", "u") for n in (1, 2, 4, 8)} | FLOATS
ENCODINGS = {0: "raw", 1: "ternary", 2: "sparse", 3: "low rank", 4: "levels", 5: "seeded"}
pieces = lambda n, size=MiB: -(-n // size)           # ⌈n/size⌉
aligned = lambda n: pieces(n, 64) * 64               # the first multiple of 64 at or after n
dtype = lambda kind: "<u2" if kind == "bfloat16" else "<" + np.dtype(kind).str[1:]

# §2.4 The directory is parsed, and spelled again: it is canonical when that gives the same bytes.
ESCAPES = re.compile(r'(["\\])|[\x00-\x1f]')

def spell(v):
    if type(v) is str:
        return '"%s"' % ESCAPES.sub(lambda m: "\\" + m[0] if m[1] else "\\u%04x" % ord(m[0]), v)
    if type(v) is dict:
        return "{" + ",".join(spell(key) + ":" + spell(v[key]) for key in sorted(v)) + "}"
    if type(v) is list:
        return "[" + ",".join(map(spell, v)) + "]"
    if type(v) is float:                             # no precision below that of repr is enough, and seldom a higher one is needed
        digits, v = re.sub(r"e.*|\D", "", repr(v)).strip("0"), v + 0.0                           # + 0.0: there is no -0
        return next((s for p in range(max(len(digits) - 1, 0), 17) if float(s := "%.*e" % (p, v)) == v), "")
    need(type(v) is not int or -2**63 <= v < 2**63, f"an integer of more than 64 bits: {v}")
    return json.dumps(v)

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

def unescaped(path):
    """§3 The bytes of a path."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes.fromhex(m[1].decode()), path.encode())

def is_path(v):
    """Names of links with a slash between two, escaped right: escaping their bytes gives the same."""
    if type(v) is not str or "\0" in v or any(link in ("", ".") for link in v.split("/")):
        return False
    text = unescaped(v).decode("utf-8", "surrogateescape")
    return re.sub("[\\\\\udc80-\udcff]", lambda m: "\\x%02X" % (ord(m[0]) & 255), text) == v

# The form of the directory: a dict is an object (? marks what is optional, * that keys may be ignored), a list an array of any length,
# a tuple one of so many values, a set known words and integers, a range integers, a pattern a string, True only itself, a function a test.
NATURAL, POSITIVE, DIGEST = range(2**63), range(1, 2**63), re.compile("[0-9a-f]{32}")
NAME = re.compile(r"[^\x00-\x1f\x7f]+")
SIZE = lambda v: type(v) is float and v >= 0
is_payload = lambda v: type(v) is list and len(v) % 2 == 0 and all(type(n) is int for n in v) and (
    not v or min(v) >= 0 and max(v[::2]) <= MiB and max(v[1::2]) < 2**32)
DIRECTORY = {"container?": dict, "digest": DIGEST, "features?": POSITIVE, "mapped?": True, "network?": dict, "payloads": [is_payload], "steps?": [dict],
             "tensors": [dict], "*": 0}
CONTAINER = {"digest": DIGEST, "kind": {"hdf5", "keras"}, "offset?": NATURAL, "size": NATURAL, "*": 0}
ENTRY = {"error?": SIZE, "from?": DIGEST, "step": NATURAL, "*": 0}
STEP = {"claim?": dict, "from?": DIGEST, "options": str, "removed?": [NAME], "tool": str, "version": str, "*": 0}
INTEGER = range(-2**63, 2**63)
NORMAL = {"distribution": {"normal"}}
SAMPLES, DATA = NORMAL | {"samples": INTEGER, "seed": INTEGER}, {"data": DIGEST}
TENSOR = {"aliases?": [is_path], "axes?": [NATURAL], "byte_order?": re.compile("big|little"), "digest": DIGEST, "encoding?": range(128),
          "history?": [dict], "name": NAME, "outputs?": NATURAL, "parameters?": dict, "parts?": NATURAL, "path?": is_path, "place?": dict,
          "role?": str, "shape": [NATURAL], "type": set(TYPES), "*": 0}
ROLES = {"kernel", "bias", "embedding", "convolution", "recurrent", "attention", "normalization", "optimizer", "other"}
SCALE_PER, POSITIONS = {"tensor", "row", POSITIVE}, {"gaps", "bitmap"}
PARAMETERS = [{"planes?": True}, {"scale_per": SCALE_PER},
              {"least?": re.compile("[1-9a-f][0-9a-f]*"), "positions": POSITIONS, "scale_per?": SCALE_PER, "values": {"exact", "float16", "bfloat16", "sign"}},
              {"rank": NATURAL, "singular_values": [SIZE]},
              {"bits?": lambda v: type(v) is int and v in (1, 2, 4, 8), "classes?": (range(1, 17), range(1, 17)), "exceptions?": POSITIVE,
               "levels?": range(1, 257), "positions?": POSITIONS, "scale_per?": SCALE_PER, "values": {"table", "grid"}},
              {"scale_per": SCALE_PER, "seed": re.compile("[0-9a-f]{16}"), "threshold": range(2**15 + 1)}]
EXTENT, CHUNKS = {"offset": NATURAL}, {"address": NATURAL, "chunks": [[NATURAL]], "kept?": True}
NETWORK = {"assumed?": True, "layout?": {"keras"}, "nodes": [dict], "outputs?": [NATURAL], "precision?": {"bfloat16", "float16"}, "*": 0}
NODE = {"inputs": [NATURAL], "name?": str, "op": str, "tensors": dict, "*": 0}
KINDS = {**dict.fromkeys("linear relu tanh sin cos erf sigmoid silu softplus softsign exponential abs sign step softmax selu".split(), {}),
         "elu": {"alpha": float}, "leaky_relu": {"slope": float}, "gelu": {"approximate": bool}, "hard_sigmoid": {"divisor": lambda v: SIZE(v) and v > 0},
         "bounded_relu": {"maximum?": float, "slope": float, "threshold": SIZE}, "piecewise_constant": {"levels": [float], "thresholds": [float]}}
EPSILON, SCALED, EXTENTS = {"epsilon": SIZE}, {"beta?": str, "gamma?": str}, [range(-1, 2**63)]
ONE, SOME = range(1, 2), (POSITIVE, {}, {})
OPERATIONS = {                                       # numbers of inputs, parameters, tensors
    "input": (range(1), {"shape?": EXTENTS}, {}), "dense": (ONE, {}, {"bias?": str, "kernel": str}), "activation": (ONE, {"kind": set(KINDS)}, {}),
    "batch_normalization": (ONE, EPSILON, SCALED | {"mean": str, "variance": str}), "layer_normalization": (ONE, EPSILON, SCALED),
    "normalization": (ONE, EPSILON, {"mean": str, "variance": str}), "rotation": (ONE, {"seed": re.compile("[0-9a-f]{16}")}, {}), "rescaling": (ONE, {"offset": [float], "scale": [float]}, {}),
    "prelu": (ONE, {}, {"slope": str}), "subtract": (range(2, 3), {}, {}), "flatten": (ONE, {}, {}), "reshape": (ONE, {"shape": EXTENTS}, {}),
    **dict.fromkeys(("add", "multiply", "average", "maximum", "minimum", "concatenate"), SOME),
    "dropout": (ONE, {"rate": lambda v: SIZE(v) and v <= 1}, {}), "opaque": (NATURAL, {"class": str}, dict)}

def check(form, v, unknown):
    """What breaks the form is corrupt; what it does not know is added to the list unknown (§2.5)."""
    kind, what = type(form), f"{v!r:.80}"
    if kind is dict:
        need(type(v) is dict, f"not an object: {what}")
        missing = [key for key in form if key[-1] not in "?*" and key not in v]
        need(not missing, f"missing keys: {missing}")
        known = {key.rstrip("?"): part for key, part in form.items() if key != "*"}
        for key in v:
            if key in known:
                check(known[key], v[key], unknown)
            elif "*" not in form or key[:2] not in ("x-", "d-"):
                unknown.append(f"unknown key {key!r:.80}")
    elif kind in (list, tuple):
        need(type(v) is list and (kind is list or len(v) == len(form)), f"not the right array: {what}")
        for part, value in zip(form * len(v) if kind is list else form, v):
            check(part, value, unknown)
    elif kind is set and type(v) is str:
        if v not in form:
            unknown.append(f"unknown value {what}")
    elif kind is set:
        need(type(v) is int and any(type(part) is range and v in part for part in form), f"not of the right type: {what}")
    elif kind is range:
        need(type(v) is int and v in form, f"not an integer in {form}: {what}")
    elif kind is re.Pattern:
        need(type(v) is str and form.fullmatch(v), f"not a string of the right form: {what}")
    elif form is True:
        need(v is True, f"not true: {what}")
    else:
        need(isinstance(v, form) if kind is type else form(v), f"not of the right form: {what}")

def filled(v, **defaults):
    """An object with its defaults, none of which it may have itself (§2.4)."""
    need(not any(key in v and v[key] == default for key, default in defaults.items()), f"a default that is not left out: {v!r:.80}")
    return defaults | v

# §2.3 Blocks
def ways():
    """The ways to decode a frame that are there: a function of it and of its decoded size (it gives at most one byte more), and what it throws."""
    try:
        from compression import zstd
        yield lambda frame, size: zstd.ZstdDecompressor().decompress(frame, size + 1), zstd.ZstdError
    except ImportError:
        pass
    try:
        import zstandard
        yield lambda frame, size: zstandard.ZstdDecompressor().decompress(frame, size), zstandard.ZstdError
    except ImportError:
        pass
    if program := shutil.which("zstd"):
        def run(frame, size):
            with tempfile.TemporaryFile() as file:
                file.write(frame)
                file.seek(0)
                with subprocess.Popen([program, "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                    result = process.stdout.read(size + 1)
            return b"" if process.returncode else result
        yield run, OSError

way = next(ways(), None)

def plain(stored, size):
    """The decoded bytes of a block: it is a frame when it has another size. What a frame may have is checked here, not by a library."""
    if len(stored) == size:
        return stored
    need(len(stored) < size, "a block larger than its decoded size")
    need(stored[:4] == b"\x28\xb5\x2f\xfd", "neither a plain block nor a zstd frame")
    try:
        flags, at = stored[4], 5
        single, dictionary, content = flags & 32, (0, 1, 2, 4)[flags & 3], (1 if flags & 32 else 0, 2, 4, 8)[flags >> 6]
        window = 0 if single else (8 + (stored[at] & 7)) << 7 + (stored[at] >> 3)
        at += not single
        need(not any(stored[at:at + dictionary]), "a zstd frame with a dictionary")
        at += dictionary
        declared = int.from_bytes(stored[at:at + content], "little") + 256 * (content == 2)
        need(content and declared == size, "a zstd frame that does not have the decoded size")
        need((declared if single else window) <= 8 * MiB, "a zstd window of more than 8 MiB", OverLimit)
        need(not flags & 12, "a zstd frame with a checksum, or with a reserved bit")
        at, last = at + content, 0
        while not last:
            header = int.from_bytes(stored[at:at + 3], "little")
            last, at = header & 1, at + 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
            need(at <= len(stored), "a zstd frame that was cut")
    except IndexError:
        raise Corrupt("a zstd frame that was cut")
    need(at == len(stored), "bytes after a zstd frame")
    if way is None:
        sys.exit("zstd is needed: compression.zstd (Python 3.14), the package zstandard or the program zstd")
    try:
        result = way[0](bytes(stored), size)
    except way[1] as error:
        raise Corrupt(f"zstd: {error}")
    need(len(result) == size, "a zstd frame with other contents than it says")
    return result

class Part:
    """The blocks of a payload, which are read one after the other."""
    def __init__(self, file, number, whole=False):
        self.file, self.at, self.whole, self.next = file, file.starts[number], whole, 0
        self.sizes, self.crcs = file.payloads[number][::2], file.payloads[number][1::2]

    def stored(self):
        size, crc = self.sizes[self.next], self.crcs[self.next]
        data = self.file.read(self.at, size)
        need(crc32(data) == crc, f"wrong CRC-32 of the block at {self.at}")
        self.at, self.next = self.at + size, self.next + 1
        return data

    def block(self, size):
        data = self.stored()
        need(not self.whole or len(data) == size, "a block that is not stored uncompressed in a mapped file")
        return np.frombuffer(plain(data, size), np.uint8)

    def array(self, count, kind, planes):
        """§4.1 A raw array."""
        width = TYPES[kind]
        size = count * width
        need(len(self.sizes) == pieces(size), f"{len(self.sizes)} blocks instead of {pieces(size)}")
        need(size <= LARGEST, f"more than {LARGEST} bytes", OverLimit)
        result = np.empty(size, np.uint8)
        for at in range(0, size, MiB):
            block = self.block(min(MiB, size - at))
            result[at:at + MiB] = block.reshape(width, -1).T.ravel() if planes and width > 1 else block
        return result.view(dtype(kind))

# §3.1 The content digest
KEY = np.frombuffer(b"".join(hashlib.sha256(b"ncz digest key %d" % i).digest() for i in range(130)), "<u4")

def fold(words):
    """h₀ … h₃ of pieces, one a row: with its key word added, a pair of words is the low and high half of one of 64 bits."""
    sums = ((words + KEY[4 * t:4 * t + words.shape[1]]).view("<u8") for t in range(4))
    return np.stack([((s & np.uint64(2**32 - 1)) * (s >> np.uint64(32))).sum(1, np.uint64) for s in sums], 1).astype("<u8").tobytes()

def digest(text, data):
    data = memoryview(data).cast("B") if len(data) else memoryview(b"")
    result, whole = hashlib.sha256(f"{text} {len(data)}\n".encode()), len(data) // 4096 * 4096
    for at in range(0, whole, 32 * 4096):
        result.update(fold(np.frombuffer(data[at:min(at + 32 * 4096, whole)], "<u4").reshape(-1, 1024)))
    if whole < len(data):
        rest = bytes(data[whole:])
        result.update(fold(np.frombuffer(rest + bytes(-len(rest) % 8), "<u4").reshape(1, -1)))
    return result.hexdigest()[:32]

# §4 What the encodings are made of
def cast(values, kind):
    """The bits of the nearest value of a type, ties to even. A bfloat16 by way of a float32 that is rounded to odd, so that it is rounded once."""
    with np.errstate(over="ignore"):
        if kind != "bfloat16":
            return values.astype(dtype(kind)).view(f"<u{TYPES[kind]}")
        single = values.astype("<f4")
        bits = single.view("<u4") - (np.abs(single) > np.abs(values)) | (single != values)
        return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2")

def finite(bits, kind):
    infinity = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}[kind]
    return ((bits & infinity) != infinity).all()

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

FIELDS = {bits: (np.arange(256, dtype=np.uint8)[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & 2**bits - 1 for bits in (1, 2, 4, 8)}

def unpacked(part, rows, columns, bits):
    """A block of fields of so many bits, the first one lowest; every row begins with a byte."""
    fields = FIELDS[bits].take(part.block(rows * pieces(columns * bits, 8)), 0).reshape(rows, -1)
    need(not fields[:, columns:].any(), "unused bits that are not zero")
    return fields[:, :columns].ravel()

def positions(gaps, size):
    """§4.4 The positions of the stored weights."""
    need(not len(gaps) or gaps[-1] != 255, "a gap that does not end")
    places = (np.cumsum(gaps + (gaps < 255).astype(int)) - 1)[gaps < 255]
    need(not len(places) or places[-1] < size, "a position outside the block")
    return places

def symbols(data, groups):
    """§4.7 The symbols of a block; groups are the numbers of weights in those that have weights."""
    try:
        at, tables, result = 1, [], []
        need(data[0] <= 5, "more than 32 lanes")
        for _ in groups:
            first, count, frequencies = data[at], data[at + 1] + 1, []
            at += 2
            for _ in range(count):
                low, high = data[at], data[at + 1] if data[at] > 127 else 0
                need(low < 128 or high, "a frequency that one byte can hold")
                frequencies.append(low & 127 | high << 7)
                at += 2 if low > 127 else 1
            need(first + count <= 256 and frequencies[0] and frequencies[-1] and sum(frequencies) == 4096, "a table that is wrong")
            starts = list(accumulate(frequencies, initial=0))[:-1]
            slots = np.arange(4096) - np.repeat(starts, frequencies)
            tables.append((np.repeat(np.arange(first, first + count), frequencies), np.repeat(frequencies, frequencies), slots))
    except IndexError:
        raise Corrupt("a block of codes that was cut")
    lanes = 2**data[0]
    need(at + 4 * lanes <= len(data) and (len(data) - at) % 2 == 0, "a block of codes that was cut")
    states = np.frombuffer(data, "<u4", lanes, at).astype(np.int64)
    need(((states >= 2**15) & (states < 2**31)).all(), "a state out of its range")
    words, used = np.frombuffer(data, "<u2", offset=at + 4 * lanes).astype(np.int64), 0
    for count, (symbol, frequency, slot) in zip(groups, tables):
        taken = np.zeros(count, np.int64)
        for j in range(0, 0 if frequency[0] == 4096 else count, lanes):       # a single symbol changes no state
            x = states[:count - j]                   # a view: in the last round there may be fewer
            y = x & 4095
            taken[j:j + lanes] = y
            x >>= 12
            x *= frequency.take(y)
            x += slot.take(y)
            low = (x < 2**15).nonzero()[0]
            if n := len(low):
                need(used + n <= len(words), "too few words")
                x[low] = x[low] << 16 | words[used:used + n]
                used += n
        result.append(symbol[taken])
    need((states == 2**15).all() and used == len(words), "states or words that are left")
    return np.concatenate(result)

def generated(seed, first, end):
    """§4.8 Outputs of SplitMix64."""
    z = np.arange(first + 1, end + 1, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    for shift, factor in (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1):
        z = (z ^ z >> np.uint64(shift)) * np.uint64(factor)
    return z

def drawn(seed, threshold, first, count):
    """§4.8 Trits of a seed."""
    u = generated(seed, first // 4, (first + count - 1) // 4 + 1).view("<u2")[first % 4:first % 4 + count]
    return np.where(u >> 1 < threshold, 1.0 - 2.0 * (u & 1), 0.0)

def rotated(x, seed):
    """§6 The last axis of x, turned by the rotation of a seed."""
    d = x.shape[-1]
    need(d <= 2**14, f"a rotation of {d} numbers", OverLimit)
    i = np.arange(d)
    C = math.sqrt(2 / max(d, 1)) * np.cos(np.arange(4 * d) * (math.pi / (2 * max(d, 1))))[np.outer(i, 2 * i + 1) % (4 * max(d, 1))]
    C[:1] /= math.sqrt(2)
    return x * np.where(generated(seed, 0, d) & np.uint64(1), -1.0, 1.0) @ C.T

# §6 What activations and merging operations do; a is the node, whose parameters they need.
erf, sigmoid = np.vectorize(math.erf, otypes=[float]), lambda x: 1 / (1 + np.exp(-x))
softmax = lambda x: (e := np.exp(x - x.max(-1, keepdims=True))) / e.sum(-1, keepdims=True)
exp_or = lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))
ACTIVATIONS = {
    "linear": lambda x, a: x, "relu": lambda x, a: np.maximum(x, 0), "tanh": lambda x, a: np.tanh(x), "sin": lambda x, a: np.sin(x),
    "cos": lambda x, a: np.cos(x), "erf": lambda x, a: erf(x), "sigmoid": lambda x, a: sigmoid(x), "silu": lambda x, a: x * sigmoid(x),
    "softplus": lambda x, a: np.logaddexp(0, x), "softsign": lambda x, a: x / (1 + np.abs(x)), "exponential": lambda x, a: np.exp(x),
    "abs": lambda x, a: np.abs(x), "sign": lambda x, a: np.sign(x), "step": lambda x, a: np.where(x > 0, 1.0, 0.0), "softmax": lambda x, a: softmax(x),
    "selu": lambda x, a: 1.0507009873554805 * exp_or(x, 1.6732632423543772), "elu": lambda x, a: exp_or(x, a["alpha"]),
    "leaky_relu": lambda x, a: np.where(x >= 0, x, a["slope"] * x),
    "bounded_relu": lambda x, a: np.where(x > a["threshold"], np.minimum(x, a.get("maximum", math.inf)), a["slope"] * (x - a["threshold"])),
    "gelu": lambda x, a: .5 * x * (1 + (np.tanh(math.sqrt(2 / math.pi) * (x + .044715 * x**3)) if a["approximate"] else erf(x / math.sqrt(2)))),
    "hard_sigmoid": lambda x, a: np.clip(x / a["divisor"] + .5, 0, 1),
    "piecewise_constant": lambda x, a: np.where(np.isnan(x), x, np.array(a["levels"])[np.searchsorted(a["thresholds"], x)])}
MERGES = {"add": lambda x: sum(x[1:], x[0]), "multiply": lambda x: math.prod(x[1:], start=x[0]), "subtract": lambda x: x[0] - x[1],
          "average": lambda x: sum(x[1:], x[0]) / len(x), "maximum": lambda x: np.maximum.reduce(x), "minimum": lambda x: np.minimum.reduce(x),
          "concatenate": lambda x: np.concatenate(x, -1)}

BLOCKWISE = {"codes", "gaps", "bitmap", "plane", "signs"}        # the parts that have a block for each row block

def parts_of(encoding, kind, p):
    """§4 The parts of an encoding."""
    places = {"gaps": ["counts", "gaps"], "bitmap": ["bitmap"], None: []}[p.get("positions")]
    if encoding == 2:
        width = 2 if p["values"] in ("float16", "bfloat16") else TYPES[kind]
        return places + (["signs", "scales"] if p["values"] == "sign" else ["plane"] * width)
    if encoding == 4:
        return places + ["classes"] * ("classes" in p) + ["codes"] + ["exceptions"] * ("exceptions" in p) + ["table" if p["values"] == "table" else "scales"]
    return {0: ["values"], 1: ["codes", "scales"], 3: ["left", "right"], 5: ["scales"]}[encoding]

class File(Mapping):
    def __init__(self, source):
        """source: the bytes of a file, or what can seek and read."""
        self.source = source if hasattr(source, "read") else None
        self.size = self.source.seek(0, os.SEEK_END) if self.source else len(source)
        self.window = 0, memoryview(b"" if self.source else source)       # the bytes that are there: offset, bytes
        self.data = self.window[1]
        need(self.size >= 66, "the file is too short")
        tail = self.size - min(TAIL, self.size) if self.source else 0
        self.read(tail, self.size - tail)
        if tail == 0:
            self.check_header()
        # §2.2
        end = self.size - 32
        trailer = self.read(end, 32)
        whole, length, decoded, directory_crc, crc, mark = struct.unpack("<QIIII8s", trailer)
        need(mark == b"\n\x1a\n\rZCN\x89", "no end mark: the file was cut, or has bytes after its trailer")
        need(crc32(trailer[:20]) == crc, "wrong CRC-32 of the trailer")
        need(whole == self.size, f"{self.size} bytes instead of {whole}")
        need(max(length, decoded) <= 256 * MiB, f"a directory of {max(length, decoded)} bytes", OverLimit)
        need(decoded == 0 or decoded > length, f"a directory of {decoded} bytes in a frame of {length}")
        self.start = end - length
        need(self.start >= 32, "a directory larger than the file")
        if self.start < tail:
            known = bytes(self.window[1])
            self.window = self.start, memoryview(bytes(self.read(self.start, tail - self.start)) + known)
        stored = self.read(self.start, length)
        need(crc32(stored) == directory_crc, "wrong CRC-32 of the directory")
        # §2.4
        self.directory = parse(bytes(plain(stored, decoded) if decoded else stored))
        self.unsupported = {}                        # §2.5: what is → why
        check(DIRECTORY, self.directory, [])
        if "features" in self.directory:             # they are those of the header, and none of them is known
            self.check_header()
            raise Corrupt("required features that the header does not have")
        directory = filled(self.directory, steps=[])
        self.payloads, self.steps, self.mapped = directory["payloads"], directory["steps"], "mapped" in directory
        self.container, self.network = directory.get("container"), directory.get("network")
        self.starts, at = [], 32
        for p in self.payloads:
            self.starts.append(aligned(at) if self.mapped else at)
            at = self.starts[-1] + sum(p[::2])
        need(at == self.start, f"the payloads end at {at}, and the directory starts at {self.start}")
        need(len(directory["tensors"]) <= 2**19, "more than 2^19 tensors", OverLimit)
        for number, step in enumerate(self.steps):
            self.check_step(number, step)
        if self.container is not None:
            self.check("restoring the source file", CONTAINER, self.container)
            self.container = filled(self.container, offset=0)
        self.tensors, self.named, self.first, self.holes, number = [], {}, {}, [], 0
        for t in directory["tensors"]:               # holes: offset, length, tensor cut out of the source
            t = self.check_tensor(t)
            self.tensors.append(t)
            self.named[t["name"]], self.first[t["name"]] = t, number
            number += t["parts"]
        need(len(self.payloads) == number + (self.container is not None), f"{len(self.payloads)} payloads, but {number} parts of tensors")
        if self.container is not None:
            self.check_container()
        if self.network is not None:
            self.check_network(self.network)

    def read(self, start, length):
        """Bytes of the file: a range of it is read when they are not there."""
        at, data = self.window
        if length and not at <= start <= start + length <= at + len(data):
            self.source.seek(start)
            at, data = self.window = start, memoryview(self.source.read(length))
            need(len(data) == length, f"the file could not be read at {start}")
        return data[start - at:start - at + length] if length else data[:0]

    def check_header(self):
        """§2.1"""
        header = self.read(0, 32)
        signature, major, minor, features, zeros, crc = struct.unpack("<8sHHQ8sI", header)
        need(signature == b"\x89NCZ\r\n\x1a\n", "not an .ncz file")
        need((major, minor) != (0, 1), "version 0.1", Unsupported)                                # it had no CRC-32 there
        need(crc32(header[:28]) == crc, "wrong CRC-32 of the header")
        need((major, minor) == (0, 2), f"version {major}.{minor}", Unsupported)
        need(features == 0, f"required features {features:#x}", Unsupported)
        need(not any(zeros), "the header's zeros are not zero")

    def check(self, what, form, v):
        """Checks a form; what it does not know makes something unsupported."""
        unknown = []
        check(form, v, unknown)
        if unknown:
            self.unsupported.setdefault(what, unknown[0])
        return not unknown

    def check_one(self, what, forms, v):
        """§2.5 The form among several that has the keys of an object, which is checked; None where there is none."""
        form = next((form for form in forms if v.keys() == {key.rstrip("?") for key in form}
                     or v.keys() == {key for key in form if key[-1] != "?"}), None)
        if form is None:
            self.unsupported.setdefault(what, f"unknown keys, or not the right ones together: {list(v)!r:.80}")
            return None
        return form if self.check(what, form, v) else None

    def check_step(self, number, step):
        """§3.3"""
        what = f"checking what step {number} claims"
        self.check(what, STEP, step)
        need(all(len(name.encode()) <= 4096 for name in filled(step, removed=[])["removed"]), "a name of more than 4096 bytes", OverLimit)
        if "claim" in step:
            need("from" in step, f"step {number}: a claim, but no network before it")
            self.check(what, {"error": SIZE, "inputs": dict}, step["claim"])
            self.check_one(what, (NORMAL, SAMPLES, DATA), step["claim"]["inputs"])

    def check_tensor(self, t):
        """§3 A tensor, with its defaults."""
        unknown = []
        check(TENSOR, t, unknown)
        name, shape = t["name"], t["shape"]
        rank, order = len(shape), list(range(len(shape)))
        need(name not in self.named, f"the name {name!r} occurs twice")
        need(len(name.encode()) <= 4096, "a name of more than 4096 bytes", OverLimit)
        need(rank <= 32, f"{name}: rank {rank}", OverLimit)
        t = filled(t, aliases=[], axes=order, byte_order="little", encoding=0, history=[], outputs=max(rank - 1, 0), parameters={}, parts=1, role="other")
        t["role"] = t["role"] if t["role"] in ROLES else "other"
        need(TYPES.get(t["type"], 1) * math.prod(extent or 1 for extent in shape) <= 2**62, f"{name}: too large a shape")
        need(sorted(t["axes"]) == order and t["outputs"] <= rank, f"{name}: axes that are no permutation, or too many outputs")
        for entry in t["history"]:
            self.check(f"checking what step {entry.get('step')} claims", ENTRY, entry)
        steps = [entry["step"] for entry in t["history"]]
        need(steps == sorted(set(steps)) and all(step < len(self.steps) for step in steps), f"{name}: steps that do not ascend, or are not there")
        if "place" in t:
            self.check_place(t, t["place"], rank)
        if t["encoding"] not in ENCODINGS:
            unknown.append(f"encoding {t['encoding']}")
        elif not unknown:
            check(PARAMETERS[t["encoding"]], t["parameters"], unknown)
            if not unknown:
                self.check_encoding(t, t["encoding"], t["parameters"], unknown)
        if unknown:
            self.unsupported[f"decoding {name}"] = unknown[0]
        return t

    def check_encoding(self, t, encoding, p, unknown):
        """§4 What its parameters have to do with each other."""
        name, kind, values = t["name"], t["type"], p.get("values")
        if encoding and values != "table" and kind not in FLOATS or values in ("float16", "bfloat16") and kind not in ("float32", "float64"):
            unknown.append(f"encoding {encoding} of {kind}")
            return
        if encoding == 0:                            # §4.1
            need("planes" not in p or not self.mapped and TYPES[kind] > 1, f"{name}: planes in a mapped file, or of bytes")
        if encoding == 2:                            # §4.4
            need(("scale_per" in p) == (values == "sign"), f"{name}: scales without signs, or signs without scales")
            need("least" not in p or values != "sign", f"{name}: a least magnitude of signs")
            need(int(p.get("least", "1"), 16) < 2**(8 * TYPES[kind if values in ("exact", "sign") else values] - 1), f"{name}: too large a least magnitude")
        if encoding == 3:                            # §4.5
            singular, (R, C) = p["singular_values"], self.matrix_size(t)
            need(p["rank"] <= min(R, C), f"{name}: rank {p['rank']} of {R} × {C}")
            need(len(singular) == p["rank"] and singular == sorted(singular, reverse=True), f"{name}: singular values that ascend, or too many or few")
        if encoding == 4:                            # §4.6
            grid = values == "grid"
            need(("scale_per" in p) == grid and ("levels" in p) != grid and (grid or "exceptions" not in p), f"{name}: not the parameters of a {values}")
            need(not grid or p.get("bits") != 1, f"{name}: a grid of one bit")
            need("classes" not in p or "bits" not in p and "positions" not in p and p["classes"] != [1, 1], f"{name}: classes with bits or positions, or one")
            need("positions" not in p or p.get("levels") != 256, f"{name}: 256 levels beside weights that are zero")
            need("bits" in p or not self.mapped, f"{name}: codes by frequency in a mapped file")
        need(t["parts"] == len(parts_of(encoding, kind, p)), f"{name}: wrong number of parts")

    def check_place(self, t, place, rank):
        """§5"""
        what, name = "restoring the source file", t["name"]
        need(self.container is not None and 0 not in t["shape"], f"{name}: a place without values or container")
        form = self.check_one(what, (EXTENT, CHUNKS), place)
        if form is None:
            pass
        elif form is CHUNKS:
            chunks = place["chunks"]
            need(all(len(c) == 3 + rank and c[2] < 2**32 and all(map(int.__lt__, c[3:], t["shape"])) for c in chunks), f"{name}: not a chunk")
            need(all(a[3:] < b[3:] for a, b in zip(chunks, chunks[1:])), f"{name}: chunks that are not in order")
            need(all(c[0] + c[1] <= self.container["size"] for c in chunks), f"{name}: a place outside the source file")
            self.holes += [] if "kept" in place else [(*c[:2], t) for c in chunks if c[1]]
        elif t["type"] not in TYPES:
            self.unsupported[what] = f"{name}: a hole of unknown size"
        else:
            size = TYPES[t["type"]] * math.prod(t["shape"])
            need(place["offset"] + size <= self.container["size"], f"{name}: a place outside the source file")
            self.holes.append((place["offset"], size, t))

    def check_container(self):
        """§5"""
        if "restoring the source file" not in self.unsupported:
            need(self.container["offset"] <= (self.container["size"] if self.container["kind"] == "keras" else 0), "an HDF5 file elsewhere")
            self.holes.sort(key=lambda hole: hole[:2])
            for a, b in zip(self.holes, self.holes[1:]):
                need(a[0] + a[1] <= b[0], f"{b[2]['name']}: its place overlaps another")
            self.remaining = self.container["size"] - sum(length for _, length, _ in self.holes)
            need(len(self.payloads[-1]) == 2 * pieces(self.remaining), "wrong number of remaining bytes")

    def check_network(self, network):
        """§6"""
        what = "running the network"
        self.check(what, NETWORK, network)
        nodes = network["nodes"]
        outputs = filled(network, outputs=[len(nodes) - 1])["outputs"]
        need(nodes and outputs and len(set(outputs)) == len(outputs) and max(outputs) < len(nodes), "no nodes, or wrong outputs of the network")
        for number, node in enumerate(nodes):
            node = filled(node, tensors={}, inputs=[] if node.get("op") == "input" else [number - 1])
            check(NODE, node, [])
            need(all(i < number for i in node["inputs"]), f"node {number}: wrong inputs")
            need(all(type(name) is str and name in self.named for name in node["tensors"].values()), f"node {number}: no such tensor")
            if node["op"] not in OPERATIONS:
                self.unsupported.setdefault(what, f"the operation {node['op']!r:.80}")
                continue
            inputs, parameters, tensors = OPERATIONS[node["op"]]
            kind = node.get("kind") if node["op"] == "activation" else None
            need(len(node["inputs"]) in inputs, f"node {number}: wrong number of inputs")
            if type(kind) is str:
                parameters = parameters | KINDS.get(kind, {})
            self.check(what, NODE | parameters | {"tensors": tensors}, node)
            if kind == "piecewise_constant":
                levels, cuts = node["levels"], node["thresholds"]
                need(1 <= len(levels) <= 256 and len(cuts) == len(levels) - 1, f"node {number}: wrong number of levels or thresholds")
                need(all(a < b for a, b in zip(cuts, cuts[1:])), f"node {number}: thresholds that do not ascend")
            if node["op"] == "reshape":
                need(node["shape"].count(-1) <= 1, f"node {number}: two extents that are not said")
            if node["op"] == "rescaling":
                need(node["scale"] and node["offset"], f"node {number}: no factor or no offset")
            if kind == "bounded_relu":
                need(node["threshold"] <= node.get("maximum", math.inf), f"node {number}: threshold out of its range")

    def matrix_size(self, t):
        """§4.2 R and C."""
        shape = [t["shape"][axis] for axis in t["axes"]]
        return math.prod(shape[:t["outputs"]]), math.prod(shape[t["outputs"]:])

    def decoded(self, t):
        """§4 The decoded values as an array of bits."""
        encoding, kind, p, (R, C), parts, first = t["encoding"], t["type"], t["parameters"], self.matrix_size(t), {}, self.first[t["name"]]
        last = first + t["parts"] - 1
        self.read(self.starts[first], self.starts[last] + sum(self.payloads[last][::2]) - self.starts[first])     # all of it in one range
        for number, part in enumerate(parts_of(encoding, kind, p), first):
            parts.setdefault(part, []).append(Part(self, number, self.mapped and encoding in (0, 1, 4, 5)))
        if encoding == 0:
            return parts["values"][0].array(R * C, kind, "planes" in p)
        if encoding == 3:
            result = self.low_rank(*parts["left"], *parts["right"], p["rank"], R, C, kind)
        elif R * C:
            result = self.matrix(parts, encoding, kind, p, R, C)
        else:
            need(not any(part.sizes for same in parts.values() for part in same) and "exceptions" not in p, "blocks without weights")
            result = np.zeros(0, dtype(kind))
        shape = [t["shape"][axis] for axis in t["axes"]]
        return np.ascontiguousarray(result.reshape(shape).transpose(np.argsort(t["axes"], kind="stable")))

    def matrix(self, parts, encoding, kind, p, R, C):
        """§4.2, 4.3, 4.4, 4.6, 4.8 The stored matrix, row block by row block."""
        whole, cut = ROW_BLOCK // C, pieces(C, ROW_BLOCK)          # rows of a block, or blocks of a row
        count = R * cut if cut > 1 else pieces(R, whole)
        need(all(len(part.sizes) == count for name in BLOCKWISE & parts.keys() for part in parts[name]), "wrong number of blocks")
        need(TYPES[kind] * R * C <= LARGEST, f"more than {LARGEST} bytes", OverLimit)
        array = lambda name, n, of: parts[name][0].array(n, of, not self.mapped)
        counts = array("counts", count, "uint32").tolist() if "counts" in parts else []
        scales = self.scales(array, p["scale_per"], R, C, kind, encoding != 4) if "scales" in parts else None
        table = array("table", p["levels"], kind).view(f"<u{TYPES[kind]}") if "table" in parts else None
        exceptions = array("exceptions", p["exceptions"], "int32").astype(np.int64) if "exceptions" in parts else np.zeros(0, np.int64)
        need((np.abs(exceptions) <= 2**24).all(), "an exception of more than 2^24")
        classes, (a, b) = array("classes", R + C, "uint8") if "classes" in parts else None, p.get("classes", (1, 1))
        need(classes is None or (classes[:R] < a).all() and (classes[R:] < b).all(), "a class that is not there")
        result = np.empty(R * C, f"<u{TYPES[kind]}")
        for i in range(count):
            row, column = (i * whole, 0) if cut == 1 else (i // cut, i % cut * ROW_BLOCK)
            rows, columns = (min(whole, R - row), C) if cut == 1 else (1, min(ROW_BLOCK, C - column))
            where, weights = None, rows * columns                  # where the stored weights are, if not everywhere
            if "gaps" in parts:
                need(counts[i] <= weights, "a count of more gaps than weights")
                where = positions(parts["gaps"][0].block(counts[i]), weights)
            elif "bitmap" in parts:
                where = np.flatnonzero(unpacked(parts["bitmap"][0], rows, columns, 1))
            stored = weights if where is None else len(where)
            if encoding == 1:
                codes = unpacked(parts["codes"][0], rows, columns, 2)
                need(not (codes == 2).any(), "the code 10")
                numbers = np.array([0.0, 1, 0, -1])[codes]
            elif encoding == 5:
                numbers = drawn(int(p["seed"], 16), p["threshold"], row * C + column, weights)
            elif "signs" in parts:
                numbers = 1.0 - 2.0 * unpacked(parts["signs"][0], 1, stored, 1)
            elif encoding == 2:
                planes = np.stack([part.block(stored) for part in parts["plane"]], 1)
                bits = raised(planes.view(f"<u{planes.shape[1]}").ravel(), int(p.get("least", "0"), 16))
                need(bits.all(), "a stored value whose bits are all zero")
                bits = widened(bits, kind if p["values"] == "exact" else p["values"], kind)
            else:
                groups = None if classes is None else classes[row:row + rows, None] * b + classes[R + column:][:columns]
                codes = self.codes(parts["codes"][0], p.get("bits"), (rows, columns) if where is None else (1, stored), groups)
                if table is not None:
                    need(not (codes >= len(table)).any(), "a code that is no level")
                    bits = table[codes]
                else:
                    half = 2**(p.get("bits", 8) - 1)
                    numbers = codes.astype(np.int64) - (half if "bits" not in p else 2 * half * (codes >= half))
                    special = np.flatnonzero(numbers == -half)
                    need(not len(special) or half == 128 and len(special) <= len(exceptions), "the lowest code, and no exception for it")
                    numbers[special], exceptions = exceptions[:len(special)], exceptions[len(special):]
                need(where is None or (bits if table is not None else numbers).all(), "a stored weight that is zero")
            if scales is not None:
                s = scales if len(scales) == 1 else scales[row:row + rows]
                s = s[:, (column + np.arange(columns)) // p["scale_per"]] if type(p["scale_per"]) is int else s
                s = np.broadcast_to(s, (rows, columns))
                with np.errstate(over="ignore"):
                    bits = cast((numbers.reshape(rows, columns) * s).ravel() if where is None else numbers * s.ravel()[where], kind)
                need(encoding != 4 or finite(bits, kind), "a weight that is infinite")
            at = row * C + column
            if where is None:
                result[at:at + weights] = bits
            else:
                result[at:at + weights] = 0
                result[at:at + weights][where] = bits
        need(not len(exceptions), "exceptions that are not used")
        return result

    def scales(self, array, per, R, C, kind, exact):
        """§4.2"""
        rows, groups = {"tensor": (1, 1), "row": (R, 1)}.get(per) or (R, pieces(C, per))
        wide = "float64" if kind == "float64" else "float32"
        values = array("scales", rows * groups, wide)
        need(np.isfinite(values).all() and not np.signbit(values).any(), "a scale that is not finite, or less than +0")
        if exact and kind in ("float16", "bfloat16"):
            need((widened(cast(values, kind), kind, wide) == values.view("<u4")).all(), f"a scale that is no {kind}")
        return values.astype(float).reshape(rows, groups)

    def codes(self, part, bits, form, groups):
        """§4.6, 4.7 The codes of a block; a code by frequency is its symbol."""
        if bits:
            return unpacked(part, *form, bits)
        stored, data = math.prod(form), part.stored()
        if not stored:
            need(not len(data), "a block of codes without weights")
            return np.zeros(0, int)
        need(len(data), "a block of codes that is empty")
        if groups is None:
            return symbols(data, [stored])
        result, groups = np.empty(stored, int), groups.ravel()
        result[np.argsort(groups, kind="stable")] = symbols(data, [n for n in np.bincount(groups).tolist() if n])
        return result

    def low_rank(self, left, right, rank, R, C, kind):
        """§4.5"""
        A, B = (part.array(n, "float32", not self.mapped).astype(float) for part, n in ((left, R * rank), (right, rank * C)))
        need(np.isfinite(A).all() and np.isfinite(B).all(), "a factor that is not finite")
        need(TYPES[kind] * R * C <= LARGEST, f"more than {LARGEST} bytes", OverLimit)
        A, B, result, rows = A.reshape(R, rank), B.reshape(rank, C), np.empty((R, C), f"<u{TYPES[kind]}"), max(ROW_BLOCK // max(C, 1), 1)
        for row in range(0, R if C else 0, rows):
            values = np.zeros((min(rows, R - row), C))
            for k in range(rank):
                values += A[row:row + rows, k:k + 1] * B[k]
            bits = cast(values, "float32")
            need(finite(bits, "float32"), "a value that is not finite in float32")
            result[row:row + rows] = cast(bits.view("<f4"), kind)
        return result

    def raw(self, name):
        t = self.named[name]
        why = self.unsupported.get(f"decoding {name}")
        need(not why, f"decoding {name}: {why}", Unsupported)
        try:
            data = self.decoded(t).tobytes()
        except MemoryError:                          # a small file may hold a large matrix
            raise OverLimit(f"{name}: it does not fit into memory")
        except (Corrupt, OverLimit) as error:
            raise type(error)(f"{name}: {error}")
        text = "ncz tensor %s[%s]" % (t["type"], ",".join(map(str, t["shape"])))
        need(digest(text, data) == t["digest"], f"{name}: wrong content digest")
        return data

    def __getitem__(self, name):
        t, data = self.named[name], self.raw(name)
        if t["type"] == "bfloat16":
            return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(t["shape"])
        return np.frombuffer(data, dtype(t["type"])).reshape(t["shape"])

    def predict(self, x):
        """§6 The outputs for samples; a list of them where the network has several. What `precision` says is not done."""
        need(self.network is not None, "there is no network to run", Unsupported)
        why = self.unsupported.get("running the network")
        need(not why, f"running the network: {why}", Unsupported)
        nodes, values, given = self.network["nodes"], [], list(x) if type(x) in (list, tuple) else [x]
        for number, node in enumerate(nodes):
            try:
                with np.errstate(all="ignore"):
                    inputs = [values[i] for i in node.get("inputs", [number - 1] if node["op"] != "input" else [])]
                    values.append(self.sample(number, node, given.pop(0)) if node["op"] == "input" else self.apply(node, inputs))
            except (ValueError, IndexError) as error:
                raise ValueError(f"node {number}, {node['op']}: {error}")
        results = [values[i] for i in self.network.get("outputs", [len(nodes) - 1])]
        return results if len(results) > 1 else results[0]

    def sample(self, number, node, x):
        """Samples in the shape of an input; where it says none, a dense layer takes them flat."""
        x = np.asarray(x, float)
        if "shape" not in node:
            flat = any(other["op"] == "dense" and other.get("inputs", [n - 1]) == [number] for n, other in enumerate(self.network["nodes"]))
            return x.reshape(len(x), -1) if flat else x
        return x.reshape(len(x), *node["shape"]) if node["shape"].count(-1) < 2 else x

    def apply(self, node, inputs):
        """The value of a node. Vectors of one number, and of one for each value of the last axis, are broadcast along the others."""
        op, x = node["op"], inputs[0] if inputs else None
        tensor = {role: self[name].astype(float) for role, name in node.get("tensors", {}).items() if op != "dense" or role == "bias"}
        vector = {role: array.ravel() for role, array in tensor.items()}
        if op == "dense":
            t = self.named[node["tensors"]["kernel"]]
            W = self[t["name"]].astype(float).transpose(t["axes"]).reshape(self.matrix_size(t))
            return x @ W.T + vector.get("bias", 0.0)
        if op == "activation":
            return ACTIVATIONS[node["kind"]](x, node)
        if op in MERGES:
            return MERGES[op](inputs)
        if op in ("batch_normalization", "layer_normalization"):
            layer = op == "layer_normalization"
            mean, variance = (x.mean(-1, keepdims=True), x.var(-1, keepdims=True)) if layer else (vector["mean"], vector["variance"])
            return vector.get("gamma", 1.0) * (x - mean) / np.sqrt(variance + node["epsilon"]) + vector.get("beta", 0.0)
        if op == "normalization":
            return (x - vector["mean"]) / np.maximum(np.sqrt(vector["variance"]), node["epsilon"])
        if op == "rescaling":
            return x * np.array(node["scale"]) + np.array(node["offset"])
        if op == "rotation":
            return rotated(x, int(node["seed"], 16))
        if op == "prelu":
            slope = vector["slope"] if vector["slope"].size in (1, x.shape[-1]) else vector["slope"].reshape(x.shape[1:])
            return np.where(x >= 0, x, slope * x)
        if op in ("flatten", "reshape"):
            return x.reshape(len(x), *node.get("shape", [-1]))
        need(op == "dropout", f"a layer that is not defined: {node.get('class', op)}", Unsupported)
        return x

    def __iter__(self): return iter(self.named)
    def __len__(self): return len(self.named)
    def __enter__(self): return self
    def __exit__(self, *_): self.source and self.source.close()

    def rest(self):
        """§5 The remaining bytes."""
        need(self.container is not None, "there is no container to restore", Unsupported)
        why = self.unsupported.get("restoring the source file")
        need(not why, f"restoring the source file: {why}", Unsupported)
        self.read(self.starts[-1], sum(self.payloads[-1][::2]))
        data = Part(self, len(self.payloads) - 1).array(self.remaining, "uint8", False).tobytes()
        text = f"ncz container {self.container['kind']} {self.container['size']}"
        need(digest(text, data) == self.container["digest"], "wrong digest of the container")
        return data

    def in_source(self, t):
        """The values as they lie in the source file."""
        width = TYPES[t["type"]] if t["byte_order"] == "big" else 1
        return np.frombuffer(self.raw(t["name"]), np.uint8).reshape(-1, width)[:, ::-1].tobytes()

    def refilled(self, fill):
        """§5 The source file: its remaining bytes, and between them what fill(tensor, length) gives."""
        result, rest, taken = bytearray(), self.rest(), 0
        for offset, length, t in self.holes:
            before = offset - len(result)
            result += rest[taken:taken + before]
            result += fill(t, length)
            taken += before
        return result + rest[taken:]

    def restore(self):
        """§5"""
        rest = self.rest()
        for t in (t for t in self.tensors if "place" in t):
            need("offset" in t["place"] or "kept" in t["place"] and not t["history"], f"{t['name']}: chunks need HDF5", Unsupported)
            need(self.container["kind"] == "hdf5" or not t["history"], f"{t['name']}: changed values in a .keras archive", Unsupported)
        return self.refilled(lambda t, _: self.in_source(t))

    def test(self):
        """§7.4 Everything; what could not be compared is returned as notes."""
        self.check_header()
        at = 32
        for start, p in zip(self.starts, self.payloads):
            need(not any(self.read(at, start - at)), f"the bytes before the payload at {start} are not zero")
            at = start + sum(p[::2])
        for t in self.tensors:
            if f"decoding {t['name']}" not in self.unsupported:
                self.raw(t["name"])
        parts = {self.first[t["name"]] + i for t in self.tensors if f"decoding {t['name']}" in self.unsupported for i in range(t["parts"])}
        if self.container is not None and "restoring the source file" not in self.unsupported:
            self.rest()
        elif self.container is not None:
            parts.add(len(self.payloads) - 1)
        for part in (Part(self, number) for number in parts):
            for _ in part.sizes:
                part.stored()
        keys = {"axes", "digest", "name", "outputs", "role", "shape", "type"}                                      # §3.2
        whole = {"tensors": [{key: t[key] for key in keys & t.keys()} for t in self.directory["tensors"]]}
        whole |= {} if self.container is None else {"container": self.container["digest"]}
        whole |= {} if self.network is None else {"network": self.network}
        text = hashlib.sha256(b"ncz file\n" + spell(whole).encode()).hexdigest()[:32]
        need(text == self.directory["digest"], "wrong content digest of the file")
        notes = self.compare() if self.container is not None and "restoring the source file" not in self.unsupported else []
        need(not self.unsupported, "; ".join(f"{what}: {why}" for what, why in self.unsupported.items()), Unsupported)
        return notes

    def compare(self):
        """§5 The tensors are the truth: what HDF5 reads in the source file must be what they say."""
        try:
            import h5py
        except ImportError:
            return ["h5py is not installed: the container was not compared with the tensors"]
        known = lambda t: "offset" in t["place"] and f"decoding {t['name']}" not in self.unsupported
        source, notes = self.refilled(lambda t, length: self.in_source(t) if known(t) else bytes(length)), []
        image = bytes(source[self.container["offset"]:])
        if all(image[at:at + 8] != b"\x89HDF\r\n\x1a\n" for at in (0, *(2**i for i in range(9, 64)))):
            return ["the container is no HDF5 file: it was not compared with the tensors"]
        if self.container["kind"] == "keras":
            at = source.rfind(b"PK\3\4", 0, self.container["offset"])                             # the local header of its member
            name, extra = (int.from_bytes(source[at + field:at + field + 2], "little") for field in (26, 28))
            need(at >= 0 and source[at + 30:at + 30 + name] == b"model.weights.h5" and at + 30 + name + extra == self.container["offset"], "the container: no archive with an HDF5 file there")
        try:
            with h5py.File(io.BytesIO(image), "r") as file:
                for t in (t for t in self.tensors if "path" in t and f"decoding {t['name']}" not in self.unsupported):
                    notes += self.compare_tensor(h5py, file, t)
        except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt(f"the container: HDF5: {error}")
        return notes

    def compare_tensor(self, h5py, file, t):
        name, place, base = t["name"], t.get("place"), self.container["offset"]
        data = file[unescaped(t["path"])]
        need(all(file[unescaped(alias)] == data for alias in t["aliases"]), f"{name}: an alias of another dataset")
        need(data.shape == tuple(t["shape"]), f"{name}: the dataset has the shape {data.shape}")
        order, kind = ">" if t["byte_order"] == "big" else "<", data.id.get_type()
        if t["type"] == "bfloat16":
            wanted = (h5py.h5t.IEEE_F16BE if order == ">" else h5py.h5t.IEEE_F16LE).copy()
            wanted.set_fields(15, 7, 8, 0, 7)
            wanted.set_ebias(127)
        else:
            wanted = h5py.h5t.py_create(np.dtype(order + dtype(t["type"])[1:]))
        opaque = t["type"] == "bfloat16" and kind.get_class() == h5py.h5t.OPAQUE and kind.get_size() == 2
        need(opaque or kind.equal(wanted), f"{name}: the dataset has another type")
        if place and "offset" in place:
            need(data.id.get_offset() == place["offset"] - base, f"{name}: the dataset lies elsewhere")
        if place and "chunks" in place:
            need(h5py.h5o.get_info(data.id).addr == place["address"], f"{name}: the dataset has another address")
            found = []
            data.id.chunk_iter(lambda c: found.append([c.byte_offset + base, c.size, c.filter_mask, *c.chunk_offset]))
            need(sorted(found, key=lambda c: c[3:]) == place["chunks"], f"{name}: the dataset has other chunks")
        if t["history"] or 0 in t["shape"]:
            return []                                # the container has no values, or older ones
        filters = data.id.get_create_plist()
        if not all(h5py.h5z.filter_avail(filters.get_filter(i)[0]) for i in range(filters.get_nfilters())):
            return [f"{name}: HDF5 lacks a filter of the dataset: its values were not compared"]
        wanted, form = np.frombuffer(self.in_source(t), f"V{TYPES[t['type']]}").reshape(data.shape), data.chunks or data.shape
        cut = {tuple(c[3:]) for c in place["chunks"]} if place and "chunks" in place and "kept" not in place else ()
        for corner in product(*map(range, [0] * len(form), data.shape, form)):              # chunk by chunk: some may be cut out
            if corner not in cut:
                values, space = wanted[tuple(slice(o, o + n) for o, n in zip(corner, form))], data.id.get_space()
                if corner:
                    space.select_hyperslab(corner, values.shape)
                found = np.empty(values.shape, values.dtype)
                data.id.read(h5py.h5s.create_simple(values.shape) if corner else h5py.h5s.ALL, space, found, mtype=kind)
                need(found.tobytes() == values.tobytes(), f"{name}: the container has other values")
        return []

def load(path):
    with io.open(path, "rb") as file:
        return File(file.read())

def open(source):
    """A path, or what can seek and read. Of the latter the header is not read, unless the file is small or tested: it would be a fourth range."""
    if hasattr(source, "read"):
        return File(source)
    result = File(io.open(source, "rb"))
    result.check_header()
    return result

def predict(path, x):
    with open(path) as file:
        return file.predict(x)

def main():
    parser = argparse.ArgumentParser(description="Lists, checks and decodes .ncz files.")
    parser.add_argument("file")
    parser.add_argument("--test", action="store_true", help="check all that can be checked")
    parser.add_argument("--extract", metavar="NAME", help="write the decoded bytes of a tensor to standard output")
    parser.add_argument("--restore", metavar="OUT", help="put the tensors back into the source file")
    options = parser.parse_args()
    try:
        with open(options.file) as f:
            if options.test:
                for note in f.test():
                    print(f"{options.file}: {note}", file=sys.stderr)
            elif options.extract is not None:
                sys.stdout.buffer.write(f.raw(options.extract))
            elif options.restore:
                data = f.restore()                   # before the file is opened: it may fail
                with io.open(options.restore, "wb") as out:
                    out.write(data)
            else:
                for t in f.tensors:
                    first = f.first[t["name"]]
                    stored = sum(sum(p[::2]) for p in f.payloads[first:first + t["parts"]])
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
