#!/usr/bin/env python3
"""Pairs of networks, and data, for which an answer is easily wrong: nc-verify and nc-run say what is so, and end with its status.

    verdicts.py TOOLS
"""
import struct, tempfile
from zlib import crc32
from oracle import *
sys.path.insert(0, str(ROOT / "spec"))
import ncz

tools = pathlib.Path(sys.argv[1]).resolve()
folder = tempfile.TemporaryDirectory()
scratch = pathlib.Path(folder.name)
generator = np.random.default_rng(11)


def network(name, **changes):
    """A network of two layers of PyTorch, 8-6-3, with other values for some of its tensors."""
    random = np.random.default_rng(3)
    tensors = {"fc1.weight": random.standard_normal((6, 8)), "fc1.bias": np.zeros(6), "fc2.weight": random.standard_normal((3, 6)), "fc2.bias": np.ones(3)}
    with h5py.File(scratch / name, "w") as file:
        for key, value in (tensors | {key.replace("_", "."): value for key, value in changes.items()}).items():
            file[key] = np.asarray(value, getattr(value, "dtype", np.float64) if np.issubdtype(np.asarray(value).dtype, np.integer) else np.float32)
    return scratch / name


def data(name, y=None, count=40, inputs=8):
    with h5py.File(scratch / name, "w") as file:
        file["x"] = generator.standard_normal((count, inputs)).astype(np.float32)
        if y is not None:
            file["y"] = y
    return scratch / name


def edited(source, name, change):
    """A .ncz with another directory and no payloads but its own; every check is right."""
    file = ncz.load(source)
    change(file.directory)
    start = struct.unpack("<Q", file.data[-64:-56])[0]
    text = ncz.spell(file.directory).encode()
    trailer = struct.pack("<QQQI24x", start, len(text), start + ncz.aligned(len(text)) + 64, crc32(text))
    (scratch / name).write_bytes(bytes(file.data[:start]) + text.ljust(ncz.aligned(len(text)), b"\0") + trailer + struct.pack("<I", crc32(trailer)) + bytes(file.data[-8:]))
    return scratch / name


def verdict(what, wanted, status, *arguments):
    """What nc-verify answers; its report."""
    try:
        report = run(tools, "nc-verify", "--json", "--points", 20, "--samples", 200, *arguments, status=(status,))
    except RuntimeError as error:
        return expect(False, f"{what}: {error}")
    expect(report["verdict"] == wanted, f"{what}: {report['verdict']} instead of {wanted}")
    return report


def weights():
    plain = network("plain.h5")
    measure = ("--measure", "weights", "--max-weight", 0)
    for what, changes in {"zeros": {"fc2_weight": np.zeros((3, 6))}, "NaN": {"fc2_weight": np.full((3, 6), np.nan)}, "infinity": {"fc2_bias": [np.inf, 1, 1]}}.items():
        other = network(f"{what}.h5", **changes)
        for pair in ((plain, other), (other, plain)):
            report = verdict(f"--max-weight 0, {what}", "differs", 1, *measure, *pair)
        verdict(f"--max-weight 0, {what}, the same", "equal", 0, *measure, other, other)
        expect(report and any("undefined" in why for why in report["failures"]), f"{what}: {report and report['failures']}")
    integers = [network(f"{value}.h5", fc2_weight=np.full((3, 6), value, np.int8)) for value in (3, -90)]
    verdict("--max-weight of integers", "differs", 1, "--measure", "weights", "--max-weight", 10, *integers)
    near, far = network("a.h5"), network("b.h5", fc1_weight=np.nextafter(np.random.default_rng(3).standard_normal((6, 8)).astype(np.float32), np.float32(9)))
    verdict("--max-weight 0, a unit in the last place", "differs", 1, *measure, near, far)


def histories():
    plain, steps = network("plain.h5"), scratch / "steps.ncz"
    compressed(tools, plain, scratch / "steps.h5", ("nc-prune", "--max-error", ".3"), ("nc-ternarize",))
    first = scratch / "first.ncz"
    run(tools, "nc-prune", "-q", "-f", "--max-error", ".3", plain, first)
    run(tools, "nc-ternarize", "-q", "-f", first, steps)
    verdict("two steps", "within tolerance", 0, plain, steps)
    for options in ("--max-error -1", "--max-error nan", "--keep 9", "--by singular-value --max-error -1", "--rm"):
        def change(directory):
            for tensor in directory["tensors"]:
                if len(tensor["history"]) > 1:
                    tensor["history"][0]["options"] = options
        expect(run(tools, "nc-info", "--test", edited(steps, "edited.ncz", change)) is not None, options)
        report = verdict(f"history {options}", "no tolerance", 0, plain, scratch / "edited.ncz")
        expect(report and {claim["status"] for claim in report["claims"]} == {"not checkable"}, f"history {options}: {report and report['claims']}")


def functions():
    plain, many = network("plain.h5"), data("many.h5", y=np.arange(40) % 3)
    kernel = {"fc2_weight": np.full((3, 6), np.nan)}
    wrong = network("nan.h5", **kernel)
    report = verdict("NaN outputs, labels", "differs", 1, "--data", many, "--max-accuracy-loss", 0, "--measure", "outputs", network("always.h5", fc2_weight=np.zeros((3, 6)), fc2_bias=[1, 0, 0]), wrong)
    expect(report and report["parts"][0]["outputs"]["accuracy_b"] == 0 and report["parts"][0]["outputs"]["agreement"] == 0, "NaN outputs are right")
    report = verdict("kernels that are not finite", "equal", 0, wrong, wrong)
    expect(report and report["parts"][0]["spectrum"] is None and any("kernels" in note for note in report["notes"]), "NaN kernels")
    huge = [network(f"huge{sign}.h5") for sign in (1, -1)]
    for path, sign in zip(huge, (1, -1)):
        with h5py.File(path, "w") as file:
            file["fc1.weight"], file["fc2.weight"] = np.full((6, 8), 1e100), np.full((3, 6), sign * 1e100)
    verdict("weights of 1e100", "differs", 1, "--measure", "outputs", "--max-output", 0, *huge)
    none = network("none.h5", fc2_weight=np.zeros((0, 6)), fc2_bias=np.zeros(0))
    for arguments in ((), ("--data", data("plain_x.h5"))):
        verdict("no outputs", "equal", 0, *arguments, none, none)
    refuses(tools, "nc-run", "--data", data("wide.h5", count=200_000), "--memory", "10M", network("more.h5", fc2_weight=np.ones((100, 6)), fc2_bias=np.zeros(100)), status=75)
    refuses(tools, "nc-verify", "--data", scratch / "wide.h5", "--memory", "10M", scratch / "more.h5", scratch / "more.h5", status=75)
    refuses(tools, "nc-verify", "--max-accuracy-loss", 1, "--measure", "weights", plain, plain, status=69)


def shapes():
    """A kernel that is said to have 2⁶⁰ weights, all zero, and takes no room."""
    plain, packed = network("plain.h5"), scratch / "packed.ncz"
    run(tools, "nc-prune", "-q", "-f", "--keep", ".5", plain, packed)

    def change(directory):
        for tensor in directory["tensors"]:
            if tensor["name"] == "fc1.weight":
                tensor["shape"], tensor["size"] = [2**30, 2**30], 2**62
                tensor.pop("place", None)
    vast = edited(packed, "vast.ncz", change)
    for arguments in (("nc-run", "--data", data("some.h5"), vast), ("nc-verify", vast, vast), ("nc-verify", plain, vast)):
        result = subprocess.run([tools / arguments[0], *arguments[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env=OUTSIDE)
        expect(result.returncode in (1, 65, 69, 75), f"2^60 weights: {arguments[0]}: {result.returncode}: {result.stderr[:200]}")


def sequences():
    """Outputs at several positions are no classes of a sample; what follows a softmax and changes nothing is passed over."""
    layers = [keras.layers.Input((4, 2)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.save(scratch / "positions.h5")
    with h5py.File(scratch / "positions_data.h5", "w") as file:
        file["x"], file["y"] = generator.standard_normal((30, 4, 2)).astype(np.float32), np.arange(30) % 3
    report = run(tools, "nc-run", "--json", "--data", scratch / "positions_data.h5", scratch / "positions.h5")
    expect(report["accuracy"] is None and report["notes"], f"labels for outputs at positions: {report}")
    dense = [keras.layers.Input((8,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    short, long = keras.Sequential(dense), keras.Sequential([*dense, keras.layers.Flatten(), keras.layers.Dropout(.5)])
    for layer in short.layers:
        layer.set_weights([generator.standard_normal(w.shape) for w in layer.get_weights()])
    labels, reports = data("labels.h5", y=np.arange(40) % 3), []
    for name, model in (("short.h5", short), ("long.h5", long)):
        model.save(scratch / name)
        reports.append(run(tools, "nc-run", "--json", "--data", labels, scratch / name))
    expect(reports[0] == reports[1] and reports[0]["accuracy"] is not None, f"softmax, then flatten: {reports}")
    report = verdict("softmax, then flatten", "no tolerance", 0, "--measure", "outputs", "--data", labels, scratch / "short.h5", scratch / "long.h5")
    expect(report and report["parts"][0]["outputs"]["relative_error"] == 0, "softmax, then flatten: another function")


def answers():
    """Labels and targets that do not fit are said not to."""
    plain = network("plain.h5")
    one_hot = np.eye(3)[np.arange(40) % 3]
    one_hot[7] = 0
    for what, y in {"a NaN": np.where(np.arange(40) == 5, np.nan, 1), "a row of zeros": one_hot, "another width": np.ones((40, 7))}.items():
        path = data("answers.h5", y=y)
        report = run(tools, "nc-run", "--json", "--data", path, plain)
        expect(report["accuracy"] is None and len(report["notes"]) == 2, f"nc-run, {what}: {report}")
        report = verdict(f"nc-verify, {what}", "equal", 0, "--data", path, plain, plain)
        expect(report and any("answers.h5: y" in note for note in report["notes"]), f"nc-verify, {what}: {report and report['notes']}")


def main():
    for check in (weights, histories, functions, shapes, sequences, answers):
        check()
    return finish()


if __name__ == "__main__":
    sys.exit(main())
