#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes every network in FOLDERs through the compressors and nc-restore, and compares what comes back through h5py.

    roundtrip.py TOOLS FOLDER…
"""
import contextlib, hashlib, io, json, multiprocessing, os, pathlib, subprocess, sys, tempfile, zipfile
from counting import counts, expect, finish
from same import Comparison, stored
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "spec"))
import ncz

# A dense matrix in these has its storage elsewhere, needs a plugin, or is newer than Debian's libhdf5.
REFUSED = {"digits.external_raw.h5", "digits.virtual.h5", "digits.filters_zstd_blosc_plugin.h5", "digits.libver_latest.h5"}
COMPRESSORS = [
    ("nc-ternarize",),
    ("nc-prune", "--keep", "0.1"),
    ("nc-prune", "--keep", "0.6", "--scope", "network", "--values", "bfloat16"),
    ("nc-prune", "--keep", "0.2", "--values", "ternary"),
    ("nc-prune", "--by", "singular-value", "--keep", "0.25"),
    ("nc-prune", "--by", "node", "--keep", "0.5"),
    ("nc-quantize",),
]
tools = pathlib.Path(sys.argv[1]).resolve()


def run(tool, *arguments, **options):
    done = subprocess.run([tools / tool, *arguments], capture_output=True, timeout=120, **options)
    return done.returncode, done.stdout, (done.stderr.decode("utf-8", "replace").splitlines() or ["no message"])[-1]


def in_other_ways(tool, source, result, *options, every):
    """The same bytes from a path, a redirection and a pipe, on any number of threads, in any locale and directory: in every one of
    these ways, or in one of them, which the bytes decide."""
    wanted = result.read_bytes()
    german, elsewhere = os.environ | {"LC_ALL": "de_DE.UTF-8"}, {"cwd": source.parent}

    def redirected():
        with open(source, "rb") as file:
            return run(tool, "-", *options, stdin=file)
    ways = {
        "a redirection": redirected,
        "a pipe": lambda: run(tool, *options, input=source.read_bytes()),
        "-T 1": lambda: run(tool, "-T", "1", source, "-", *options),
        "-T 2": lambda: run(tool, "-T", "2", source, "-", *options),
        "German": lambda: run(tool, source, "-", *options, env=german),
        "another directory": lambda: run(tool, source.name, "-", *options, **elsewhere),
    }
    turn = hashlib.sha256(wanted).digest()[0] % len(ways)
    for number, (way, attempt) in enumerate(ways.items()):
        if not every and number != turn:
            continue
        status, output, message = attempt()
        expect(status == 0 and output == wanted, f"{source.name}: {tool} with {way}: {status} {message}, or other bytes")


def changed_values(packed):
    """Path in the source file → values of the tensors that were changed, as the independent reader has them."""
    file, result = ncz.load(packed), {}
    file.test()
    for tensor in file.tensors:
        if tensor["history"]:
            result |= dict.fromkeys([tensor["path"], *tensor.get("aliases", [])], stored(file, tensor))
    return result, len(file.tensors)


def compare(source, restored, expected):
    if not zipfile.is_zipfile(source):
        return Comparison(source, restored, expected)
    with zipfile.ZipFile(source) as a, zipfile.ZipFile(restored) as b:
        expect(b.testzip() is None, f"{source.name}: checks of the archive")
        expect([i.filename for i in a.infolist()] == [i.filename for i in b.infolist()], f"{source.name}: members")
        inner = [name for name in a.namelist() if name.endswith(".h5")]
        expect(all(a.read(n) == b.read(n) for n in a.namelist() if n not in inner), f"{source.name}: other members")
        return Comparison(io.BytesIO(a.read(inner[0])), io.BytesIO(b.read(inner[0])), expected)


def oracle(source, packed):
    """What libhdf5 read when the file was made, where that was recorded."""
    record = source.parent / "ORACLE.json"
    known = json.loads(record.read_text()).get(source.name, {}) if record.exists() else {}
    file, count = ncz.load(packed), 0
    for tensor in file.tensors:
        if tensor.get("path") in known.get("datasets", {}):
            shape, kind, digest = known["datasets"][tensor["path"]]
            array = file[tensor["name"]].astype(kind)
            count += expect([list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()[:16]] == [shape, digest],
                            f"{source.name}: {tensor['name']} is not what libhdf5 reads")
    return count


def network(source, folder):
    for compressor in COMPRESSORS:
        compressed(source, folder, *compressor)
    carried, equal = folder / "carried", folder / "equal"
    status, _, message = run("nc-ternarize", "--except", "*", source, carried)
    if expect(status == 0, f"{source.name}: nc-ternarize --except '*': {status} {message}"):
        status, _, message = run("nc-restore", carried, equal)
        expect(status == 0 and source.read_bytes() == equal.read_bytes(), f"{source.name}: unchanged, not equal: {status} {message}")
        digests = oracle(source, carried)
        if digests:
            print(f"{source.name}: {digests} datasets as libhdf5 recorded them")


def compressed(source, folder, tool, *options):
    what = " ".join((source.name + ":", tool, *options))
    packed, restored = (folder / f"{name} {tool} {' '.join(options)}" for name in ("packed", "restored"))
    status, _, message = run(tool, *options, source, packed)
    unconnected = status == 69 and "node" in options and "not known" in message          # which nodes are hidden, nobody knows
    if expect(status == 0 or unconnected or status == 69 and source.name in REFUSED, f"{what}: {status} {message}") and status == 0:
        status, _, message = run("nc-restore", packed, restored)
        if expect(status == 0, f"{what}: nc-restore: {status} {message}"):
            expected, tensors = changed_values(packed)
            comparison = compare(source, restored, expected)
            expect(not comparison.differences, f"{what}: {comparison.differences[:5]}")
            expect(not expected or comparison.counts["changed"], f"{what}: no changed dataset was found")
            in_repository = ROOT in source.parents
            in_other_ways(tool, source, packed, *options, every=in_repository)
            in_other_ways("nc-restore", packed, restored, every=in_repository)
            print(f"{what}: {len(expected)} of {tensors} tensors changed;", dict(comparison.counts), message.split(": ")[-1])
    elif status == 69 or unconnected:
        print(f"{what}: refused: {message.split(': ', 2)[-1]}")


def checked(source):
    """What is to be printed of one network, and what its checks count."""
    before, printed = dict(counts), io.StringIO()
    with contextlib.redirect_stdout(printed), tempfile.TemporaryDirectory() as folder:
        try:
            network(source, pathlib.Path(folder))
        except Exception as error:                                        # one file must not end the run
            expect(False, f"{source.name}: {type(error).__name__}: {error}")
    return printed.getvalue(), {outcome: counts[outcome] - before[outcome] for outcome in counts}


def main():
    sources = sorted(path.resolve() for folder in sys.argv[2:] for path in pathlib.Path(folder).rglob("*")
                     if path.suffix in (".h5", ".hdf5", ".keras"))
    with multiprocessing.Pool(2) as pool:
        for printed, found in pool.imap(checked, sources):
            print(printed, end="", flush=True)
            for outcome, count in found.items():
                counts[outcome] += count
    print(f"{len(sources)} networks")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
