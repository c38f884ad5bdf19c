// The one place to mark a film: segments on its timeline, boxes on its frames, relations over a span.
// Null where the film could not be opened: what was marked before is not known then, and must not be replaced.
import { formatLabel, formatSpan, formatTime } from "./format.js";
import { history, kindOf, nameThing, withBox, withoutBox, withoutThing } from "./marks.js";
import { picture } from "./picture.js";
import { at } from "./shared.js";

export const marker = async (root) => {
  const address = root.dataset.film;
  const say = (text, wrong = true) => {
    at("mark-said").textContent = text;
    at("mark-said").classList.toggle("wrong", wrong && Boolean(text));
  };
  say("Opening the film", false);
  const reply = await fetch(address).catch(() => null);
  const film = await reply?.json().catch(() => null);
  if (!reply?.ok) {
    say(typeof film?.detail === "string" ? film.detail : "The film could not be opened.");
    return null;
  }
  const { times } = film;
  const count = times.length;
  const last = times[count - 1] + (count > 1 ? times[count - 1] - times[count - 2] : 1);
  const place = (number) => (100 * ((times[number - 1] ?? last) - times[0])) / (last - times[0]);
  const seconds = ([a, b]) => [times[a - 1], times[b - 1]];
  let now = 1;
  let span = null; // [first frame, last frame]
  let kept = film.marks; // the state that was saved last
  const state = history(film.marks, () => show());
  const marks = () => state.now();

  // The picture and where it stands.
  const view = picture(film, address, {
    marks,
    now: () => now,
    thing: () => nameThing(at("mark-thing").value.trim(), film.things, marks().drawn),
    put: (box) => {
      const text = at("mark-thing").value.trim();
      if (!text) {
        at("mark-thing").focus();
        return say("Name the thing in the box, then press Enter.", false);
      }
      const name = nameThing(text, film.things, marks().drawn);
      at("mark-thing").value = name;
      say("");
      view.forget();
      return state.change(withBox(marks(), name, now, box));
    },
  });
  // The box of the thing that is named, where it is drawn on this very frame.
  const here = () => {
    const name = nameThing(at("mark-thing").value.trim(), film.things, marks().drawn);
    return marks().drawn.some((one) => one.name === name && one.boxes.some(({ frame }) => frame === now)) ? name : "";
  };
  const offerRemoval = () => (at("mark-unbox").hidden = !here());
  const unbox = () => {
    const name = here();
    if (!name) return;
    state.change(withoutBox(marks(), name, now));
    at("mark-box").focus();
  };
  const go = (number) => {
    now = Math.min(count, Math.max(1, Math.round(number)));
    at("mark-seek").value = now;
    const text = `frame ${now} of ${count}, ${formatTime(times[now - 1])}`;
    at("mark-seek").setAttribute("aria-valuetext", text);
    at("mark-clock").textContent = text;
    root.style.setProperty("--now", place(now));
    view.show();
    offerRemoval();
  };
  let playing = null;
  const play = () => {
    at("mark-play").textContent = playing ? "Play" : "Pause";
    if (playing) return (playing = null);
    if (now === count) go(1);
    const mine = (playing = { from: times[now - 1], since: performance.now() });
    const run = () => {
      if (playing !== mine) return;
      const t = mine.from + (performance.now() - mine.since) / 1000;
      const next = times.findLastIndex((one) => one <= t) + 1;
      if (next !== now && view.loaded()) go(next);
      if (next >= count) play();
      else requestAnimationFrame(run);
    };
    run();
  };

  // The span that is to be marked.
  const choose = (a, b) => {
    span = a === null ? null : [Math.min(a, b), Math.max(a, b)];
    at("mark-span").textContent = span ? `the span is ${formatSpan(...seconds(span))}, frames ${span[0]} to ${span[1]}` : "no span yet";
    lanes();
  };
  const start = () => choose(now, span && span[1] >= now ? span[1] : now);
  const end = () => choose(span && span[0] <= now ? span[0] : now, now);
  const needSpan = () => span ?? say("First the span: drag along the timeline, or press [ at its start and ] at its end.");
  const segment = () => {
    const action = at("mark-name").value.trim().split(/\s+/).join(" ");
    if (!needSpan()) return;
    if (!action) {
      at("mark-name").focus();
      return say("Name the action in the span.");
    }
    if (marks().segments.some((one) => one.start === span[0] && one.end === span[1])) return say("These frames are an action already; remove it first.");
    say("");
    state.change({ ...marks(), segments: [...marks().segments, { action, start: span[0], end: span[1] }] });
  };

  // Relations: the studio says what two things can carry.
  const things = () => [...film.things, ...marks().drawn.filter(({ name }) => !film.things.some((one) => one.name === name)).map(({ name }) => ({ name, kind: kindOf(name) }))];
  let asked = 0;
  const offer = async () => {
    const mine = (asked += 1);
    at("mark-relation").disabled = at("mark-relate").disabled = true; // until it is known what these two can carry
    const [a, b] = ["mark-subject", "mark-object"].map((id) => things().find(({ name }) => name === at(id).value));
    const query = new URLSearchParams({ subject: a?.kind ?? "", thing: b?.kind ?? "", itself: a === b });
    const offered = a && b ? await fetch(`${address}/relations?${query}`).then((one) => (one.ok ? one.json() : []), () => []) : [];
    if (mine !== asked) return;
    at("mark-relation").replaceChildren(...offered.map((word) => new Option(formatLabel(word), word)));
    if (offered.length) at("mark-relation").append(new Option("no relation", ""));
    else at("mark-relation").append(new Option("these two carry no relation", "?"));
    at("mark-relation").disabled = at("mark-relate").disabled = !offered.length;
  };
  const relate = () => {
    if (!needSpan()) return;
    const [subject, object, relation] = ["mark-subject", "mark-object", "mark-relation"].map((id) => at(id).value);
    const [from, to] = seconds(span);
    say("");
    state.change({ ...marks(), relations: [...marks().relations, { subject, object, start: from, end: to, relation }] });
  };

  // What is marked: on the timeline, and as a list.
  const bar = (name, from, to, text) => {
    const made = document.createElement("span");
    made.className = name;
    made.style.left = `${place(from)}%`;
    made.style.width = `${Math.max(0.4, place(to + 1) - place(from))}%`;
    made.textContent = text;
    made.title = text;
    return made;
  };
  const lane = (name, bars) => {
    const made = document.createElement("div");
    made.className = `mark-lane ${name}`;
    made.append(...bars);
    return made;
  };
  const frameAt = (t) => Math.max(1, times.findLastIndex((one) => one <= t + 1e-6) + 1);
  const lanes = () => {
    const { segments, drawn, relations } = marks();
    at("mark-lanes").replaceChildren(
      lane("spans", [...segments.map((s) => bar("", s.start, s.end, formatLabel(s.action))), ...(span ? [bar("chosen", ...span, "")] : [])]),
      ...drawn.map(({ name, boxes }) => lane("boxes", [bar("between", boxes[0].frame, boxes.at(-1).frame, name), ...boxes.map(({ frame }) => bar("key", frame, frame, ""))])),
      ...relations.map((r) => lane("relations", [bar("", frameAt(r.start), frameAt(r.end), `${r.subject} – ${r.object}: ${formatLabel(r.relation) || "no relation"}`)])),
    );
  };
  const entry = (text, visit, remove) => {
    const line = document.createElement("li");
    const button = (label, act, name) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = "link";
      made.textContent = label;
      if (name) made.setAttribute("aria-label", name);
      made.addEventListener("click", act);
      return made;
    };
    const drop = () => {
      remove();
      (at("mark-list").querySelector("button") ?? at("mark-undo")).focus();
    };
    line.append(button(text, visit), button("remove", drop, `Remove ${text}`));
    return line;
  };
  const list = () => {
    const { segments, drawn, relations } = marks();
    const without = (key, one) => () => state.change({ ...marks(), [key]: marks()[key].filter((other) => other !== one) });
    const visit = (from, to) => () => {
      choose(from, to);
      go(from);
    };
    at("mark-list").replaceChildren(
      ...segments.map((one) => entry(`${formatLabel(one.action)}, ${formatSpan(...seconds([one.start, one.end]))}`, visit(one.start, one.end), without("segments", one))),
      ...drawn.map(({ name, boxes }) => {
        const between = boxes.at(-1).frame - boxes[0].frame + 1 - boxes.length;
        const text = `${name}: drawn on ${boxes.length} frame${boxes.length === 1 ? "" : "s"}${between ? `, ${between} between them interpolated` : ""}`;
        const select = () => {
          at("mark-thing").value = name;
          go(boxes[0].frame);
        };
        return entry(text, select, () => state.change(withoutThing(marks(), name)));
      }),
      ...relations.map((one) => entry(`${one.subject === one.object ? one.object : `${one.subject} – ${one.object}`}: ${formatLabel(one.relation) || "no relation"}, ${formatSpan(one.start, one.end)}`, visit(frameAt(one.start), frameAt(one.end)), without("relations", one))),
    );
    if (!at("mark-list").childElementCount) at("mark-list").append(Object.assign(document.createElement("li"), { className: "soft", textContent: "Nothing yet." }));
  };
  const show = () => {
    lanes();
    list();
    view.draw();
    offerRemoval();
    at("mark-undo").disabled = !state.depth();
    at("mark-actions").replaceChildren(...[...new Set([...film.actions, ...marks().segments.map(({ action }) => action)])].map((name) => new Option(name, name)));
    at("mark-objects").replaceChildren(...[...new Set([...things().map(({ name }) => name), ...film.objects])].map((name) => new Option(name, name)));
    for (const id of ["mark-subject", "mark-object"]) {
      if (!at(id) || at(id).length === things().length) continue;
      const old = at(id).value;
      at(id).replaceChildren(...things().map(({ name }) => new Option(name, name)));
      if (things().some(({ name }) => name === old)) at(id).value = old;
      else if (id === "mark-object" && things().length > 1) at(id).selectedIndex = 1;
      offer();
    }
  };

  // The timeline takes a drag for a span, a press for a moment.
  let from = null;
  const under = (event) => {
    const box = at("mark-lanes").getBoundingClientRect();
    const t = times[0] + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (last - times[0]);
    return frameAt(Math.max(times[0], t));
  };
  at("mark-lanes").addEventListener("pointerdown", (event) => {
    from = { frame: under(event), x: event.clientX };
    at("mark-lanes").setPointerCapture(event.pointerId);
  });
  at("mark-lanes").addEventListener("pointermove", (event) => {
    if (!from || Math.abs(event.clientX - from.x) < 3) return;
    choose(from.frame, under(event));
    go(under(event));
  });
  at("mark-lanes").addEventListener("pointerup", (event) => {
    if (from && Math.abs(event.clientX - from.x) < 3) go(from.frame);
    from = null;
  });
  at("mark-lanes").addEventListener("pointercancel", () => (from = null));

  const act = { "mark-play": play, "mark-back": () => go(now - 1), "mark-on": () => go(now + 1), "mark-start": start, "mark-end": end, "mark-action": segment, "mark-relate": relate, "mark-undo": state.undo, "mark-box": () => view.place(), "mark-unbox": unbox };
  for (const [id, press] of Object.entries(act)) at(id)?.addEventListener("click", press);
  at("mark-seek").max = count;
  at("mark-seek").addEventListener("input", () => go(Number(at("mark-seek").value)));
  for (const id of ["mark-subject", "mark-object"]) at(id)?.addEventListener("change", offer);
  at("mark-thing").addEventListener("input", () => {
    view.draw();
    offerRemoval();
  });
  const KEYS = { "[": start, "]": end, ",": act["mark-back"], ".": act["mark-on"], ArrowLeft: act["mark-back"], ArrowRight: act["mark-on"], " ": play, z: state.undo, Delete: unbox };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event;
    if (key === "Enter" && target.matches("input")) {
      event.preventDefault(); // a form around it is not sent
      if (target === at("mark-name")) segment();
      else if (target === at("mark-thing")) view.place();
      return;
    }
    if (target === at("mark-box") && view.move(event)) return event.preventDefault();
    if (target.matches("input[type=text], select") || (target.matches("input[type=range]") && key.startsWith("Arrow")) || (target.matches("button") && key === " ")) return;
    if (!KEYS[key]) return;
    event.preventDefault();
    event.stopPropagation();
    KEYS[key]();
  });
  say("");
  choose(null);
  go(1);
  show();
  return {
    value: marks,
    changed: () => marks() !== kept,
    saved: () => {
      kept = marks();
    },
  };
};
