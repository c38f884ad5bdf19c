// The same text for numbers, names and times as whyact/wording.py writes; a test compares the two.
const fixed = (x, digits) => {
  const scaled = x * 10 ** digits;
  // Python rounds an exact half to the even digit.
  const tie = (x * 64) % 1 === 0 && scaled % 1 === 0.5;
  return tie && Math.floor(scaled) % 2 === 0 ? (Math.floor(scaled) / 10 ** digits).toFixed(digits) : x.toFixed(digits);
};
export const formatLabel = (label) => label.replaceAll("_", " ").trim().split(/\s+/).join(" ");
export const formatScore = (value) => {
  if (!Number.isFinite(value)) return "n/a";
  const size = Math.abs(value);
  let text = fixed(size, 2);
  if (size >= 0.995 && size < 1) text = size < 0.9995 ? fixed(size, 3) : "0.999+";
  else if (size >= 0.0005 && size < 0.01) text = fixed(size, 3);
  return value < 0 && text !== "0.00" ? `−${text}` : text;
};
export const formatContribution = (value) => {
  const text = formatScore(value);
  return text === "n/a" || text === "0.00" || text.startsWith("−") ? text : `+${text}`;
};
// Seconds; above it a clock reads better.
const LONG = 600;
export const needsClock = (...seconds) => seconds.some((t) => Math.abs(t) >= LONG);
export const formatTime = (seconds, { unit = true, clock = needsClock(seconds) } = {}) => {
  if (!Number.isFinite(seconds)) return "n/a";
  const size = Math.abs(seconds);
  const sign = fixed(size, 2) !== "0.00" && seconds < 0 ? "−" : "";
  if (!clock) return `${sign}${Number(fixed(size, 2))}${unit ? " s" : ""}`;
  const tenths = Number(fixed(size * 10, 0));
  const [minutes, rest] = [Math.floor(tenths / 600), tenths % 600];
  const tail = `${String(Math.floor(rest / 10)).padStart(2, "0")}${rest % 10 ? `.${rest % 10}` : ""}`;
  const hours = Math.floor(minutes / 60);
  return hours ? `${sign}${hours}:${String(minutes % 60).padStart(2, "0")}:${tail}` : `${sign}${minutes}:${tail}`;
};
export const formatSpan = (start, end) => {
  const clock = needsClock(start, end);
  const [first, last] = [formatTime(start, { clock }), formatTime(end, { clock })];
  return first === last ? first : `${formatTime(start, { unit: !last.endsWith(" s"), clock })} – ${last}`;
};
