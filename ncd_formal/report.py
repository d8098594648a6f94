"""Verdicts as one page for people, or as one JSON file for tools.

A result is plain data from the moment it is made, so that the processes of a test run can send
theirs to the one that writes the report.  The page is a single file without scripts or anything to
fetch; whatever users and programs named is escaped.
"""

from __future__ import annotations

import html
import json
import math
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ncd_formal import __version__
from ncd_formal.errors import InputError

if TYPE_CHECKING:
    from ncd_formal.equivalence import Verdict
    from ncd_formal.rules import Rule

FORMAT = "ncd-report-1"
STATUSES = ("refuted", "undecided", "proved")
"""In the order in which people want to see them."""

Result = dict[str, Any]
"""One comparison and its verdict, as plain data."""


def result(
    verdict: Verdict,
    title: str = "",
    inputs: Mapping[str, str] | None = None,
    assume: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    timeout: float | None = None,
    certificate_file: str = "",
) -> Result:
    """One comparison for a report: the verdict, what was compared, and the laws that it rests on.

    ``title`` names the comparison, by default by its two programs; the other arguments are what
    :func:`ncd_formal.prove` was given.
    """
    data = verdict.to_json()
    certificate = verdict.certificate
    laws: list[dict[str, Any]] = []
    if certificate is not None:
        from ncd_formal.rules import table

        steps = sum(len(steps) for _, _, steps in certificate.lemmas)
        data["certificate"] |= {"steps": steps, "file": certificate_file}
        # The proof of a large program is put together from several certificates.
        parts: tuple[Any, ...] = getattr(certificate, "parts", (certificate,))
        own = {rule.name: rule for part in parts for rule in part.rules}
        laws = [_law(own.get(name) or table()[name], name in own) for name in certificate.laws]
    return {
        "title": title or f"{verdict.left} = {verdict.right}",
        **plain(data),
        "explanation": verdict.explain().splitlines()[0].partition(": ")[2],
        "laws": laws,
        "inputs": dict(inputs or {}),
        "assume": list(assume),
        "parameters": dict(parameters or {}),
        "timeout": timeout,
    }


def _law(rule: Rule, own: bool) -> dict[str, Any]:
    from ncd_formal.law_table import conditions, statement

    theorem = "" if own else f"sound_{rule.name.replace('-', '_')}"
    return {
        "name": rule.name,
        "statement": statement(rule),
        "where": conditions(rule),
        "words": rule.comment,
        "theorem": theorem,
    }


def plain(value: Any) -> Any:
    """Data that any JSON reader takes: −∞ and undefined, which JSON lacks, are texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def writer_for(path: Path) -> str:
    """What a report is written as, by the suffix of its file: ``"html"`` or ``"json"``.

    Errors: InputError for another suffix.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind in {"html", "htm"}:
        return "html"
    if kind == "json":
        return "json"
    raise InputError(f"a report is a .html or a .json file; got {path}")


def save(results: Sequence[Result], path: Path, title: str = "Equivalence report") -> None:
    """Write a report in the form that the suffix of its file names.

    Errors: InputError for a suffix that names none.
    """
    text = page(results, title) if writer_for(path) == "html" else json_text(results)
    path.write_text(text, encoding="utf-8")


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """A report as plain data."""
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "summary": dict.fromkeys(STATUSES, 0) | Counter(r["status"] for r in results),
        "results": list(results),
    }


def json_text(results: Sequence[Result]) -> str:
    """A report as JSON."""
    return json.dumps(plain(as_json(results)), indent=2, allow_nan=False) + "\n"


def versions() -> dict[str, str]:
    """What the verdicts were made with."""
    found = {"ncd_formal": __version__, "python": platform.python_version()}
    for name in ("torch", "egglog", "z3-solver", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# The page --------------------------------------------------------------------------------------

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
</header>
<main>
$contents$articles$laws</main>
<footer>
<p>$versions</p>
<p>Written at <time datetime="$created">$created</time>. <em>Proved</em> is over the real numbers, \
at every size that the conditions allow; floating point is outside of it.</p>
</footer>
</body>
</html>
""")

_STYLE = """:root { --paper: #fff; --ink: #1c2024; --soft: #5b636b; --line: #e1e5e9;
  --panel: #f6f8f9; --link: #0b5cad; --proved: #1a7f37; --refuted: #c1272d; --undecided: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #9aa4ad;
  --line: #2b3137; --panel: #1c2125; --link: #74b3f5; --proved: #57c878; --refuted: #ff8585;
  --undecided: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 56rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2.5rem 0 .75rem; font-size: 1.2rem; }
h3 { margin: 1.25rem 0 .35rem; font-size: .95rem; color: var(--soft); font-weight: 600; }
h1, h2, summary, td, dd, li { overflow-wrap: anywhere; }
p { margin: .4rem 0; } a { color: var(--link); } ul { margin: .2rem 0; padding-left: 1.2rem; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { margin: .3rem 0; padding: .8rem 1rem; overflow: auto; max-height: 32rem; border-radius: 6px;
  background: var(--panel); border: 1px solid var(--line); }
article { margin: 0 0 1rem; border: 1px solid var(--line); border-left: 4px solid var(--mark);
  border-radius: 6px; }
summary { padding: .75rem 1rem; cursor: pointer; font-weight: 600; }
summary:hover { background: var(--panel); }
summary:focus-visible, a:focus-visible, pre:focus-visible { outline: 2px solid var(--link);
  outline-offset: 2px; }
.body { padding: 0 1rem 1rem; }
.proved { --mark: var(--proved); } .refuted { --mark: var(--refuted); }
.undecided { --mark: var(--undecided); }
.status { color: var(--mark); font-weight: 700; margin-right: .4rem; }
.quiet, footer, dt { color: var(--soft); } footer { margin-top: 3rem; font-size: .875rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .3rem 0; }
dd { margin: 0; } .table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .925rem; }
th, td { padding: .4rem .7rem .4rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } tr:target { background: var(--panel); }
@media print { body { max-width: none; } pre { max-height: none; } }
"""


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def escape(text: str) -> str:
    """A text as HTML; signs that no page may hold are replaced."""
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))


def page(results: Sequence[Result], title: str = "Equivalence report") -> str:
    """A report as an HTML page that stands alone."""
    ordered = sorted(results, key=lambda r: STATUSES.index(r["status"]))
    report = as_json(ordered)
    laws = _Laws()
    articles = [_article(r, number, laws, len(ordered) == 1) for number, r in enumerate(ordered, 1)]
    return _PAGE.substitute(
        title=escape(title),
        style=_STYLE,
        summary=_summary(report["summary"]),
        contents=_contents(ordered),
        articles="".join(articles),
        laws=laws.section(),
        versions=", ".join(escape(f"{k} {v}") for k, v in report["versions"].items()),
        created=escape(report["created"]),
    )


class _Laws:
    """The laws of a page, each with an anchor of its own."""

    def __init__(self) -> None:
        self._anchors: dict[tuple[str, ...], str] = {}

    def anchor(self, law: Mapping[str, str]) -> str:
        """Laws of users may have one name and say different things."""
        key = tuple(law[part] for part in ("name", "statement", "where", "words", "theorem"))
        if key not in self._anchors:
            stem = "law-" + re.sub(r"[^A-Za-z0-9]+", "-", law["name"]).strip("-")
            taken = set(self._anchors.values())
            number, anchor = 2, stem
            while anchor in taken:
                number, anchor = number + 1, f"{stem}-{number}"
            self._anchors[key] = anchor
        return self._anchors[key]

    def section(self) -> str:
        if not self._anchors:
            return ""
        rows = []
        for (name, says, where, words, theorem), anchor in sorted(self._anchors.items()):
            proved = f"<code>{escape(theorem)}</code>" if theorem else "<strong>not proved</strong>"
            rows.append(
                f'<tr id="{anchor}"><th scope="row"><code>{escape(name)}</code></th>'
                f"<td>{escape(says)}{_words(words, says)}</td><td>{escape(where)}</td>"
                f"<td>{proved}</td></tr>\n"
            )
        return (
            '<section aria-labelledby="laws">\n<h2 id="laws">Laws used</h2>\n<div class="table">'
            '<table>\n<thead><tr><th scope="col">Law</th><th scope="col">Statement</th>'
            '<th scope="col">Where</th><th scope="col">Theorem in Coq</th></tr></thead>\n'
            f"<tbody>\n{''.join(rows)}</tbody>\n</table></div>\n</section>\n"
        )


def _words(words: str, says: str) -> str:
    return f'<br><span class="quiet">{escape(words)}</span>' if words and words != says else ""


def _summary(counts: Mapping[str, int]) -> str:
    parts = [
        f'<span class="{status} status">{count} {status}</span>'
        for status, count in counts.items()
        if count
    ]
    return f"<p>{' '.join(parts) or 'Nothing was compared.'}</p>"


def _contents(results: Sequence[Result]) -> str:
    """A table that leads to the comparisons, where there are several."""
    if len(results) < 2:
        return ""
    rows = "".join(
        f'<tr class="{r["status"]}"><td><a href="#result-{k}">{escape(r["title"])}</a></td>'
        f'<td><span class="status">{r["status"]}</span></td>'
        f"<td>{sum(r['seconds'].values()):.2f} s</td></tr>\n"
        for k, r in enumerate(results, 1)
    )
    return (
        '<nav aria-label="Comparisons"><div class="table"><table>\n<thead><tr>'
        '<th scope="col">Comparison</th><th scope="col">Verdict</th><th scope="col">Time</th>'
        f"</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div></nav>\n<h2>Comparisons</h2>\n"
    )


def _article(r: Result, number: int, laws: _Laws, alone: bool) -> str:
    status = r["status"]
    shown = " open" if alone or status != "proved" else ""
    sections = [
        f"<p>{escape(r['explanation'])}.</p>\n",
        _paragraph("Reason", r["reason"]),
        _counterexample(r["counterexample"]),
        _listed("Conditions", r["conditions"]),
        _listed("Notes", r["notes"]),
        _certificate(r, laws),
        _definitions("Inputs", r["inputs"]),
        _listed("Assumptions", r["assume"]),
        _definitions("Parameters", r["parameters"]),
        _definitions("Time", {part: f"{s:.3f} s" for part, s in r["seconds"].items()}, code=False),
    ]
    return (
        f'<article id="result-{number}" class="{status}">\n<details{shown}>\n'
        f'<summary><span class="status">{status}</span> {escape(r["title"])}</summary>\n'
        f'<div class="body">\n{"".join(sections)}</div>\n</details>\n</article>\n'
    )


def _certificate(r: Result, laws: _Laws) -> str:
    certificate = r["certificate"]
    if certificate is None:
        return ""
    links = [
        f'<a href="#{laws.anchor(law)}"><code>{escape(law["name"])}</code></a>' for law in r["laws"]
    ]
    rests = "".join(
        f"<p><strong>Rests on laws that nobody has proved:</strong> {escape(', '.join(own))}.</p>\n"
        for own in [certificate["unproved"]]
        if own
    )
    saved = f"<dt>File</dt><dd><code>{escape(certificate['file'])}</code></dd>\n"
    return (
        f"<h3>Proof</h3>\n{rests}<dl>\n"
        f"<dt>Laws</dt><dd>{', '.join(links) or 'none: both are the same term'}</dd>\n"
        f"<dt>Lemmas</dt><dd>{certificate['lemmas']}, in {certificate['steps']} steps</dd>\n"
        f"<dt>Certificate</dt><dd><code>{escape(certificate['digest'])}</code></dd>\n"
        f"{saved if certificate['file'] else ''}</dl>\n"
    )


def _counterexample(example: Mapping[str, Any] | None) -> str:
    if example is None:
        return ""
    sizes = ", ".join(f"{name} = {size}" for name, size in example["sizes"].items())
    return (
        f"<h3>Counterexample</h3>\n<p>{escape(example['difference'])}</p>\n"
        f"<p>At sizes <code>{escape(sizes or 'none')}</code></p>\n"
        f"{_paragraph('Where they part', example['first_difference'])}"
        "<h3>A PyTorch script that shows it</h3>\n"
        f'<pre tabindex="0"><code>{escape(example["script"])}</code></pre>\n'
    )


def _paragraph(heading: str, text: str) -> str:
    return f"<h3>{heading}</h3>\n<p>{escape(text)}</p>\n" if text else ""


def _listed(heading: str, items: Iterable[str]) -> str:
    listed = "".join(f"<li>{escape(item)}</li>\n" for item in items)
    return f"<h3>{heading}</h3>\n<ul>\n{listed}</ul>\n" if listed else ""


def _definitions(heading: str, items: Mapping[str, str], code: bool = True) -> str:
    opened, closed = ("<code>", "</code>") if code else ("", "")
    listed = "".join(
        f"<dt>{opened}{escape(name)}{closed}</dt><dd>{opened}{escape(text)}{closed}</dd>\n"
        for name, text in items.items()
    )
    return f"<h3>{heading}</h3>\n<dl>\n{listed}</dl>\n" if listed else ""
