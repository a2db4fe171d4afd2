// SPDX-License-Identifier: Apache-2.0

import CLoops
import Glibc
import Maths
import Random
import Tensors

/// Times products of ternary weights that count bits, and the sgemm of OpenBLAS for the same product.
///
/// OpenBLAS is given the kernels that are made for the processor, or for what `--level` leaves of it, unless
/// `OPENBLAS_CORETYPE` names others: it does not know processors that are newer than itself, and takes them for old ones.
func measurePlanes(into bench: inout Measurements) throws {
  let names = [Measurements.sgemm] + Measurements.otherProducts + ["planes: vector", "planes: made"]
  guard names.contains(where: bench.wants) else { return }
  let (side, samples) = (4096, 64)
  let bytes = 4 * side * side
  let square = "\(side)×\(side)"
  var random = SplitMix64(seed: 7)
  let weights = random.floats(.gaussian, side * side)
  var codes = [UInt8](repeating: 0, count: side * side / 4)
  for row in 0..<side {
    weights.withUnsafeBufferPointer { weights in
      guard let weights = weights.baseAddress else { return }
      _ = nc_ternary_pack(weights + row * side, side, 0.6, &codes, row * side)
    }
  }
  guard
    let matrix = TernaryMatrix(
      rows: side, columns: side, group: .row, codes: codes, scales: [Double](repeating: 0.5, count: side)),
    let planes = TernaryPlanes(matrix)
  else { fatalError("codes that are none") }
  bench.add(names[4], square, bytes: bytes) { _ = TernaryPlanes(matrix) }

  var works: [(name: String, data: String, work: () -> Void)] = []
  if let sgemm = SGEMM() {
    let (dense, x) = (weights, random.floats(.gaussian, samples * side))
    var y = [Float](repeating: 0, count: samples * side)
    works.append(
      (
        names[0], "\(square), \(samples) samples, kernels for \(sgemm.kernels)",
        { sgemm.multiply(x, dense, side, to: &y) }
      ))
  }
  var out = [Double](repeating: 0, count: samples * side)
  for levels in [[-1, 1], [-1.2, 0.1, 1], [-2, -1, 0.5, 1], [-2, -1, 0, 1, 2.5]] as [[Double]] {
    let x = (0..<samples * side).map { _ in levels[Int(random.next() % UInt64(levels.count))] }
    works.append(
      (
        names[1], "\(square), \(samples) samples, \(levels.count) levels",
        {
          let areLevels = planes.multiply(x, count: samples, levels: levels, to: &out)
          precondition(areLevels.allSatisfy { $0 }, "inputs that are no levels")
        }
      ))
  }
  bench.addByTurns(works, bytes: bytes)

  // What inputs of other values take: panels of samples, to which trits add.
  let lanes = Int(nc_panel_lanes)
  let panel = random.floats(.gaussian, lanes * side).map(Double.init)
  bench.add(names[2], "\(square), \(samples) samples, any values", bytes: bytes) {
    for _ in 0..<samples / lanes {
      for row in 0..<side {
        codes.withUnsafeBufferPointer { codes in
          guard let codes = codes.baseAddress else { return }
          nc_ternary_product(codes + row * side / 4, side / 4, 0, side, panel, &out)
        }
      }
    }
  }
  let vector = random.floats(.gaussian, side)
  bench.add(names[3], "\(square), 1 sample of floats", bytes: bytes) {
    precondition(planes.multiply(vector) != nil, "inputs that are not finite")
  }
}

/// A product of OpenBLAS that the tools do not use.
private struct SGEMM {
  private typealias CoreName = @convention(c) () -> UnsafePointer<CChar>
  private typealias Product =
    @convention(c) (
      UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafePointer<Int32>, UnsafePointer<Int32>, UnsafePointer<Int32>,
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Int32>,
      UnsafePointer<Float>, UnsafeMutablePointer<Float>, UnsafePointer<Int32>, Int, Int
    ) -> Void

  private let sgemm: Product
  /// The processor that the kernels are made for.
  let kernels: String

  /// `nil` where OpenBLAS is not installed.
  init?() {
    setenv("OPENBLAS_NUM_THREADS", "1", 1)
    setenv("OPENBLAS_CORETYPE", ["Prescott", "Haswell", "SkylakeX"][Int(nc_level())], 0)
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW), let sgemm = dlsym(library, "sgemm_"),
      let coreName = dlsym(library, "openblas_get_corename")
    else { return nil }
    self.sgemm = unsafeBitCast(sgemm, to: Product.self)
    kernels = String(cString: unsafeBitCast(coreName, to: CoreName.self)())
  }

  /// Y = W·Xᵀ, W of `side` × `side`: the transpose of what `TernaryPlanes` makes, and no slower than that.
  func multiply(_ x: [Float], _ weights: [Float], _ side: Int, to y: inout [Float]) {
    let (n, count) = (Int32(side), Int32(x.count / side))
    sgemm("T", "N", [count], [n], [n], [1], x, [n], weights, [n], [0], &y, [count], 1, 1)
  }
}
