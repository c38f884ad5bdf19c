// What is marked on a film, without the page: names, boxes between two frames, and the states before, for undo.
export const kindOf = (name) => name.replace(/_\d+$/, "");

// Where a drawn thing is on a frame: as drawn, or between two frames on a straight line over the time between them.
export const boxAt = (boxes, number, times) => {
  const next = boxes.findIndex(({ frame }) => frame >= number);
  if (next < 0 || (next === 0 && boxes[0].frame > number)) return null;
  if (boxes[next].frame === number) return { box: boxes[next].box, drawn: true };
  const [a, b] = [boxes[next - 1], boxes[next]];
  const share = (times[number - 1] - times[a.frame - 1]) / (times[b.frame - 1] - times[a.frame - 1]);
  return { box: a.box.map((x, i) => x + share * (b.box[i] - x)), drawn: false };
};

// A word that is no name yet names the next thing of its kind: the second cup is cup_2.
export const nameThing = (text, found, drawn) => {
  const names = [...found, ...drawn].map(({ name }) => name);
  if (names.includes(text) || /_\d+$/.test(text)) return text;
  const own = drawn.filter(({ name }) => kindOf(name) === text);
  if (own.length) return own.at(-1).name;
  let number = 1;
  while (names.includes(`${text}_${number}`)) number += 1;
  return `${text}_${number}`;
};

export const withBox = (marks, name, frame, box) => {
  const old = marks.drawn.find((thing) => thing.name === name)?.boxes ?? [];
  const boxes = [...old.filter((one) => one.frame !== frame), { frame, box }].sort((a, b) => a.frame - b.frame);
  const others = marks.drawn.filter((thing) => thing.name !== name);
  return { ...marks, drawn: [...others, { name, boxes }] };
};

export const withoutBox = (marks, name, frame) => {
  const boxes = marks.drawn.find((thing) => thing.name === name)?.boxes.filter((one) => one.frame !== frame) ?? [];
  if (!boxes.length) return withoutThing(marks, name);
  return { ...marks, drawn: marks.drawn.map((thing) => (thing.name === name ? { name, boxes } : thing)) };
};

// A thing that is gone takes its relations with it.
export const withoutThing = (marks, name) => ({
  ...marks,
  drawn: marks.drawn.filter((thing) => thing.name !== name),
  relations: marks.relations.filter(({ subject, object }) => subject !== name && object !== name),
});

export const history = (first, show) => {
  let now = first;
  const before = [];
  return {
    now: () => now,
    depth: () => before.length,
    change: (next) => {
      before.push(now);
      now = next;
      show();
    },
    undo: () => {
      if (!before.length) return;
      now = before.pop();
      show();
    },
  };
};
