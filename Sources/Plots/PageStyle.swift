// SPDX-License-Identifier: Apache-2.0

/// The style sheet of a page: light or dark as the reader's system is, light on paper.
let pageStyle = """
  :root { --page: #ffffff; --text: \(Ink.text); --faint: \(Ink.faint); --line: #d0d7de; --row: #e3e6ea;
    --good: #17693a; --good-page: #eaf6ee; --bad: #b3211d; --bad-page: #fdeeec; --neutral-page: #f3f5f7; }
  * { box-sizing: border-box; }
  html { -webkit-text-size-adjust: 100%; }
  body { margin: 0; background: var(--page); color: var(--text);
    font: 15px/1.5 \(SVG.typefaces); overflow-wrap: anywhere; }
  main { max-width: 1200px; margin: 0 auto; padding: 32px 40px 56px; }
  h1 { font-size: 25px; line-height: 1.25; font-weight: 650; margin: 0 0 18px; letter-spacing: -0.01em; }
  h2 { font-size: 18px; line-height: 1.3; font-weight: 650; margin: 40px 0 12px; padding-top: 14px;
    border-top: 1px solid var(--line); }
  h3 { font-size: 14px; line-height: 1.35; font-weight: 600; margin: 0 0 6px; }
  p { margin: 0 0 12px; max-width: 46em; }
  .verdict { display: flex; gap: 12px; align-items: flex-start; margin: 0 0 20px; padding: 14px 18px;
    border: 1px solid; border-left-width: 6px; border-radius: 4px; font-size: 17px; line-height: 1.4; }
  .verdict strong { font-weight: 600; color: var(--text); min-width: 0; }
  .verdict svg { flex: none; width: 22px; height: 22px; margin-top: 1px; }
  .good { color: var(--good); background: var(--good-page); }
  .bad { color: var(--bad); background: var(--bad-page); }
  .neutral { color: var(--faint); background: var(--neutral-page); }
  .scroll { overflow-x: auto; margin: 0 0 20px; }
  table { border-collapse: collapse; font-size: 14px; line-height: 1.4; }
  th, td { padding: 6px 14px; text-align: left; vertical-align: top; white-space: nowrap;
    border-bottom: 1px solid var(--row); }
  th:first-child, td:first-child { padding-left: 6px; }
  thead th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid \(Ink.axis); }
  tbody th { font-weight: 400; }
  small { display: block; font-size: 12.5px; line-height: 1.35; color: var(--faint); white-space: normal;
    min-width: 13em; max-width: 30em; }
  .facts th { color: var(--faint); }
  .long { min-width: 13em; max-width: 34em; white-space: normal; overflow-wrap: anywhere; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .marked { background: var(--bad-page); }
  .marked th, .marked td { font-weight: 600; }
  .figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 10px 36px;
    margin: 0 0 20px; }
  .beside { display: grid; grid-template-columns: minmax(0, 1fr) 360px; gap: 10px 36px; align-items: start; }
  figure { margin: 0 0 22px; min-width: 0; }
  .figures figure { display: grid; grid-template-rows: subgrid; grid-row: span 2; }
  figure h3 { align-self: end; }
  figure svg { display: block; width: 100%; max-width: 420px; height: auto; }
  figcaption { margin-top: 8px; font-size: 13px; line-height: 1.45; color: var(--faint); max-width: 420px; }
  details { margin: 0 0 20px; }
  summary { cursor: pointer; padding: 6px 0; font-weight: 600; }
  @media (max-width: 900px) { .beside { grid-template-columns: minmax(0, 1fr); } }
  @media (max-width: 600px) { main { padding: 18px 16px 40px; } h1 { font-size: 21px; }
    th, td { padding: 6px 8px; } }
  @media screen and (prefers-color-scheme: dark) {
    :root { --page: #0f1419; --text: #e6edf3; --faint: #9aa4af; --line: #3d444d; --row: #2b323a;
      --good: #56c27d; --good-page: #10251a; --bad: #ff8a80; --bad-page: #331513; --neutral-page: #1a2027; }
  \(darkInk)
  }
  @page { margin: 14mm; }
  @media print {
    main { padding: 0; max-width: none; }
    body { font-size: 10.5pt; }
    table { font-size: 8.5pt; }
    th, td { padding: 4px 8px; }
    td:not(.number) { white-space: normal; }
    small { font-size: 7.5pt; min-width: 0; }
    .scroll { overflow: visible; }
    .beside { grid-template-columns: minmax(0, 1fr) 250px; gap: 10px 16px; }
    figure, .verdict, .beside, tr { break-inside: avoid; }
    h2, h3, h2 + p { break-after: avoid; }
    * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  }
  """

/// Colours of pictures that would be too dark or too bright on a dark page, and what takes their place.
private let darkInk = [
  (Ink.text, "#e6edf3"), (Ink.faint, "#9aa4af"), (Ink.axis, "#6e7681"), (Ink.grid, "#2b323a"), ("#ffffff", "#0f1419"),
  ("#d0d7de", "#3d444d"), (Style[0].fill, "#2a4f6e"), (Style[1].colour, "#f0718f"), (Style[2].fill, "#5c451a"),
  (Style[3].colour, "#6fbf97"),
].map { "    [fill=\"\($0)\"] { fill: \($1); } [stroke=\"\($0)\"] { stroke: \($1); }" }.joined(separator: "\n  ")
