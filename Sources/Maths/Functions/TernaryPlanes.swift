// SPDX-License-Identifier: Apache-2.0

internal import CLoops
public import Tensors

/// A ternary matrix in two planes of bits, one that is 1 where a weight is not 0 and one for its sign: products count bits.
///
/// Of inputs that are levels c₀ < c₁ < …, y = s Σₖ cₖ nₖ, s the row's scale and nₖ the sum of the trits of the row whose
/// input is level k: an integer, which is exact (`spec/performance.md`). So results depend neither on the number of
/// threads nor on the processor.
public struct TernaryPlanes: Sendable {
  /// Output units.
  public let rows: Int
  /// Inputs.
  public let columns: Int
  private let planes: [UInt32]
  /// How many weights of each row are +1, and −1.
  private let plus: [Int32]
  private let minus: [Int32]
  /// One for each row.
  private let scales: [Double]

  /// Maximum levels of inputs.
  static let maxLevels = Int(nc_plane_levels)

  /// `nil` for a matrix whose rows have several scales, and for one without weights.
  public init?(_ matrix: TernaryMatrix) {
    (rows, columns) = (matrix.rows, matrix.columns)
    guard rows > 0, (1...Int(Int32.max)).contains(columns) else { return nil }
    switch matrix.group {
    case .tensor: scales = [Double](repeating: matrix.scales[0], count: rows)
    case .row: scales = matrix.scales
    case .inputs: return nil
    }
    let panels = (matrix.rows - 1) / Int(nc_plane_rows) + 1
    var planes = [UInt32](repeating: 0, count: panels * 2 * Int(nc_plane_rows) * Self.words(matrix.columns))
    var (plus, minus) = ([Int32](repeating: 0, count: rows), [Int32](repeating: 0, count: rows))
    nc_ternary_planes(matrix.codes, matrix.rowBytes, rows, columns, &planes, &plus, &minus)
    (self.planes, self.plus, self.minus) = (planes, plus, minus)
  }

  private static func words(_ columns: Int) -> Int { (columns - 1) / Int(nc_plane_columns) + 1 }

  /// Y = X·Wᵀ: X has `count` rows of `columns` numbers, one a sample, Y likewise, without gaps.
  ///
  /// - Parameter levels: two to five finite numbers, ascending.
  /// - Returns: for each sample whether all of its numbers are levels; where they are not, its row of Y means nothing.
  public func multiply(
    _ x: UnsafePointer<Double>, count: Int, levels: [Double], to y: UnsafeMutablePointer<Double>
  ) -> [Bool] {
    precondition((2...Self.maxLevels).contains(levels.count), "two to \(Self.maxLevels) levels")
    let panels = (count + Int(nc_plane_samples) - 1) / Int(nc_plane_samples)
    let size = panels * Int(nc_plane_samples) * (levels.count - 1) * Self.words(columns)
    let inputs = UnsafeMutablePointer<UInt32>.allocate(capacity: size)
    defer { inputs.deallocate() }
    // Samples beyond the last are counted too.
    inputs.initialize(repeating: 0, count: size)
    let areLevels = [Bool](unsafeUninitializedCapacity: count) { areLevels, initialized in
      if let areLevels = areLevels.baseAddress {
        nc_level_planes(x, count, columns, levels, levels.count, inputs, areLevels)
      }
      initialized = count
    }
    nc_planes_product(planes, plus, minus, scales, rows, columns, inputs, count, levels, levels.count, y)
    return areLevels
  }

  /// W x for one vector, whose numbers are rounded to multiples k u of a unit: yᵣ = sᵣ u Σ tᵣⱼ kⱼ, exact in integers.
  ///
  /// u is the power of two with 2²⁹ u ≤ ‖x‖₁ < 2³⁰ u. So an element of y is off by no more than n 2⁻³⁰ s ‖x‖₁ for n
  /// inputs, less than a sum in float32 may be.
  ///
  /// - Parameter x: `columns` numbers.
  /// - Returns: `rows` numbers; `nil` where x has numbers that are not finite.
  public func multiply(_ x: [Float]) -> [Double]? {
    precondition(x.count == columns, "a number for each input")
    let size = Int(nc_plane_room) * Self.words(columns)
    let room = UnsafeMutablePointer<Int32>.allocate(capacity: size)
    defer { room.deallocate() }
    var isFinite = false
    let y = [Double](unsafeUninitializedCapacity: rows) { y, initialized in
      guard let y = y.baseAddress else { return }
      isFinite = nc_planes_vector(planes, scales, rows, columns, x, room, y)
      initialized = isFinite ? rows : 0
    }
    return isFinite ? y : nil
  }
}

extension NetworkFunction {
  /// The levels, ascending, of which a node's numbers are where an activation of few levels makes them; `nil` elsewhere.
  func fewLevels(of node: Int) -> [Double]? {
    guard case .activation(let function) = operations[origin(of: node)], let levels = function.levels,
      (2...TernaryPlanes.maxLevels).contains(levels.count)
    else { return nil }
    return levels
  }
}
