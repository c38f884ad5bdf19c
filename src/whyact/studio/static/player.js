// The player in step with the timeline: boxes over the picture, a line through the lanes, every moment a press away.
import { boxDrawer } from "./boxes.js";
import { formatLabel, formatScore, formatTime } from "./format.js";
import { drawRuns } from "./tokens.js";
import { zoomTimeline } from "./zoom.js";

const at = (id) => document.getElementById(id);
const FAR = 2; // seconds between two points that a box is moved over

export const player = (answer, hues) => {
  const video = at("video");
  const timeline = at("timeline");
  const [start, end] = [Number(timeline?.dataset.start ?? 0), Number(timeline?.dataset.end ?? 1)];
  const frame = 1 / Number(video?.dataset.rate || 25); // seconds of one frame of the copy
  const tracked = answer.tracks.flatMap((track) => track.points.map((p) => p.time));
  const times = [...new Set(tracked.length ? tracked : answer.curves.flatMap((curve) => curve.times))].sort((a, b) => a - b);
  const telling = new Set(answer.evidence.map((e) => e.track)); // relations that decided are written out
  const leading = new Set(answer.evidence.slice(0, 3).flatMap((e) => [e.subject, e.object]));
  const moved = [];
  let now = 0;
  let off = () => false;

  const nearest = (points, t) => {
    let next = points.findIndex((p) => p.time >= t);
    if (next < 0) next = points.length - 1;
    const before = points[Math.max(0, next - 1)];
    return Math.abs(before.time - t) < Math.abs(points[next].time - t) ? before : points[next];
  };
  const boxAt = (points, side, t) => {
    let next = points.findIndex((p) => p.time >= t);
    if (next === 0 || points.length === 1) return points[0].time - t < FAR ? points[0][side] : null;
    if (next < 0) return t - points.at(-1).time < FAR ? points.at(-1)[side] : null;
    const [a, b] = [points[next - 1], points[next]];
    if (b.time - a.time > FAR) return null;
    const share = (t - a.time) / (b.time - a.time);
    return a[side].map((x, i) => x + share * (b[side][i] - x));
  };

  const draw = () => {
    const svg = at("boxes");
    if (!svg) return;
    const everything = at("all")?.checked ?? false;
    const seen = new Map();
    for (const track of answer.tracks) {
      if (!track.points.length) continue;
      const point = nearest(track.points, now);
      const kept = point.kept && !off(track);
      if (!kept && !everything) continue;
      for (const [side, name] of [["subject_box", track.subject], ["object_box", track.object]]) {
        const box = boxAt(track.points, side, now);
        if (!box || !(box[2] > box[0] && box[3] > box[1])) continue;
        const own = seen.get(name) ?? { box, kept: false, says: [] };
        own.kept ||= kept;
        if (kept && side === "object_box" && point.label && telling.has(track.slot) && !point.label.startsWith("not")) {
          own.says.push(track.subject === track.object ? formatLabel(point.label) : `${track.subject}: ${formatLabel(point.label)}`);
        }
        seen.set(name, own);
      }
    }
    svg.replaceChildren();
    const box = boxDrawer(svg);
    const order = [...seen].sort((a, b) => weight(a) - weight(b));
    const groups = order.map(([name, { box: place, kept, says }]) => {
      const group = box(place, [name, ...[...new Set(says)].slice(0, 2)]);
      if (!group) return null;
      group.dataset.name = name;
      group.style.setProperty("--h", hues[name] ?? 255);
      if (kept) group.setAttribute("class", "kept");
      return group;
    });
    svg.append(...groups.filter(Boolean).reverse()); // what decided is drawn last, over the rest
  };
  const weight = ([name, { kept, says }]) => (says.length ? 0 : leading.has(name) ? 1 : kept ? 2 : 3);

  const show = (t) => {
    now = t;
    timeline?.style.setProperty("--at", Math.min(1, Math.max(0, (t - start) / (end - start))));
    if (at("seek")) {
      at("seek").value = t;
      at("seek").setAttribute("aria-valuetext", formatTime(t));
      at("clock").textContent = formatTime(t);
    }
    draw();
    for (const tell of moved) tell(t);
  };
  let loop = null; // [from, to] of the moment that plays again and again
  const stopLoop = () => {
    loop = null;
    at("loop")?.setAttribute("aria-pressed", "false");
  };
  const go = (t) => {
    if (loop && (t < loop[0] || t > loop[1])) stopLoop();
    const to = Math.max(0, t);
    if (video) {
      video.pause();
      video.currentTime = Math.min(to + 0.001, Number.isFinite(video.duration) ? Math.max(0, video.duration - 0.02) : to + 0.001);
    }
    show(to);
  };
  const step = (by) => {
    const here = times.findIndex((t) => t > now + 1e-3);
    if (by > 0) go(times[here < 0 ? times.length - 1 : here] ?? now);
    else go(times.filter((t) => t < now - 1e-3).at(-1) ?? times[0] ?? 0);
  };

  if (video) {
    const run = () => {
      if (video.paused || video.ended) return;
      if (loop && (video.currentTime >= loop[1] || video.currentTime < loop[0] - frame)) video.currentTime = loop[0];
      show(video.currentTime);
      requestAnimationFrame(run);
    };
    video.addEventListener("play", () => {
      at("play").textContent = "Pause";
      run();
    });
    for (const name of ["pause", "ended"]) video.addEventListener(name, () => (at("play").textContent = "Play"));
    at("play").addEventListener("click", () => (video.paused ? video.play() : video.pause()));
    at("stage").addEventListener("click", () => at("play").click());
    at("back").addEventListener("click", () => go(video.currentTime - frame));
    at("on").addEventListener("click", () => go(video.currentTime + frame));
    at("speed").addEventListener("change", () => (video.playbackRate = Number(at("speed").value)));
    at("loop").addEventListener("click", () => {
      if (loop) return stopLoop();
      const [from, to] = marked();
      loop = [Math.max(0, from), Math.min(to, Number.isFinite(video.duration) ? video.duration : to)];
      at("loop").setAttribute("aria-pressed", "true");
      video.currentTime = loop[0];
      video.play();
    });
    at("seek").addEventListener("input", () => go(Number(at("seek").value)));
    at("all")?.addEventListener("change", draw);
  }
  // The moment that a loop plays: the piece of evidence that was looked at last, with a little before and after.
  let moment = null;
  const marked = () => (moment ? [moment[0] - 0.4, moment[1] + 0.4] : [now - 0.75, now + 0.75]);
  if (timeline) {
    const tracks = new Map(answer.tracks.map((track) => [String(track.slot), track]));
    let untouched = true;
    zoomTimeline(timeline, (from, to) => {
      if (untouched && from === 0 && to === 1) return;
      untouched = false;
      for (const row of timeline.querySelectorAll("[data-slot]")) {
        const strip = row.querySelector(".strip");
        if (strip && !row.closest("details:not([open])")) drawRuns(strip, tracks.get(row.dataset.slot)?.points ?? [], [start, end], [from, to], formatLabel);
      }
    });
  }
  for (const strip of timeline?.querySelectorAll(".strip") ?? []) {
    const wide = strip.querySelector(".wide");
    const row = strip.closest(".row");
    const track = answer.tracks.find((one) => String(one.slot) === row.dataset.slot);
    strip.addEventListener("click", (event) => {
      const box = wide.getBoundingClientRect();
      moment = null;
      go(start + ((event.clientX - box.left) / box.width) * (end - start));
    });
    if (!track) continue;
    const name = track.subject === track.object ? track.object : `${track.subject} – ${track.object}`;
    strip.tabIndex = 0;
    strip.setAttribute("role", "slider");
    strip.setAttribute("aria-label", `Moment on the lane of ${name}`);
    strip.setAttribute("aria-valuemin", start.toFixed(2));
    strip.setAttribute("aria-valuemax", end.toFixed(2));
    const told = document.createElement("p");
    told.className = "tapped";
    told.setAttribute("aria-hidden", "true");
    told.hidden = true;
    row.append(told);
    const tell = (t) => {
      const point = track.points.length ? nearest(track.points, t) : null;
      const label = point?.label ? formatLabel(point.label) : "not named";
      strip.setAttribute("aria-valuenow", t.toFixed(2));
      strip.setAttribute("aria-valuetext", `${formatTime(t)}, ${label}${point?.kept ? "" : ", dropped"}`);
      told.hidden = document.activeElement !== strip || !point;
      if (!told.hidden) told.textContent = `frame ${point.frame} at ${formatTime(point.time)}: ${label} · ${point.kept ? "kept" : "dropped"} (keep probability ${formatScore(point.keep_probability)}) · similarity ${formatScore(point.similarity)}, margin ${formatScore(point.margin)}`;
    };
    strip.addEventListener("focus", () => tell(now));
    strip.addEventListener("blur", () => (told.hidden = true));
    strip.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (by) step(by);
      else if (event.key === "Home") go(times[0] ?? 0);
      else if (event.key === "End") go(times.at(-1) ?? end);
      else return;
      event.preventDefault();
    });
    moved.push(tell);
    tell(0);
  }
  show(times[0] ?? 0);
  return {
    go,
    goTo: (from, to, at_) => {
      stopLoop();
      moment = [from, to];
      go(at_);
    },
    draw,
    now: () => now,
    switchedOff: (test) => {
      off = test;
    },
  };
};
