// SPDX-License-Identifier: Apache-2.0

package import Tensors

/// Which weight matrices a tool changes: of dense layers, and of the kinds of `include`, those that match one of `only`
/// (all, when there is none) and none of `except`.
///
/// Globs choose among what the tools can change; see `NetworkFile.choose(by:)`.
public struct Selection: Sendable {
  fileprivate let only: [String]
  fileprivate let except: [String]
  /// Some of `TensorRole.includable`.
  let include: Set<TensorRole>

  public init(only: [String] = [], except: [String] = [], include: Set<TensorRole> = []) {
    self.only = only
    self.except = except
    self.include = include
  }

  /// Whether nothing was said.
  public var isDefault: Bool { only.isEmpty && except.isEmpty && include.isEmpty }

  package func includes(_ name: TensorName) -> Bool {
    (only.isEmpty || insists(on: name)) && !excepts(name)
  }

  /// Whether the tensor was excepted by name.
  package func excepts(_ name: TensorName) -> Bool { except.contains { matches(name, $0) } }

  /// Whether the tensor was asked for by `only`.
  package func insists(on name: TensorName) -> Bool { only.contains { matches(name, $0) } }
}

/// The matrices that a selection leaves to be changed, and what to say about what it does not reach.
package struct Choice {
  /// By index.
  package var tensors: Set<Int>
  package var notes: [String]

  package init(tensors: Set<Int> = [], notes: [String] = []) {
    (self.tensors, self.notes) = (tensors, notes)
  }
}

extension NetworkFile {
  /// The tensors that a compressor takes: unasked dense weight matrices, with `--include` those of other kinds, and with
  /// `--only` also matrices of unknown role.
  ///
  /// Globs choose among matrices: floating-point tensors of rank 2 that are weights of dense layers or of which nobody
  /// knows what they are, and those of the kinds included. Everything else, such as vectors and training state, is not
  /// reached; how many matches were passed over is noted.
  ///
  /// - Throws: `.usage` for a pattern of `--only` that matches no matrix, or of `--except` that matches nothing (`*`
  ///   means all there are, also none); `.unsupported` for a chosen matrix whose values cannot be read, or of which
  ///   nothing says which way round it is stored.
  package func choose(by selection: Selection) throws(NetworkError) -> Choice {
    func reason(_ tensor: TensorRecord) -> String? { tensor.reasonNotChosen(including: selection.include) }
    /// The first few tensors with what they are.
    func list(_ tensors: [TensorRecord]) -> String {
      let shown = tensors.prefix(3).map { "\($0.name) (\(reason($0) ?? "matrix"))" }.joined(separator: ", ")
      return shown + (tensors.count > 3 ? ", …" : "")
    }
    let matrices = tensors.indices.filter { reason(tensors[$0]) == nil }
    for (option, patterns) in [("--only", selection.only), ("--except", selection.except)] {
      for pattern in patterns where pattern != "*" {
        let others = tensors.filter { matches($0.name, pattern) }
        if others.isEmpty, !sealed.contains(where: { matches($0.name, pattern) }) {
          throw NetworkError(
            .usage, "\(option): no tensor matches \(pattern); there are \(abbreviated(tensors.map(\.name)))")
        }
        // What is excepted may be what nobody would change.
        if option == "--only", !others.isEmpty, others.allSatisfy({ reason($0) != nil }) {
          throw NetworkError(.usage, "--only: \(pattern) matches no weight matrix: \(list(others))")
        }
      }
    }
    if let matrix = sealed.first(where: { selection.includes($0.name) }) {
      throw NetworkError(
        .unsupported, "\(matrix.name): \(matrix.reason)", remedy: .carry(matrix.name))
    }
    if let open = tensors.first(where: {
      $0.isAmbiguous && selection.insists(on: $0.name) && selection.includes($0.name)
    }) {
      throw NetworkError(
        .unsupported,
        "\(open.name): its orientation is not known", remedy: .orientation)
    }
    var choice = Choice()
    choice.tensors = Set(
      matrices.filter {
        selection.includes(tensors[$0].name) && (tensors[$0].role != .other || selection.insists(on: tensors[$0].name))
      })
    for role in TensorRole.includable where selection.include.contains(role) {
      if !matrices.contains(where: { tensors[$0].role == role }) {
        choice.notes.append("--include \(role.rawValue): there is no such matrix")
      }
    }
    let matched = tensors.filter { selection.insists(on: $0.name) && selection.includes($0.name) }
    let others = matched.filter { reason($0) != nil }
    if !others.isEmpty {
      choice.notes.append(
        "--only: \(others.count) of \(matched.count) matches are not weight matrices and stay as they are: \(list(others))"
      )
    }
    return choice
  }

}

extension TensorRecord {
  /// Whether it can be seen as a matrix of outputs × inputs.
  package var isMatrix: Bool { type.isFloat && axes.isMatrix }

  /// Whether compressors take it unasked.
  package var isDenseMatrix: Bool { role == .kernel && shape.rank == 2 && isMatrix }

  /// Whether compressors take it where they are told to include tensors of its role.
  package var isIncludable: Bool { TensorRole.includable.contains(role) && isMatrix }

  /// Why no compressor takes a tensor, in a few words; `nil` for a matrix that can be taken.
  func reasonNotChosen(including included: Set<TensorRole>) -> String? {
    switch role {
    case .kernel, .other: break
    case .embedding, .convolution, .recurrent, .attention:
      if !type.isFloat { break }
      if !isMatrix { return "\(role.rawValue), \(reason ?? "no matrix")" }
      if !included.contains(role) { return "\(role.rawValue): --include \(role.rawValue) takes it" }
    case .bias: return "bias"
    case .normalization: return "normalization"
    case .optimizer: return "training state"
    }
    if !type.isFloat { return type.rawValue }
    if role == .kernel || role == .other, shape.rank != 2 { return "rank \(shape.rank)" }
    if !isMatrix { return "no matrix" }
    return isReplaceable ? nil : "stored inside an object header"
  }

  /// Whether other values can be put in its place, if it has one; not those inside an object header.
  package var isReplaceable: Bool { place != nil || path == nil || size == 0 }
}

/// Whether `name` matches a glob: `*` stands for any characters (also `/`), `?` for one, `[abc]`, `[a-z]` and `[!a]`
/// for one of a set. Time is at most the product of the lengths.
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

/// Where the pattern goes on after its element at `p` matched one character; `nil` when it does not match.
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
