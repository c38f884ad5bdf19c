// One answered video.
import { corrections } from "./correct.js";
import { player } from "./player.js";
import { questions } from "./question.js";

const main = document.getElementById("main");
const { job } = main.dataset;
const [answer] = await (await fetch(`/api/jobs/${job}/prediction`)).json();
const film = player(answer, JSON.parse(main.dataset.hues));
const rows = [...document.querySelectorAll(".reasons > li")];
const visit = (row) => {
  const [start, end] = [Number(row.dataset.start), Number(row.dataset.end)];
  film.goTo(start, end, (start + end) / 2);
};
for (const row of rows) row.querySelector("button.go")?.addEventListener("click", () => visit(row));
const { undo } = questions(job, answer, film);
corrections(job, answer, film);

// What is pointed at in one place is marked in the others: a lane, its things in the picture, its evidence.
const link = (names, on) => {
  const same = (subject, object) => subject === names[0] && object === names[1];
  for (const row of rows) row.classList.toggle("linked", on && same(row.dataset.subject, row.dataset.object));
  for (const row of document.querySelectorAll("#timeline [data-slot]")) {
    const track = answer.tracks.find((one) => String(one.slot) === row.dataset.slot);
    row.classList.toggle("linked", on && Boolean(track) && same(track.subject, track.object));
  }
  for (const group of document.querySelectorAll("#boxes g")) group.classList.toggle("linked", on && names.includes(group.dataset.name));
};
const linked = [...rows, ...document.querySelectorAll("#timeline [data-slot]")];
for (const row of linked) {
  const track = answer.tracks.find((one) => String(one.slot) === row.dataset.slot);
  const names = track ? [track.subject, track.object] : [row.dataset.subject, row.dataset.object];
  if (!names[0]) continue;
  row.addEventListener("pointerenter", () => link(names, true));
  row.addEventListener("pointerleave", () => link(names, false));
}

// Keys, wherever nothing else wants them.
const visible = rows.filter((row) => row.querySelector("button.go"));
let place = 0;
const press = (id) => () => document.getElementById(id)?.click();
const next = (by) => () => {
  if (!visible.length) return;
  place = (place + by + visible.length) % visible.length;
  visit(visible[place]);
  visible[place].scrollIntoView({ block: "nearest" });
};
const KEYS = { " ": press("play"), ",": press("back"), ".": press("on"), ArrowLeft: press("back"), ArrowRight: press("on"), "[": next(-1), "]": next(1), l: press("loop"), z: undo };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, button, summary, a, [role=slider]")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
if (visible.length) {
  const { kind, start, end } = visible[0].dataset;
  film.goTo(Number(start), Number(end), Number(kind === "frame" ? start : end));
}
document.getElementById("forget").addEventListener("click", async () => {
  await fetch(`/api/jobs/${job}`, { method: "DELETE" });
  location.assign("/");
});
main.dataset.ready = "yes";
