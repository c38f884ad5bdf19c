// Tables whose columns sort: a button in each head, which the page has without a script as plain text.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const [m, n] = [parseFloat(x), parseFloat(y)];
        // What is no number stays at the end, whichever way the column is sorted.
        if (Number.isNaN(m) !== Number.isNaN(n) && (x === "nan" || y === "nan")) return Number.isNaN(m) ? 1 : -1;
        const order = Number.isNaN(m) || Number.isNaN(n) ? y.localeCompare(x) : n - m;
        return down ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
