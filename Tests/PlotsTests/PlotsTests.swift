// SPDX-License-Identifier: Apache-2.0

import Plots
import Testing

@Suite struct PlotsTests {
  private func chart(_ title: String) -> Chart {
    Chart(
      title: title,
      curves: [
        .init("magnitude", points: [(0.01, 1), (0.1, 0.5), (1, 0)]),
        .init("node", points: []),
        .init("Gaussian", points: [(0.01, 0.9), (1, 0)], isReference: true),
      ])
  }

  private func sheet(_ title: String) -> ChartSheet {
    ChartSheet(title: title, xLabel: "kept", yLabel: "error", least: 0.01, main: chart(title))
  }

  private func sample(_ title: String) -> String {
    var sheet = sheet(title)
    sheet.charts = [chart(title)]
    sheet.bytes = (title, 1000)
    sheet.heatMap = HeatMap(title: title, xs: [0.01, 0.1, 1], rows: [(title, [1, 0.5, .nan])])
    return sheet.svg
  }

  /// The corners of the large chart are where the axes say: x .01 at its left edge, y 1 at its top.
  @Test func pointsLieOnTheAxes() {
    let lines = sheet("net").svg.split(separator: "\n").filter { $0.hasPrefix("<polyline") }
    // Two in the legend, where what has no points is left out, and two in the chart.
    #expect(lines.count == 4)
    #expect(lines[2].contains("points=\"58,94 338,244 618,394\""))
    #expect(lines[3].contains("stroke-dasharray=\"4 3\""))
  }

  /// The second scale ends with the bytes at x = 1.
  @Test func bytesAreAScaleToo() throws {
    let texts = try #require(Markup(sample("net"))).texts
    #expect(texts.contains("1 kB") && texts.contains("10 B") && texts.contains("100 B"))
  }

  /// Neighbours of one shade are one rectangle; of what is no number, grey.
  @Test func heatMapTellsValues() throws {
    var sheet = sheet("net")
    sheet.heatMap = HeatMap(title: "map", xs: [0.01, 0.1, 1], rows: [("a", [1, 1, 0]), ("b", [.nan, 0, 0])])
    let markup = try #require(Markup(sheet.svg))
    let cells = markup.attributes.filter { $0.name == "fill" }.map(\.value)
    #expect(cells.count { $0 == "#08306b" } == 2)
    #expect(cells.count { $0 == "#f3f7fb" } == 3)
    #expect(cells.count { $0 == "#9a9a9a" } == 1)
    #expect(markup.texts.contains("a") && markup.texts.contains("b"))
  }

  private func sizes(_ name: String, count: Int) -> SizeChart {
    SizeChart(
      title: name, names: ("before", "after"),
      parts: (1...count).map { .init("\(name) \($0)", before: 100 * $0, after: 10 * $0) },
      others: [.init("structure", before: nil, after: 7)])
  }

  /// The largest are named, the others summed, and nothing is left out.
  @Test func sizesAddUp() throws {
    let texts = try #require(Markup(sizes("layer", count: 100).svg)).texts
    let bytes = texts.filter { $0.hasSuffix(" bytes") }.compactMap { Int($0.dropLast(6)) }
    #expect(bytes.reduce(0, +) == 5050 * 110 + 7)
    #expect(texts.contains("layer 81") && !texts.contains("layer 80") && texts.contains("80 further tensors"))
    #expect(texts.contains("10 kB → 1 kB (10.0 %)") && texts.contains("7 B"))
  }

  @Test func largestSizesDoNotTrap() throws {
    let chart = SizeChart(
      title: "net", names: ("before", "after"), parts: (0..<30).map { .init("\($0)", before: .max, after: .max) },
      others: [.init("nothing", before: 0, after: 0)])
    let markup = try #require(Markup(chart.svg))
    #expect(!markup.attributes.contains { $0.value.contains("nan") || $0.value.contains("inf") })
    #expect(Markup(SizeChart(title: "", names: (nil, ""), parts: [], others: []).svg) != nil)
  }

  /// A name cannot leave its text.
  @Test func namesAreText() {
    let title = "</title><script>alert(\"1\")</script>&\u{1}"
    for text in [sample(title), sizes(title, count: 2).svg] {
      #expect(Markup(text) != nil)
      #expect(!text.contains("<script"))
      #expect(text.contains("&lt;script&gt;alert(&quot;1&quot;)"))
      #expect(!text.unicodeScalars.contains("\u{1}"))
    }
  }

  @Test func sameInputSameBytes() {
    #expect(sample("a") == sample("a"))
    #expect(sizes("a", count: 30).svg == sizes("a", count: 30).svg)
  }

  @Test func nothingToShowIsAPictureToo() {
    let sheet = ChartSheet(title: "", xLabel: "", yLabel: "", least: 0.01, main: nil)
    #expect(sheet.svg.contains("nothing to show") && sheet.svg.hasSuffix("</svg>\n"))
  }
}
