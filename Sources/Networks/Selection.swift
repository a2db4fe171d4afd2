internal import Tensors

/// Which tensors a tool changes: those that match one of `only` (all, when there is none) and none of `except`.
public struct Selection: Sendable {
  private let only: [String]
  private let except: [String]

  public init(only: [String] = [], except: [String] = []) {
    self.only = only
    self.except = except
  }

  func includes(_ name: TensorName) -> Bool {
    (only.isEmpty || insists(on: name)) && !excepts(name)
  }

  /// Whether the tensor was excepted by name.
  func excepts(_ name: TensorName) -> Bool { except.contains { matches(name, $0) } }

  /// Whether the tensor was asked for by `only`.
  func insists(on name: TensorName) -> Bool { only.contains { matches(name, $0) } }

  /// Refuses a pattern that matches no name; `*` means all there are, also none.
  func check(_ names: [TensorName]) throws(NetworkError) {
    for pattern in only + except where pattern != "*" && !names.contains(where: { matches($0, pattern) }) {
      throw NetworkError(.usage, "no tensor matches \(pattern)")
    }
  }
}

/// Whether `name` matches a glob: `*` stands for any characters (also `/`), `?` for one, `[abc]`, `[a-z]` and `[!a]` for one
/// of a set. Time is at most the product of the lengths.
func matches(_ name: TensorName, _ glob: String) -> Bool {
  let text = Array(name.text.unicodeScalars)
  let pattern = Array(glob.unicodeScalars)
  var (t, p) = (0, 0)
  // Where to resume when a match fails: after the last star, one character of text further.
  var star: (pattern: Int, text: Int)?
  while t < text.count {
    if p < pattern.count, pattern[p] == "*" {
      star = (p, t)
      p += 1
    } else if p < pattern.count, let next = matchOne(text[t], pattern, p) {
      p = next
      t += 1
    } else if let resume = star {
      star = (resume.pattern, resume.text + 1)
      p = resume.pattern + 1
      t = resume.text + 1
    } else {
      return false
    }
  }
  return pattern[p...].allSatisfy { $0 == "*" }
}

/// Where the pattern goes on after its element at `p` matched one character; nothing when it does not match.
private func matchOne(_ character: Unicode.Scalar, _ pattern: [Unicode.Scalar], _ p: Int) -> Int? {
  // A bracket that comes first in a set is one of its characters.
  let first = p + 1 < pattern.count && pattern[p + 1] == "!" ? p + 2 : p + 1
  guard pattern[p] == "[", let end = pattern[min(first, pattern.count)...].dropFirst().firstIndex(of: "]") else {
    return pattern[p] == "?" || pattern[p] == character ? p + 1 : nil
  }
  var set = pattern[(p + 1)..<end]
  let isNegated = set.first == "!"
  if isNegated { set = set.dropFirst() }
  var found = false
  while let low = set.first {
    if set.count >= 3, set[set.startIndex + 1] == "-" {
      let high = set[set.startIndex + 2]
      found = found || (low <= character && character <= high)
      set = set.dropFirst(3)
    } else {
      found = found || low == character
      set = set.dropFirst()
    }
  }
  return found != isNegated ? end + 1 : nil
}
