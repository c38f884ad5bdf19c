// A frame of a film with its boxes: those that were found, and those that a person draws with the mouse or with keys.
import { boxDrawer } from "./boxes.js";
import { boxAt } from "./marks.js";
import { at } from "./shared.js";

const AHEAD = 8; // frames that are fetched before they are shown
const LEAST = 2; // pixels of a side, the same as in studio/marks.py

export const picture = (film, address, { marks, now, thing, put }) => {
  const { times, width, height } = film;
  const [image, svg, stage] = ["mark-frame", "mark-boxes", "mark-stage"].map(at);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  let pending = null; // a box without a name: { frame, box }
  let drag = null; // where the mouse went down
  const ahead = new Map();

  const found = new Map(film.things.map(({ name, frames, boxes }) => [name, frames.map((frame, i) => ({ frame, box: boxes[i] }))]));
  const draw = () => {
    const box = boxDrawer(svg);
    const rows = []; // what a person drew comes first, and always has its name
    const loose = drag?.box ?? (pending?.frame === now() ? pending.box : null);
    if (loose) rows.push([loose, at("mark-thing").value.trim() || "?", "", "own chosen"]);
    const drawn = new Map(marks().drawn.map(({ name, boxes }) => [name, boxAt(boxes, now(), times)]));
    for (const [name, here] of drawn) if (here) rows.push([here.box, here.drawn ? name : `${name}, interpolated`, name, `own${here.drawn ? "" : " between"}${name === thing() ? " chosen" : ""}`]);
    for (const [name, boxes] of found) {
      const here = boxAt(boxes, now(), times);
      if (here && !drawn.get(name)) rows.push([here.box, name, name, "found"]);
    }
    const groups = rows.map(([place, label, name, kind]) => {
      const group = box(place, [label], { always: kind !== "found" });
      group?.setAttribute("class", kind);
      if (group && name) group.dataset.name = name;
      return group;
    });
    svg.replaceChildren(...groups.filter(Boolean).reverse());
  };
  const show = () => {
    const number = now();
    image.src = `${address}/frames/${number}`;
    image.alt = `Frame ${number} of ${film.name}`;
    for (let next = number + 1; next <= Math.min(times.length, number + AHEAD); next += 1) {
      if (ahead.has(next)) continue;
      ahead.set(next, Object.assign(new Image(), { src: `${address}/frames/${next}` }));
      if (ahead.size > 200) ahead.delete(ahead.keys().next().value);
    }
    draw();
  };

  const inside = ([x, y, x2, y2]) => {
    const [a, b] = [x, x2].map((v) => Math.min(width, Math.max(0, v))).sort((p, q) => p - q);
    const [c, d] = [y, y2].map((v) => Math.min(height, Math.max(0, v))).sort((p, q) => p - q);
    return [a, c, b, d].map((v) => Math.round(v * 10) / 10);
  };
  const under = (event) => {
    const box = svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const large = (box) => box[2] - box[0] >= LEAST && box[3] - box[1] >= LEAST;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    drag = { from: under(event), box: null };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const box = inside([...drag.from, ...under(event)]);
    drag.box = large(box) ? box : null;
    draw();
  });
  stage.addEventListener("pointerup", () => {
    const box = drag?.box;
    drag = null;
    if (!box) return draw();
    pending = { frame: now(), box };
    put(box);
    draw();
  });
  stage.addEventListener("pointercancel", () => {
    drag = null;
    draw();
  });

  const here = () => {
    const own = marks().drawn.find(({ name }) => name === thing());
    return (own && boxAt(own.boxes, now(), times)?.box) ?? own?.boxes.findLast(({ frame }) => frame < now())?.box ?? found.get(thing())?.findLast(({ frame }) => frame <= now())?.box;
  };
  return {
    draw,
    show,
    loaded: () => image.complete,
    forget: () => (pending = null),
    // By keys: a box of its own, where the thing was before or in the middle.
    place: () => put(pending?.frame === now() ? pending.box : (here() ?? inside([width * 0.4, height * 0.4, width * 0.6, height * 0.6]))),
    move: ({ key, shiftKey }) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
      const old = way && here();
      if (!old) return false;
      const step = Math.max(1, Math.round(width / 100));
      const [dx, dy] = way.map((v) => v * step);
      let box = shiftKey ? [old[0], old[1], Math.min(width, old[2] + dx), Math.min(height, old[3] + dy)] : old.map((v, i) => v + (i % 2 ? dy : dx));
      if (!shiftKey && (box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height)) box = old;
      if (large(box)) put(inside(box));
      return true;
    },
  };
};
