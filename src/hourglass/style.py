"""The look of the pages that Hourglass writes: light and dark, on a phone and on paper."""

STYLE = """:root { --ink: #1d2430; --soft: #5b6575; --paper: #fff; --line: #dde2ea; --wash: #f4f6f9;
  --best: #00795a; --tied: #0062a3; --worse: #b84a00; --shade: #0b132055; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b5; --paper: #14181f;
  --line: #2c3440; --wash: #1c222b; --best: #35c79a; --tied: #62b4f0; --worse: #f59a5b;
  --shade: #000c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
p, ul { max-width: 62rem; }
h1 { font-size: 1.15rem; color: var(--soft); font-weight: 600; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
.verdict { font-size: 1.45rem; line-height: 1.4; font-weight: 600; margin: 0 0 .8rem; }
/* The shadows say on which side a table goes on: those that scroll along cover the fixed ones. */
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem;
  background: linear-gradient(to left, var(--paper) 2rem, transparent) right / 3rem 100%
  no-repeat local, linear-gradient(to left, var(--shade), transparent) right / 1.6rem 100%
  no-repeat scroll, var(--paper); }
.scroll th:first-child, .scroll td:first-child { position: sticky; left: 0; z-index: 1; }
.scroll td:first-child { background: var(--paper); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .45rem; text-align: right; }
td { white-space: nowrap; font-size: .9rem; }
th { font-weight: 600; background: var(--wash); color: var(--soft); font-size: .86rem;
  vertical-align: bottom; }
.board th, .board td { padding-left: .32rem; padding-right: .32rem; }
.over { text-align: center; border-left: 1px solid var(--line); }
.edge { border-left: 1px solid var(--line); }
tr.group th { text-align: left; }
small { color: var(--soft); font-size: .92em; font-weight: 400; }
th:first-child, td:first-child, td.word, th.word { text-align: left; }
td.long { white-space: normal; min-width: 13rem; overflow-wrap: anywhere; }
tr + tr td { border-top: 1px solid var(--line); }
tr.selected td { font-weight: 650; }
.best { color: var(--best); } .tied { color: var(--tied); } .worse { color: var(--worse); }
figure { margin: 0; padding: .8rem; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; text-align: center; }
figure + .scroll { margin-top: .8rem; }
img { max-width: 100%; height: auto; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; margin: 1.2rem 0 0; font-size: .92rem; }
a { color: var(--tied); }
.hint { color: var(--soft); font-size: .92rem; }
.source { color: var(--soft); font-size: .8rem; margin: .35rem 0 0; }
.terms { color: var(--soft); font-size: .92rem; margin-top: .9rem; max-width: 62rem; }
pre { overflow-x: auto; background: var(--wash); padding: .8rem; border-radius: .5rem;
  font-size: .82rem; }
details { margin-top: 1rem; } summary { cursor: pointer; color: var(--tied); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { background: var(--wash); padding: .1em .35em; border-radius: .3em; }
@media screen and (max-width: 34rem) { .verdict { font-size: 1.15rem; }
  dl { grid-template-columns: 1fr; } dt { margin-top: .5rem; } nav.contents { display: none; }
  figure { overflow-x: auto; text-align: left; } figure img { max-width: none; width: 40rem; }
  th, td { padding: .4rem .3rem; font-size: .8rem; } }
@media screen and (min-width: 84rem) { main:has(nav.contents) { max-width: 90rem;
  padding-left: 16rem; } nav.contents { position: fixed; top: 2rem; width: 13rem;
  left: max(1.1rem, calc(50vw - 43.9rem)); flex-direction: column; margin: 0; } }
/* Charts are ink on white: on a dark page they are turned round, hues kept. Pictures of the data
   would turn into their negatives: they are dimmed. */
@media screen and (prefers-color-scheme: dark) { figure { background: #b8b8b8; }
  figure img { filter: brightness(.72); }
  figure.chart { background: #1a1a1a; }
  figure.chart img { filter: invert(.9) hue-rotate(180deg); } }
@page { margin: 15mm; }
@media print { nav { display: none; }
  main { max-width: none; padding: 0; } h2 { break-after: avoid; margin-top: 1.4rem; }
  h2 + p { break-before: avoid; break-after: avoid; }
  .source, figure + .hint { break-before: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
  figure, tr, dl, .hint { break-inside: avoid; } tr:first-child { break-after: avoid; }
  pre { columns: 3; font-size: 7.5pt; } figure img { max-height: 150mm; }
  .scroll { overflow: visible; }
  .scroll th:first-child, .scroll td:first-child { position: static; }
  body { font-size: 11pt; } .verdict { font-size: 15pt; }
  td, th { font-size: .68rem; padding: .2rem; white-space: normal; } }
"""
