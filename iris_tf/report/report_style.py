"""Style and script of the report's page: both lie in the page itself."""

CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1b; --soft: #5a5a5a;
  --line: #c9c9c9; --mark: #0072b2; --tint: #f1f7fb; --warn: #8a4500; --warn-line: #b35900;
  --warn-tint: #fff6ec; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #141414; --ink: #ececec; --soft: #a9a9a9; --line: #4a4a4a; --mark: #56b4e9;
    --tint: #16242e; --warn: #ffb870; --warn-line: #b8742c; --warn-tint: #2b1f12; }
  /* Plots are black on white: lightness turns over, hues stay, the legend's too. */
  .panels img, .legend i:not(.ramp) { filter: invert(.92) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; color: var(--ink);
  background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; }
.where { color: var(--soft); margin: 0; }
.collapsed { border-left: 3px solid #D55E00; padding-left: .8rem; max-width: 60rem; }
.synthetic { display: inline-block; font-size: .8rem; font-weight: 600; padding: .1rem .55rem;
  border: 1px solid var(--warn-line); border-radius: 1rem; color: var(--warn);
  background: var(--warn-tint); }
.verdict { margin: 1.25rem 0; padding: .75rem 1rem; border-left: 4px solid var(--mark);
  background: var(--tint); font-size: 1.08rem; overflow-wrap: anywhere; }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
  gap: .75rem 1rem; list-style: none; padding: 0; margin: .5rem 0; }
.counts li { color: var(--soft); font-size: .86rem; line-height: 1.3; }
.counts b { display: block; color: var(--ink); font-size: 1.35rem; font-weight: 600;
  font-variant-numeric: tabular-nums; }
table { border-collapse: separate; border-spacing: 0;
  font-variant-numeric: tabular-nums; font-size: .92rem; }
table.wide { width: 100%; }
/* A shadow at the edge beyond which columns are hidden: a cover of paper scrolls over it. */
.scroll { overflow-x: auto; background:
  linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / .9rem 100% no-repeat scroll; }
.scroll :is(th, td) { white-space: nowrap; }
.scroll thead th { white-space: pre; }
.scroll:focus-visible, summary:focus-visible, th button:focus-visible {
  outline: 2px solid var(--mark); outline-offset: 2px; }
thead th { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink);
  font-weight: 600; vertical-align: bottom; }
tbody tr:last-child > * { border-bottom: 2px solid var(--ink); }
th, td { padding: 5px .6rem; text-align: right; vertical-align: top; font-weight: normal; }
th.left, td.left { text-align: left; }
tbody th { overflow-wrap: anywhere; }
th button { font: inherit; color: inherit; text-align: inherit; background: none; border: 0;
  padding: 0; margin: 0; cursor: pointer; }
th button:hover { text-decoration: underline; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; font-size: .7em; }
th[aria-sort="descending"] button::after { content: " \\25BC"; font-size: .7em; }
tr.first > * { border-top: 1px solid var(--line); }
table.sorted tr.first > * { border-top: 0; }
tr.reference > * { color: var(--soft); font-style: italic; }
.ci { color: var(--soft); font-size: .82rem; white-space: nowrap; }
td .ci { display: block; }
.best { font-weight: 700; }
.whole { white-space: nowrap; }
figcaption, .caption { color: var(--soft); font-size: .86rem; margin: .5rem 0; }
figcaption b, .caption b { color: var(--ink); }
figure { margin: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr));
  gap: 1rem 1.5rem; }
.panels img { width: 100%; max-width: 34rem; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; font-size: .86rem; }
.legend i { display: inline-block; width: 1.5em; height: 3px; margin-right: .5em;
  vertical-align: middle; }
.crops { display: grid; gap: 4px; }
.crops.square { grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); }
.crops.strip { grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
.crops img { width: 100%; height: auto; display: block; background: #000; }
summary { cursor: pointer; font-weight: 600; margin: 1rem 0 .5rem; overflow-wrap: anywhere; }
.pairs { display: grid; gap: 1rem 1.5rem; list-style: none; padding: 0; margin: 0; }
.pairs.square { grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.pairs.strip { grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
.pairs .both { display: grid; gap: 3px; }
.pairs.square .both { grid-template-columns: 1fr 1fr; align-items: start; }
.pairs img { width: 100%; height: auto; display: block; background: #000; }
.pairs p { margin: .2rem 0 0; font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
.pairs p b { color: var(--ink); font-variant-numeric: tabular-nums; }
.pairs.maps { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.pairs.maps.square .both { grid-template-columns: repeat(3, 1fr); }
.legend .ramp { width: 4em; height: .8em; background: linear-gradient(to right, #777, var(--end)); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: 0 2.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0;
  font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.notes { padding-left: 1.2rem; margin: .5rem 0; font-size: .92rem; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--soft); font-size: .82rem; }
@media (max-width: 46rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.35rem; }
  .counts { grid-template-columns: repeat(2, 1fr); }
  table.wide, table.wide tbody { display: block; }
  table.wide thead { display: none; }
  .scripted table.wide thead { display: block; }
  .scripted table.wide thead tr { display: flex; flex-wrap: wrap; border: 0; padding: .3rem 0;
    gap: .15rem 1rem; font-size: .82rem; }
  table.wide thead th { padding: 0; border: 0; }
  table.wide thead button { text-decoration: underline; padding: .3rem 0; }
  table.wide tbody tr { display: grid; grid-template-columns: repeat(3, 1fr);
    gap: .1rem .5rem; padding: .6rem 0; border-top: 1px solid var(--line); }
  table.wide tbody tr > * { display: block; padding: .1rem 0; text-align: left;
    border: 0 !important; }
  table.wide tbody tr > :first-child { grid-column: 1 / 3; font-weight: 600; }
  table.wide td::before { content: attr(data-label); display: block; color: var(--soft);
    font-size: .75rem; font-weight: normal; }
  /* Whole pixels, or the column that stays is drawn over its own lower border. */
  .scroll :is(th, td, .ci) { line-height: round(1.5em, 1px); }
  .scroll th:first-child { position: sticky; left: 0; background: var(--paper);
    padding-left: 0; min-width: 8rem; max-width: 8rem; white-space: normal; }
}
@media print { body { max-width: none; } h2 { break-after: avoid; } .scroll { overflow: visible; } }
"""

# Headings become buttons here, so that without the script a table is just a table. Cells of a
# column of numbers hold them unrounded in data-sort; those without a number stay at the end.
SCRIPT = """
(() => {
  document.documentElement.classList.add("scripted");
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const numeric = head.hasAttribute("data-numeric");
      const key = (row) => {
        const cell = row.cells[column];
        return numeric ? parseFloat(cell.dataset.sort) : cell.textContent.trim();
      };
      button.addEventListener("click", () => {
        const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        table.classList.add("sorted");
        const rows = [...body.rows].map((row) => [key(row), row]);
        rows.sort(([a], [b]) => {
          if (!numeric) return sign * a.localeCompare(b, "en", { numeric: true });
          if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
          return sign * (a - b);
        });
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
})();
"""
