document.documentElement.classList.add("js");
for (const strip of document.querySelectorAll(".strip[data-tokens]")) {
  const table = document.getElementById(strip.dataset.tokens);
  const cells = [...strip.querySelectorAll(".cells i")];
  if (!table || !cells.length) continue;
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const told = document.createElement("p");
  told.className = "tapped";
  told.setAttribute("role", "status");
  strip.append(told);
  let chosen = -1;
  const choose = (index) => {
    cells[chosen]?.classList.remove("on");
    chosen = Math.max(0, Math.min(cells.length - 1, index));
    cells[chosen].classList.add("on");
    const row = table.tBodies[0].rows[chosen].cells;
    told.textContent = heads.map((head, i) => `${head} ${row[i].textContent}`).join(" · ");
  };
  strip.tabIndex = 0;
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", `${table.caption.textContent}; arrow keys step through its tokens`);
  strip.addEventListener("click", (event) => {
    const away = cells.map((cell) => {
      const box = cell.getBoundingClientRect();
      return Math.abs(event.clientX - (box.left + box.right) / 2);
    });
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
