// The words on a lane: runs of one relation in the part of the timeline that is seen.
const MOST_RUNS = 40;
export const drawRuns = (strip, points, [start, end], [from, to], formatLabel) => {
  const list = strip.querySelector(".runs");
  if (!list || !points.length) return;
  const share = (t) => (t - start) / (end - start);
  const runs = [];
  points.forEach((point, i) => {
    const before = i ? (points[i - 1].time + point.time) / 2 : point.time;
    const after = i + 1 < points.length ? (points[i + 1].time + point.time) / 2 : point.time;
    const last = runs.at(-1);
    if (last && last.label === point.label) {
      last.end = share(after);
      last.kept += point.kept ? 1 : 0;
      last.until = point.time;
    } else runs.push({ label: point.label, start: share(before), end: share(after), kept: point.kept ? 1 : 0, since: point.time, until: point.time });
  });
  const seen = runs
    .map((run) => ({ ...run, left: Math.max(run.start, from), right: Math.min(run.end, to) }))
    .filter((run) => run.right > run.left || (run.start === run.end && run.start >= from && run.start <= to))
    .sort((a, b) => b.right - b.left - (a.right - a.left))
    .slice(0, MOST_RUNS)
    .sort((a, b) => a.left - b.left);
  list.replaceChildren(
    ...seen.map((run) => {
      const item = document.createElement("li");
      item.className = run.kept ? "run" : "run off";
      item.style.left = `${100 * run.left}%`;
      item.style.width = `${100 * (run.right - run.left)}%`;
      const words = document.createElement("span");
      words.textContent = formatLabel(run.label) || (run.kept ? "not named" : "");
      item.append(words);
      item.title = words.textContent;
      return item;
    }),
  );
};
// Tokens from the text that the page carries for readers without a script: one line a token, columns by tabs.
export const readTokens = (text) => {
  const [head, ...lines] = text.trim().split("\n");
  return lines.map((line) => {
    const cells = line.split("\t");
    return { time: parseFloat(cells[0].replace("−", "-")), label: cells[2], kept: cells[3] === "yes", told: head.split("\t").map((name, i) => `${name} ${cells[i]}`).join(" · ") };
  });
};
