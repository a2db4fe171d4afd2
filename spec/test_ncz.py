#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests ncz.py with the fixtures; then with every truncation, and changes of every byte, of the small good ones,
and with changes of their directories and of the blocks of all good ones under CRC-32s that are right.

    python3 test_ncz.py [--all]        --all: all 255 changes of every byte, not only 3
"""
import hashlib, itertools, json, pathlib, struct, subprocess, sys
from zlib import crc32
import ncz

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
VERDICTS = {ncz.Corrupt: "corrupt", ncz.Unsupported: "unsupported", ncz.OverLimit: "overLimit"}
STATUS = {"corrupt": 65, "unsupported": 69, "overLimit": 75}
SMALL = 1300                             # bytes of the files that are changed
passed = failed = 0

def expect(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAILED", what)

def verdict(file):
    try:
        (ncz.File(file) if isinstance(file, bytes) else ncz.load(file)).test()
        return "good"
    except tuple(VERDICTS) as error:
        return VERDICTS[type(error)]

def good(path):
    twin, f = json.loads(path.with_suffix(".json").read_text()), ncz.load(path)
    expect(verdict(path) == "good", f"{path.name}: not good")
    expect(len(f) == len(twin["tensors"]) == len(f.tensors), f"{path.name}: number of tensors")
    for t, want in zip(f.tensors, twin["tensors"]):
        data, array = f.raw(want["name"]), f[want["name"]]
        expect([t[key] for key in ("name", "type", "shape")] == [want[key] for key in ("name", "type", "shape")], f"{path.name}: {t['name']}")
        expect(data.hex() == want["bytes"] if "bytes" in want else hashlib.sha256(data).hexdigest() == want["sha256"], f"{path.name}: values of {t['name']}")
        kind = "float32" if t["type"] == "bfloat16" else t["type"]
        expect(array.dtype == kind and list(array.shape) == want["shape"], f"{path.name}: array of {t['name']}")
        expect((array.view("<u4") >> 16).astype("<u2").tobytes() == data if t["type"] == "bfloat16" else array.tobytes() == data, f"{path.name}: array of {t['name']}")
    try:
        source = f.restore().hex()
    except ncz.Unsupported:
        source = None
    expect(source == twin.get("source"), f"{path.name}: source file")

def command(path, *options):
    return subprocess.run([sys.executable, ncz.__file__, path, *options], capture_output=True)

def changes(path, steps):
    """A file that was cut or changed is rejected, because every byte is under a CRC-32 or known."""
    data = path.read_bytes()
    cut = (data[:n] for n in range(len(data)))
    flipped = (data[:i] + bytes([data[i] ^ x]) + data[i + 1:] for i in range(len(data)) for x in steps)
    cases = list(itertools.chain(cut, flipped))
    found = [verdict(case) for case in cases]
    expect("good" not in found, f"{path.name}: a change was not found")
    return len(cases)

def directories(path, steps):
    """The same with the directory, but with right CRC-32s: every change gives a verdict or a sound file, and no other error."""
    data, count = path.read_bytes(), 0
    start, length = struct.unpack("<QQ", data[-64:-48])
    for i in range(start, start + length):
        for x in steps:
            case = bytearray(data)
            case[i] ^= x
            case[-40:-36] = struct.pack("<I", crc32(case[start:start + length]))
            case[-12:-8] = struct.pack("<I", crc32(case[-64:-12]))
            try:
                verdict(bytes(case))
            except Exception as error:
                expect(False, f"{path.name}: byte {i} changed by {x}: {error!r}")
            count += 1
    expect(True, "")
    return count

def contents(path, steps):
    """The same with the blocks: what is in them may be anything."""
    f, count = ncz.load(path), 0
    start, = struct.unpack("<Q", f.data[-64:-56])
    for p in f.payloads:
        at = p["offset"]
        for block in p["blocks"]:
            size, crc = block
            for i, x in itertools.product(range(at, at + size), (0, *steps)):
                case = bytearray(f.data[:start])
                case[i] ^= x
                block[1] = crc32(case[at:at + size])
                text = ncz.spell(f.directory).encode()
                trailer = struct.pack("<QQQI24x", start, len(text), start + ncz.aligned(len(text)) + 64, crc32(text))
                case += text.ljust(ncz.aligned(len(text)), b"\0") + trailer + struct.pack("<I", crc32(trailer)) + f.data[-8:]
                try:
                    found = verdict(bytes(case))
                    if x == 0 and found != "good":
                        expect(False, f"{path.name}: {found}, but nothing was changed")
                except Exception as error:
                    expect(False, f"{path.name}: byte {i} of a block changed by {x}: {error!r}")
                count += 1
            block[1] = crc
            at += size
    expect(True, "")
    return count

def main():
    ran = {}
    for path in sorted(FIXTURES.glob("good/*.ncz")):
        good(path)
    for path in sorted(FIXTURES.glob("bad/*.ncz")) + sorted(FIXTURES.glob("unsupported/*.ncz")):
        want, found = json.loads(path.with_suffix(".json").read_text())["verdict"], verdict(path)
        expect(found == want, f"{path.parent.name}/{path.name}: {found} instead of {want}")
        if want not in ran:
            ran[want] = command(path, "--test").returncode
    expect(ran == STATUS, f"exit statuses {ran}")
    two = FIXTURES / "good/06-two-tensors.ncz"
    expect(command(two, "--test").returncode == 0, "--test")
    expect(command(two).stdout.decode().splitlines()[0] == "dense/kernel float32 [2,2] raw 16", "the list")
    expect(command(two, "--extract", "dense/bias").stdout.hex() == "000080bf0000803f", "--extract")
    print(f"fixtures: {passed} passed, {failed} failed")
    steps = range(1, 256) if sys.argv[1:] == ["--all"] else (1, 32, 128)
    small = [path for path in sorted(FIXTURES.glob("good/*.ncz")) if path.stat().st_size <= SMALL]
    print(f"changes: {sum(changes(path, steps) for path in small)} files, {sum(directories(path, steps) for path in small)} directories, "
          f"{sum(contents(path, steps) for path in sorted(FIXTURES.glob('good/*.ncz')))} blocks")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0

if __name__ == "__main__":
    sys.exit(main())
