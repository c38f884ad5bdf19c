// Zoom and pan of a timeline: buttons, a slider, Ctrl with the wheel. Everything in .wide is in percent and follows.
import { formatTime } from "./format.js";

const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
export const zoomTimeline = (timeline, redraw = () => {}) => {
  const [start, end] = [Number(timeline.dataset.start), Number(timeline.dataset.end)];
  const clock = "clock" in timeline.dataset;
  const bar = timeline.querySelector(".zoom");
  // At most, half a second fills the width.
  const most = Math.max(1, (end - start) / 0.5);
  let [zoom, pan] = [1, 0];
  if (!bar || !(end > start) || most <= 1.5) return;
  const slider = bar.querySelector("input");
  const buttons = Object.fromEntries([...bar.querySelectorAll("button")].map((button) => [button.dataset.zoom, button]));

  const drawTicks = () => {
    const [from, to] = [start + pan * (end - start), start + (pan + 1 / zoom) * (end - start)];
    const least = clock ? 0.1 : 0.01;
    const step = STEPS.find((one) => one >= Math.max(least, (to - from) / 6)) ?? 3600 * Math.ceil((to - from) / 6 / 3600);
    for (const axis of timeline.querySelectorAll(".axis > .wide")) {
      const ticks = [];
      for (let t = Math.ceil(from / step - 1e-6) * step; t <= to + 1e-6; t += step) {
        const tick = document.createElement("span");
        const seen = (t - from) / (to - from);
        tick.className = seen < 0.06 ? "lo" : seen > 0.94 ? "hi" : "";
        tick.style.left = `${(100 * (t - start)) / (end - start)}%`;
        tick.textContent = formatTime(t, { unit: false, clock });
        ticks.push(tick);
      }
      axis.replaceChildren(...ticks);
    }
  };
  const show = (nextZoom, nextPan) => {
    zoom = Math.min(most, Math.max(1, nextZoom));
    pan = Math.min(1 - 1 / zoom, Math.max(0, nextPan));
    timeline.style.setProperty("--zoom", zoom);
    timeline.style.setProperty("--pan", pan * zoom);
    slider.disabled = zoom === 1;
    slider.value = zoom === 1 ? 0 : pan / (1 - 1 / zoom);
    slider.setAttribute("aria-valuetext", `from ${formatTime(start + pan * (end - start))}`);
    buttons.out.disabled = buttons.all.disabled = zoom === 1;
    buttons.in.disabled = zoom >= most;
    drawTicks();
    redraw(pan, pan + 1 / zoom);
  };
  const zoomAt = (factor, at = 0.5) => {
    const fixedPoint = pan + at / zoom;
    const next = Math.min(most, Math.max(1, zoom * factor));
    show(next, fixedPoint - at / next);
  };
  buttons.in.addEventListener("click", () => zoomAt(2));
  buttons.out.addEventListener("click", () => zoomAt(0.5));
  buttons.all.addEventListener("click", () => show(1, 0));
  buttons.moment?.addEventListener("click", () => {
    const [low, high] = [Number(timeline.dataset.from), Number(timeline.dataset.to)];
    const wide = Math.min(1, Math.max(5 * (high - low), 10 / (end - start)));
    show(1 / wide, (low + high) / 2 - wide / 2);
  });
  slider.addEventListener("input", () => show(zoom, Number(slider.value) * (1 - 1 / zoom)));
  timeline.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = (timeline.querySelector(".strip") ?? timeline).getBoundingClientRect();
      zoomAt(event.deltaY < 0 ? 1.25 : 0.8, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    },
    { passive: false },
  );
  bar.hidden = false;
  show(1, 0);
};
