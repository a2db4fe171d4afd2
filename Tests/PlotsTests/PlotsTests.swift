import Plots
import Testing

@Suite struct PlotsTests {
  private func sample(_ title: String) -> String {
    page(
      title: title, xLabel: "keep", yLabel: "error", least: 0.01,
      charts: [
        Chart(
          title: title,
          curves: [
            .init("magnitude", points: [(0.01, 1), (0.1, 0.5), (1, 0)]),
            .init("Gaussian", points: [(0.01, 0.9), (1, 0)], isReference: true),
          ])
      ])
  }

  /// The corners of the frame are where the axes say: keep .01 at its left edge, error 1 at its top.
  @Test func pointsLieOnTheAxes() {
    let lines = sample("net").split(separator: "\n").filter { $0.hasPrefix("<polyline") }
    // Two in the legend, two in the chart.
    #expect(lines.count == 4)
    #expect(lines[2].contains("points=\"58,92 176,177 294,262\""))
    #expect(lines[3].contains("stroke-dasharray=\"4 3\""))
  }

  /// A name cannot leave its text.
  @Test func namesAreText() {
    let text = sample("</title><script>alert(\"1\")</script>&\u{1}")
    #expect(!text.contains("<script"))
    #expect(text.contains("&lt;script&gt;alert(&quot;1&quot;)"))
    #expect(!text.unicodeScalars.contains("\u{1}"))
  }

  @Test func sameInputSameBytes() { #expect(sample("a") == sample("a")) }

  @Test func nothingToShowIsAPageToo() {
    #expect(page(title: "", xLabel: "", yLabel: "", least: 0.01, charts: []).hasSuffix("</svg>\n"))
  }
}
