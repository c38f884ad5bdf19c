"""A prediction as an ELAN annotation file (.eaf, format 3.0): tiers of the answer, its evidence and every relation."""

from __future__ import annotations

import math
from itertools import count, groupby
from pathlib import PurePath
from xml.etree import ElementTree as Xml

from whyact import wording
from whyact.prediction import Prediction

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "span"

Spans = list[tuple[float, float, str]]


def to_elan(prediction: Prediction) -> str:
    """Return the XML; it names the video by its file name, to be kept beside it.

    Tiers hold no overlaps, which ELAN does not draw: what would overlap goes to a further tier of the same name.
    """
    Xml.register_namespace("xsi", _XSI)
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "whyact",
            "DATE": "1970-01-01T00:00:00+00:00",  # the same prediction gives the same file
            "FORMAT": "3.0",
            "VERSION": "3.0",
            f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    head = Xml.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    name = PurePath(prediction.video.path or prediction.id or "video").name
    kind = "video/mp4" if name.lower().endswith((".mp4", ".m4v")) else "video/*"
    Xml.SubElement(
        head,
        "MEDIA_DESCRIPTOR",
        {"MEDIA_URL": f"./{name}", "RELATIVE_MEDIA_URL": f"./{name}", "MIME_TYPE": kind},
    )
    tiers = _numbered([(title, spans) for base, found in _tiers(prediction) for title, spans in _rows(base, found)])
    last = Xml.SubElement(head, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(sum(len(spans) for _, spans in tiers))
    order = Xml.SubElement(root, "TIME_ORDER")
    times = sorted({ms for _, spans in tiers for start, end, _ in spans for ms in _milliseconds(start, end)})
    slot = {ms: f"ts{i}" for i, ms in enumerate(times, 1)}
    for ms in times:
        Xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot[ms], "TIME_VALUE": str(ms)})
    number = 0
    for title, spans in tiers:
        tier = Xml.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": _TYPE, "TIER_ID": title})
        for start, end, text in spans:
            number += 1
            first, second = _milliseconds(start, end)
            one = Xml.SubElement(
                Xml.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{number}", "TIME_SLOT_REF1": slot[first], "TIME_SLOT_REF2": slot[second]},
            )
            Xml.SubElement(one, "ANNOTATION_VALUE").text = _printable(text)
    Xml.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true"},
    )
    Xml.indent(root, " ")
    return Xml.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _tiers(prediction: Prediction) -> list[tuple[str, Spans]]:
    p = prediction
    answer = [(s.start, s.end, f"{wording.format_label(s.label)} {wording.format_score(s.score)}") for s in p.segments]
    if not answer and p.labels:
        answer = [
            (0.0, max(p.video.duration, 0.001), f"{wording.format_label(p.label)} {wording.format_score(p.score)}")
        ]
    evidence = [
        (e.start, e.end, wording.format_evidence_line(place, e))
        for place, e in wording.number_evidence(p)
        if e.kind != "neighbour"
    ]
    tiers = [("answer", answer), ("evidence", evidence)]
    for track in p.tracks:
        points = sorted((q for q in track.points if math.isfinite(q.time)), key=lambda q: q.time)
        spans: Spans = []
        for label, run in groupby(points, key=lambda q: q.label):
            own = list(run)
            if label:
                spans.append((own[0].time, own[-1].time, wording.format_label(label)))
        if spans:
            tiers.append((" – ".join(wording.list_pair(track.subject, track.object)), spans))
    return tiers


def _numbered(tiers: list[tuple[str, Spans]]) -> list[tuple[str, Spans]]:
    """Give each tier a name of its own: two tracks may be of one pair, and a thing may be called like another tier."""
    names: set[str] = set()
    out = []
    for title, spans in tiers:
        numbered = (f"{title} ({number})" for number in count(2))
        name = title if title not in names else next(one for one in numbered if one not in names)
        names.add(name)
        out.append((name, spans))
    return out


def _rows(base: str, spans: Spans) -> list[tuple[str, Spans]]:
    """Spread spans over as many tiers as they need not to overlap."""
    rows: list[Spans] = []
    for span in sorted(s for s in spans if math.isfinite(s[0]) and math.isfinite(s[1])):
        start = _milliseconds(span[0], span[1])[0]
        row = next((row for row in rows if _milliseconds(*row[-1][:2])[1] <= start), None)
        if row is None:
            rows.append([span])
        else:
            row.append(span)
    base = _printable(base)
    return [(base if i == 1 else f"{base} ({i})", row) for i, row in enumerate(rows, 1)]


def _milliseconds(start: float, end: float) -> tuple[int, int]:
    first = max(0, round(1000 * start))
    return first, max(first + 1, round(1000 * end))


def _printable(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe"))
