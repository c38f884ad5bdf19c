// One answered video.
import { corrections } from "./correct.js";
import { player } from "./player.js";
import { questions } from "./question.js";

const main = document.getElementById("main");
const { job } = main.dataset;
const [answer] = await (await fetch(`/api/jobs/${job}/prediction`)).json();
const film = player(answer, JSON.parse(main.dataset.hues));
for (const row of document.querySelectorAll(".reasons > li")) {
  row.querySelector("button.go")?.addEventListener("click", () => film.go((Number(row.dataset.start) + Number(row.dataset.end)) / 2));
}
questions(job, answer, film);
corrections(job, answer, film);
const first = document.querySelector("#reasons > li:has(button.go)");
if (first) film.go(Number(first.dataset.kind === "frame" ? first.dataset.start : first.dataset.end));
document.getElementById("forget").addEventListener("click", async () => {
  await fetch(`/api/jobs/${job}`, { method: "DELETE" });
  location.assign("/");
});
main.dataset.ready = "yes";
