// Boxes over a picture, each with its name where no other name stands; in pixels of the film.
const SVG = "http://www.w3.org/2000/svg";

// Returns a function that draws a box with its lines of text, and nothing where there is no room for them.
export const boxDrawer = (svg) => {
  const { width, height } = svg.viewBox.baseVal;
  const text = (width * (svg.clientWidth < 480 ? 11 : 14)) / (svg.clientWidth || 640); // the same on the screen, large or small
  const placed = [];
  return ([x, y, x2, y2], lines, { always = false } = {}) => {
    const wide = Math.max(...lines.map((line) => line.length)) * text * 0.6;
    const high = lines.length * text * 1.1;
    const left = Math.max(2, Math.min(x, width - wide - 2));
    const tops = [y - high - 2, y2 + 2, y - high - text * 1.2, y2 + text * 1.2, y + 2, y - high - text * 2.4, y2 + text * 2.4];
    const fits = (top) => top >= 0 && top + high <= height;
    const free = (top) => fits(top) && !placed.some((p) => left < p.right && left + wide > p.left && top < p.bottom && top + high > p.top);
    const top = tops.find(free) ?? (always ? (tops.find(fits) ?? 2) : undefined);
    if (top === undefined) return null; // a box without a name says nothing
    placed.push({ left, right: left + wide, top, bottom: top + high });
    const group = document.createElementNS(SVG, "g");
    const rect = document.createElementNS(SVG, "rect");
    for (const [attribute, value] of Object.entries({ x, y, width: x2 - x, height: y2 - y })) rect.setAttribute(attribute, value);
    group.append(rect);
    lines.forEach((line, i) => {
      const words = document.createElementNS(SVG, "text");
      words.setAttribute("x", left);
      words.setAttribute("y", top + (i + 0.85) * text * 1.1);
      words.setAttribute("font-size", i ? text * 0.88 : text);
      words.textContent = line;
      group.append(words);
    });
    return group;
  };
};
