#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pairs of networks, and data, for which an answer is easily wrong: nc-verify and nc-run say what is so, and end with its status.

    verdicts.py TOOLS
"""
import tempfile
from oracle import *
from ncz_mutants import Draft, ncz

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
    """A .ncz with another directory, or other payloads; every check is right."""
    draft = Draft(source.read_bytes())
    change(draft)
    (scratch / name).write_bytes(draft.digests().bytes())
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
    report = verdict("two steps", "within tolerance", 0, plain, steps)
    expect(report and {claim["status"] for claim in report["claims"]} == {"holds"}, f"two steps: {report and report['claims']}")
    singular = scratch / "singular.ncz"
    run(tools, "nc-prune", "-q", "-f", "--by", "singular-value", "--keep", ".5", plain, first)
    run(tools, "nc-ternarize", "-q", "-f", first, singular)
    verdict("singular values, then ternary", "within tolerance", 0, plain, singular)
    single = scratch / "single.ncz"
    run(tools, "nc-prune", "-q", "-f", "--keep", ".5", plain, single)
    grid, grids = scratch / "grid.ncz", ("--step 0.5", "--step 0.250", "--step 0", "--step nan", "--step 0.25 --x y", "--bits 4 --scale-per row", "--bits 9", "--levels 4", "--levels 257")
    run(tools, "nc-quantize", "-q", "-f", "--step", ".25", plain, grid)
    verdict("a grid", "within tolerance", 0, plain, grid)
    spelled = ("--max-error -1", "--max-error nan", "--keep 9", "--by singular-value --max-error -1", "--rm", "--keep 0.50", "--max-error 0.30", "--keep 0.5 --x y")
    false = [(steps, options) for options in (*spelled, "--max-error 0.9", "--keep 0.5", "--keep 0.01 --values ternary")]
    false += [(single, options) for options in (*spelled, "--keep 0.1", "--keep 0.5 --values ternary", "--max-error 0.01")]
    false += [(singular, options) for options in ("--by singular-value --keep 0.9", "--by singular-value --max-error 0.01", "--keep 0.5")]
    false += [(grid, options) for options in grids]
    for source, options in false:
        for version, wanted, status in ((None, "differs", 1), ("0.0.0", "within tolerance", 0)):
            def change(draft):
                draft.directory["steps"][0] |= {"options": options} | ({"version": version} if version else {})
            expect(run(tools, "nc-info", "--test", edited(source, "edited.ncz", change)) is not None, options)
            what = f"{source.stem}, history {options}, version {version}"
            report = verdict(what, wanted, status, plain, scratch / "edited.ncz")
            fails = report and [claim for claim in report["claims"] if claim["status"] == "fails"]
            # What another version did, this one may do otherwise: its options refute nothing.
            expect(report and bool(fails) == (version is None) and all(options in claim["reason"] or claim["measured"] is not None for claim in fails), f"{what}: {fails}")
    # A recorded error that is another, of the last step and of the one before.
    for number in (0, 1):
        def change(draft):
            for tensor in draft.directory["tensors"]:
                if len(tensor.get("history", ())) > 1:
                    tensor["history"][number]["error"] *= 1 + 1e-6
        report = verdict(f"the error of step {number}", "differs", 1, plain, edited(steps, "edited.ncz", change))
        expect(report and sum(claim["status"] == "fails" for claim in report["claims"]) == 2, f"the error of step {number}: {report and report['claims']}")


def units():
    """Weights whose squares vanish or overflow, and tensors of norm 0: what is recorded is what is found."""
    random = np.random.default_rng(4)
    for scale in (1e-320, 1e-160, 1e160, 1e300):
        for zeros in (False, True):
            path = scratch / "unit.h5"
            with h5py.File(path, "w") as file:
                file["fc1.weight"], file["fc1.bias"] = random.standard_normal((20, 30)) * scale, np.zeros(20)
                file["fc2.weight"], file["fc2.bias"] = random.standard_normal((5, 20)) * (0 if zeros else scale), np.zeros(5)
            prunings = ("--keep .3", "--keep .3 --values ternary", "--keep .3 --scope network --values ternary", "--by node --keep .5", "--by singular-value --keep .5", "--max-error .5")
            for command in (*(f"nc-prune {options}" for options in prunings), "nc-ternarize", "nc-quantize", "nc-quantize --bits 4", "nc-quantize --levels 4"):
                packed = scratch / "unit.ncz"
                if command == "nc-quantize" and scale == 1e-320:                     # the squares of all errors vanish: no step is found
                    refuses(tools, command, "-q", "-f", path, packed, status=65)
                    continue
                what = f"weights × {scale}{', some zero' if zeros else ''}, {command}"
                try:
                    run(tools, *command.split(), "-q", "-f", path, packed)
                    report = run(tools, "nc-verify", "--json", "--measure", "weights", path, packed)
                    expect(all(claim["status"] == "holds" for claim in report["claims"]), f"{what}: {report['claims']}")
                except RuntimeError as error:
                    expect(False, f"{what}: {error}")
    source, packed = ROOT / "fixtures/networks/node_zero_bias.h5", scratch / "nodes.ncz"
    run(tools, "nc-prune", "-q", "-f", "--by", "node", "--keep", ".5", source, packed)
    report = verdict("biases of norm 0", "within tolerance", 0, source, packed)
    bias = report and next(claim for claim in report["claims"] if claim["tensor"] == "b/bias")
    expect(bias and near(bias["claimed"], np.linalg.norm(ncz.load(packed)["b/bias"]), 1e-8), f"biases of norm 0: {bias}")


def unrelated():
    """Values that differ and that nothing explains are different, as diff, cmp and h5diff have it; and what decides nothing is not asked."""
    plain, other = network("plain.h5"), network("other.h5", fc1_weight=np.random.default_rng(9).standard_normal((6, 8)))
    packed, back = scratch / "back.ncz", scratch / "back.h5"
    compressed(tools, plain, back, ("nc-ternarize",))
    for what, b in (("unrelated", other), ("restored", back)):
        report = verdict(what, "differs", 1, plain, b)
        expect(report and report["failures"] and "no record" in report["sentence"], f"{what}: {report and report['failures']}")
        verdict(f"{what}, --no-verdict", "no verdict", 0, "--no-verdict", plain, b)
        verdict(f"{what}, a limit", "within tolerance", 0, "--measure", "weights", "--max-weight", 9, plain, b)
        refuses(tools, "nc-verify", "--measure", "outputs", plain, b, status=64)
        refuses(tools, "nc-verify", "--no-verdict", "--max-weight", 9, plain, b, status=64)
    size = packed.stat().st_size
    count = sum(np.prod(shape) for shape in ((6, 8), (6,), (3, 6), (3,)))
    for option, value in (("--max-size", size), ("--max-bits", 8 * size / count)):
        for limit, status in ((value, 0), (value * .999 if option == "--max-bits" else value - 1, 1)):
            report = verdict(f"{option} {limit}", "differs" if status else "within tolerance", status, "--measure", "weights", option, repr(float(limit)) if option == "--max-bits" else limit, plain, packed)
            check = report and report["checks"][0]
            expect(check and near(check["measured"], value, 1e-12) and check["holds"] == (status == 0) and near(check["limit"], limit, 1e-12), f"{option}: {check}")
    # Counters and seeds decide nothing; integers that are weights do.
    counters = [network(f"count{n}.h5", fc1_num_batches_tracked=np.int64(n)) for n in (3, 4)]
    for path in counters:
        with h5py.File(path, "r+") as file:
            file["bn.num_batches_tracked"] = file["fc1.num.batches.tracked"][()]
            del file["fc1.num.batches.tracked"]
    report = verdict("counters", "equal but for training state", 0, *counters)
    expect(report and any("bn.num_batches_tracked" in note for note in report["notes"]), f"counters: {report and report['notes']}")


def assumptions():
    """No limit on what a network does passes on one that is only assumed."""
    plain, other, some = network("plain.h5"), network("other.h5", fc1_weight=np.zeros((6, 8))), data("some.h5", y=np.arange(40) % 3)
    packed = scratch / "assumed.ncz"
    run(tools, "nc-prune", "-q", "-f", "--keep", ".9", plain, packed)
    for limit in ("--max-output", "--max-ck", "--max-ntk", "--max-accuracy-loss"):
        for pair in ((plain, plain), (plain, packed), (packed, packed)):
            refuses(tools, "nc-verify", "-q", "--points", 20, "--samples", 200, "--data", some, limit, 1e9, *pair, status=69)
            for stated in (("--activation", "tanh"), ("--order", "fc1,fc2")):
                report = verdict(f"{limit} {stated}", "equal" if pair[0] == pair[1] else "within tolerance", 0, "--data", some, limit, 1e9, *stated, *pair)
                expect(report and any("--activation, --order or --like" in note for note in report["notes"]), f"{stated}: {report and report['notes']}")
    verdict("assumed, without a limit", "within tolerance", 0, "--data", some, plain, packed)
    verdict("assumed, a limit on weights", "differs", 1, "--measure", "weights,outputs", "--max-weight", .1, plain, other)


def rare():
    """Where few of the random inputs carry the error, the standard error is said to mean little."""
    wide = {"fc1_weight": np.eye(8)[:6], "fc1_bias": np.full(6, -2.5), "fc2_weight": np.ones((3, 6)), "fc2_bias": np.ones(3)}
    a = network("rare.h5", **wide)
    b = network("rarer.h5", **(wide | {"fc1_weight": np.concatenate([1.5 * np.eye(8)[:1], np.eye(8)[1:6]])}))
    # One hidden layer has a formula; a third layer, the identity, has none.
    for path in (a, b):
        with h5py.File(path, "r+") as file:
            file["fc3.weight"], file["fc3.bias"] = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    arguments = ("--json", "--measure", "weights,outputs", "--no-verdict", "--activation", "relu")
    for samples, said in ((100, True), (100_000, False)):
        report = run(tools, "nc-verify", *arguments, "--samples", samples, a, b)
        outputs = report["parts"][0]["outputs"]
        expect(outputs["method"] == "Monte Carlo" and any("random inputs" in note for note in report["notes"]) == said and ((outputs["effective_samples"] or 0) < 30) == said,
               f"rare errors, {samples} samples: {outputs}, {report['notes']}")


def not_classes():
    """Labels of a network whose outputs are no classes: an autoencoder's are as many as its inputs."""
    random = np.random.default_rng(8)
    weights = {"fc1_weight": random.standard_normal((6, 40)), "fc2_weight": random.standard_normal((40, 6)), "fc2_bias": np.zeros(40)}
    coder = network("coder.h5", **weights)
    labels = data("coder_data.h5", y=np.arange(60) % 10, count=60, inputs=40)
    report = run(tools, "nc-run", "--json", "--data", labels, coder)
    expect(report["accuracy"] is None and any("classes" in note for note in report["notes"]), f"an autoencoder and labels: {report}")
    report = run(tools, "nc-verify", "--json", "--no-verdict", "--measure", "outputs", "--data", labels, coder, coder)
    outputs = report["parts"][0]["outputs"]
    expect(outputs["accuracy_a"] is None and outputs["agreement"] is None and any("classes" in note for note in report["notes"]), f"an autoencoder and labels: {outputs}, {report['notes']}")
    refuses(tools, "nc-verify", "--activation", "relu", "--max-accuracy-loss", 1, "--data", labels, coder, coder, status=69)
    # The same outputs told apart by labels that use them, or by rows that say so.
    for what, y in (("labels of all outputs", np.arange(60) % 40), ("rows", np.eye(40)[np.arange(60) % 10])):
        report = run(tools, "nc-run", "--json", "--data", data("coder_data.h5", y=y, count=60, inputs=40), coder)
        expect(report["accuracy"] is not None, f"{what}: {report}")
    # Few of many classes, behind a softmax.
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(300, activation="softmax")])
    model.save(scratch / "many.keras")
    report = run(tools, "nc-run", "--json", "--data", data("two.h5", y=np.arange(40) % 2), scratch / "many.keras")
    expect(report["accuracy"] is not None, f"two labels of 300 classes: {report}")


def functions():
    plain, many = network("plain.h5"), data("many.h5", y=np.arange(40) % 3)
    kernel = {"fc2_weight": np.full((3, 6), np.nan)}
    wrong = network("nan.h5", **kernel)
    report = verdict("NaN outputs, labels", "differs", 1, "--activation", "relu", "--data", many, "--max-accuracy-loss", 0, "--measure", "outputs", network("always.h5", fc2_weight=np.zeros((3, 6)), fc2_bias=[1, 0, 0]), wrong)
    expect(report and report["parts"][0]["outputs"]["accuracy_b"] == 0 and report["parts"][0]["outputs"]["agreement"] == 0, "NaN outputs are right")
    report = verdict("kernels that are not finite", "equal", 0, wrong, wrong)
    expect(report and report["parts"][0]["spectrum"] is None and any("kernels" in note for note in report["notes"]), "NaN kernels")
    huge = [network(f"huge{sign}.h5") for sign in (1, -1)]
    for path, sign in zip(huge, (1, -1)):
        with h5py.File(path, "w") as file:
            file["fc1.weight"], file["fc2.weight"] = np.full((6, 8), 1e100), np.full((3, 6), sign * 1e100)
    verdict("weights of 1e100", "differs", 1, "--activation", "relu", "--measure", "outputs", "--max-output", 0, *huge)
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

    def change(draft):
        at = 0
        for tensor in draft.directory["tensors"]:
            parts = tensor.get("parts", 1)
            if tensor["name"] == "fc1.weight":
                tensor |= {"encoding": 3, "parameters": {"rank": 0, "singular_values": []}, "parts": 2, "shape": [2**30, 2**30]}
                tensor.pop("place", None)
                draft.blocks[at:at + parts] = [[], []]
            at += tensor.get("parts", 1)
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
    report = verdict("softmax, then flatten", "no verdict", 0, "--no-verdict", "--measure", "outputs", "--data", labels, scratch / "short.h5", scratch / "long.h5")
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
    for check in (weights, histories, units, unrelated, assumptions, rare, not_classes, functions, shapes, sequences, answers):
        check()
    return finish()


if __name__ == "__main__":
    sys.exit(main())
