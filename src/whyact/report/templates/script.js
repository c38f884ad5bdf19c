import { formatLabel } from "./format.js";
import { drawRuns, readTokens } from "./tokens.js";
import { zoomTimeline } from "./zoom.js";

document.documentElement.classList.add("js");
const known = new Map();
const tokensOf = (strip) => {
  const pre = document.getElementById(strip.dataset.tokens);
  if (!known.has(strip)) known.set(strip, pre ? readTokens(pre.textContent) : []);
  return known.get(strip);
};
for (const timeline of document.querySelectorAll(".timeline")) {
  const span = [Number(timeline.dataset.start), Number(timeline.dataset.end)];
  let seen = [0, 1];
  // The page itself has the words of the whole.
  let untouched = true;
  const words = () => {
    for (const strip of timeline.querySelectorAll(".strip[data-tokens]")) {
      if (strip.closest("details:not([open])")) continue;
      drawRuns(strip, tokensOf(strip), span, seen, formatLabel);
    }
  };
  zoomTimeline(timeline, (from, to) => {
    if (untouched && from === 0 && to === 1) return;
    untouched = false;
    seen = [from, to];
    words();
  });
  for (const fold of timeline.querySelectorAll("details")) fold.addEventListener("toggle", () => untouched || words());
}
for (const strip of document.querySelectorAll(".strip[data-tokens]")) {
  const { start, end } = strip.closest(".timeline").dataset;
  const wide = strip.querySelector(".wide");
  const told = document.createElement("p");
  told.className = "tapped";
  told.setAttribute("role", "status");
  const here = document.createElement("i");
  here.className = "here";
  let chosen = -1;
  const choose = (index) => {
    const tokens = tokensOf(strip);
    if (!tokens.length) return;
    chosen = Math.max(0, Math.min(tokens.length - 1, index));
    here.style.left = `${(100 * (tokens[chosen].time - start)) / (end - start)}%`;
    if (!here.isConnected) {
      wide.append(here);
      strip.append(told);
    }
    told.textContent = tokens[chosen].told;
  };
  strip.tabIndex = 0;
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", `${strip.dataset.names}; arrow keys step through its tokens`);
  strip.addEventListener("click", (event) => {
    const box = wide.getBoundingClientRect();
    const t = Number(start) + ((event.clientX - box.left) / box.width) * (end - start);
    const away = tokensOf(strip).map((token) => Math.abs(token.time - t));
    choose(away.indexOf(Math.min(...away)));
  });
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(chosen + step);
  });
}
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not(.numbers)")) fold.open = true;
});
