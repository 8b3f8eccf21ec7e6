// SPDX-License-Identifier: Apache-2.0
// How limbeck compare's page looks. Colours have names, so that light and dark differ in one place.
#pragma once

namespace limbeck {

inline constexpr const char* kCompareStyle = R"css(:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1c2330; --soft: #5b6577; --line: #d5dae3;
  --student: #1f6fd0; --teacher: #d9730d; --gauss: #6d54c8; --laplace: #158f7c;
  --heat: #0d4f9e; --on-heat: #ffffff; --cell: #eef1f6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11151c; --card: #1a202b; --ink: #e6eaf1; --soft: #98a3b5; --line: #323b4a;
    --student: #63a6f5; --teacher: #f0a04b; --gauss: #ab9bff; --laplace: #45cdb4;
    --heat: #7db8ff; --on-heat: #10151d; --cell: #232b38;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
header, main { max-width: 1120px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 6px; }
h3 { font-size: 14px; margin: 0 0 6px; }
header p { margin: 2px 0; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 22px; margin: 18px 0; overflow-x: auto; }
section p { max-width: 72ch; margin: 4px 0 12px; }
.soft, figcaption { color: var(--soft); }
figcaption { font-size: 13px; max-width: 60ch; }
code { font: 13px ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
.row { display: flex; flex-wrap: wrap; gap: 20px 36px; align-items: flex-start; }
figure { margin: 0; }
svg { display: block; max-width: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 6px 0 10px; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
tr:first-child th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
summary { cursor: pointer; color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: 10px 32px; margin: 4px 0 12px; }
.figures div { min-width: 120px; }
.figures b { display: block; font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; }
.figures span.soft { font-size: 13px; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 6px 0 0; }
p .key:not(:first-child) { margin-left: 14px; }
.key.student { background: var(--student); } .key.teacher { background: var(--teacher); }
.key.gauss { background: var(--gauss); } .key.laplace { background: var(--laplace); }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.card img { image-rendering: pixelated; display: block; border-radius: 4px; margin-bottom: 8px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 380px; margin: 0 0 8px;
  font: 13px/1.45 ui-monospace, Menlo, "DejaVu Sans Mono", monospace; }
mark { background: var(--teacher); color: var(--page); border-radius: 2px; padding: 0 2px; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
.label { fill: var(--soft); } .strong { fill: var(--ink); }
.bold { fill: var(--ink); font-weight: 700 !important; }
.small { fill: var(--soft); font-size: 10px !important; }
.on-heat { fill: var(--on-heat); font-size: 10px !important; }
.on-cell { fill: var(--ink); font-size: 10px !important; }
.axis { stroke: var(--soft); stroke-width: 1; } .grid { stroke: var(--line); stroke-width: 1; }
.ideal { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
rect.student, circle.student { fill: var(--student); }
rect.teacher, circle.teacher { fill: var(--teacher); }
rect.gauss { fill: var(--gauss); } rect.laplace { fill: var(--laplace); }
.student-line { stroke: var(--student); stroke-width: 2; fill: none; }
.teacher-line { stroke: var(--teacher); stroke-width: 2; fill: none; }
.ink-line { stroke: var(--ink); stroke-width: 2; }
.heat { fill: var(--heat); } .cell { fill: var(--cell); } .box { fill: var(--soft); fill-opacity: .35; }
.dot { fill: var(--ink); }
)css";

}  // namespace limbeck
