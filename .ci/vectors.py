# SPDX-License-Identifier: Apache-2.0
"""Prints test vectors of spec/ncz-v1.md, 3.1, 4.7 and 4.8, from the words of the text alone (needs NumPy)."""
import hashlib
import numpy


def pattern(n):
    """n bytes: the high bytes of a linear congruential generator's 32-bit states, 1 first."""
    state, out = 1, bytearray()
    for _ in range(n):
        state = (1664525 * state + 1013904223) % 2**32
        out.append(state >> 24)
    return bytes(out)


def key():
    digests = b"".join(hashlib.sha256(b"ncz digest key %d" % i).digest() for i in range(130))
    return numpy.frombuffer(digests, "<u4")[:1036].astype(numpy.uint32)


def fold(values, k=None):
    k, sums = key() if k is None else k, []
    for start in range(0, len(values), 4096):
        piece = values[start:start + 4096]
        w = numpy.frombuffer(piece + bytes(-len(piece) % 8), "<u4").astype(numpy.uint32)
        for t in range(4):
            a = (w + k[4 * t:4 * t + len(w)]).astype(numpy.uint64)
            sums.append(int((a[0::2] * a[1::2]).sum(dtype=numpy.uint64)))
    return sums


def digest(kind, shape, values):
    text = f"ncz tensor {kind}[{','.join(map(str, shape))}] {len(values)}\n".encode()
    return hashlib.sha256(text + b"".join(h.to_bytes(8, "little") for h in fold(values))).hexdigest()[:32]


def rans(groups, frequencies, l):
    """One block: lists of symbols, and the frequencies of each list's symbols as a dictionary."""
    lanes, out = 2**l, bytearray([l])
    for symbols, table in zip(groups, frequencies):
        if not symbols:
            continue
        first, last = min(table), max(table)
        out += bytes([first, last - first])
        for s in range(first, last + 1):
            f = table.get(s, 0)
            out += bytes([f]) if f < 128 else bytes([128 | f % 128, f // 128])
    states, words = [2**15] * lanes, []
    for symbols, table in reversed(list(zip(groups, frequencies))):
        for j in reversed(range(len(symbols))):
            f = table[symbols[j]]
            start = sum(g for s, g in table.items() if s < symbols[j])
            x = states[j % lanes]
            while x >= 2**19 * f:
                words.insert(0, x % 2**16)
                x //= 2**16
            states[j % lanes] = 4096 * (x // f) + x % f + start
    for x in states:
        out += x.to_bytes(4, "little")
    for word in words:
        out += word.to_bytes(2, "little")
    return bytes(out)


def output(seed, k):
    z = (seed + (k + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z // 2**30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z // 2**27) * 0x94D049BB133111EB % 2**64
    return z ^ z // 2**31


def trit(seed, threshold, n):
    u = output(seed, n // 4) // 2**(16 * (n % 4)) % 2**16
    return 0 if u // 2 >= threshold else -1 if u % 2 else 1


if __name__ == "__main__":
    print("key", key()[:2], key()[-2:])
    for n in [1, 8, 20, 4096, 4097, 9000]:
        print("fold", n, [f"{h:016x}" for h in fold(pattern(n))][-4:])
    simple = (numpy.arange(1, 1037, dtype=numpy.uint64) * 0x9E3779B9 % 2**32).astype(numpy.uint32)
    for n in [1, 8, 20, 4096, 4097]:
        print("fold with a simple key", n, [f"{h:016x}" for h in fold(pattern(n), simple)][-4:])
    for kind, shape, n in [("float32", [784, 300], 940800), ("uint8", [0], 0), ("float32", [], 4), ("int8", [3, 3], 9)]:
        print("digest", kind, shape, digest(kind, shape, pattern(n)))
    symbols = [b % 4 + 126 for b in pattern(21)]
    table = {126: 1000, 127: 100, 128: 2996}
    print("rans", rans([[126, 127, 128, 128, 127, 126, 128]], [table], 0).hex(" "))
    table = {126: 1024, 127: 1023, 128: 1025, 129: 1024}
    for l in [0, 1, 2]:
        print("rans", l, symbols, rans([symbols], [table], l).hex(" "))
    print("rans groups", rans([[7, 7, 7], [], [3, 5, 3]], [{7: 4096}, {}, {3: 4000, 5: 96}], 1).hex(" "))
    table = {126: 1000, 127: 1000, 128: 1596, 129: 500}
    print("rans of 0 1 -1 0 0 -2", rans([[128, 129, 127, 128, 128, 126]], [table], 0).hex(" "))
    for seed, threshold in [(0x0123456789abcdef, 16384), (0, 2**15)]:
        trits = [trit(seed, threshold, n) for n in range(300 * 784)]
        print("seeded", f"{seed:016x}", threshold, [f"{output(seed, k):016X}" for k in range(2)], "".join("0+-"[t] for t in trits[:16]),
              sum(t != 0 for t in trits), digest("float32", [300, 784], numpy.array(trits, "<f4").tobytes()))
