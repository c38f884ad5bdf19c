// Two models over films that are here, or two runs from files.
import { formatContribution, formatLabel, formatScore } from "./format.js";
import { at } from "./shared.js";
import { make, side } from "./sides.js";

const FIELDS = { a: "model-a", b: "model-b", films: "films" };
for (const [name, value] of new URLSearchParams(location.search)) {
  const choice = at(FIELDS[name]);
  if (choice && [...choice.options].some((option) => option.value === value)) choice.value = value;
}
at("set")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ a: at("model-a").value, b: at("model-b").value, films: at("films").value });
  const reply = await fetch("/api/comparisons", { method: "POST", headers: { "content-type": "application/json" }, body });
  const found = await reply.json();
  if (reply.ok) return location.assign(`/compare/${found.id}`);
  at("set-said").textContent = typeof found.detail === "string" ? found.detail : "These could not be compared.";
  at("set-said").classList.add("wrong");
});
at("two").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("said").textContent = "Comparing";
  at("said").classList.remove("wrong");
  const [a, b] = await Promise.all(["a", "b"].map((id) => at(id).files[0].text()));
  const reply = await fetch("/api/compare", { method: "POST", headers: { "content-type": "application/octet-stream" }, body: `{"a":${a},"b":${b}}` });
  const found = await reply.json();
  if (!reply.ok) {
    at("said").textContent = typeof found.detail === "string" ? found.detail : "These could not be compared.";
    at("said").classList.add("wrong");
    return at("result").replaceChildren();
  }
  at("said").textContent = `${found.clips} clips in both${found.only_a + found.only_b ? `; ${found.only_a} only in A, ${found.only_b} only in B` : ""}. ${found.changed_count} answered differently${found.gained + found.lost ? `: ${found.gained} gained, ${found.lost} lost` : ""}.`;
  at("result").replaceChildren(classes(found), changed(found));
});

const classes = (found) => {
  const part = make("section");
  part.append(make("h2", "Class by class", "head"));
  part.append(make("p", `${found.measure === "recall" ? "Share of a class’s clips answered right" : "Share of clips with this answer"}; B minus A with a ${Math.round(100 * found.level)} % interval over clips. The line is no difference.`, "soft small"));
  const scroll = make("div", "", "scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "group");
  scroll.setAttribute("aria-label", "Differences by class");
  const table = make("table", "", "diff");
  const head = table.createTHead().insertRow();
  for (const text of ["Class", "Clips", "A", "B", "B − A", "Interval"]) {
    const cell = make("th", text);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  const rows = found.overall ? [found.overall, ...found.classes] : found.classes;
  const reach = Math.max(0.05, ...rows.flatMap((d) => [Math.abs(d.low), Math.abs(d.high)]));
  for (const d of rows) {
    const row = body.insertRow();
    if (d === found.overall) row.className = "overall";
    const name = make("th", formatLabel(d.label));
    name.scope = "row";
    row.append(name);
    for (const text of [d.clips, formatScore(d.a), formatScore(d.b), formatContribution(d.difference)]) row.insertCell().textContent = text;
    const cell = row.insertCell();
    cell.append(make("span", `${formatContribution(d.low)} to ${formatContribution(d.high)}`, "small"));
    const bar = make("span", "", `whisker${d.low > 0 ? " up" : d.high < 0 ? " down" : ""}`);
    bar.setAttribute("aria-hidden", "true");
    const place = (x) => `${50 + (48 * x) / reach}%`;
    const [span, dot] = [make("i"), make("b")];
    span.style.left = place(d.low);
    span.style.right = `calc(100% - ${place(d.high)})`;
    dot.style.left = place(d.difference);
    bar.append(span, dot);
    cell.append(bar);
  }
  scroll.append(table);
  part.append(scroll);
  return part;
};

const changed = (found) => {
  const part = make("section");
  part.append(make("h2", "Clips that changed", "head"));
  if (!found.changed.length) part.append(make("p", "None: both give the same answer everywhere.", "soft"));
  for (const clip of found.changed) {
    const box = make("article", "", "clip");
    box.append(make("h3", clip.id));
    if (clip.target) box.append(make("p", `annotated: ${clip.target}`, "soft small"));
    const two = make("div", "", "sides");
    two.append(side("A", clip.a), side("B", clip.b));
    box.append(two);
    part.append(box);
  }
  if (found.changed_count > found.changed.length) part.append(make("p", `${found.changed_count - found.changed.length} more.`, "soft"));
  return part;
};
