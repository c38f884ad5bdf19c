// What the pages that send something share.
export const at = (id) => document.getElementById(id);
export const say = (text, wrong = false) => {
  at("said").textContent = text;
  at("said").classList.toggle("wrong", wrong);
};
// How long something still takes: as exact as a guess is.
export const formatLeft = (seconds) => {
  if (seconds === null) return "";
  const text = seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
  return `about ${text} left of this step`;
};
