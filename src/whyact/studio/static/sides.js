// An answer beside another one.
export const make = (tag, text = "", name = "") => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
};
export const side = (name, one) => {
  const box = make("div", "", "side");
  const head = make("p", "", "says");
  head.append(make("span", name, "soft small"), make("b", one.text));
  if (one.right !== null) head.append(make("span", one.right ? "right" : "wrong", `verdict ${one.right ? "right" : "wrong"}`));
  box.append(head, make("p", one.because, "why"));
  const list = make("ul", "", "small soft");
  for (const text of one.evidence) list.append(make("li", text));
  box.append(list);
  return box;
};
