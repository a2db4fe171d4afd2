// SPDX-License-Identifier: Apache-2.0

package import HDF5
internal import JSON
package import Tensors

// The toolkit's own layout of networks in HDF5 (`spec/network-hdf5.md` §6), written from any network.

/// What the root of a plain file says.
package enum PlainFormat {
  /// The text attribute `format`.
  package static let name = "nc-plain"

  /// The text attribute of a matrix of another layer than a dense one, which says its axes.
  package static let axes = "axes"

  /// HDF5 gives an attribute, with its header, no more than 64 KiB.
  private static let maxTextBytes = 60_000

  /// The network as `network`; where it is too long for one attribute, as `network0`, `network1`, …, like Keras's lists.
  package static func texts(of network: Network) -> [NewFile.Text] {
    var parts: [String] = []
    var part: [UInt8] = []
    for scalar in String(decoding: network.json.canonical().serialized(), as: UTF8.self).unicodeScalars {
      let bytes = UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
      if part.count + bytes.count > maxTextBytes {
        parts.append(String(decoding: part, as: UTF8.self))
        part = []
      }
      part += bytes
    }
    parts.append(String(decoding: part, as: UTF8.self))
    guard parts.count > 1 else { return [NewFile.Text("network", parts[0])] }
    return parts.enumerated().map { NewFile.Text("network\($0)", $1) }
  }
}

/// Where each tensor lies in a plain file.
package struct PlainPlaces {
  /// A path, and how many of its groups tensors before have already.
  package typealias Place = (path: [LinkName], known: Int)
  private var places: [Place] = []

  package subscript(index: Int) -> Place { places[index] }

  private struct Link: Hashable {
    let parent: Int
    let name: LinkName
  }

  package init(of tensors: [TensorRecord]) throws(NetworkError) {
    // Groups are numbered; the root is 0.
    var groups: [Link: Int] = [:]
    var parents: [Int] = []
    for tensor in tensors {
      let path = tensor.plainPath
      guard path.count <= 1024 else {
        throw NetworkError(.overLimit, "\(tensor.name): groups nested more than 1024 deep")
      }
      var parent = 0
      var known = 0
      for name in path.dropLast() {
        let link = Link(parent: parent, name: name)
        if let group = groups[link] {
          known += 1
          parent = group
        } else {
          parent = groups.count + 1
          groups[link] = parent
        }
      }
      places.append((path, known))
      parents.append(parent)
    }
    var taken = Set(groups.keys)
    var numbers: [Link: Int] = [:]
    for (index, parent) in parents.enumerated() {
      guard let name = places[index].path.popLast() else { continue }
      let wanted = Link(parent: parent, name: name)
      var link = wanted
      while !taken.insert(link).inserted {
        numbers[wanted, default: 1] += 1
        link = Link(parent: parent, name: name + "_\(numbers[wanted, default: 1])")
      }
      places[index].path.append(link.name)
    }
  }
}

extension TensorRecord {
  /// What a plain file says of it.
  package var plainTexts: [NewFile.Text] {
    [NewFile.Text("role", role.rawValue)]
      + (TensorRole.includable.contains(role) ? [NewFile.Text(PlainFormat.axes, axes.plainText)] : [])
  }

  /// `LAYER/kernel`, `LAYER/weight` or the tensor's name, whoever else may have the same.
  fileprivate var plainPath: [LinkName] {
    var path: [LinkName]
    switch role {
    case .optimizer, .other: path = LinkName.path(name)
    case .kernel, .bias, .embedding, .convolution, .recurrent, .attention, .normalization:
      let (layer, weight) = WeightName.split(name)
      path =
        isDenseMatrix
        ? LinkName.path(layer.isEmpty ? weight : layer) + LinkName.path(isTransposed ? "kernel" : "weight")
        : LinkName.path(layer) + LinkName.path(weight)
    }
    return path.isEmpty ? LinkName.path("_") : path
  }
}

extension Datatype {
  /// Little-endian; bfloat16 as a float of 8 exponent and 7 mantissa bits.
  package init(_ type: ElementType) {
    self =
      switch type {
      case .int8, .int16, .int32, .int64: .integer(size: type.byteCount, signed: true, bigEndian: false)
      case .uint8, .uint16, .uint32, .uint64: .integer(size: type.byteCount, signed: false, bigEndian: false)
      case .float16: .float(size: 2, exponentBits: 5, mantissaBits: 10, bias: 15, bigEndian: false)
      case .bfloat16: .float(size: 2, exponentBits: 8, mantissaBits: 7, bias: 127, bigEndian: false)
      case .float32: .float(size: 4, exponentBits: 8, mantissaBits: 23, bias: 127, bigEndian: false)
      case .float64: .float(size: 8, exponentBits: 11, mantissaBits: 52, bias: 1023, bigEndian: false)
      }
  }
}

extension NetworkError {
  /// Of libhdf5 writing a new file: what the system refuses, it refuses the output.
  package init(writing error: HDF5Error) {
    if case .io(let message) = error { self.init(.output, message) } else { self.init(error) }
  }
}

package func written<Result: ~Copyable>(
  _ work: () throws(HDF5Error) -> Result
) throws(NetworkError) -> Result {
  do throws(HDF5Error) { return try work() } catch { throw NetworkError(writing: error) }
}
