// Switch things off and see what the model says then: every score comes from the model, by exact removal.
import { formatLabel, formatScore, formatSpan } from "./format.js";

const at = (id) => document.getElementById(id);
const FOREVER = 1e9; // the same number as in ablation/protocol.py
const key = (taken) => JSON.stringify([taken.kind, taken.subject ?? "", taken.object ?? "", taken.label ?? "", taken.start ?? 0, taken.end ?? FOREVER]);

export const questions = (job, answer, film) => {
  const taken = new Map(); // key -> { removal, told, about }
  const before = []; // earlier states of it, for undo
  const switches = new Map(); // key -> buttons that show it
  let asking = null;

  const post = async (path, body, signal) => {
    const reply = await fetch(`/api/jobs/${job}/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });
    const found = await reply.json();
    if (!reply.ok) throw new Error(typeof found.detail === "string" ? found.detail : "The studio could not answer.");
    return found;
  };

  const rowOf = (name) => {
    const list = at("scores");
    const known = [...list.children].find((row) => row.dataset.label === name);
    if (known) return known;
    const row = list.firstElementChild.cloneNode(true); // an action that was too far down to be listed
    row.dataset.label = name;
    row.className = "";
    row.firstElementChild.textContent = formatLabel(name);
    list.append(row);
    return row;
  };
  const moved = ({ label, score, before }) => {
    if (formatScore(score) === formatScore(before)) return `${formatLabel(label)} stays at ${formatScore(score)}`;
    return `${formatLabel(label)} ${score < before ? "falls" : "rises"} from ${formatScore(before)} to ${formatScore(score)}`;
  };
  const amount = ({ what, count, of }) => `${count} of ${of} ${what}s`;
  const show = ({ label, scores, removed, milliseconds }) => {
    const first = answer.labels[0].label;
    const about = new Set([first, label, ...[...taken.values()].map((one) => one.about).filter(Boolean)]);
    const shown = new Set([...at("scores").children].map((row) => row.dataset.label));
    for (const { label: name, score, before } of scores) {
      if (!shown.has(name) && !about.has(name)) continue;
      const row = rowOf(name);
      row.classList.toggle("answer-is", name === label);
      row.classList.toggle("fell", score < before - 0.005);
      row.classList.toggle("rose", score > before + 0.005);
      row.querySelector("i").style.width = `${(100 * score).toFixed(1)}%`;
      row.querySelector(".was").style.left = `${(100 * before).toFixed(1)}%`;
      row.querySelector(".value").textContent = formatScore(score);
    }
    const old = scores.find((one) => one.label === first);
    const verdict = at("verdict");
    if (at("now")) {
      at("now").textContent = taken.size ? `${formatLabel(first)} ${formatScore(old.before)} → ${formatScore(old.score)}${label === first ? "" : `, now ${formatLabel(label)}`}` : `${formatLabel(first)} ${formatScore(old.score)}`;
      at("now").classList.toggle("changed", label !== first);
    }
    const counted = removed.filter((one) => one.count);
    const nothingLeft = counted.some((one) => one === removed[0] && one.count === one.of);
    verdict.classList.toggle("changed", label !== first);
    if (!taken.size) verdict.textContent = "With everything on. Switch something off to see what changes.";
    else if (!counted.length) verdict.textContent = "Nothing was removed: the model saw nothing there.";
    else {
      about.delete(label === first ? "" : label);
      const told = [...about].map((name) => scores.find((one) => one.label === name)).filter(Boolean);
      const same = nothingLeft ? "Nothing is left of the input" : label === first ? `Still ${formatLabel(first)}` : `Now the answer is ${formatLabel(label)}`;
      verdict.textContent = `${same}: ${told.map(moved).join(", ")}. Removed: ${counted.map(amount).join(" and ")}. Answered in ${Math.round(milliseconds)} ms.`;
    }
  };

  const ask = async () => {
    asking?.abort();
    asking = new AbortController();
    const signal = asking.signal;
    document.body.classList.add("asking");
    try {
      show(await post("without", { removals: [...taken.values()].map((one) => one.removal) }, signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      at("verdict").textContent = error.message;
    }
    document.body.classList.remove("asking");
  };

  const render = () => {
    at("chips").replaceChildren(
      ...[...taken.entries()].map(([id, { told }]) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `${told} `;
        const cross = document.createElement("span");
        cross.textContent = "×";
        cross.setAttribute("aria-hidden", "true");
        button.append(cross);
        button.setAttribute("aria-label", `Switch on again: ${told}`);
        button.addEventListener("click", () => {
          toggle(taken.get(id).removal, told);
          (at("chips").querySelector("button") ?? at("nothing")).focus();
        });
        item.append(button);
        return item;
      }),
    );
    at("nothing").hidden = taken.size > 0;
    at("restore").hidden = taken.size === 0;
    at("undo").hidden = before.length === 0;
    for (const [id, buttons] of switches) for (const button of buttons) mark(button, taken.has(id));
    for (const row of document.querySelectorAll("[data-slot]")) {
      const track = answer.tracks.find((one) => String(one.slot) === row.dataset.slot);
      row.classList.toggle("gone", Boolean(track) && isOff(track));
    }
    film.draw();
  };
  const isOff = (track) =>
    [...taken.values()].some(({ removal: r }) => (r.kind === "pair" && r.subject === track.subject && r.object === track.object) || (r.kind === "thing" && [track.subject, track.object].includes(r.object)));
  film.switchedOff(isOff);
  const mark = (button, off) => {
    button.setAttribute(button.getAttribute("role") === "switch" ? "aria-checked" : "aria-pressed", String(button.getAttribute("role") === "switch" ? !off : off));
  };
  const change = (edit) => {
    before.push([...taken]);
    edit();
    remember();
    render();
    return ask();
  };
  const remember = () => {
    const kept = [...taken.values()];
    history.replaceState(null, "", kept.length ? `#without=${encodeURIComponent(JSON.stringify(kept))}` : location.pathname);
  };
  const undo = () => {
    const last = before.pop();
    if (!last) return;
    taken.clear();
    for (const [id, one] of last) taken.set(id, one);
    remember();
    render();
    ask();
  };
  const toggle = (removal, told, about) =>
    change(() => {
      const id = key(removal);
      if (taken.has(id)) taken.delete(id);
      else taken.set(id, { removal, told, about });
    });
  const wire = (button, removal, told, about) => {
    const id = key(removal);
    switches.set(id, [...(switches.get(id) ?? []), button]);
    mark(button, taken.has(id));
    button.addEventListener("click", () => toggle(removal, told, about));
  };
  const makeSwitch = (removal, told, about) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "switch";
    button.setAttribute("role", "switch");
    button.setAttribute("aria-label", told);
    button.title = `Switch off: ${told}`;
    wire(button, removal, told, about);
    return button;
  };

  for (const row of document.querySelectorAll(".reasons > li")) {
    const { kind, subject, object, label, action } = row.dataset;
    const [start, end] = [Number(row.dataset.start), Number(row.dataset.end)];
    const what = row.querySelector(".change").textContent.trim();
    const when = row.querySelector(".when").textContent;
    if (kind === "neighbour") row.append(makeSwitch({ kind, label }, what, action));
    else if (kind === "frame" || kind === "snippet") row.append(makeSwitch({ kind, start, end }, `${what}, ${when}`, action));
    else {
      const pair = subject === object ? object : `${subject} – ${object}`;
      row.append(makeSwitch({ kind: "transition", subject, object, start, end }, `${pair}: ${what}, ${formatSpan(start, end)}`, action));
    }
  }
  for (const button of at("things")?.querySelectorAll("button") ?? []) {
    wire(button, { kind: "thing", object: button.dataset.thing }, button.dataset.thing);
  }
  for (const row of document.querySelectorAll("#timeline [data-slot]")) {
    const track = answer.tracks.find((one) => String(one.slot) === row.dataset.slot);
    if (!track || !track.points.some((p) => p.label)) continue;
    const name = track.subject === track.object ? track.object : `${track.subject} – ${track.object}`;
    row.querySelector(".who").append(makeSwitch({ kind: "pair", subject: track.subject, object: track.object }, `all of ${name}`));
  }
  at("restore").addEventListener("click", () => {
    change(() => taken.clear());
  });
  at("undo").addEventListener("click", undo);
  at("span")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to] = [Number(at("from").value), Number(at("to").value)].sort((a, b) => a - b);
    toggle({ kind: "span", start: from, end: to }, `everything in ${formatSpan(from, to)}`);
  });

  // Drag along the axis to choose a span.
  const axis = document.querySelector("#timeline .axis");
  if (axis && at("span")) {
    const { start, end } = at("timeline").dataset;
    const moment = (event) => {
      const box = axis.querySelector(".wide").getBoundingClientRect();
      return Math.max(0, Number(start) + ((event.clientX - box.left) / box.width) * (Number(end) - Number(start)));
    };
    let first = null;
    axis.addEventListener("pointerdown", (event) => {
      first = moment(event);
      axis.setPointerCapture(event.pointerId);
    });
    axis.addEventListener("pointermove", (event) => {
      if (first === null) return;
      const [a, b] = [first, moment(event)].sort((x, y) => x - y);
      at("from").value = a.toFixed(2);
      at("to").value = b.toFixed(2);
      axis.style.setProperty("--s0", (a - start) / (end - start));
      axis.style.setProperty("--s1", (b - start) / (end - start));
      axis.classList.add("chosen");
    });
    axis.addEventListener("pointerup", (event) => {
      if (first !== null && Math.abs(moment(event) - first) < 0.02) film.go(first);
      first = null;
    });
  }

  at("flip")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const box = at("flipped");
    box.textContent = "Trying every small set of removals …";
    try {
      const found = await post("flip", { target: at("target").value });
      box.replaceChildren(...flipped(found));
    } catch (error) {
      box.textContent = error.message;
    }
  });
  const flipped = (found) => {
    const lead = document.createElement("p");
    const name = formatLabel(found.target);
    if (!found.removals.length) {
      lead.textContent = found.stopped ? `Not found: none of ${found.asked} sets makes ${name} the answer. More would take too long for a video of this length.` : `Nothing that can be removed from this video makes ${name} the answer (${found.asked} sets tried).`;
      return [lead];
    }
    const count = found.removals.length;
    lead.textContent = count === 1 ? `Without this one, the answer is ${name} (${formatScore(found.score)}):` : `Without these ${count}, the answer is ${name} (${formatScore(found.score)}):`;
    const list = document.createElement("ol");
    list.className = "steps";
    const named = found.removals.map((removal, i) => {
      const [{ kind, start, end }, text] = [removal, found.texts[i]];
      return { removal, told: kind === "transition" || kind === "snippet" ? `${text}, ${formatSpan(start, end)}` : text };
    });
    for (const { told } of named) {
      const item = document.createElement("li");
      item.textContent = told;
      list.append(item);
    }
    const note = document.createElement("p");
    note.className = "soft small";
    note.textContent = found.proven
      ? `No smaller set does, of the ${found.candidates} pieces that do most for ${name} (${found.asked} sets tried).`
      : `Found step by step (${found.asked} sets tried): not proven to be the smallest.`;
    const all = document.createElement("button");
    all.type = "button";
    all.textContent = count === 1 ? "Switch it off" : "Switch them off";
    all.addEventListener("click", () => {
      change(() => {
        taken.clear();
        for (const { removal, told } of named) taken.set(key(removal), { removal, told });
      });
    });
    return [lead, list, note, all];
  };

  // What was switched off is in the address: a link shows the same question again.
  try {
    const kept = JSON.parse(decodeURIComponent(location.hash.replace(/^#without=/, "")) || "[]");
    for (const { removal, told, about } of kept) taken.set(key(removal), { removal, told: String(told), about });
  } catch {
    taken.clear();
  }
  if (taken.size) {
    render();
    ask();
  }
  return { undo };
};
