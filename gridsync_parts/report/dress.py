"""How the page of a report looks, and what draws its figures."""

# Blue and vermilion are told apart by nearly all eyes; each colour is written twice, for the day and for the night.
STYLE = """
:root { --paper: #f7f8fa; --card: #ffffff; --ink: #1d2530; --soft: #556171; --line: #dde2e8; --blue: #1f6fb2;
  --red: #b84a00; --flow: rgba(31, 111, 178, .22); --veil: rgba(255, 255, 255, .7);
  --bar: #d5e5f3; --redbar: #f6dccb; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root:not(.on-paper) { --paper: #12161c; --card: #1a2028; --ink: #e4e9f0; --soft: #a3aebc; --line: #323b47;
    --blue: #6fb3ea; --red: #f29156; --flow: rgba(111, 179, 234, .25); --veil: rgba(26, 32, 40, .7);
    --bar: #26445e; --redbar: #5b3620; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5; font-size: 16px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
.skip { position: absolute; left: 16px; top: -60px; padding: 8px 16px; background: var(--card); z-index: 9; }
.skip { color: var(--ink); }
.skip:focus { top: 8px; }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; border-radius: 2px; }
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 40px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 20px; line-height: 1.3; margin: 0 0 4px; font-weight: 650; }
p { margin: 0 0 8px; max-width: 72ch; }
.soft, .note, caption, footer { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 24px; margin: 24px 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 24px 16px; }
.cards { margin: 16px 0 24px; }
.cards div { min-width: 0; }
.cards dt { color: var(--soft); font-size: 14px; }
.cards dd { margin: 0; font-size: 26px; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.cards dd small { display: block; font-size: 14px; font-weight: 400; color: var(--soft); }
.cards .bad dd { color: var(--red); }
p.note { margin: 16px 0 0; }
.plot { margin: 16px 0 8px; min-height: 120px; overflow: hidden; }
.pieces { display: none; }
details { margin-top: 8px; }
summary { cursor: pointer; color: var(--blue); padding: 4px 0; width: fit-content; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; margin-top: 8px; }
caption { text-align: left; padding: 4px 0; }
th { text-align: left; color: var(--soft); font-weight: 500; vertical-align: bottom; }
th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody th { color: var(--ink); font-weight: 400; overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
.number:last-child { padding-right: 0; }
.meter { display: block; height: 6px; border-radius: 3px; background: var(--bar); margin-top: 5px; min-width: 2px; }
.red .meter { background: var(--redbar); }
.meter i { display: block; height: 6px; border-radius: 3px; background: var(--blue); }
.red .meter i { background: var(--red); }
.moment { white-space: nowrap; }
.where { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
footer { padding-bottom: 48px; font-size: 14px; }
@media (max-width: 980px) { .whole { display: none; }
  .pieces { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 0 24px; } }
@media (max-width: 600px) { header { padding-top: 24px; } h1 { font-size: 25px; }
  section { padding: 16px; margin: 16px 0; }
  .cards { grid-template-columns: repeat(2, 1fr); } .cards dd { font-size: 21px; }
  thead { display: block; position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  table, tbody, tbody tr, caption { display: block; }
  tbody tr { padding: 8px 0; border-bottom: 1px solid var(--line); }
  tbody th { display: block; border: 0; padding: 0; }
  td { display: inline-block; border: 0; padding: 0 14px 0 0; }
  td::before { content: attr(data-head) ": "; color: var(--soft); } }
.on-paper .whole { display: none; }
.on-paper .pieces { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; }
.on-paper .cards { grid-template-columns: repeat(5, 1fr); }
.on-paper .cards dd { font-size: 20px; }
@media print { * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { background: #fff; font-size: 12px; } .skip, summary { display: none; }
  section { border: 0; padding: 0; margin: 16px 0; break-inside: avoid; } section.long { break-inside: auto; }
  tr { break-inside: avoid; } header { padding-top: 0; } a { color: inherit; } }
"""

# Colours are looked up when a figure is drawn: a figure says var(--blue).
SCRIPT = """
(function () {
  "use strict";
  var root = document.documentElement;
  var figures = JSON.parse(document.getElementById("figures").textContent);
  var nodes = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  function dressed(value, style) {
    if (typeof value === "string") {
      var found = /^var\\((--\\w+)\\)$/.exec(value);
      return found ? style.getPropertyValue(found[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map(function (one) { return dressed(one, style); });
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (name) { copy[name] = dressed(value[name], style); });
      return copy;
    }
    return value;
  }
  function draw() {
    var style = getComputedStyle(root);
    nodes.forEach(function (node) {
      if (!node.offsetParent) return;
      var figure = dressed(figures[node.dataset.figure], style);
      figure.layout.width = node.clientWidth;
      Plotly.react(node, figure.data, figure.layout, { displayModeBar: false, displaylogo: false, showTips: false });
    });
    root.dataset.drawn = "yes";
  }
  function paper(is) {
    root.classList.toggle("on-paper", is);
    document.body.style.width = is ? "680px" : "";
    draw();
  }
  var due = 0;
  window.addEventListener("resize", function () { clearTimeout(due); due = setTimeout(draw, 150); });
  window.addEventListener("beforeprint", function () { paper(true); });
  window.addEventListener("afterprint", function () { paper(false); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
})();
"""
