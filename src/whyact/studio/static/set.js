// Two models over a set of films: how far it is, what changed in which direction, and why.
import { formatLabel, formatScore } from "./format.js";
import { at, formatLeft, say } from "./shared.js";
import { make, side } from "./sides.js";

const POLL = 500; // milliseconds
const address = `/api/comparisons/${at("main").dataset.comparison}`;
const SIGNS = { gained: "▲ gained", lost: "▼ lost", other: "◆ other", same: "same" };
const link = (text, href) => Object.assign(make("a", text), { href });
const visit = ({ jobs }) => `/jobs/${jobs[0]}/against/${jobs[1]}`;

// The score that is followed, before and after; a dash where a model does not know the action.
const score = ({ label, before, after }) => {
  if (before === null && after === null) return "";
  const rises = before !== null && after !== null && formatScore(before) !== formatScore(after) ? (after > before ? "\u00a0↑" : "\u00a0↓") : "";
  return `${formatLabel(label)} ${before === null ? "–" : formatScore(before)} → ${after === null ? "–" : formatScore(after)}${rises}`;
};
const cell = (head, ...parts) => {
  const made = make("td");
  made.setAttribute("role", "cell");
  made.dataset.head = head;
  made.append(...parts);
  return made;
};
const answer = (head, one, job) => {
  const parts = [link(one.text, `/jobs/${job}`)];
  if (one.right !== null) parts.push(" ", make("span", one.right ? "right" : "wrong", `verdict small ${one.right ? "right" : "wrong"}`));
  return cell(head, ...parts);
};
const tableRow = (row, [a, b]) => {
  const line = make("tr", "", row.direction);
  line.setAttribute("role", "row");
  const name = make("th");
  name.scope = "row";
  name.setAttribute("role", "rowheader");
  const about = make("span", "", "small");
  about.append(make("span", SIGNS[row.direction], "sign"));
  if (row.learned.length) about.append(make("span", `, learned by ${row.learned.join(", ")}`, "soft"));
  name.append(link(row.name, visit(row)), about);
  line.append(name, cell("Score", score(row)), answer(a, row.a, row.jobs[0]), answer(b, row.b, row.jobs[1]), cell("Shows", row.target ? formatLabel(row.target) : "not named"));
  return line;
};
const article = (row, names) => {
  const box = make("article", "", "clip");
  box.append(make("h3", row.name), make("p", `${row.target ? `shows ${formatLabel(row.target)}; ` : ""}${score(row)}`, "soft small"));
  const two = make("div", "", "sides");
  [row.a, row.b].forEach((one, i) => {
    const made = side(names[i], one);
    made.append(link("Open this answer", `/jobs/${row.jobs[i]}`));
    two.append(made);
  });
  const list = make("ul", "", "changes small");
  for (const text of row.changes) list.append(make("li", text));
  box.append(two, list);
  return box;
};
const ORDER = ["lost", "gained", "other", "same"];
const render = (found) => {
  const rows = [...found.rows].sort((x, y) => ORDER.indexOf(x.direction) - ORDER.indexOf(y.direction));
  at("summary").replaceChildren(...found.summary.map((text) => make("li", text)));
  at("failed").replaceChildren(...found.failed.map((text) => make("li", text)));
  at("all").hidden = !rows.length;
  at("rows").replaceChildren(...rows.map((row) => tableRow(row, [found.a, found.b])));
  const changed = rows.filter(({ direction }) => direction !== "same");
  at("why").hidden = !changed.length;
  at("clips").replaceChildren(...changed.map((row) => article(row, [found.a, found.b])));
};

let drawn = -1;
const watch = async () => {
  for (;;) {
    const reply = await fetch(address).catch(() => null);
    if (reply?.status === 404) return location.reload(); // deleted, or the studio was started again: the page says so
    const found = reply?.ok ? await reply.json() : null;
    if (!found) say("The studio does not answer; is it still running?", true);
    else {
      const over = found.state === "done" || found.state === "stopped";
      if (drawn !== found.rows.length + found.failed.length || over) render(found);
      drawn = found.rows.length + found.failed.length;
      at("progress").value = found.share;
      const count = `${drawn} of ${found.total} films`;
      at("left").textContent = found.state === "waiting" ? "Waiting for the comparison before" : [count, formatLeft(found.left)].filter(Boolean).join(", ");
      at("working").hidden = over;
      at("main").dataset.ready = found.state;
      if (found.state === "stopped") say(`Stopped after ${count}.`);
      else if (over && !found.rows.length) say("No film could be compared.", true);
      if (over) return;
    }
    await new Promise((done) => setTimeout(done, POLL));
  }
};
at("stop").addEventListener("click", () => {
  at("stop").disabled = true;
  fetch(`${address}/stop`, { method: "POST" });
});
at("forget").addEventListener("click", async () => {
  await fetch(address, { method: "DELETE" });
  location.assign("/compare");
});
watch();
