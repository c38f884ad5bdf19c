// A clip to teach: what a person marks in it.
import { marker } from "./mark.js";
import { at, say } from "./shared.js";

const main = at("main");
const film = at("marker").dataset.film;
const marks = await marker(at("marker"));
const save = async () => {
  say("Saving");
  const reply = await fetch(`${film}/marks`, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify(marks.value()) }).catch(() => null);
  const found = await reply?.json().catch(() => null);
  if (!reply?.ok) say(typeof found?.detail === "string" ? found.detail : "It could not be saved.", true);
  else {
    marks.saved();
    location.assign(main.dataset.back);
  }
};
at("mark-save").disabled = !marks;
if (marks) {
  at("mark-save").addEventListener("click", save);
  window.addEventListener("beforeunload", (event) => marks.changed() && event.preventDefault());
}
main.dataset.ready = "yes";
