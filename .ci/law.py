#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tools to one law under mutation: where a compressor answers 0, nc-info --test of what it wrote is 0, nc-restore is 0
for each shape and layout that applies, and every dataset that h5py reads in the input reads the same in the restored file, or as
the value of a tensor that nc-info lists as changed. Every failure is a documented status with one line, in bounded time and memory.

    law.py TOOLS [--kind h5|keras|ncz|all] [--mutants N] [--seed S] [--workers N]      N mutants of each kind
    law.py TOOLS --kind KIND --seed S --only NUMBER --keep FOLDER                      one of them again, with all that was made of it
    law.py TOOLS --file FILE…                                                          files
"""
import argparse, collections, contextlib, ctypes, hashlib, io, json, multiprocessing, os, pathlib, random, shutil, subprocess, sys, tempfile, zipfile
import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5z
from elsewhere import elsewhere
from hostile import ALLOWED, SECONDS, run
from mutants import Mutants, known
from ncz_mutants import ncz
from same import stored, values

COMPRESSORS = [
    ("nc-ternarize",), ("nc-ternarize", "--scale-per", "tensor"), ("nc-ternarize", "--scale-per", "3", "--mapped"), ("nc-ternarize", "--except", "*"),
    ("nc-ternarize", "--drop", "optimizer", "--level", "19"), ("nc-prune", "--keep", "0.3"), ("nc-prune", "--keep", "0.6", "--scope", "network", "--values", "bfloat16"),
    ("nc-prune", "--keep", "0.2", "--values", "ternary"), ("nc-prune", "--max-error", "0.5"), ("nc-prune", "--by", "singular-value", "--keep", "0.25"),
    ("nc-prune", "--by", "node", "--keep", "0.5"), ("nc-prune", "--keep", "0.4", "--values", "levels:5"), ("nc-quantize",), ("nc-quantize", "--max-error", "0.02", "--mapped"),
    ("nc-quantize", "--bits", "4", "--scale-per", "5"), ("nc-quantize", "--levels", "7", "--biases", "float16"),
    ("nc-ternarize", "--container", "none"), ("nc-quantize", "--container", "none", "--drop", "optimizer"), ("nc-prune", "--by", "node", "--keep", "0.5", "--container", "none"),
]
MOST = 64 << 20                                           # bytes of a dataset that is compared


# What h5py reads, in a process of its own: it may hang or die.

def entries(node, path, found, seen):
    """Links, attributes and datasets below an object: name → digest of what h5py reads, whether a filter rounds, where it is."""
    with contextlib.suppress(Exception):
        for index in range(h5a.get_num_attrs(node)):
            with contextlib.suppress(Exception):
                attribute = h5a.open(node, index=index)
                found[path, attribute.name] = digest(values(attribute)), False, None
    if isinstance(node, h5d.DatasetID):
        with contextlib.suppress(Exception):
            if node.get_space().get_simple_extent_npoints() * node.get_type().get_size() <= MOST:
                created = node.get_create_plist()
                filters = {created.get_filter(i)[0] for i in range(created.get_nfilters())}
                if created.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED and node.get_storage_size() == 0:
                    node.dtype                            # fails for damaged types: libhdf5 would read on behind the fill value
                found[path] = digest(values(node)), h5z.FILTER_SCALEOFFSET in filters, h5o.get_info(node).addr
    elif isinstance(node, h5g.GroupID):
        names = []
        with contextlib.suppress(Exception):
            names += list(node)
        for name in names:
            with contextlib.suppress(Exception):
                kind = node.links.get_info(name).type
                if kind == h5l.TYPE_SOFT:
                    found[path, "link", name] = digest(node.links.get_val(name)), False, None
                if kind == h5l.TYPE_HARD:
                    child = h5o.open(node, name)
                    address = h5o.get_info(child).addr
                    if not isinstance(child, h5g.GroupID) or address not in seen and len(seen) < 1000:
                        seen.add(address)
                        entries(child, path + b"/" + name if path else name, found, seen)


def digest(value):
    return hashlib.sha256(value if type(value) is bytes else repr(value).encode()).hexdigest()


def members(data):
    """The members of a zip archive that Python reads; nothing where the weights are not among them."""
    found = {}
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            with contextlib.suppress(Exception):
                if archive.getinfo(name).file_size <= MOST:
                    found[name] = archive.read(name)
    return found if "model.weights.h5" in found else {}


def readings(path, fill):
    """All that Python reads in a file, where unused memory has the bytes `fill`."""
    ctypes.CDLL(None).mallopt(-6, fill)                   # M_PERTURB
    data, found = pathlib.Path(path).read_bytes(), {}
    if data[:4] == b"PK\3\4" or data[:8] != b"\x89HDF\r\n\x1a\n" and zipfile.is_zipfile(io.BytesIO(data)):
        archive = members(data)
        found = {("member", name): (digest(content), False, None) for name, content in archive.items() if name != "model.weights.h5"}
        data = archive.get("model.weights.h5", b"")
    with contextlib.suppress(Exception), h5py.File(io.BytesIO(data)) as file:
        root = h5o.open(file.id, b"/")
        entries(root, b"", found, {h5o.get_info(root).addr})
    return found


def read_elsewhere(path, fill):
    """What h5py reads, or {} where the child does not live to answer."""
    return elsewhere(readings, path, fill, seconds=2 * SECONDS) or {}


def agreed(path):
    """What h5py reads twice the same: else it reads beyond a buffer."""
    first = read_elsewhere(path, 0x55)
    second = read_elsewhere(path, 0xAA) if first else {}
    return {key: value for key, value in first.items() if second.get(key) == value}


# The law.

class Law:
    def __init__(self, tools, folder, kind, generator):
        self.tools, self.folder, self.kind, self.random = tools, folder, kind, generator
        self.problems, self.statuses, self.compared = [], [], 0

    def path(self, name):
        return str(self.folder / name)

    def tool(self, name, *arguments, **files):
        # libhdf5 may use what it is given, which is 4 GiB; here less.
        status = run(self.problems, f"{self.tools}/{name}", "--memory", "512M", *arguments, allowed=ALLOWED | {64}, **files)
        self.statuses.append(status)
        return status

    def need(self, ok, what):
        if not ok:
            self.problems.append(what)
        return ok

    def hold(self, source, commands):
        """Compresses the file, and perhaps what comes of it once more; asks all that the law asks of the last."""
        self.original, before, done = source, source, []
        for step, command in enumerate(commands):
            after = self.path(f"packed{step}")
            if not self.compress(command, before, after):
                break
            done.append(command)
            before = after
        if done:
            self.examine(before, done)

    def compress(self, command, before, after):
        self.command = " ".join(command)
        tool, *options = command
        if self.random.random() < 0.2:                    # through pipes
            with open(before, "rb") as read, open(after, "wb") as write:
                piped = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=write, start_new_session=True)
                status = self.tool(tool, "-q", *options, stdin=read, stdout=piped.stdin)
                piped.stdin.close()
                piped.wait()
            return status == 0
        return self.tool(tool, "-q", *options, before, after) == 0

    def examine(self, packed, done):
        try:
            file = ncz.load(packed)
            if self.kind != "ncz":                        # `same` compares what h5py reads in the input, damaged as it is
                file.compare = lambda: []
            status = 69 if self.kind == "ncz" and file.unsupported else 0    # what is not known is kept as it is
            self.need(self.tool("nc-info", "--test", packed) == status, f"{done}: nc-info --test refuses it")
            try:
                file.test()
            except ncz.Unsupported:
                if status == 0:
                    raise
        except (ncz.Corrupt, ncz.Unsupported, ncz.OverLimit) as error:
            self.need(False, f"{done}: the independent reader refuses it: {error}")
            return
        listed = subprocess.run([f"{self.tools}/nc-info", "--json", packed], stdin=subprocess.DEVNULL, capture_output=True)
        changed = {t["name"] for t in file.tensors if t["history"]}
        if self.need(listed.returncode == 0, "nc-info --json refuses it"):
            names = [t["name"] for t in json.loads(listed.stdout)["tensors"]]
            self.need(names == [t["name"] for t in file.tensors], "nc-info lists other tensors")
            history = {t["name"] for t in json.loads(listed.stdout)["tensors"] if t["history"]}
            self.need(history == changed, "nc-info lists other changes")
        before = self.input_values(file, done)
        restored = self.path("restored")
        status = self.tool("nc-restore", "-q", "--layout", "container", packed, restored)
        known = file.container and not any(what.startswith(("decoding ", "restoring ")) for what in file.unsupported)
        if self.need(status == (0 if known else 69), f"{done}: nc-restore --layout container: {status}") and status == 0:
            self.same(file, before, restored, done)
        if file.tensors:
            self.plain(file, packed, done)
        if any("node" in command for command in done):
            self.reduced(packed, done, before)

    def input_values(self, file, done):
        """What the independent reader of the input's format reads in it."""
        if self.kind != "ncz":
            return agreed(self.original)
        try:
            source = ncz.load(self.original)
            removed = {name for step in file.steps[len(source.steps):] for name in step.get("removed", ())}
            left = [t for t in source.tensors if t["name"] not in removed]
            # What is removed, or not known, need not be decoded.
            kept = {t["name"]: source.raw(t["name"]) for t in left if f"decoding {t['name']}" not in source.unsupported}
        except (ncz.Corrupt, ncz.Unsupported, ncz.OverLimit) as error:
            self.problems.append(f"{self.command}: takes what the independent reader refuses: {error}")
            return {}
        self.need(removed <= {*source.named} and (not removed or file.container is None), "it removed other tensors, or some that have a place")
        self.need([t["name"] for t in left] == [t["name"] for t in file.tensors], "the tensors have other names")
        self.need(file.steps[:len(source.steps)] == source.steps, "the steps before are others")
        for old, new in zip(left, file.tensors):
            if old["history"] == new["history"] and old["name"] in kept:
                self.need(kept[old["name"]] == file.raw(new["name"]), f"{new['name']}: unchanged, but other values")
            self.need(old["history"] == new["history"][:len(old["history"])], f"{new['name']}: another history")
            bare = file.container is None and (source.container is not None or any("none" in command for command in done))   # what the source has of a tensor is of no use then
            for key in ("shape", "type", "axes", "outputs") if bare else ("path", "aliases", "shape", "type", "byte_order", "axes", "outputs"):
                self.need((old.get(key) or None) == (new.get(key) or None), f"{new['name']}: another {key}")
            self.need(open_keys(old) == open_keys(new), f"{new['name']}: other x- keys")
            derived = {key: part for key, part in new.items() if key.startswith("d-")}
            self.need(derived == ({key: part for key, part in old.items() if key.startswith("d-")} if old["history"] == new["history"] else {}), f"{new['name']}: other d- keys")
        self.need(open_keys(source.directory) == open_keys(file.directory), "other x- keys")
        return {}

    def same(self, file, before, restored, done):
        """The restored file against what h5py read before, and the tensors of the .ncz."""
        wanted, names = {key: value for key, (value, *_) in before.items()}, collections.defaultdict(set)
        for key, (*_, address) in before.items():
            names[address].add(key)
        for tensor in file.tensors:
            value = digest(stored(file, tensor))
            paths = {exact(path) for path in (tensor.get("path"), *tensor.get("aliases", [])) if path is not None}
            for path in paths:
                if not tensor["history"] and path in before:
                    self.need(before[path][0] == value or self.dumped(path) != before[path][0], f"{done}: {path!r}: h5py reads other values in the input")
                if tensor["history"] and path in before:
                    paths = paths | names[before[path][2]]          # through other groups, by names that are not listed
            wanted |= {path: value for path in paths if tensor["history"] or path not in before}
        found = read_elsewhere(restored, 0x55)
        for key, value in wanted.items():
            other, rounds, _ = found.get(key, (None, False, None))
            if self.kind != "ncz" and key not in before and other is None:
                continue                                  # h5py read it neither before nor after
            if other != value and not rounds:
                found_again = agreed(restored).get(key, (None,))[0]
                self.need(found_again == value, f"{done}: {key!r} " + ("is not there after nc-restore" if other is None else "reads otherwise after nc-restore"))
        self.compared += sum(type(key) is bytes for key in wanted)
        if before and not any(t["history"] for t in file.tensors):
            self.need(pathlib.Path(self.original).read_bytes() == pathlib.Path(restored).read_bytes(), f"{done}: nothing changed, and not the same file")

    def dumped(self, path):
        """What h5dump reads: where it is not what h5py reads, that depends on memory that was not written."""
        out = pathlib.Path(self.path("dumped"))
        with contextlib.suppress(subprocess.TimeoutExpired): subprocess.run(["h5dump", "-d", b"/" + path, "-b", "FILE", "-o", out, self.original], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=2 * SECONDS)
        return digest(out.read_bytes()) if out.exists() else None

    def plain(self, file, packed, done):
        """Every tensor in a new file."""
        plain = self.path("plain")
        status = self.tool("nc-restore", "-q", "--layout", "plain", packed, plain)
        unknown = any(what.startswith("decoding ") for what in file.unsupported)
        if self.need(status == (69 if unknown else 0), f"{done}: nc-restore --layout plain: {status}") and status == 0:
            wanted = collections.Counter(digest(file.raw(t["name"])) for t in file.tensors)
            found = read_elsewhere(plain, 0x55)
            found = collections.Counter(value for key, (value, *_) in found.items() if type(key) is bytes)
            self.need(found == wanted, f"{done}: --layout plain has other values")

    def reduced(self, packed, done, before):
        for layout in ("container", "keras", "plain"):
            reduced = self.path("reduced " + layout)
            status = self.tool("nc-restore", "-q", "--shape", "reduced", "--layout", layout, packed, reduced)
            self.need(status in (0, 69), f"{done}: nc-restore --shape reduced --layout {layout}: {status}")
            if status == 0 and (before or layout != "container"):
                self.need(read_elsewhere(reduced, 0x55), f"{done}: h5py cannot read the {layout} layout, reduced")


def open_keys(value):
    return {key: part for key, part in value.items() if key.startswith("x-")}


def exact(path):
    """A path of a .ncz as bytes."""
    out, rest = bytearray(), path.encode()
    while rest:
        if rest.startswith(b"\\x"):
            out.append(int(rest[2:4], 16))
            rest = rest[4:]
        else:
            out.append(rest[0])
            rest = rest[1:]
    return bytes(out)


def judge(job):
    """Name of a mutant, the statuses, how many datasets were compared, the problems."""
    tools, kind, number, seed, data, name, keep, command = job
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / f"mutant.{kind}"
        source.write_bytes(data)
        law = Law(tools, folder, kind, random.Random(f"law {seed} {kind} {number}"))
        try:
            chosen = [law.random.choice(COMPRESSORS) for _ in range(law.random.choice((1, 1, 1, 2)))]
            law.hold(str(source), [command] if command else chosen)
        except Exception as error:
            law.problems.append(f"{law.command}: {type(error).__name__}: {error}")
        if keep and (law.problems or keep[1]):
            kept = pathlib.Path(keep[0]) / f"{kind}{number}"
            kept.mkdir(parents=True, exist_ok=True)
            for path in folder.iterdir():
                shutil.copy(path, kept)
    return f"{kind} {number} ({name})", law.statuses, law.compared, law.problems


def mutant(job):
    """The same of a mutant that is still to be made, or a known one."""
    if len(job) > 5:
        return judge(job)
    tools, kind, number, seed, keep = job
    data, name = state.mutant(kind, number)
    return judge((tools, kind, number, seed, data, name, keep, None))


state = None


def begin(mutants):
    global state
    state = mutants
    os.nice(5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("--kind", choices=("h5", "keras", "ncz", "all"), default="all")
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep")
    parser.add_argument("--file", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    tools = str(options.tools.resolve())
    kinds = ("h5", "keras", "ncz") if options.kind == "all" else (options.kind,)
    numbers = range(options.mutants) if options.only is None else [options.only]
    keep = options.keep and (options.keep, options.only is not None)
    mutants = Mutants(tools, options.seed)
    if options.file:
        kind_of = lambda data: "ncz" if data[:4] == b"\x89NCZ" else "keras" if data[:2] == b"PK" else "h5"
        jobs = []
        for path in options.file:
            data = path.read_bytes()
            jobs += [(tools, kind_of(data), number, options.seed, data, path.name, keep, None) for number in range(options.mutants)]
    else:
        for kind in {*kinds, *(["h5"] if "keras" in kinds else [])}:
            mutants.of(kind)
        jobs = [(tools, kind, number, options.seed, keep) for kind in kinds for number in numbers]
        if options.only is None:
            jobs = [(tools, kind, -1, options.seed, data, name, keep, command) for kind, name, data, command in known(tools) if kind in kinds] + jobs
    failed, sums = 0, collections.defaultdict(collections.Counter)
    with multiprocessing.Pool(options.workers, begin, (mutants,)) as pool:
        for name, statuses, compared, problems in pool.imap_unordered(mutant, jobs, 4):
            sums["all statuses"].update(statuses)
            sums["of the first tool, " + name.split()[0]].update(statuses[:1])
            sums["datasets compared"][name.split()[0]] += compared
            failed += bool(problems)
            if problems:
                print("FAILED", f"seed {options.seed}, {name}:", "; ".join(problems[:6]), flush=True)
    for what, counts in sums.items():
        print(f"{what}:", dict(sorted(counts.items())))
    print(f"{len(jobs) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
