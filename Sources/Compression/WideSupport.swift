/// Returns the support of a group of doubles by sorting all of its magnitudes: the plain form of `optimalSupport` and
/// `largestSupport`, for weights that float arithmetic cannot hold. The order of `magnitudes` is lost.
///
/// Magnitudes are divided by a power of two near the largest before they are summed and squared, so that nothing
/// overflows.
func support(ofSorting magnitudes: inout UnsafeMutableBufferPointer<Double>, rule: TernaryRule) -> Support {
  magnitudes.sort(by: >)
  guard let largest = magnitudes.first, largest > 0 else { return .empty }
  let unit = largest.binade
  let nonzero = magnitudes.firstIndex(of: 0) ?? magnitudes.count
  var sum = 0.0
  switch rule {
  case .optimal:
    var objective = 0.0
    var support = Support.empty
    for i in 0..<nonzero {
      sum += magnitudes[i] / unit
      let next = i + 1 < magnitudes.count ? magnitudes[i + 1] : 0
      if next == magnitudes[i] { continue }
      let value = sum * sum / Double(i + 1)
      if value > objective {
        objective = value
        support = Support(above: next, count: i + 1, mean: sum / Double(i + 1) * unit)
      }
    }
    return support
  case .sparsity(let sparsity):
    let count = min(nonzero, magnitudes.count - sparsity.floor(of: magnitudes.count))
    if count == 0 { return .empty }
    for i in 0..<count { sum += magnitudes[i] / unit }
    let next = count < magnitudes.count ? magnitudes[count] : 0
    let last = magnitudes[count - 1]
    let ties = next == last ? count - (magnitudes.firstIndex(of: last) ?? 0) : 0
    return Support(above: next, ties: ties, count: count, mean: sum / Double(count) * unit)
  }
}
