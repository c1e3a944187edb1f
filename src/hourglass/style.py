"""The look of the pages that Hourglass writes: light and dark, on a phone and on paper."""

STYLE = """:root { --ink: #1d2430; --soft: #5b6575; --paper: #fff; --line: #dde2ea; --wash: #f4f6f9;
  --best: #00795a; --tied: #0062a3; --worse: #b84a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b5; --paper: #14181f;
  --line: #2c3440; --wash: #1c222b; --best: #35c79a; --tied: #62b4f0; --worse: #f59a5b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
p, ul { max-width: 62rem; }
h1 { font-size: 1.15rem; color: var(--soft); font-weight: 600; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
.verdict { font-size: 1.45rem; line-height: 1.4; font-weight: 600; margin: 0 0 .8rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem .45rem; text-align: right; }
td { white-space: nowrap; font-size: .9rem; }
th { font-weight: 600; background: var(--wash); color: var(--soft); font-size: .86rem;
  vertical-align: bottom; }
th:first-child, td:first-child, td.word, th.word { text-align: left; }
td.long { white-space: normal; min-width: 18rem; overflow-wrap: anywhere; }
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
@media print { nav { display: none; }
  main { max-width: none; padding: 0; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; }
  td, th { font-size: .7rem; padding: .2rem; white-space: normal; } }
"""
