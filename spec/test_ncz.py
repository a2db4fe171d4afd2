#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests ncz.py with the fixtures; then with every truncation, and changes of every byte, of the small good ones,
and with changes of their directories and of the blocks of all good ones under CRC-32s that are right.

    python3 test_ncz.py [--all]        --all: all 255 changes of every byte, not only one
"""
import hashlib, io, itertools, json, math, pathlib, struct, subprocess, sys
from zlib import crc32
import ncz

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
VERDICTS = {ncz.Corrupt: "corrupt", ncz.Unsupported: "unsupported", ncz.OverLimit: "overLimit"}
STATUS = {"corrupt": 65, "unsupported": 69, "overLimit": 75}
SMALL, FEW = 1300, 2**16                 # bytes of the files that are changed, and of their tensors
passed = failed = 0

def expect(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAILED", what)

def verdict(file, act=ncz.File.test):
    try:
        act(ncz.File(file) if isinstance(file, bytes) else ncz.load(file) if isinstance(file, pathlib.Path) else file)
        return "good"
    except tuple(VERDICTS) as error:
        return VERDICTS[type(error)]

def trailer(start, stored):
    result = struct.pack("<QIII", start + len(stored) + 32, len(stored), 0, crc32(stored))
    return result + struct.pack("<I", crc32(result)) + b"\n\x1a\n\rZCN\x89"

def sealed(body, directory):
    """A file of a header with payloads, and of a directory."""
    text = ncz.spell(directory).encode()
    return body + text + trailer(len(body), text)

def compare(path, f, tensors):
    """The tensors of a file with those of its JSON; one that cannot be decoded has a verdict."""
    expect(len(f) == len(tensors) == len(f.tensors), f"{path.name}: number of tensors")
    for t, want in zip(f.tensors, tensors):
        expect([t[key] for key in ("name", "type", "shape")] == [want[key] for key in ("name", "type", "shape")], f"{path.name}: {t['name']}")
        if "verdict" in want:
            expect(verdict(f, lambda f: f.raw(want["name"])) == want["verdict"], f"{path.name}: {t['name']} can be decoded")
            continue
        data, array = f.raw(want["name"]), f[want["name"]]
        expect(data.hex() == want["bytes"] if "bytes" in want else hashlib.sha256(data).hexdigest() == want["sha256"], f"{path.name}: values of {t['name']}")
        kind = "float32" if t["type"] == "bfloat16" else t["type"]
        expect(array.dtype == kind and list(array.shape) == want["shape"], f"{path.name}: array of {t['name']}")
        expect((array.view("<u4") >> 16).astype("<u2").tobytes() == data if t["type"] == "bfloat16" else array.tobytes() == data, f"{path.name}: array of {t['name']}")

def good(path):
    twin, f = json.loads(path.with_suffix(".json").read_text()), ncz.load(path)
    expect(verdict(path) == "good", f"{path.name}: not good")
    compare(path, f, twin["tensors"])
    try:
        source = f.restore().hex()
    except ncz.Unsupported:
        source = None
    expect(source == twin.get("source"), f"{path.name}: source file")

def unsupported(path, twin):
    """What is unsupported, and that nothing else is (§2.5)."""
    if twin["scope"] == "file":
        return expect(verdict(path, len) == "unsupported", f"{path.name}: it is not all of it that is unsupported")
    f = ncz.load(path)
    compare(path, f, twin["tensors"])
    what = {"tensor": "decoding ", "network": "running ", "source": "restoring ", "steps": "checking "}[twin["scope"]]
    expect(f.unsupported and all(key.startswith(what) for key in f.unsupported), f"{path.name}: unsupported is {f.unsupported}")

def command(path, *options):
    return subprocess.run([sys.executable, ncz.__file__, path, *options], capture_output=True)

class Remote(io.BytesIO):
    """A file that knows what was read of it."""
    ranges = ()

    def read(self, size=-1):
        self.ranges = *self.ranges, (self.tell(), size)
        return super().read(size)

def ranges():
    """One tensor takes at most three ranges: the tail, the rest of the directory, its payloads."""
    header = b"\x89NCZ\r\n\x1a\n" + struct.pack("<HHQQ", 0, 2, 0, 0)
    data = bytes(range(256)) * 8192
    blocks = [data[:2**20], data[2**20:]]
    for note, reads in ("", 2), ("n" * 2**17, 3):
        payload = [n for block in blocks for n in (len(block), crc32(block))]
        tensor = lambda name: {"digest": ncz.digest(f"ncz tensor uint8[{len(data)}]", data), "name": name, "shape": [len(data)], "type": "uint8"}
        directory = {"digest": "0" * 32, "payloads": [payload, payload], "tensors": [tensor("a"), tensor("b")], "x-note": note}
        file = Remote(sealed(header + struct.pack("<I", crc32(header)) + data + data, directory))
        expect(ncz.open(file).raw("b") == data, "a tensor of a file that can seek")
        expect(len(file.ranges) == reads and file.ranges[-1] == (32 + len(data), len(data)), f"ranges of a file that can seek: {file.ranges}")
    for path in sorted(FIXTURES.glob("good/*.ncz")):
        file = Remote(path.read_bytes())
        f = ncz.open(file)
        expect(all(f.raw(name) == ncz.load(path).raw(name) for name in list(f)[:1]) and len(file.ranges) <= 3, f"{path.name}: ranges {file.ranges}")

def predictions():
    """What a network makes of samples; every activation and operation is there."""
    x = ncz.np.linspace(-2, 2, 128).reshape(2, 64)
    f = ncz.load(FIXTURES / "good/131-seeded-network.ncz")
    a, b = (f[name].astype(float) for name in "ab")
    wanted = ncz.np.maximum(x @ a, 0) @ b
    for samples in x, x.reshape(2, 8, 8), x.astype("float32"):
        expect(ncz.np.allclose(f.predict(samples), wanted, 1e-6, 1e-6), "outputs of a network")
    expect(ncz.ACTIVATIONS.keys() == ncz.KINDS.keys(), "activations that cannot be computed")
    f = ncz.load(next(FIXTURES.glob("good/*-network-activations.ncz")))
    expect(f.predict(x.reshape(2, 16, 4)).shape == (2, 16, 4), "a network of all activations")
    # A rotation keeps lengths, and is what its sums say.
    for d, seed in (1, 0), (2, 1), (5, 0x0123456789abcdef), (64, 2**64 - 1):
        y = ncz.rotated(x[:, :d], seed)
        expect(ncz.np.allclose((y * y).sum(1), (x[:, :d] * x[:, :d]).sum(1), 1e-13, 0), "lengths of what is rotated")
        states = [(seed + (i + 1) * 0x9E3779B97F4A7C15) % 2**64 for i in range(d)]
        for shift, factor in (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1):
            states = [(z ^ z >> shift) * factor % 2**64 for z in states]
        for k in range(d):
            sums = sum((-v if z & 1 else v) * math.cos(math.pi * (2 * i + 1) * k / (2 * d)) for i, (v, z) in enumerate(zip(x.T[:d], states)))
            expect(ncz.np.allclose(y[:, k], math.sqrt((2 if k else 1) / d) * sums, 1e-11, 1e-12), "sums of a rotation")
    f, (a, b) = ncz.load(next(FIXTURES.glob("good/*-network-rotation.ncz"))), (x[:, :5], x[:, :6].reshape(2, 2, 3))
    turned, last, rows = f.predict([a, b])
    expect(ncz.np.allclose(turned, ncz.rotated(a, 0x0123456789abcdef)) and ncz.np.allclose(abs(last), abs(turned @ f["k"])), "a network with rotations")
    expect(ncz.np.allclose(rows[:, 1], ncz.rotated(b[:, 1], 2**64 - 1)), "a rotation of rows")
    expect(verdict(ncz.load(next(FIXTURES.glob("good/*-network-opaque.ncz"))), lambda f: f.predict(x)) == "unsupported", "a layer that is not defined")
    expect(verdict(ncz.load(FIXTURES / "good/01-no-tensors.ncz"), lambda f: f.predict(x)) == "unsupported", "no network")

def zstd():
    """All ways to decode zstd that are there find the same."""
    found = {}
    for ncz.way in ncz.ways():
        for path in itertools.chain(FIXTURES.glob("good/*zstd*.ncz"), FIXTURES.glob("good/*frame*.ncz"), FIXTURES.glob("*/*zstd*.ncz"), FIXTURES.glob("*/*frame*.ncz")):
            found.setdefault(path, set()).add(verdict(path))
    ncz.way = next(ncz.ways())
    expect(all(len(verdicts) == 1 for verdicts in found.values()), f"ways to decode zstd: {found}")

def changes(path, steps):
    """A file that was cut or changed is rejected, because every byte is under a CRC-32 or known."""
    data = path.read_bytes()
    cut = (data[:n] for n in range(len(data)))
    flipped = (data[:i] + bytes([data[i] ^ x]) + data[i + 1:] for i in range(len(data)) for x in steps(i))
    cases = list(itertools.chain(cut, flipped))
    found = [verdict(case) for case in cases]
    expect("good" not in found, f"{path.name}: a change was not found")
    return len(cases)

def directories(path, steps):
    """The same with the directory, but with right CRC-32s: every change gives a verdict or a sound file, and no other error."""
    f, count = ncz.load(path), 0
    data, body = ncz.spell(f.directory).encode(), bytes(f.data[:f.start])
    for i in range(len(data)):
        for x in steps(i):
            case = data[:i] + bytes([data[i] ^ x]) + data[i + 1:]
            try:
                verdict(body + case + trailer(len(body), case))
            except Exception as error:
                expect(False, f"{path.name}: byte {i} changed by {x}: {error!r}")
            count += 1
    expect(True, "")
    return count

def contents(path, steps):
    """The same with the blocks: what is in them may be anything."""
    f, count = ncz.load(path), 0
    expect(verdict(sealed(bytes(f.data[:f.start]), f.directory)) == "good", f"{path.name}: not good when sealed again")
    for at, p in zip(f.starts, f.payloads):
        for n in range(0, len(p), 2):
            size, crc = p[n:n + 2]
            for i, x in ((i, x) for i in range(at, at + size) for x in steps(i)):
                case = bytearray(f.data[:f.start])
                case[i] ^= x
                p[n + 1] = crc32(case[at:at + size])
                try:
                    verdict(sealed(bytes(case), f.directory))
                except Exception as error:
                    expect(False, f"{path.name}: byte {i} of a block changed by {x}: {error!r}")
                count += 1
            p[n + 1] = crc
            at += size
    expect(True, "")
    return count

def main():
    ran = {}
    for path in sorted(FIXTURES.glob("good/*.ncz")):
        good(path)
    for path in sorted(itertools.chain(*(FIXTURES.glob(f"{folder}/*.ncz") for folder in ("bad", "truth", "unsupported")))):
        twin, found = json.loads(path.with_suffix(".json").read_text()), verdict(path)
        expect(found in (twin["verdict"], twin.get("also")), f"{path.parent.name}/{path.name}: {found} instead of {twin['verdict']}")
        if path.parent.name == "unsupported" and found == "unsupported":
            unsupported(path, twin)
        if twin["verdict"] not in ran:
            ran[twin["verdict"]] = command(path, "--test").returncode
    expect(ran == STATUS, f"exit statuses {ran}")
    two = FIXTURES / "good/06-two-tensors.ncz"
    expect(command(two, "--test").returncode == 0, "--test")
    expect(command(two).stdout.decode().splitlines()[0] == "dense/kernel float32 [2,2] raw 16", "the list")
    expect(command(two, "--extract", "dense/bias").stdout.hex() == "000080bf0000803f", "--extract")
    ranges()
    predictions()
    zstd()
    print(f"fixtures: {passed} passed, {failed} failed")
    steps = lambda i: range(1, 256) if sys.argv[1:] == ["--all"] else ((1, 32, 128)[i % 3],)
    small = [path for path in sorted(FIXTURES.glob("good/*.ncz")) if path.stat().st_size <= SMALL]
    small = [path for path in small if len(ncz.spell((f := ncz.load(path)).directory)) <= SMALL and all(len(f.raw(name)) <= FEW for name in f)]
    print(f"changes: {sum(changes(path, steps) for path in small)} files, {sum(directories(path, steps) for path in small)} directories, "
          f"{sum(contents(path, steps) for path in small)} blocks")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0

if __name__ == "__main__":
    sys.exit(main())
