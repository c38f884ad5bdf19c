// Say what is right: saved as own data that a model can be trained on.
import { formatLabel, formatSpan } from "./format.js";
import { marker } from "./mark.js";

const at = (id) => document.getElementById(id);

export const corrections = (job, answer, film) => {
  const form = at("correction");
  if (!form) return;
  const offered = JSON.parse(at("relations")?.dataset.offered ?? "{}");
  let marks = null;
  let opening = null;
  const mark = async () => {
    if (opening || at("mark-it")?.open) marks = await (opening ??= marker(at("marker")));
  };
  at("mark-it")?.addEventListener("toggle", mark);
  mark();
  const rows = [];
  for (const track of answer.tracks) {
    const runs = []; // those without a name end the one before: nothing was said of them
    for (const p of track.points) {
      if (runs.at(-1)?.label === p.label) runs.at(-1).end = p.time;
      else runs.push({ label: p.label, start: p.time, end: p.time });
    }
    for (const run of runs.filter(({ label }) => label)) rows.push({ ...run, subject: track.subject, object: track.object });
  }
  at("relations")?.addEventListener("toggle", () => at("runs").childElementCount || fill(), { once: false });
  const fill = () => {
    for (const [i, row] of rows.entries()) {
      const line = document.createElement("div");
      line.className = "run-row";
      const go = document.createElement("button");
      go.type = "button";
      go.className = "link";
      const pair = row.subject === row.object ? row.object : `${row.subject} – ${row.object}`;
      go.textContent = `${pair}, ${formatSpan(row.start, row.end)}`;
      go.addEventListener("click", () => film.go(row.start));
      const choose = document.createElement("select");
      choose.id = `run-${i}`;
      choose.setAttribute("aria-label", `Relation of ${go.textContent}`);
      choose.append(new Option(`${formatLabel(row.label)} (not checked)`, "?"), new Option(`${formatLabel(row.label)} – right`, row.label));
      for (const word of offered[`${row.subject} ${row.object}`] ?? []) if (word !== row.label) choose.append(new Option(`wrong: ${formatLabel(word)}`, word));
      choose.append(new Option("wrong: no relation", ""));
      row.choose = choose;
      line.append(go, choose);
      at("runs").append(line);
    }
  };
  for (const radio of form.querySelectorAll("[name=right]")) {
    radio.addEventListener("change", () => radio.value === "yes" && (at("action").value = answer.labels[0].label));
  }
  at("action").addEventListener("input", () => {
    form.querySelector(`[value=${at("action").value === answer.labels[0].label ? "yes" : "no"}]`).checked = true;
  });
  const say = (text, wrong) => {
    at("saved").classList.toggle("wrong", wrong);
    at("saved").textContent = text;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("Saving", false);
    await (opening && mark());
    if (!marks && "marked" in (at("mark-it")?.dataset ?? {})) return say("Not saved: what is marked on the film could not be opened, and would be lost. Load this page again.", true);
    const relations = rows
      .filter((row) => row.choose && row.choose.value !== "?")
      .map(({ subject, object, start, end, choose }) => ({ subject, object, start, end, relation: choose.value }));
    const fields = [...at("kinds").querySelectorAll("[data-kind]")].filter(({ value, dataset }) => value.trim() && value.trim() !== dataset.kind);
    const things = Object.fromEntries(fields.map(({ value, dataset }) => [dataset.name, value.trim()]));
    const drawn = marks?.value() ?? {};
    const body = JSON.stringify({ action: at("action").value, things, ...drawn, relations: [...(drawn.relations ?? []), ...relations] });
    const reply = await fetch(`/api/jobs/${job}/corrections`, { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
    const found = await reply?.json().catch(() => null);
    if (!reply?.ok || !found) return say(typeof found?.detail === "string" ? found.detail : "It could not be saved.", true);
    marks?.saved();
    say(`Saved: ${found.videos} video${found.videos === 1 ? "" : "s"}, ${found.marked} marked relation${found.marked === 1 ? "" : "s"}. Train on it with: ${found.command}`, false);
  });
};
